"""Confirms steps of a history by pairs: which revisions to measure against each other, and which cases of a suite."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from rigmark.bench.analysis.comparison.sides import case_label
from rigmark.bench.analysis.history import Step, Watched
from rigmark.bench.asv import benchmark
from rigmark.bench.enums import Isa
from rigmark.bench.errors import UserError
from rigmark.bench.machine import hardware
from rigmark.bench.plan.case import DEFAULT_BUILD, Case
from rigmark.bench.plan.sweep import Sweep

ASV_BENCHMARK = ".track_step_time"       # suffix of the names of benchmarks made by bench.asv.benchmark


@dataclass(frozen=True, kw_only=True)
class Nomination:
    """Two revisions between which some series became worse."""

    base: str                    # the last revision that is certainly before the step, or --base
    new: str                     # the first that is certainly after it, or --new
    series: tuple[str, ...]      # labels of the series that became worse
    cases: frozenset[Case] | None        # the cases of these series, see ``nameless``; None: the whole suite

    def is_about(self, case: Case) -> bool:
        return self.cases is None or nameless(case) in self.cases


@dataclass(frozen=True, kw_only=True)
class Nominated:
    """What is to be measured again."""

    pairs: tuple[Nomination, ...]
    others: tuple[str, ...]      # labels of series that this suite does not measure


def nominated(
    worse: Sequence[tuple[Watched, Step]], suite: str, sweeps: Sequence[Sweep], *, suites: Collection[str],
    builds: Collection[str], sides: tuple[str, str] | None = None,
) -> Nominated:
    """What is to be measured again with a suite, to confirm steps for the worse.

    For a series of the suite itself it is the case of the series; for a benchmark of another project, the whole suite.
    ``suites`` and ``builds`` are the names that occur in our own series. ``sides`` are measured instead of the
    revisions around the steps. Raises UserError if a step is between sessions, not revisions, and there are no sides.
    """
    candidates: dict[tuple[str, str], dict[str, frozenset[Case] | None]] = {}
    others = []
    for watched, step in worse:
        cases = _about(watched, suite, sweeps, suites, builds)
        if cases is not None and not cases:
            others.append(watched.series.label)
            continue
        candidates.setdefault(sides or _around(watched, step), {})[watched.series.label] = cases
    return Nominated(others=tuple(others), pairs=tuple(
        Nomination(
            base=base, new=new, series=tuple(about),
            cases=None if None in about.values() else frozenset().union(*filter(None, about.values())),
        ) for (base, new), about in candidates.items()
    ))


def nameless(case: Case) -> Case:
    """The case without its build and instruction set."""
    return replace(case, build="", isa=Isa.NATIVE)


def _around(watched: Watched, step: Step) -> tuple[str, str]:
    revisions = watched.series.revisions
    base, new = revisions[max(step.change.low - 1, 0)], revisions[step.change.high]
    if not all(set(revision) <= set("0123456789abcdef") for revision in (base, new)):
        raise UserError(
            f"{watched.series.label} became worse between the sessions {base} and {new}, which cannot be repeated; "
            "name two builds or git revisions with --base and --new"
        )
    return base, new


def _about(
    watched: Watched, suite: str, sweeps: Sequence[Sweep], suites: Collection[str], builds: Collection[str]
) -> frozenset[Case] | None:
    """The cases of the suite that a series is about; empty if it belongs to another suite, None if to no suite."""
    series = watched.series
    owner = series.name.removesuffix(ASV_BENCHMARK)
    if owner in suites and owner != series.name:
        name = series.case.partition("=")[2].strip("'")
        named = benchmark.named_cases(sweeps) if owner == suite else {}
        return frozenset(nameless(case) for each, (_, case) in named.items() if each == name)
    cases = [
        case for sweep in sweeps for case in replace(sweep, builds=(DEFAULT_BUILD,)).cases(len(hardware.usable_cpus()))
    ]
    by_label = {
        case_label({**case.plain(), "build": build}): nameless(case) for case in cases for build in builds
    }
    if series.case in by_label:
        return frozenset([by_label[series.case]])
    return frozenset() if series.name == "step_time" else None
