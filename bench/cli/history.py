"""``rigmark history``: where the levels of stored results, or of an asv folder, changed over runs or commits."""

from __future__ import annotations

import json as json_format
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rigmark.bench.cli import Language, Medium
from rigmark.bench.cli import _options as options
from rigmark.bench.document.language import tr
from rigmark.bench.errors import UserError

if TYPE_CHECKING:
    from rigmark.bench.analysis.history import Watched

LAST = 200                   # points that are news


Results = Annotated[Path, typer.Option(help="Results folder.")]
Asv = Annotated[Path | None, typer.Option(help="asv project or results folder, of any project, instead.")]
Bench = Annotated[str | None, typer.Option("--bench", help="Regular expression for names of series.")]
Across = Annotated[str | None, typer.Option(help="Facts that do not end a series, with commas.")]
HigherIsBetter = Annotated[str | None, typer.Option(help="Regular expression for series of asv: more is better.")]
LowerIsBetter = Annotated[str | None, typer.Option(help="Regular expression for series of asv: less is better.")]
Last = Annotated[int, typer.Option(min=1, help="Points of each series whose steps are news.")]
Json = Annotated[bool, typer.Option("--json", help="Data instead of words.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="File instead of stdout.")]
"""Options of ``history`` and of ``check``, which looks at the same series."""

RESULTS = Path("results")


def command(
    results: Results = RESULTS, asv: Asv = None, benchmark: Bench = None, across: Across = None,
    higher_is_better: HigherIsBetter = None, lower_is_better: LowerIsBetter = None, last: Last = LAST,
    format: Medium = None, json: Json = False, output: Output = None, lang: Language = "en",
) -> None:
    """Show the steps of every series, with the commits or runs between which they happened.

    A series never crosses a machine, version or variable unless --across names it. Series of another project: --asv.
    Which way its figures are better is told by their kind, else by the words of their unit and name, or by you.

    Examples:

    rigmark history -o history.html

    rigmark history --asv ../numpy/benchmarks --bench linalg

    rigmark history --across framework_version
    """
    from rigmark.bench.analysis.history import document, plain
    from rigmark.bench.cli import JSON, Exit, medium_of, write, write_document

    medium = medium_of(format, output, json=json)
    found = watched(results, asv, benchmark, across, higher_is_better, lower_is_better)
    if medium == JSON:
        text = json_format.dumps({
            "series": plain(found.series), "problems": list(found.problems), "notes": list(found.notes),
        }, indent=1) + "\n"
        write(text, output)
    else:
        write_document(
            document(found.series, title=tr("History of {name}", name=found.name), last=last, problems=found.problems,
                     notes=found.notes), medium, output,
        )
    if found.problems:
        raise typer.Exit(Exit.BAD)
    if not any(each.reason is None for each in found.series):
        raise typer.Exit(Exit.NOTHING_MEASURED)


@dataclass(frozen=True, kw_only=True)
class Found:
    """Series that were looked at."""

    name: str
    series: list[Watched]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def watched(
    results: Path, asv: Path | None, benchmark: str | None, across: str | None, higher_is_better: str | None,
    lower_is_better: str | None,
) -> Found:
    """The series of a store, or of an asv folder, and their steps; raises UserError for input that cannot be."""
    from rigmark.bench.analysis.comparison.sides import across as facts
    from rigmark.bench.analysis.history import series_of, watch
    from rigmark.bench.history import asv_results
    from rigmark.bench.store.store import existing

    asked = options.chosen("--across", across)
    if asv is not None:
        history = asv_results.read(
            asv, may_differ=asked, higher_is_better=higher_is_better, lower_is_better=lower_is_better
        )
        series, problems, notes, name = list(history.series), history.problems, history.notes, str(asv)
    else:
        if higher_is_better is not None or lower_is_better is not None:
            raise UserError(
                "--higher-is-better and --lower-is-better are for --asv; our own figures know their direction"
            )
        may_differ = facts(asked)
        trials = existing(results).trials()
        series, problems, notes, name = series_of(trials.table, may_differ), trials.problems, (), str(results)
    if benchmark is not None:
        wanted = asv_results.pattern(benchmark)
        series = [each for each in series if wanted.search(each.label)]
        if not series:
            raise UserError(f"no series of {name} is called like '{benchmark}'")
    return Found(name=name, series=watch(series), problems=problems, notes=notes)

