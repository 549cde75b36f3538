"""Findings: doubts as values with evidence and advice, each attached to the result that it weakens."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from rigmark.bench.analysis.statistics.estimate import FEWEST_FOR_INTERVAL, Estimate, median
from rigmark.bench.document import formatting
from rigmark.bench.document.language import tr, word
from rigmark.bench.enums import NOT_PROVEN, Isa

OTHER_CORES = 0.1            # kept busy by other processes; more than that disturbs
CONTENDED_SHARE = 0.2        # of the trials
DRIFT_RATIO = 1.05           # between the medians of the two halves of a trial's timings
DRIFTING_SHARE = 0.2         # of the trials
WIDE_RATIO = 1.10            # upper / lower end of the interval
CLOSED = (0.90, 1.10)        # acceptable cover, closure and overhead: an unexplained tenth of a step may hide a layer
UNEVEN_RATIO = 1.25          # CPU time of the busiest rank over the idlest


class FindingKind(StrEnum):
    NOTE = "note"            # limits the conclusions
    WARNING = "warning"      # makes the result suspect
    INVALID = "invalid"      # the figure does not measure its case


@dataclass(frozen=True, kw_only=True)
class Finding:
    id: str
    kind: FindingKind
    text: str                # doubt, evidence and advice in one sentence


@dataclass(frozen=True, kw_only=True)
class LayerFigures:
    """How well the layers of one case explain its step."""

    cover: float                     # sum of the layers / the instrumented step
    overhead: float                  # instrumented / plain step of the same process
    closure: float | None            # sum of the layers / step of the timed trials; None without timed trials
    problem: str | None              # what the framework's trace lacks; None for nothing
    variables: Mapping[str, str] = field(default_factory=dict)     # variables of layer trials only
    too_short: tuple[str, ...] = ()  # layers below the resolution of the clock
    unevenness: float = 1.0          # mean / median of the instrumented steps; cover and closure use the mean
    of_peak: float | None = None     # FLOP/s of the best layer / the machine's peak; None if not known
    mfu: float | None = None         # of the timed trials or, without them, of the plain steps


@dataclass(frozen=True, kw_only=True)
class IsaFigures:
    """The instruction set to which one case was limited, and what ran."""

    asked: str                       # "avx2", or "native" without a limit
    proof: str                       # a level, "mixed" or "not proven"
    evidence: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)     # by operation: level, evidence


@dataclass(frozen=True, kw_only=True)
class WorldFigures:
    """The devices of one case."""

    size: int
    threads: int                     # of each
    is_oversubscribed: bool
    rank_spread: float | None        # CPU time of the busiest rank / the idlest; None for a single process


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The facts from which the findings of one case are made."""

    measured: Sequence[Mapping[str, Any]]    # its successful trials, rows of the table of trials
    failed: Sequence[Mapping[str, Any]]      # its other trials
    step_time_s: Estimate
    threads: int
    layers: LayerFigures | None = None     # of its layer trial, if it has one
    isa: IsaFigures = IsaFigures(asked=Isa.NATIVE, proof=NOT_PROVEN)
    clones_of: str | None = None           # the node id that several machines share; None: only one
    world: WorldFigures | None = None      # None if nothing is stated about devices
    of_trials: tuple[Finding, ...] = ()    # about its trials, see bench.analysis.results.validity


def failed_trials(evidence: Evidence) -> Iterator[Finding]:
    if len(evidence.failed):
        first = evidence.failed[0]
        yield Finding(
            id="failed_trials", kind=FindingKind.WARNING,
            text=tr(
                "{n} of {all} trials failed ({outcome}: {reason}); the figure is of the others",
                n=len(evidence.failed), all=len(evidence.failed) + len(evidence.measured),
                outcome=word(first["outcome"]), reason=first["reason"],
            ),
        )


def cloned(evidence: Evidence) -> Iterator[Finding]:
    if evidence.clones_of is not None:
        yield Finding(
            id="cloned", kind=FindingKind.WARNING,
            text=tr(
                "node {node} is several machines: starts of it were measured at the same time, as happens to clones of "
                "one image; give each an /etc/machine-id of its own (systemd-machine-id-setup) and measure again",
                node=evidence.clones_of,
            ),
        )


