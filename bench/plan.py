"""From sweeps to an ordered list of trials: proofs first, then timings interleaved at random from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace

from bench.spec import Case, Sweep, Timing
from bench.words import Mode, TrialKind

PROOF_BATCH = 4


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One repetition of one case, or the proof that vouches for it."""

    kind: TrialKind
    case: Case
    repetition: int = 0
    timing: Timing | None = None     # None for a proof

    @property
    def label(self) -> str:
        return f"{self.kind} of {self.case.label}" + (f" #{self.repetition}" if self.kind is TrialKind.TIMING else "")


def proof_case(case: Case, cores: int) -> Case:
    """What a proof covers, once for all timed cases of the same network, build, settings and data."""
    return replace(case, mode=Mode.TRAINING, local_batch=PROOF_BATCH, threads=cores, steps_per_timing=1)


def plan(sweeps: Iterable[Sweep], *, cores: int, seed: int | str) -> list[Trial]:
    """Trials in the order in which they run.

    Within a repetition every case comes once, in an order drawn from ``seed``, so that slow drift of the machine
    falls on all cases alike. A case that several sweeps declare is timed as the first one says, as often as any of
    them says.
    """
    declared: dict[Case, tuple[Timing, int]] = {}
    for sweep in sweeps:
        for case in sweep.cases(cores):
            timing, repetitions = declared.get(case, (sweep.timing, 0))
            declared[case] = timing, max(repetitions, sweep.repetitions)
    proofs = dict.fromkeys(Trial(kind=TrialKind.PROOF, case=proof_case(case, cores)) for case in declared)
    timings: list[Trial] = []
    for repetition in range(max((repetitions for _, repetitions in declared.values()), default=0)):
        batch = [
            Trial(kind=TrialKind.TIMING, case=case, repetition=repetition, timing=timing)
            for case, (timing, repetitions) in declared.items()
            if repetition < repetitions
        ]
        random.Random(f"{seed}/{repetition}").shuffle(batch)
        timings += batch
    return [*proofs, *timings]
