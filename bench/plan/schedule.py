"""From sweeps to an ordered list of trials: proofs, then timings interleaved at random from a seed, then layers."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from rigmark.bench.datasets import SYNTHETIC
from rigmark.bench.enums import TIMED, Isa, Mode, StartMethod, TrialKind
from rigmark.bench.plan import axes
from rigmark.bench.plan.case import Case, Timing
from rigmark.bench.plan.sweep import NO_ORIGINALS, Originals, Sweep
from rigmark.bench.worker import frameworks
from rigmark.bench.worker.precisions import WITHOUT_TRAINING
from rigmark.bench.worker.strategies import load

PROOF_BATCH = 4
PROOF_PROMPT, PROOF_GENERATED = 16, 8        # tokens at most: the oracle reads all of them again for each token


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial: a repetition of a timed case, the proof of a network, or a per-layer profile."""

    kind: str                        # the name of a file in bench.trials.kinds
    case: Case
    repetition: int = 0
    timing: Timing | None = None     # None for a proof
    asks_for_isa: bool = False       # its sweep limits instruction sets, so that all its cases are observed

    @property
    def is_repeated(self) -> bool:
        """Whether there is one of each repetition; else there is one in all."""
        return self.kind in TIMED or self.kind == TrialKind.PAIR

    @property
    def label(self) -> str:
        return f"{self.kind} of {self.case.label}" + (f" #{self.repetition}" if self.is_repeated else "")


def proof_case(case: Case, cores: int) -> Case:
    """The case of a proof, which covers all timed cases of the same network, build, settings, data and world."""
    if case.world_size > 1 and load(case.strategy).SUMS_GRADIENTS:
        return replace(case, mode=Mode.TRAINING, local_batch=PROOF_BATCH, steps_per_timing=1)
    case = replace(case, **axes.of_one_device())
    if case.mode is Mode.DECODE:
        return replace(
            case, local_batch=PROOF_BATCH, threads=cores, steps_per_timing=1, data=SYNTHETIC,
            prompt_length=min(case.prompt_length, PROOF_PROMPT),
            generated_length=min(case.generated_length, PROOF_GENERATED),
        )
    trains = case.precision not in WITHOUT_TRAINING and Mode.TRAINING in frameworks.modes(case.framework)
    mode = Mode.TRAINING if trains else Mode.INFERENCE
    return replace(case, mode=mode, local_batch=PROOF_BATCH, threads=cores, steps_per_timing=1)


def plan(
    sweeps: Sequence[Sweep], *, cores: int, seed: int | str, world_cores: int | None = None,
    limited_builds: Collection[str] = (), originals: Originals = NO_ORIGINALS,
) -> list[Trial]:
    """The trials in the order in which they run.

    Within a repetition every case comes once, in a random order that depends on ``seed``, so that slow drift of the
    machine affects all cases alike. A case that several sweeps declare with the same start method is timed as the first
    of them states, and as often as any of them states. Micro-benchmarks are among these cases; they need no proof.
    Layer trials come last, one for each case that a sweep wants them for, since they answer another question. ``cores``
    are those of this machine, ``world_cores`` as Sweep.cases has them, and ``limited_builds`` those that limit
    their cases to an instruction set.
    """
    declared: dict[tuple[Case, StartMethod], tuple[Timing, int, bool]] = {}
    for sweep in sweeps:
        for case in sweep.cases(cores, world_cores, originals):
            key = case, sweep.timing.start_method
            timing, repetitions, asks = declared.get(key, (sweep.timing, 0, False))
            asks = asks or asks_for_isa(sweep, limited_builds)
            declared[key] = timing, max(repetitions, sweep.repetitions), asks
    proofs = dict.fromkeys(
        Trial(kind=TrialKind.PROOF, case=proof_case(case, cores)) for case, _ in declared if not case.is_limit
    )
    timings: list[Trial] = []
    for repetition in range(max((repetitions for _, repetitions, _ in declared.values()), default=0)):
        batch = [
            Trial(
                kind=case.timed_as, case=case, repetition=repetition, timing=timing, asks_for_isa=asks,
            )
            for (case, _), (timing, repetitions, asks) in declared.items()
            if repetition < repetitions
        ]
        random.Random(f"{seed}/{repetition}").shuffle(batch)
        timings += batch
    return [*proofs, *timings, *_layer_trials(sweeps, cores, world_cores, originals)]


def asks_for_isa(sweep: Sweep, limited_builds: Collection[str]) -> bool:
    """Whether a sweep declares instruction sets, by itself or by its builds: then all its cases are observed."""
    return set(sweep.isas) != {Isa.NATIVE} or not set(sweep.builds).isdisjoint(limited_builds)


def _layer_trials(
    sweeps: Sequence[Sweep], cores: int, world_cores: int | None, originals: Originals
) -> list[Trial]:
    """One layer trial per case, with the timing of the first sweep that wants it."""
    timing: dict[Case, Timing] = {}
    for sweep in sweeps:
        if sweep.layers:
            for case in sweep.cases(cores, world_cores, originals):
                if not case.is_limit and case.world_size == 1:
                    timing.setdefault(case, sweep.timing)
    return [Trial(kind=TrialKind.LAYERS, case=case, timing=long) for case, long in timing.items()]
