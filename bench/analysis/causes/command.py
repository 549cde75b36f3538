"""The cause of a verdict on what is no network: what the two sides have, and whether one of them waited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rigmark.bench.analysis.causes import machine
from rigmark.bench.analysis.causes.cause import Cause, Kind
from rigmark.bench.analysis.causes.sides import changed, is_of_compilers, size, unlike
from rigmark.bench.analysis.comparison.numbers import Numbers
from rigmark.bench.analysis.comparison.verdicts import CaseVerdict
from rigmark.bench.analysis.statistics.decision import Verdict
from rigmark.bench.analysis.statistics.estimate import median
from rigmark.bench.document import formatting
from rigmark.bench.document.language import tr

ALONE = 1.1                  # CPU time / wall time, up to which it is rather one thread


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the turns of one pair used beside the judged number: means, by fact; (base, new)."""

    memory_bytes: tuple[float, float] | None = None
    switches: tuple[float, float] | None = None          # taken from its core while it could have run


@dataclass(frozen=True, kw_only=True)
class Sides:
    """What is known of both sides, by name: commands, commits, variables, packages."""

    base: Mapping[str, str | None] = field(default_factory=dict)
    new: Mapping[str, str | None] = field(default_factory=dict)


def of_contestants(base: Mapping[str, Any], new: Mapping[str, Any]) -> Sides:
    """From both sides of a contest as plain data. The name of an interpreter counts where packages are not known."""
    are_known = all(side.get("packages") is not None for side in (base, new))
    facts: list[dict[str, str | None]] = []
    for side in (base, new):
        told = {"command": side.get("command"), "commit": side.get("commit"),
                "interpreter": None if are_known else side.get("interpreter")}
        if side.get("command") == side.get("interpreter"):       # of asv, whose interpreters have paths of their own
            told["command"] = None
        facts.append({**told, **(side.get("variables") or {}), **((side.get("packages") or {}) if are_known else {})})
    return Sides(base=facts[0], new=facts[1])


def with_cause(
    case: CaseVerdict, pairs: Sequence[Numbers], cpu_pairs: Sequence[Numbers] | None, seen: Sequence[Seen],
    sides: Sides,
) -> CaseVerdict:
    """The verdict with its cause, if the sides differ."""
    if case.verdict not in (Verdict.SLOWER, Verdict.FASTER):
        return case
    differing = tuple(unlike(sides.base, sides.new))
    cause = Cause(
        kind=Kind.NOT_LOCATED, differing=differing, facts=tuple(_facts(seen)),
        why=tr("several things differ between the sides") if differing
        else tr("nothing is known to differ between the sides"),
    )
    wall, cpu = _both(pairs), _both(cpu_pairs or [])
    if cpu and len(cpu) == len(wall) and max(base / first for (base, _), (first, _) in zip(cpu, wall, strict=True)) <= (
        ALONE
    ):
        waited = machine.waited(wall, cpu)
        if waited is not None:
            return replace(case, cause=replace(cause, kind=Kind.MACHINE, share=waited, why=""))
    if len(differing) == 1:
        kind = Kind.COMPILATION if is_of_compilers(differing) else Kind.SIDES
        cause = replace(cause, kind=kind, why="")
    return replace(case, cause=cause)


def _both(pairs: Sequence[Numbers]) -> list[tuple[float, float]]:
    return [(median(pair.base), median(pair.new)) for pair in pairs]


def _facts(seen: Sequence[Seen]) -> list[str]:
    found = []
    memory = changed([each.memory_bytes or (None, None) for each in seen])
    if memory is not None:
        base, new = map(size, memory)
        found.append(tr("{name}: {base} against {new}.", name=tr("peak memory").capitalize(), base=base, new=new))
    switches = changed([each.switches or (None, None) for each in seen])
    if switches is not None:
        base, new = (formatting.significant(each) for each in switches)
        found.append(tr("Taken from its core {base} against {new} times per turn.", base=base, new=new))
    return found
