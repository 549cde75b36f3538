"""``rigmark results``: the table of stored results, one row per case."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rigmark.bench.errors import UserError

FORMATS = ("table", "csv", "json", "parquet")


def command(
    results: Annotated[Path, typer.Option(help="Results folder.")] = Path("results"),
    format: Annotated[str | None, typer.Option(
        help=f"{', '.join(FORMATS)}. The table is for people, the others have all columns. By default the ending of "
             "the output file decides.",
    )] = None,
    json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
    where: Annotated[str | None, typer.Option(help="SQL condition on the columns; only rows that meet it.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write to instead of stdout.")] = None,
) -> None:
    """Show stored results, one row per case, sorted by model, mode, batch, devices, data, precision, framework.

    Example: rigmark results --where "model = 'mnist_cnn' AND mode = 'training'" --format csv
    """
    from rigmark.bench.analysis.results.quoted import together
    from rigmark.bench.analysis.results.summary import results as summarise
    from rigmark.bench.cli import Exit, medium_of, say
    from rigmark.bench.cli._results_table import ordered, write_table
    from rigmark.bench.enums import Outcome
    from rigmark.bench.store.conditions import filtered
    from rigmark.bench.store.store import existing

    chosen = medium_of(format, output, json=json, known=FORMATS)
    if chosen == "parquet" and output is None:
        raise UserError("parquet is not text; name a file with --output")
    store = existing(results)
    trials, (quoted, unreadable) = store.trials(), store.quoted.all()
    table = filtered(ordered(together(summarise(trials.table), quoted)), where)
    write_table(table, chosen, output)
    if not table.empty and (invalid := int(table.invalid_trials.dropna().sum())):
        say(f"{invalid} trials are invalid, and not used if their case has valid ones; trial_findings in --json has "
            "the reasons")
    problems = (*trials.problems, *unreadable)
    for problem in problems:
        say(f"rigmark: {problem}")
    if problems:
        raise typer.Exit(Exit.BAD)
    if table.empty:
        say("no results match; measure some with rigmark run")
    if not (table.outcome == Outcome.OK).any():
        raise typer.Exit(Exit.NOTHING_MEASURED)
