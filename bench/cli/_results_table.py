"""The table of stored results: the columns that people are shown, their order, and the formats of the table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rigmark.bench.cli import columns_of, write, write_data
from rigmark.bench.errors import UserError
from rigmark.bench.plan import axes

if TYPE_CHECKING:
    import pandas as pd

    from rigmark.bench.document.document import Table

DEVICES = ("local_batch", "world_size", "strategy")
SHOWN = {
    "origin": "origin", **{name: axes.TITLES[name] for name in (*axes.named_but("device"), *DEVICES)},
    "global_batch": "global", "outcome": "outcome", "throughput_samples_per_s": "samples/s",
    "throughput_low_samples_per_s": "low", "throughput_high_samples_per_s": "high", "trials": "trials",
    "validity": "validity",
}
"""Columns of the table for people; the other formats have all columns."""

DETAILS = frozenset({"global_batch", "trials", "strategy", "layout", "origin"})
"""The columns that a narrow terminal shows below the others."""

NUMBERS = frozenset({
    *axes.NUMBERS, "global_batch", "throughput_samples_per_s", "throughput_low_samples_per_s",
    "throughput_high_samples_per_s", "trials",
})

ORDER = ("origin", *axes.CONDITIONS, *axes.SETTINGS, "session")
"""What rows are sorted by."""

WIDTH = 200                  # in columns, if stdout is not a terminal

TOLD_APART = {
    **{name: title for name, title in axes.TITLES.items() if name not in SHOWN}, "framework_version": "version",
    "session": "session", "machine": "machine", "node": "node", "code_version": "code",
}
"""Columns that are added if rows of one framework differ in them; otherwise different rows would look equal."""


def ordered(table: pd.DataFrame) -> pd.DataFrame:
    """The table sorted so that comparable rows are neighbours; unknown values come last."""
    return table.sort_values(list(ORDER), key=_comparable, kind="stable", na_position="last", ignore_index=True)


def _comparable(column: pd.Series[Any]) -> pd.Series[Any]:
    import pandas as pd

    return pd.to_numeric(column) if column.name in NUMBERS else column.astype("string")


def write_table(table: pd.DataFrame, format: str, output: Path | None) -> None:
    from rigmark.bench.analysis.results.exports import csv, records
    from rigmark.reports.media import terminal

    if format == "parquet" and output is not None:
        _write_parquet(table, output)
    elif format == "table":
        width = WIDTH if output is not None else columns_of(WIDTH)
        write(terminal.table(_for_people(table), width=width), output)
    else:
        write_data(records(table) if format == "json" else csv(table), output)


def _for_people(table: pd.DataFrame) -> Table:
    """The main columns, and those that distinguish rows which would otherwise look equal."""
    from rigmark.bench.document.document import Align, Cell, Column, Row, Table

    by_framework = table.groupby("framework", dropna=False)
    differing = [name for name in TOLD_APART if by_framework[name].nunique(dropna=False).max() > 1]
    columns = {**SHOWN, **{name: TOLD_APART[name] for name in differing}}
    heads = tuple(
        Column(title=title, align=Align.RIGHT if name in NUMBERS else Align.LEFT, is_detail=name in DETAILS)
        for name, title in columns.items()
    )
    rows = tuple(
        Row(id=str(number), cells=tuple(Cell(text=_text(value)) for value in row))
        for number, row in enumerate(table[list(columns)].itertuples(index=False))
    )
    return Table(id="results", caption="", columns=heads, rows=rows)


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _write_parquet(table: pd.DataFrame, output: Path) -> None:
    import duckdb

    from rigmark.bench.host.database import connected

    with connected() as connection:
        connection.register("results", table)
        try:
            connection.execute("COPY (SELECT * FROM results) TO $1 (FORMAT parquet)", [str(output.absolute())])
        except duckdb.IOException as error:
            raise UserError(f"cannot write {output}: {str(error).splitlines()[0]}") from None
