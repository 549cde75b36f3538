"""``rigmark report``: all that a results folder knows, as one page, Markdown, or in the terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.words import UserError

if TYPE_CHECKING:
    import pandas as pd

    from bench.store import Store


def command(
    results: Annotated[Path, typer.Option(help="Results folder.")] = Path("results"),
    where: Annotated[str | None, typer.Option(help="SQL condition on the columns of rigmark results.")] = None,
    format: Annotated[str | None, typer.Option(help="html, markdown, terminal; left out: by the file's name.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File instead of stdout.")] = None,
) -> None:
    """Write a report of stored results.

    Examples:

    rigmark report -o report.html

    rigmark report --format markdown

    rigmark report --where "model = 'resnet50' AND precision = 'bf16'" -o resnet50.html
    """
    import reports
    from bench.analysis.story import document, records_needed, series_needed
    from bench.analysis.summary import behind
    from bench.analysis.summary import results as summarise
    from bench.cli import Exit, say
    from bench.cli.results import filtered
    from bench.store import existing

    medium = format or _by_suffix(output)
    reports.medium(medium)       # a wrong name is told before anything is read
    store = existing(results)
    trials = store.trials()
    rows, table = summarise(trials.table), trials.table
    if where is not None and not rows.empty:
        rows = filtered(rows, where)
        table = behind(rows, table)
    records = [store.get(trial_id) for trial_id in records_needed(table)]
    readings = series(store, series_needed(rows, table))
    text = reports.render(medium, document(rows, table, records, trials.problems, series=readings))
    if output is None:
        sys.stdout.write(text)
    else:
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot write {output}: {error.strerror}") from None
        say(f"wrote {output}")
    for problem in trials.problems:
        say(f"rigmark: {problem}")
    if trials.problems:
        raise typer.Exit(Exit.BAD)
    if table.empty:
        raise typer.Exit(Exit.NOTHING_MEASURED)


def series(store: Store, trial_ids: Iterable[str]) -> dict[str, pd.DataFrame]:
    """Telemetry by trial, of those whose file is there and whole; the record says what is to be known of the others."""
    from bench.telemetry.series import read_parquet

    found = {}
    for trial_id in trial_ids:
        if (path := store.series(trial_id)) is not None:
            with contextlib.suppress(OSError):
                found[trial_id] = read_parquet(path)
    return found


def _by_suffix(output: Path | None) -> str:
    import reports

    if output is None:
        return "terminal"
    by_suffix = {reports.medium(name).SUFFIX: name for name in reports.NAMES}
    return by_suffix.get(output.suffix, "html")
