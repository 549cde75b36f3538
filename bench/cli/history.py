"""``rigmark history``: when stored results, or those of an asv folder, changed over runs or commits."""

from __future__ import annotations

import json as json_format
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rigmark.bench.cli import Language, Medium
from rigmark.bench.cli import _options as options
from rigmark.bench.document.language import tr
from rigmark.bench.errors import UserError

if TYPE_CHECKING:
    from rigmark.bench.analysis.history import Watched

LAST = 200                   # points of a series in which a step counts as recent


Results = Annotated[Path, typer.Option(help="Results folder.")]
Asv = Annotated[Path | None, typer.Option(help="Read this asv project or asv results folder instead.")]
Bench = Annotated[
    str | None, typer.Option("--bench", help="Only series whose name matches this regular expression.")
]
Across = Annotated[
    str | None, typer.Option(help="Facts that may change within a series, separated by commas.")
]
HigherIsBetter = Annotated[
    str | None, typer.Option(help="Series of others that match this regular expression are better if higher.")
]
LowerIsBetter = Annotated[
    str | None, typer.Option(help="Series of others that match this regular expression are better if lower.")
]
Google = Annotated[Path | None, typer.Option(help="Read the files of Google Benchmark in this folder instead.")]
Criterion = Annotated[Path | None, typer.Option(help="Read this folder of copies of target/criterion instead.")]
Hyperfine = Annotated[Path | None, typer.Option(help="Read the files of hyperfine in this folder instead.")]
Pytest = Annotated[Path | None, typer.Option(help="Read the files of pytest-benchmark in this folder instead.")]
Repo = Annotated[
    Path | None, typer.Option(help="Repository of the commits of these files, if it is not around them.")
]
Last = Annotated[int, typer.Option(min=1, help="Number of last points of a series in which a step counts as recent.")]
Json = Annotated[bool, typer.Option("--json", help="Short for --format json.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="File to write to instead of stdout.")]
"""Options of ``history`` and of ``check``, which reads the same series."""

RESULTS = Path("results")


def command(
    results: Results = RESULTS, asv: Asv = None, google: Google = None, criterion: Criterion = None,
    hyperfine: Hyperfine = None, pytest: Pytest = None, repo: Repo = None, benchmark: Bench = None,
    across: Across = None, higher_is_better: HigherIsBetter = None, lower_is_better: LowerIsBetter = None,
    last: Last = LAST, format: Medium = None, json: Json = False, output: Output = None, lang: Language = "en",
) -> None:
    """Show the steps of every series of measurements, with the commits or runs between which they happened.

    Files of other programs are of one commit each: the one that they state, or a hash in their name or folder.

    A new machine, version or environment variable begins a new series, unless --across names that fact. Whether more or
    less is better follows from the kind of benchmark, or from its unit and name, or from what you state.

    Examples:

    rigmark history -o history.html

    rigmark history --asv ../numpy/benchmarks --bench linalg

    rigmark history --google bench-results --repo .

    rigmark history --across framework_version
    """
    from rigmark.bench.analysis.history import document, plain
    from rigmark.bench.cli import JSON, Exit, medium_of, write, write_document

    medium = medium_of(format, output, json=json)
    history = watched(
        results, asv, benchmark, across, higher_is_better, lower_is_better, repo=repo,
        google=google, criterion=criterion, hyperfine=hyperfine, pytest=pytest,
    )
    if medium == JSON:
        text = json_format.dumps({
            "series": plain(history.series), "problems": list(history.problems), "notes": list(history.notes),
        }, indent=1) + "\n"
        write(text, output)
    else:
        write_document(
            document(
                history.series, title=tr("History of {name}", name=history.name), last=last,
                problems=history.problems, notes=history.notes,
            ), medium, output,
        )
    if history.problems:
        raise typer.Exit(Exit.BAD)
    if not any(each.reason is None for each in history.series):
        raise typer.Exit(Exit.NOTHING_MEASURED)


@dataclass(frozen=True, kw_only=True)
class History:
    """The series of a folder with their steps, and what of it could not be read."""

    name: str
    series: list[Watched]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def watched(
    results: Path, asv: Path | None, benchmark: str | None, across: str | None, higher_is_better: str | None,
    lower_is_better: str | None, *, repo: Path | None = None, **sources: Path | None,
) -> History:
    """The series of a results folder, of an asv folder, or of a folder of a source of bench.history.sources, with their
    steps; raises UserError for bad input."""
    from rigmark.bench.analysis.comparison.sides import across as facts
    from rigmark.bench.analysis.history import series_of, watch
    from rigmark.bench.history import asv_results, reading
    from rigmark.bench.history import sources as others
    from rigmark.bench.store.store import existing

    asked = options.chosen("--across", across)
    folders = {name: path for name, path in {"asv": asv, **sources}.items() if path is not None}
    if len(folders) > 1:
        first, second, *_ = folders
        raise UserError(f"--{first} and --{second} read different folders; leave one of them out")
    if repo is not None and not folders.keys() - {"asv"}:
        raise UserError(f"--repo is about files of other programs; add --{', --'.join(others.NAMES)}, or leave it out")
    for source, path in folders.items():
        wanted: dict[str, Any] = {
            "may_differ": asked, "higher_is_better": higher_is_better, "lower_is_better": lower_is_better,
        }
        history = asv_results.read(path, **wanted) if source == "asv" else others.read(
            source, path, repository=repo, **wanted
        )
        series, problems, notes, name = list(history.series), history.problems, history.notes, str(path)
    if not folders:
        if higher_is_better is not None or lower_is_better is not None:
            raise UserError(
                "--higher-is-better and --lower-is-better need --asv or another folder of others; for stored results "
                "the direction is known"
            )
        may_differ = facts(asked)
        trials = existing(results).trials()
        series, problems, notes, name = series_of(trials.table, may_differ), trials.problems, (), str(results)
    if benchmark is not None:
        pattern = reading.pattern(benchmark)
        series = [each for each in series if pattern.search(each.label)]
        if not series:
            raise UserError(f"no series of {name} matches --bench '{benchmark}'; leave --bench out to see all")
    return History(name=name, series=watch(series), problems=problems, notes=notes)