def few_trials(evidence: Evidence) -> Iterator[Finding]:
    count = evidence.step_time_s.count
    if count < FEWEST_FOR_INTERVAL:
        yield Finding(
            id="few_trials", kind=FindingKind.NOTE,
            text=tr(
                "{trials}: too few for an interval; repeat at least {fewest} times (--repetitions)",
                trials=formatting.count(count, "trial"), fewest=FEWEST_FOR_INTERVAL,
            ),
        )


def contended(evidence: Evidence) -> Iterator[Finding]:
    """Other programs were busy while the steps were timed."""
    wall_times_s = [math.fsum(trial["host_times_s"]) for trial in evidence.measured]
    cores = np.array([trial["other_cpu_time_s"] for trial in evidence.measured], float) / wall_times_s
    busy = cores[cores > OTHER_CORES]        # NaN (not known) does not count
    share = len(busy) / len(cores)
    if share > CONTENDED_SHARE:
        yield Finding(
            id="contended", kind=FindingKind.WARNING,
            text=tr(
                "other processes kept {busy:.1f} cores busy while steps were timed in {share:.0%} of the trials; "
                "stop them and repeat", busy=np.median(busy), share=share,
            ),
        )


def drifting(evidence: Evidence) -> Iterator[Finding]:
    ratios = np.array([halves(trial["timings_s"]) for trial in evidence.measured])
    share = float(np.mean((ratios > DRIFT_RATIO) | (ratios < 1 / DRIFT_RATIO))) if len(ratios) else 0.0
    if share > DRIFTING_SHARE:
        yield Finding(
            id="drifting", kind=FindingKind.WARNING,
            text=tr(
                "step times moved by more than {change:.0%} within {share:.0%} of the trials; give them a "
                "longer warm-up or a quieter machine", change=DRIFT_RATIO - 1, share=share,
            ),
        )


def halves(timings_s: Sequence[float]) -> float:
    """Median of the second half relative to that of the first; 1.0 if there are too few timings."""
    middle = len(timings_s) // 2
    return median(timings_s[middle:]) / median(timings_s[:middle]) if middle else 1.0


def wide_interval(evidence: Evidence) -> Iterator[Finding]:
    low, high = evidence.step_time_s.low, evidence.step_time_s.high
    if low is not None and high is not None and high / low > WIDE_RATIO:
        yield Finding(
            id="wide_interval", kind=FindingKind.NOTE,
            text=tr(
                "the interval spans {width:.0%}; more repetitions or a quieter machine would narrow it",
                width=high / low - 1,
            ),
        )


# Worlds -------------------------------------------------------------------------------------------------------------


def oversubscribed(evidence: Evidence) -> Iterator[Finding]:
    world = evidence.world
    if world is None or not world.is_oversubscribed:
        return
    threads = formatting.count(world.threads, "thread")
    yield Finding(
        id="oversubscribed", kind=FindingKind.WARNING,
        text=tr(
            "{threads} took turns on fewer cores: this shows that it runs, not how fast it is; ask for no more threads "
            "than cores for that", threads=threads,
        ) if world.size == 1 else tr(
            "{size} devices of {threads} each took turns on fewer cores: this shows that it runs, not how it "
            "scales; use as many cores as threads for that", size=world.size, threads=threads,
        ),
    )


def uneven_ranks(evidence: Evidence) -> Iterator[Finding]:
    world = evidence.world
    if world is not None and world.rank_spread is not None and world.rank_spread > UNEVEN_RATIO:
        yield Finding(
            id="uneven_ranks", kind=FindingKind.NOTE,
            text=tr(
                "the busiest rank used {rank_spread:.2f}x the CPU time of the idlest, and all wait for the "
                "slowest; look for other work on its cores, or for cores that share a physical one",
                rank_spread=world.rank_spread,
            ),
        )


# Instruction sets ---------------------------------------------------------------------------------------------------


def isa_mixed(evidence: Evidence) -> Iterator[Finding]:
    """Limited to one instruction set, but another one ran, in some library or in all."""
    isa = evidence.isa
    if isa.asked != Isa.NATIVE and isa.proof not in (isa.asked, NOT_PROVEN):
        levels = ", ".join(f"{name} {seen['level'] or tr('not known')}" for name, seen in isa.evidence.items())
        yield Finding(
            id="isa_mixed", kind=FindingKind.WARNING,
            text=tr(
                "{asked} was asked for, and something else ran ({levels}); do not call it a figure of {asked}",
                asked=isa.asked, levels=levels or word(isa.proof),
            ),
        )


