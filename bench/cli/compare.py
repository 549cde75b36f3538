"""``rigmark compare BASE NEW``: which cases are slower or faster on one side than on the other."""

from __future__ import annotations

import json as json_format
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rigmark.bench.cli import Language, Medium
from rigmark.bench.cli import _options as options
from rigmark.bench.enums import TIMED, Clock, TrialKind
from rigmark.bench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from rigmark.bench.analysis.comparison.verdicts import Verdicts
    from rigmark.bench.cli import Exit
    from rigmark.bench.store.contests import Contest
    from rigmark.bench.store.stored import StoredRecord

NEEDS_ARGUMENTS = True
SHORTEST = 4                 # letters that an abbreviated id needs


def command(
    base: Annotated[str, typer.Argument(help="The baseline: a results folder, RESULTS@NAME, or NAME; see above.")],
    new: Annotated[str, typer.Argument(help="The side to judge, in the same form.")],
    results: Annotated[Path, typer.Option(help="Results folder of a NAME without RESULTS@.")] = Path("results"),
    across: Annotated[
        str | None, typer.Option(help="Facts that may differ, separated by commas: build, machine, ...")
    ] = None,
    clock: Annotated[
        Clock, typer.Option(help="Judge by wall time, or stored pairs of one thread by CPU time.")
    ] = Clock.WALL,
    format: Medium = None,
    json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
    junit: Annotated[Path | None, typer.Option(help="Also write JUnit XML to this file.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write to instead of stdout.")] = None,
    lang: Language = "en",
) -> None:
    """Compare stored results: a verdict for each case that both sides have.

    A NAME is a git revision, build, framework, session, run id or record id; ids may be abbreviated. Pairs that
    'rigmark ab' stored are judged as it judges them; a NAME is then also the command of a side. Otherwise repetitions
    of one run are compared in pairs; results that were measured at different times need 5 sessions per side. Exit
    code: 1 if a case is slower, 2 if a trial failed or the sides are not comparable, 3 if there is nothing to compare,
    4 if there is no verdict.

    Examples:

    rigmark compare stable nightly --across build

    rigmark compare results@3f2a results@9c41 --format markdown

    rigmark compare laptop-results server-results --across machine
    """
    from rigmark.bench.ab.turns import stored_verdicts
    from rigmark.bench.analysis.comparison.sides import across as facts
    from rigmark.bench.analysis.comparison.sides import compare_sides
    from rigmark.bench.analysis.comparison.stored_pairs import compare_pairs
    from rigmark.bench.cli import Exit, medium_of, say

    medium = medium_of(format, output, json=json)
    paired = stored_pairs(base, new, results)
    if paired is not None:
        verdicts = compare_pairs(
            paired.records, names=(base, new), clock=clock, problems=paired.problems, profiles=paired.profiles,
        )
        show(verdicts, medium, output, junit)
        raise typer.Exit(conclude(verdicts))
    contests, unread = stored_contests(base, new, results)
    for problem in () if contests else unread:
        say(f"rigmark: {problem}")
    if contests and clock is Clock.WALL:
        verdicts = stored_verdicts(contests, names=(base, new), problems=unread)
        show(verdicts, medium, output, junit)
        raise typer.Exit(conclude(verdicts))
    if clock is not Clock.WALL:
        raise UserError(
            f"only pairs can be judged by CPU time, and no pairs of {base} and {new} are stored; "
            "rigmark ab measures pairs"
        )
    asked = list(options.chosen("--across", across))
    facts(asked)     # so that a wrong name is reported before anything is read
    sides = [select(name, results) for name in (base, new)]
    for name, side in zip((base, new), sides, strict=True):
        if not side.problems and not side.trials.kind.isin(TIMED).any():
            say(f"{name} has no timing trials; measure some with rigmark run")
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
    """The exit code of all verdicts together: the first of 2, 1, 4, 3 that applies, or 0."""
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
    """Writes the verdicts in a medium to stdout or a file, and as JUnit XML to ``junit`` if it is named."""
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

    records: list[StoredRecord]
    profiles: list[StoredRecord]         # layer trials of these builds
    problems: tuple[str, ...]


