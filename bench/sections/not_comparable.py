"""Further differences between the sides of a comparison; one warning, or the statement that there are none."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rigmark.bench.analysis.results.summary import is_nothing
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Align, Cell, Column, Paragraph, Row, Section, Table
from rigmark.bench.document.identifiers import identifier
from rigmark.bench.document.language import tr, tr_later
from rigmark.bench.sections.groups import Entry, Group

NOT_THERE = tr_later("not there")
KINDS = {
    "package": tr_later("package {name}"), "variable": tr_later("variable {name}"),
    "setting": tr_later("setting {name}"), "system": tr_later("system: {name}"), "clock": tr_later("clock of timings"),
    "telemetry": tr_later("telemetry"),
}
"""Titles of facts, by the first word of the fact."""
OF_THOSE_THAT_TELL = ("package", "system", "clock")
"""Facts that one side may lack without being different: unused packages, and facts that its system does not state."""


def section(groups: Sequence[Group]) -> Section | None:
    """None without comparisons."""
    compared = [group for group in groups if len(group.measured) > 1]
    if not compared:
        return None
    by_fact: dict[tuple[str, tuple[tuple[str, str], ...]], list[str]] = {}
    for group in compared:
        for fact, sides in differences(group).items():
            by_fact.setdefault((fact, tuple(sides.items())), []).append(f"{group.subject}, {group.conditions}")
    if not by_fact:
        text = tr(
            "In {comparisons} nothing but the framework with its own packages, compile mode and layout differed "
            "between the sides.", comparisons=formatting.count(len(compared), "comparison"),
        )
        return Section(id="not_comparable", title=tr("What else differed"), blocks=(Paragraph(text=text),))
    differing = len({where for wheres in by_fact.values() for where in wheres})
    text = tr(
        "In {n} of {comparisons} more than the framework differed between the sides, so the difference in speed "
        "may not be the framework's: look at each of these first.", n=differing,
        comparisons=formatting.count(len(compared), "comparison"),
    )
    table = Table(
        id="table.not_comparable", caption=tr("What differed between the sides beside the framework"),
        columns=(
            Column(title=tr("fact")), Column(title=tr("sides")), Column(title=tr("comparisons"), align=Align.RIGHT),
            Column(title=tr("the first of them"), is_detail=True),
        ),
        rows=tuple(
            Row(id=identifier("not_comparable", fact, sides), cells=(
                Cell(text=_named(fact)), Cell(text="; ".join(f"{side}: {_value(value)}" for side, value in sides)),
                Cell(text=str(len(wheres)), value=float(len(wheres))), Cell(text=wheres[0]),
            ))
            for (fact, sides), wheres in by_fact.items()
        ),
    )
    return Section(id="not_comparable", title=tr("What else differed"), blocks=(Paragraph(text=text), table))


def _named(fact: str) -> str:
    kind, _, name = fact.partition(" ")
    return tr(KINDS[kind], name=name) if kind in KINDS else fact


def _value(value: str) -> str:
    return tr(value) if value == NOT_THERE else value


def differences(group: Group) -> dict[str, dict[str, str]]:
    """Facts that differ between measured sides: by fact, the value of each side.

    A fact of OF_THOSE_THAT_TELL that only some sides state is not a difference.
    """
    stated = {entry.label: dict(_facts(entry)) for entry in group.measured}
    every = dict.fromkeys(fact for facts in stated.values() for fact in facts)
    differing = {}
    for fact in every:
        sides = {label: facts.get(fact, NOT_THERE) for label, facts in stated.items()}
        known = {label: value for label, value in sides.items() if value != NOT_THERE}
        compared = known if fact.partition(" ")[0] in OF_THOSE_THAT_TELL else sides
        if len(set(compared.values())) > 1:
            differing[fact] = compared
    return differing


def _facts(entry: Entry) -> Iterator[tuple[str, str]]:
    build = _object(entry.row["build_facts"])
    yield "Python", str(build.get("python"))
    for package, version in _object(build.get("packages")).items():
        if package != entry.row["framework"]:
            yield f"package {package}", str(version)
    for variable, value in _object(build.get("variables")).items():
        yield f"variable {variable}", str(value)
    for name, value in _object(entry.row["settings"]).items():
        yield f"setting {name}", str(value)
    yield from entry.state.items()


def _object(stated: Any) -> Mapping[str, Any]:
    if isinstance(stated, str):
        stated = json.loads(stated)
    return stated if isinstance(stated, dict) and not is_nothing(stated) else {}
