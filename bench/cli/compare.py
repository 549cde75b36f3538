"""``rigmark compare BASE NEW``: which cases became slower or faster, or are faster here than there."""

from __future__ import annotations

import json as json_format
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rigmark.bench.cli import Language, Medium
from rigmark.bench.cli import _options as options
from rigmark.bench.enums import TIMED, Clock, TrialKind
from rigmark.bench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from rigmark.bench.analysis.comparison.verdicts import Verdicts
    from rigmark.bench.cli import Exit

NEEDS_ARGUMENTS = True
SHORTEST = 4                 # letters of an id that is cut short


def command(
    base: Annotated[str, typer.Argument(help="Results folder, RESULTS@NAME, or NAME: see below.")],
    new: Annotated[str, typer.Argument(help="The other side, in the same words.")],
    results: Annotated[Path, typer.Option(help="Results folder of a NAME that stands alone.")] = Path("results"),
    across: Annotated[str | None, typer.Option(help="Facts that may differ, with commas: build, machine, ...")] = None,
    clock: Annotated[Clock, typer.Option(help="cpu: pairs of one thread by CPU time.")] = Clock.WALL,
    format: Medium = None,
    json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
    junit: Annotated[Path | None, typer.Option(help="Also write JUnit XML to this file.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File instead of stdout.")] = None,
    lang: Language = "en",
) -> None:
    """Compare stored results: a verdict for each case that both sides have.

    A NAME is a git revision, build, framework, session, run id or record id; ids may be cut short. Pairs that
    rigmark ab took are judged as it does. Else repetitions of one run are compared in pairs, and what was measured at
    different times needs 5 sessions a side. Ends with 1 if anything is slower,
    4 if it cannot be told, 2 if a trial failed or the sides are unlike, 3 if there is nothing to compare.

    Examples:

    rigmark compare stable nightly --across build

    rigmark compare results@3f2a results@9c41 --format markdown

    rigmark compare laptop-results server-results --across machine
    """
    from rigmark.bench.analysis.comparison.sides import across as facts
    from rigmark.bench.analysis.comparison.sides import compare_sides
    from rigmark.bench.analysis.comparison.stored_pairs import compare_pairs
    from rigmark.bench.cli import Exit, medium_of, say

    medium = medium_of(format, output, json=json)
    paired = stored_pairs(base, new, results)
    if paired is not None:
        verdicts = compare_pairs(paired.records, names=(base, new), clock=clock, problems=paired.problems)
        show(verdicts, medium, output, junit)
        raise typer.Exit(conclude(verdicts))
    if clock is not Clock.WALL:
        raise UserError(f"only pairs are judged by CPU time, and none of {base} and {new} are stored; see rigmark ab")
    asked = list(options.chosen("--across", across))
    facts(asked)     # a wrong name is told before anything is read
    sides = [select(name, results) for name in (base, new)]
    for name, side in zip((base, new), sides, strict=True):
        if not side.problems and not side.trials.kind.isin(TIMED).any():
            say(f"{name} has no timing trials; rigmark run measures some")
            raise typer.Exit(Exit.NOTHING_MEASURED)
    implied = {side.fact for side in sides}
    if len(implied) == 1:
        asked += [fact for fact in implied if fact is not None]
    verdicts = compare_sides(
        sides[0].trials, sides[1].trials, names=(base, new), may_differ=facts(asked),
        problems=tuple(dict.fromkeys(problem for side in sides for problem in side.problems)),
    )
    show(verdicts, medium, output, junit)
    raise typer.Exit(conclude(verdicts))


def conclude(verdicts: Verdicts) -> Exit:
    """What the verdicts come to together: the strongest of 2, 1, 4, 3."""
    from rigmark.bench.analysis.statistics.decision import Verdict
    from rigmark.bench.cli import Exit

    if verdicts.has_failed:
        return Exit.BAD
    if verdicts.having(Verdict.SLOWER):
        return Exit.SLOWER
    if verdicts.is_open:
        return Exit.TOO_NOISY
    return Exit.DONE if verdicts.having(Verdict.FASTER, Verdict.SAME) else Exit.NOTHING_MEASURED


