"""``rigmark check``: a gate for CI: has any series of measurements become worse, and is it still worse?"""

from __future__ import annotations

import json as json_format
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rigmark.bench.cli import Language, Medium
from rigmark.bench.cli import _options as options
from rigmark.bench.cli.history import (
    LAST,
    RESULTS,
    Across,
    Asv,
    Bench,
    Criterion,
    Google,
    HigherIsBetter,
    Hyperfine,
    Json,
    Last,
    LowerIsBetter,
    Output,
    Pytest,
    Repo,
    Results,
    watched,
)
from rigmark.bench.document.language import tr
from rigmark.bench.errors import UserError

if TYPE_CHECKING:
    from rigmark.bench.analysis.comparison.verdicts import Verdicts
    from rigmark.bench.analysis.history import Step, Watched
    from rigmark.bench.cli import Exit
    from rigmark.bench.document.document import Document
    from rigmark.bench.plan.sweep import Sweep


class FailOn(StrEnum):
    SLOWER = "slower"
    NEVER = "never"


def command(
    results: Results = RESULTS, asv: Asv = None, google: Google = None, criterion: Criterion = None,
    hyperfine: Hyperfine = None, pytest: Pytest = None, repo: Repo = None, benchmark: Bench = None,
    across: Across = None, higher_is_better: HigherIsBetter = None, lower_is_better: LowerIsBetter = None,
    last: Last = LAST,
    fail_on: Annotated[FailOn, typer.Option(help="When to fail; with never it only reports.")] = FailOn.SLOWER,
    confirm: Annotated[
        str | None, typer.Option(help="Suite with which to measure again what became worse, in pairs that decide.")
    ] = None,
    budget: Annotated[str, typer.Option(help="Time that --confirm may take: 90s, 10m, 1h.")] = "10m",
    base: Annotated[
        str | None, typer.Option(help="What --confirm measures instead of the commit before a step.")
    ] = None,
    new: Annotated[
        str | None, typer.Option(help="What --confirm measures instead of the commit after a step.")
    ] = None,
    beneath: Annotated[
        str, typer.Option(help="The build that provides the other packages of the commits of --confirm.")
    ] = "default",
    junit: Annotated[
        Path | None, typer.Option(help="Also write JUnit XML to this file, with one test per series.")
    ] = None,
    format: Medium = None, json: Json = False, output: Output = None, lang: Language = "en",
) -> None:
    """Fail if a series became worse: less throughput, or more time or memory. A step that was undone does not count.

    A series does not count either if it is no longer measured, or if it is not known whether more is better; both are
    listed separately.

    History only shows where to look. With --confirm, the revisions around each step, or two builds, are measured in
    pairs of processes, and these decide.

    Exit code: 1 if a series became worse; 2 if a file cannot be read, or the newest trials of a series or of a side
    failed; 3 if no series could be judged, since each needs 12 points; 4 if the pairs gave no verdict.

    Examples:

    rigmark check --asv .asv/results --fail-on slower

    rigmark check --asv .asv/results --confirm fast --budget 20m

    rigmark check --google bench-results --repo . --bench 'BM_(Sort|Find)'

    rigmark check --last 50 --format markdown --junit series.xml
    """
    from rigmark.bench.analysis.history import document, plain
    from rigmark.bench.cli import JSON, Exit, medium_of, run, write, write_data, write_document
    from rigmark.reports.junit import junit_of_series

    if (base is None) != (new is None) or (base is not None and confirm is None):
        raise UserError("--base and --new are the two sides that --confirm SUITE measures; give all three options")
    medium = medium_of(format, output, json=json)
    budget_s = options.seconds("--budget", budget)
    sweeps = () if confirm is None else run.declared(confirm, {}, {})
    history = watched(
        results, asv, benchmark, across, higher_is_better, lower_is_better, repo=repo,
        google=google, criterion=criterion, hyperfine=hyperfine, pytest=pytest,
    )
    worse = [(each, step) for each in history.series for step in each.worse(last)]
    has_failed = any(each.failure for each in history.series)
    verdicts: list[Verdicts] = []
    others: tuple[str, ...] = ()
    if confirm is not None and worse:
        sides = None if base is None or new is None else (base, new)
        verdicts, others = _confirmed(worse, confirm, sweeps, sides, results, beneath, budget_s)
    if medium == JSON:
        write(json_format.dumps({
            "worse": [_plain(each, step) for each, step in worse],
            "direction_not_known": [_plain(each, step) for each in history.series for step in each.changed(last)],
            "series": plain(history.series), "problems": list(history.problems), "notes": list(history.notes),
            "confirmed": None if confirm is None else [each.plain() for each in verdicts],
            "not_measured_again": list(others),
        }, indent=1) + "\n", output)
    else:
        shown = document(
            history.series, title=tr("Check of {name}", name=history.name), last=last, problems=history.problems,
            notes=history.notes, advice="" if confirm else _advice([step for _, step in worse]),
        )
        write_document(_with_verdicts(shown, verdicts, others, confirm), medium, output)
    if junit is not None:
        write_data(junit_of_series(
            history.series, name=history.name, last=last, problems=history.problems,
            verdicts=None if confirm is None else verdicts, others=others,
        ), junit)
    if history.problems or (has_failed and fail_on is not FailOn.NEVER):
        raise typer.Exit(Exit.BAD)
    if worse and (fail_on is FailOn.SLOWER or confirm):
        ended = Exit.SLOWER if confirm is None else _conclusion(verdicts, others)
        if ended is not Exit.SLOWER or fail_on is FailOn.SLOWER:
            raise typer.Exit(ended)
    if not any(each.is_told(last) for each in history.series):
        raise typer.Exit(Exit.NOTHING_MEASURED)


