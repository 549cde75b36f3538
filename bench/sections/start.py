"""Start-up: how long each result took from the start of its process to the end of its first step, by phase."""

from __future__ import annotations

from collections.abc import Sequence

from rigmark.bench.analysis.results import startup
from rigmark.bench.analysis.results.summary import is_nothing
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Align, Cell, Column, Paragraph, Row, Section, Table
from rigmark.bench.document.language import tr
from rigmark.bench.sections.groups import Entry, Group


def section(groups: Sequence[Group]) -> Section | None:
    """A table of all results whose workers told their phases; None if there is none, as in older records."""
    entries = [
        (group, entry) for group in groups for entry in group.entries if not is_nothing(entry.row["start_up_s"])
    ]
    if not entries:
        return None
    unit = formatting.time_unit(entry.row["start_up_s"] for _, entry in entries)
    text = tr(
        "From the start of a process to the end of its first step; medians over processes. Caches of compiled programs "
        "were as they were found: rigmark ab --what start compares two builds with empty caches, and with filled ones."
    )
    table = Table(
        id="table.start", caption=tr("Start-up"), columns=(
            Column(title=tr("case")), Column(title=tr("sum"), unit=unit.name, align=Align.RIGHT), *(
                Column(title=tr(name), unit=unit.name, align=Align.RIGHT) for name in startup.NAMES.values()
            ),
        ),
        rows=tuple(_row(group, entry, unit) for group, entry in entries),
    )
    return Section(id="start", title=tr("Start-up"), blocks=(Paragraph(text=text), table))


def _row(group: Group, entry: Entry, unit: formatting.Unit) -> Row:
    values = [entry.row["start_up_s"], *(entry.row[name] for name in startup.PHASES)]
    name = f"{group.subject}: {entry.label}"
    return Row(id=f"start.{name}", cells=(Cell(text=name), *(
        Cell(text=formatting.significant(value / unit.scale), value=value) for value in values
    )))