def isa_not_proven(evidence: Evidence) -> Iterator[Finding]:
    isa = evidence.isa
    if isa.asked != Isa.NATIVE and isa.proof == NOT_PROVEN:
        reasons = "; ".join(f"{name}: {e['evidence']}" for name, e in isa.evidence.items() if e["level"] is None)
        yield Finding(
            id="isa_not_proven", kind=FindingKind.WARNING,
            text=tr(
                "{asked} was asked for, and that it ran is not proven ({reasons}); do not call it a figure of "
                "{asked}", asked=isa.asked, reasons=reasons or tr("trials disagree"),
            ),
        )


# Layers -------------------------------------------------------------------------------------------------------------


def layer_closure(layers: LayerFigures) -> Iterator[Finding]:
    if layers.closure is not None and not _is_closed(layers.closure):
        yield _note(
            "layer_closure",
            tr(
                "its layers add up to {closure:.0%} of the timed step ({reasons}); trust their order, not their "
                "times, and repeat with --layers on a quiet machine", closure=layers.closure,
                reasons="; ".join(_reasons(layers)),
            ),
        )


def layer_cover(layers: LayerFigures) -> Iterator[Finding]:
    if not _is_closed(layers.cover):
        problem = tr(", and {problem}", problem=layers.problem) if layers.problem else ""
        yield _note(
            "layer_cover",
            tr(
                "its layers add up to {cover:.0%} of the step that they were timed in: {missing}{problem}; shares "
                "are of that whole step", cover=layers.cover, missing=_missing(layers), problem=problem,
            ),
        )


def layer_overhead(layers: LayerFigures) -> Iterator[Finding]:
    if not _is_closed(layers.overhead):
        yield _note(
            "layer_overhead",
            tr(
                "{instruments} in the same process; short layers are the most wrong: a larger batch, or a quiet "
                "machine, would weaken it", instruments=_instruments(layers),
            ),
        )


def layer_uneven(layers: LayerFigures) -> Iterator[Finding]:
    if not _is_closed(layers.unevenness):
        yield _note(
            "layer_uneven",
            tr(
                "{outliers}: its cover and closure are of that mean, and in records without times of each turn its "
                "shares are too; repeat with --layers on a quiet machine", outliers=_outliers(layers),
            ),
        )


def layer_trace(layers: LayerFigures) -> Iterator[Finding]:
    if layers.problem:
        yield _note("layer_trace", tr("its trace of layers is incomplete: {problem}", problem=layers.problem))


def layer_program(layers: LayerFigures) -> Iterator[Finding]:
    """The variables that make layers visible change the program of the network."""
    if layers.variables:
        yield _note(
            "layer_program",
            tr(
                "its layers were timed in another program than the step, built with {settings}, without which they "
                "cannot be told apart; shares may differ from those of the timed steps", settings=_settings(layers),
            ),
        )


def layers_too_short(layers: LayerFigures) -> Iterator[Finding]:
    count = len(layers.too_short)
    if count:
        yield _note(
            "layers_too_short",
            tr(
                "{n} of its layers took less time than the clock can resolve ({layers}) and {n:has no rate of "
                "its|have no rate of their} own; a larger batch would show {n:it|them}", n=count,
                layers=_some(layers.too_short),
            ),
        )


def layer_above_peak(layers: LayerFigures) -> Iterator[Finding]:
    if layers.of_peak is not None and layers.of_peak > CLOSED[1]:
        yield _note(
            "layer_above_peak",
            tr(
                "a layer of it ran at {of_peak:.1f}x this machine's measured peak, which is then too low to judge "
                "by, unless its algorithm needs fewer FLOPs than its definition; measure the limits again, in this "
                "framework too and on a quiet machine", of_peak=layers.of_peak,
            ),
        )
    elif layers.mfu is not None and layers.mfu > 1:
        yield _note(
            "layer_above_peak",
            tr(
                "its whole step ran at {mfu:.1%} of this machine's measured peak, which is then too low to judge by, "
                "unless its algorithms need fewer FLOPs than their definitions; measure the limits again, in this "
                "framework too and on a quiet machine", mfu=layers.mfu,
            ),
        )