def stored_pairs(base: str, new: str, results: Path) -> Paired | None:
    """The stored pairs of two builds or git revisions of the current folder's project; None if there are none."""
    from rigmark.bench.store.store import RECORDS, existing

    if not (results / RECORDS).is_dir():
        return None
    store = existing(results)
    trials = store.trials()
    records = [store.get(identity) for identity in trials.table[trials.table.kind == TrialKind.PAIR].id]
    sides = [{name, *_revision(name)} for name in (base, new)]
    fitting = [
        record for record in records
        if (base_of := record.identity.base) and base_of.name in sides[0] and record.identity.case.build in sides[1]
    ]
    if not fitting:
        return None
    builds = {name for record in fitting if record.identity.base
              for name in (record.identity.base.name, record.identity.case.build)}
    is_profile = (trials.table.kind == TrialKind.LAYERS) & trials.table.build.isin(builds)
    return Paired(
        records=fitting, profiles=[store.get(identity) for identity in trials.table[is_profile].id],
        problems=trials.problems,
    )


def stored_contests(base: str, new: str, results: Path) -> tuple[list[Contest], tuple[str, ...]]:
    """The latest contest over each thing of two commands, builds or git revisions, and what could not be read.

    A side that was a git revision is known by its commit, since a name such as HEAD means another one later.
    """
    from rigmark.bench.builds import revisions
    from rigmark.bench.host import secrets
    from rigmark.bench.store import contests

    found, problems = contests.read_all(results)
    hidden = [secrets.hidden(name) for name in (base, new)]      # as commands are stored
    commits = [None if (found_commit := revisions.find(name, Path.cwd())) is None else found_commit.commit
               for name in (base, new)] if found else []
    return contests.latest([contest for contest in found if all(
        commit == side.commit if side.commit is not None else name == side.name
        for side, name, commit in zip((contest.base, contest.new), hidden, commits, strict=True)
    )]), problems


def _revision(name: str) -> Iterator[str]:
    """The name of the build that a git revision is measured in; nothing if ``name`` is no revision."""
    from rigmark.bench.builds import revisions

    revision = revisions.find(name, Path.cwd())
    if revision is not None:
        yield revision.name


@dataclass(frozen=True, kw_only=True)
class Selection:
    """One side, as the user named it."""

    trials: pd.DataFrame
    problems: tuple[str, ...]
    fact: str | None                 # the fact that the user named a value of: "build"; None for a folder or run


def select(name: str, results: Path) -> Selection:
    """The trials that a name stands for: a results folder, or RESULTS@NAME; raises UserError."""
    from rigmark.bench.store.store import RECORDS, existing

    if (Path(name) / RECORDS).is_dir():
        folder, wanted = Path(name), ""
    else:
        before, _, wanted = name.rpartition("@")
        folder = Path(before) if before else results
    trials = existing(folder).trials()
    table = trials.table.assign(results=str(folder.resolve()))
    if not wanted:
        return Selection(trials=table, problems=trials.problems, fact=None)
    for column, is_id in (
        ("build", False), ("framework", False), ("session", False), ("run_id", True), ("id", True),
    ):
        values = {str(value) for value in table[column].dropna()}
        chosen = {value for value in values if value == wanted}
        if not chosen and is_id and len(wanted) >= SHORTEST:
            chosen = {value for value in values if value.startswith(wanted)}
        if len(chosen) > 1:
            some = ", ".join(sorted(chosen)[:4])
            raise UserError(f"'{wanted}' is the beginning of {len(chosen)} ids in {folder}: {some}; write more letters")
        if chosen:
            fact = column if column in ("build", "framework") else None
            return Selection(trials=table[table[column].isin(chosen)], problems=trials.problems, fact=fact)
    raise UserError(_no_such(wanted, folder, table))


def _no_such(wanted: str, folder: Path, table: pd.DataFrame) -> str:
    runs = table.drop_duplicates("run_id", keep="last").run_id.astype(str).tolist()
    builds = sorted(set(table.build.dropna()))
    return (f"no results folder, build, framework, session, run or record '{wanted}' in {folder}; it has the builds "
            f"{', '.join(builds) or 'none'} and the runs {', '.join(runs[-4:]) or 'none'}")