def _plain(watched: Watched, step: Step) -> dict[str, Any]:
    from rigmark.bench.analysis.history import direction_plain

    series = watched.series
    return {
        "name": series.name, "case": series.case, "facts": dict(series.facts), **direction_plain(series.direction),
        **step.plain(),
    }


def _confirmed(
    worse: Sequence[tuple[Watched, Step]], suite: str, sweeps: Sequence[Sweep], sides: tuple[str, str] | None,
    results: Path, beneath: str, budget_s: float,
) -> tuple[list[Verdicts], tuple[str, ...]]:
    """(the verdicts on each pair of sides, the labels of the series that the suite does not measure)."""
    from rigmark import suites
    from rigmark.bench.ab import confirmation
    from rigmark.bench.builds import build
    from rigmark.bench.cli.ab import decided
    from rigmark.bench.launch.workers import DEFAULT_DEADLINE_S
    from rigmark.bench.store.store import Store

    nominated = confirmation.nominated(
        worse, suite, sweeps, suites=suites.NAMES, builds=build.load(), sides=sides
    )
    return [
        decided(
            pair.base, pair.new, sweeps, Store(results), beneath=beneath, budget_s=budget_s / len(nominated.pairs),
            only=pair.is_about, suite=suite, session="confirm", deadline_s=DEFAULT_DEADLINE_S,
        )
        for pair in nominated.pairs
    ], nominated.others


def _with_verdicts(shown: Document, verdicts: Sequence[Verdicts], others: Sequence[str], suite: str | None) -> Document:
    """The document of the history, preceded by the verdicts of the pairs."""
    from rigmark.bench.analysis.comparison.verdicts import document
    from rigmark.bench.document.document import Items, Section

    sections = [
        replace(section, id=f"{section.id}-{number}", title=tr(
            "Measured again: {base} against {new}", base=each.base[:12], new=each.new[:12],
        ))
        for number, each in enumerate(verdicts, 1) for section in document(each).sections
    ]
    if others:
        sections.append(Section(id="not-measured-again", title=tr("Not measured again"), blocks=(
            Items(texts=tuple(
                tr("{label}: suite {suite} does not measure it", label=label, suite=suite) for label in others
            )),
        )))
    return replace(shown, sections=(*sections, *shown.sections))


def _conclusion(verdicts: Sequence[Verdicts], others: Sequence[str]) -> Exit:
    """The exit code of all verdicts together; a series that was not measured again still counts as worse."""
    from rigmark.bench.cli import Exit
    from rigmark.bench.cli.compare import conclude

    ends = {conclude(each) for each in verdicts} | ({Exit.SLOWER} if others else set())
    return next(end for end in (Exit.BAD, Exit.SLOWER, Exit.TOO_NOISY, Exit.NOTHING_MEASURED, Exit.DONE) if end in ends)


def _advice(worse: Sequence[Step]) -> str:
    """How to confirm the first of these steps; "" if there is none."""
    if not worse:
        return ""
    commits = [worse[0].last_before[:12], worse[0].first_after[:12]]
    is_git = all(set(commit) <= set("0123456789abcdef") for commit in commits)
    old, new = commits if is_git else ("OLD", "NEW")
    return tr(
        "History nominates; 'rigmark check --confirm SUITE' measures in turns and decides, or 'rigmark ab SUITE --base "
        "{old} --new {new}'.", old=old, new=new,
    )