def unevenness(step_times_s: Sequence[float]) -> float:
    """Mean / median: how much a few long steps affect the mean."""
    return statistics.fmean(step_times_s) / statistics.median(step_times_s)


def _note(name: str, text: str) -> Finding:
    """A note, since doubts about layers do not affect the step time."""
    return Finding(id=name, kind=FindingKind.NOTE, text=text)


def _is_closed(ratio: float) -> bool:
    low, high = CLOSED
    return low <= ratio <= high


def _reasons(layers: LayerFigures) -> Iterator[str]:
    """Why closure differs from 1: it is the product of cover, overhead, unevenness, and the difference of the
    trials."""
    product = layers.cover * layers.overhead * layers.unevenness
    elsewhere = layers.closure / product if layers.closure is not None and product > 0 else 1.0
    is_explained = not all(map(_is_closed, (layers.cover, layers.overhead, layers.unevenness, elsewhere)))
    if not is_explained or not _is_closed(layers.cover):
        yield _missing(layers)
    if not is_explained or not _is_closed(layers.overhead):
        yield _instruments(layers)
    if not _is_closed(layers.unevenness):
        yield _outliers(layers)
    if layers.problem:
        yield layers.problem
    if layers.variables:
        yield tr("they were timed in another program, with {settings}", settings=_settings(layers))
    elif not is_explained or not _is_closed(elsewhere):
        yield tr(
            "plain steps beside them took {elsewhere:.2f}x the timed ones: the machine was in another state",
            elsewhere=elsewhere,
        )


def _missing(layers: LayerFigures) -> str:
    """Why cover differs from 1."""
    if layers.cover > 1:
        return tr("some time is assigned to more than one layer")
    return tr("{share:.0%} of the step belongs to no layer, loss or optimizer", share=1 - layers.cover)


def _instruments(layers: LayerFigures) -> str:
    return tr("instrumented steps took {overhead:.2f}x the plain ones", overhead=layers.overhead)


def _outliers(layers: LayerFigures) -> str:
    if layers.unevenness < 1:
        return tr("some instrumented steps were much shorter than most, so that their mean is {unevenness:.2f}x their "
                  "median", unevenness=layers.unevenness)
    return tr("a few instrumented steps were much longer, so that their mean is {unevenness:.2f}x their median",
              unevenness=layers.unevenness)


def _settings(layers: LayerFigures) -> str:
    return " ".join(f"{name}={value}" for name, value in layers.variables.items())


def _some(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


RULES: tuple[Callable[[Evidence], Iterator[Finding]], ...] = (
    failed_trials, cloned, few_trials, contended, drifting, wide_interval, oversubscribed, uneven_ranks, isa_mixed,
    isa_not_proven,
)
LAYER_RULES: tuple[Callable[[LayerFigures], Iterator[Finding]], ...] = (
    layer_closure, layer_cover, layer_overhead, layer_uneven, layer_trace, layer_program, layers_too_short,
    layer_above_peak,
)


def findings(evidence: Evidence) -> tuple[Finding, ...]:
    """All findings about one case."""
    of_layers = () if evidence.layers is None else layer_findings(evidence.layers)
    return merged([*(finding for rule in RULES for finding in rule(evidence)), *evidence.of_trials, *of_layers])


def merged(every: Sequence[Finding]) -> tuple[Finding, ...]:
    """One finding per id, in the order of their first ones, with the texts of all and the most severe kind."""
    kinds = list(FindingKind)
    by_id: dict[str, Finding] = {}
    for finding in every:
        before = by_id.get(finding.id)
        by_id[finding.id] = finding if before is None else Finding(
            id=finding.id, kind=max(before.kind, finding.kind, key=kinds.index),
            text=tr("{first}. Also: {second}", first=before.text, second=finding.text),
        )
    return tuple(by_id.values())


def layer_findings(layers: LayerFigures) -> tuple[Finding, ...]:
    """All findings about the per-layer profile of one case."""
    return tuple(finding for rule in LAYER_RULES for finding in rule(layers))
