"""``rigmark noise``: the smallest change that this machine can detect, from pairs of a build with itself."""

from __future__ import annotations

import json as json_format
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rigmark.bench.cli import Language, Medium
from rigmark.bench.cli import _options as options
from rigmark.bench.document.language import tr
from rigmark.bench.enums import Clock

if TYPE_CHECKING:
    from rigmark.bench.store.store import Store

NEEDS_ARGUMENTS = True


def command(
    suite: Annotated[str, typer.Argument(help="Name of a suite.")],
    build: Annotated[str, typer.Option(help="The build to measure against itself.")] = "default",
    budget: Annotated[
        str, typer.Option(help="Time that measuring may take: 90s, 10m, 1h; with 0, only stored pairs are used.")
    ] = "5m",
    clock: Annotated[
        Clock, typer.Option(help="Judge by wall time, or by CPU time (for one thread on a busy machine).")
    ] = Clock.WALL,
    framework: Annotated[str | None, typer.Option(help="Only these frameworks, separated by commas.")] = None,
    results: Annotated[Path, typer.Option(help="Results folder.")] = Path("results"),
    session: Annotated[str, typer.Option(help="Name of the session; a new name measures more pairs.")] = "noise",
    format: Medium = None,
    json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write to instead of stdout.")] = None,
    lang: Language = "en",
) -> None:
    """Show the smallest change that 1, 5 and 20 minutes of measuring would detect here, for each case of a suite.

    It uses all stored pairs of a build with itself on this machine, of every session, and says what disturbs them. Exit
    code: 2 if a case failed, 4 if no change below 3 % can be detected in 20 minutes.

    Examples:

    rigmark noise fast

    rigmark noise fast --budget 0 --json
    """
    from rigmark.bench.analysis.comparison import noise
    from rigmark.bench.cli import JSON, Exit, medium_of, say, write, write_document
    from rigmark.bench.machine import hardware
    from rigmark.bench.machine.node import node
    from rigmark.bench.store.store import Store, existing

    medium = medium_of(format, output, json=json)
    failures: tuple[str, ...] = ()
    if budget.strip() not in ("0", "0s", "0m"):
        failures = _measured(suite, build, options.seconds("--budget", budget), framework, Store(results), session)
    store = existing(results)
    trials = store.trials()
    pairs = trials.table[(trials.table.kind == "pair") & (trials.table.suite == suite)]
    here = node(store.salt).id
    records = [record for key in pairs.id if (record := store.get(key)).node in (None, here)]
    cases = noise.by_case(records, machine=hardware.machine().id, clock=clock)
    problems = (*trials.problems, *failures)
    if medium == JSON:
        plain = {"cases": [each.plain() for each in cases], "problems": list(problems)}
        write(json_format.dumps(plain, indent=1) + "\n", output)
    elif cases or problems:
        title = tr("Noise of {suite}", suite=suite)
        write_document(noise.document(cases, title=title, problems=problems), medium, output)
    if problems:
        raise typer.Exit(Exit.BAD)
    if not cases:
        say(f"no pairs of a build with itself are stored for suite {suite}; leave --budget 0 out to measure some")
        raise typer.Exit(Exit.NOTHING_MEASURED)
    if any(each.is_blind for each in cases):
        raise typer.Exit(Exit.TOO_NOISY)


def _measured(
    suite: str, build: str, budget_s: float, framework: str | None, store: Store, session: str
) -> tuple[str, ...]:
    """Measures and stores pairs of a build with itself; returns one sentence for each case that failed."""
    from rigmark.bench.ab import contest as ab
    from rigmark.bench.builds import build as builds
    from rigmark.bench.cli import keeping, run, say
    from rigmark.bench.runner.progress import BudgetProgress

    side = ab.Side(name=build, build=builds.find(build, builds.load()))
    sweeps = run.declared(suite, run.asked_for({"framework": framework}), {})
    contest = ab.Contest(
        store, side, side, sweeps, suite=suite, session=session,
        command=shlex.join(["rigmark", *sys.argv[1:]]), budget_s=budget_s, deadline_s=600.0,
    )
    store.create()
    with keeping("pairs"), BudgetProgress(budget_s) as progress:
        verdicts = contest.run(progress)
    for sentence in contest.tally.anew:
        say(f"rigmark: {sentence}")
    return tuple(f"{case.label}: {case.reason or '; '.join(case.doubts)}" for case in verdicts.cases if case.has_failed)
