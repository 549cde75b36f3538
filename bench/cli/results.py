"""``rigmark results``: the flat table of what is stored, one row a case."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rigmark.bench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


class Format(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


SHOWN = {
    "origin": "origin", "model": "model", "mode": "mode", "framework": "framework", "compile_mode": "compile",
    "layout": "layout", "precision": "precision", "world_size": "devices", "strategy": "strategy",
    "local_batch": "batch", "global_batch": "global", "outcome": "outcome", "throughput_samples_per_s": "samples/s",
    "throughput_low_samples_per_s": "low", "throughput_high_samples_per_s": "high", "trials": "trials",
    "validity": "validity",
}
"""Columns of the table for people; the other formats have all."""

TOLD_APART = {
    "isa": "isa", "build": "build", "framework_version": "version", "device": "device", "threads": "threads",
    "data": "data", "session": "session", "machine": "machine", "code_version": "code",
}
"""Columns of that table where rows of one framework differ in them: without, unlike rows would look alike."""


def command(
    results: Annotated[Path, typer.Option(help="Results folder.")] = Path("results"),
    format: Annotated[Format, typer.Option(help="table is for people; the others have all columns.")] = Format.TABLE,
    json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
    where: Annotated[str | None, typer.Option(help="SQL condition on the columns.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File instead of stdout.")] = None,
) -> None:
    """Show stored results, one row a case.

    Example: rigmark results --where "model = 'mnist_cnn' AND mode = 'training'" --format csv
    """
    from rigmark.bench.analysis.results.quoted import together
    from rigmark.bench.analysis.results.summary import results as summarise
    from rigmark.bench.cli import Exit, say, write, write_data
    from rigmark.bench.store.store import existing, filtered

    chosen = Format.JSON if json else format
    if chosen is Format.PARQUET and output is None:
        raise UserError("parquet is not text; name a file with --output")
    store = existing(results)
    trials, (quoted, unreadable) = store.trials(), store.quoted()
    table = filtered(together(summarise(trials.table), quoted), where)
    if chosen is Format.PARQUET and output is not None:
        _write_parquet(table, output)
    else:
        (write if chosen is Format.TABLE else write_data)(_text(table, chosen), output)
    if not table.empty and (invalid := int(table.invalid_trials.dropna().sum())):
        say(f"{invalid} trials are invalid, and left out where others are there; trial_findings of --json has reasons")
    problems = (*trials.problems, *unreadable)
    for problem in problems:
        say(f"rigmark: {problem}")
    if problems:
        raise typer.Exit(Exit.BAD)
    if table.empty:
        say("no results match; rigmark run measures some")
        raise typer.Exit(Exit.NOTHING_MEASURED)


def _text(table: pd.DataFrame, format: Format) -> str:
    from rigmark.bench.analysis.results.exports import csv, records

    if format is Format.JSON:
        return records(table)
    if format is Format.CSV:
        return csv(table)
    return _for_people(table)


def _for_people(table: pd.DataFrame) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from rigmark.bench.host.plain import plain_line

    by_framework = table.groupby("framework", dropna=False)
    differing = [name for name in TOLD_APART if by_framework[name].nunique(dropna=False).max() > 1]
    columns = {**SHOWN, **{name: TOLD_APART[name] for name in differing}}
    shown = Table(*columns.values(), box=None, header_style="bold")
    for row in table[list(columns)].itertuples(index=False):
        shown.add_row(*(
            Text("" if v is None else f"{v:.4g}" if isinstance(v, float) else plain_line(str(v))) for v in row
        ))
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200)
    with console.capture() as captured:
        console.print(shown)
    return captured.get()


def _write_parquet(table: pd.DataFrame, output: Path) -> None:
    import duckdb

    from rigmark.bench.host.database import connected

    with connected() as connection:
        connection.register("results", table)
        try:
            connection.execute("COPY (SELECT * FROM results) TO $1 (FORMAT parquet)", [str(output.absolute())])
        except duckdb.IOException as error:
            raise UserError(f"cannot write {output}: {str(error).splitlines()[0]}") from None
