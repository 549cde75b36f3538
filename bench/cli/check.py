"""``rigmark check``: a gate over history: has any series got worse, and is it still so?"""

from __future__ import annotations

import json as json_format
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.analysis.language import tr
from bench.cli import Language
from bench.cli.history import LAST, watched

if TYPE_CHECKING:
    from bench.analysis.history import Step


class FailOn(StrEnum):
    SLOWER = "slower"
    NEVER = "never"


def command(
    results: Annotated[Path, typer.Option(help="Results folder.")] = Path("results"),
    asv: Annotated[Path | None, typer.Option(help="asv project or results folder, of any project, instead.")] = None,
    benchmark: Annotated[str | None, typer.Option("--bench", help="Regular expression for names of series.")] = None,
    across: Annotated[str | None, typer.Option(help="Facts that do not end a series, with commas.")] = None,
    higher_is_better: Annotated[str | None, typer.Option(help="asv benchmarks where more is better: an expression.")]
    = None,
    last: Annotated[int, typer.Option(help="Points of each series whose steps are news.")] = LAST,
    fail_on: Annotated[FailOn, typer.Option(help="never: tell only.")] = FailOn.SLOWER,
    format: Annotated[str | None, typer.Option(help="terminal, markdown, html; left out: by the file's name.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Data instead of words.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File instead of stdout.")] = None,
    lang: Language = "en",
) -> None:
    """Fail where a series got worse: less throughput, more time or memory. A step that was undone does not count.

    Ends with 1 if anything got worse, 2 if a file cannot be read, 3 if no series is long enough to be judged.

    Examples:

    rigmark check --asv .asv/results --fail-on slower

    rigmark check --last 50 --format markdown
    """
    from bench.analysis.history import document, plain
    from bench.cli import Exit, write, write_document

    found = watched(results, asv, benchmark, across, higher_is_better)
    worse = [(each, step) for each in found.series for step in each.worse(last)]
    if json:
        write(json_format.dumps({
            "worse": [
                {"name": each.series.name, "case": each.series.case, "facts": dict(each.series.facts), **step.plain()}
                for each, step in worse
            ], "series": plain(found.series), "problems": list(found.problems),
        }, indent=1) + "\n", output)
    else:
        write_document(
            document(
                found.series, title=tr("Check of {name}", name=found.name), last=last, problems=found.problems,
                notes=found.notes,
                advice=_advice([step for _, step in worse]),
            ), format, output,
        )
    if found.problems:
        raise typer.Exit(Exit.BAD)
    if worse and fail_on is FailOn.SLOWER:
        raise typer.Exit(Exit.SLOWER)
    if not any(each.reason is None for each in found.series):
        raise typer.Exit(Exit.NOTHING_MEASURED)


def _advice(worse: Sequence[Step]) -> str:
    """How to make sure, for the first of them."""
    if not worse:
        return ""
    commits = [worse[0].last_before[:12], worse[0].first_after[:12]]
    is_git = all(set(commit) <= set("0123456789abcdef") for commit in commits)
    old, new = commits if is_git else ("OLD", "NEW")
    return tr(
        "History nominates; 'rigmark ab SUITE --base {old} --new {new}' measures both in turns and decides.",
        old=old, new=new,
    )