def show(verdicts: Verdicts, medium: str, output: Path | None = None, junit: Path | None = None) -> None:
    """The verdicts in a medium, on stdout or in a file; as JUnit XML in another file too."""
    from rigmark.bench.analysis.comparison.verdicts import document
    from rigmark.bench.cli import JSON, write, write_document

    if medium == JSON:
        write(json_format.dumps(verdicts.plain(), indent=1) + "\n", output)
    else:
        write_document(document(verdicts), medium, output)
    if junit is not None:
        from rigmark.reports.junit import junit as as_junit

        write(as_junit(verdicts), junit)


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Stored pairs of two builds."""

    records: list[dict[str, Any]]
    problems: tuple[str, ...]


def stored_pairs(base: str, new: str, results: Path) -> Paired | None:
    """Those of two builds, or git revisions of the current folder's project; None where there are none."""
    from rigmark.bench.store.store import RECORDS, existing

    if not (results / RECORDS).is_dir():
        return None
    store = existing(results)
    trials = store.trials()
    records = [store.get(identity) for identity in trials.table[trials.table.kind == TrialKind.PAIR].id]
    sides = [{name, *_revision(name)} for name in (base, new)]
    fitting = [
        record for record in records
        if record["identity"]["base"]["name"] in sides[0] and record["identity"]["case"]["build"] in sides[1]
    ]
    return Paired(records=fitting, problems=trials.problems) if fitting else None


def _revision(name: str) -> Iterator[str]:
    """The name of the build that a git revision is measured in, where it is one."""
    from rigmark.bench.builds import revisions

    found = revisions.find(name, Path.cwd())
    if found is not None:
        yield found.name


@dataclass(frozen=True, kw_only=True)
class Selection:
    """One side, as the user named it."""

    trials: pd.DataFrame
    problems: tuple[str, ...]
    fact: str | None                 # the axis that its name is a value of: "build"; None for a folder or run


def select(name: str, results: Path) -> Selection:
    """The trials that a name stands for: a results folder, or RESULTS@NAME; raises UserError."""
    from rigmark.bench.store.store import RECORDS, existing

    if (Path(name) / RECORDS).is_dir():
        folder, wanted = Path(name), ""
    else:
        before, _, wanted = name.rpartition("@")
        folder = Path(before) if before else results
    found = existing(folder).trials()
    table = found.table.assign(results=str(folder.resolve()))
    if not wanted:
        return Selection(trials=table, problems=found.problems, fact=None)
    for column, is_id in (
        ("build", False), ("framework", False), ("session", False), ("run_id", True), ("id", True),
    ):
        values = {str(value) for value in table[column].dropna()}
        chosen = {value for value in values if value == wanted}
        if not chosen and is_id and len(wanted) >= SHORTEST:
            chosen = {value for value in values if value.startswith(wanted)}
        if len(chosen) > 1:
            some = ", ".join(sorted(chosen)[:4])
            raise UserError(f"'{wanted}' begins {len(chosen)} ids in {folder}: {some}; add letters")
        if chosen:
            fact = column if column in ("build", "framework") else None
            return Selection(trials=table[table[column].isin(chosen)], problems=found.problems, fact=fact)
    raise UserError(_no_such(wanted, folder, table))


def _no_such(wanted: str, folder: Path, table: pd.DataFrame) -> str:
    runs = table.drop_duplicates("run_id", keep="last").run_id.astype(str).tolist()
    builds = sorted(set(table.build.dropna()))
    return (f"no results folder, build, framework, session, run or record '{wanted}' in {folder}; it has the builds "
            f"{', '.join(builds) or 'none'} and the runs {', '.join(runs[-4:]) or 'none'}")
