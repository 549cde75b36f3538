"""``rigmark ab``: does the new one slow anything down? Measured in turns, judged as it goes."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rigmark.bench.cli import Language, Medium
from rigmark.bench.cli import _options as options
from rigmark.bench.enums import Clock
from rigmark.bench.errors import UserError

if TYPE_CHECKING:
    from rigmark.bench.analysis.comparison.verdicts import Verdicts
    from rigmark.bench.plan.case import Case
    from rigmark.bench.plan.sweep import Sweep
    from rigmark.bench.store.store import Store

NEEDS_ARGUMENTS = True


def command(
    suite: Annotated[str, typer.Argument(help="A suite by name.")],
    base: Annotated[str, typer.Option(help="A git revision, a build, or a results folder.")],
    new: Annotated[str, typer.Option(help="A git revision or a build.")],
    budget: Annotated[str, typer.Option(help="Time to measure in: 90s, 10m, 1h.")] = "10m",
    clock: Annotated[Clock, typer.Option(help="cpu: judge by CPU time; for a busy machine.")] = Clock.WALL,
    model: Annotated[str | None, typer.Option(help="Only these networks, with commas.")] = None,
    framework: Annotated[str | None, typer.Option(help="Only these frameworks, with commas.")] = None,
    mode: Annotated[str | None, typer.Option(help="Only inference, or training.")] = None,
    batch: Annotated[str | None, typer.Option(help="Samples per step instead of the suite's.")] = None,
    threads: Annotated[str | None, typer.Option(help="Host threads instead of the suite's.")] = None,
    beneath: Annotated[str, typer.Option(help="The build whose packages a revision uses.")] = "default",
    package: Annotated[list[str] | None, typer.Option(help="Also installed beside a revision.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds after which a worker is killed.")] = 600.0,
    results: Annotated[Path, typer.Option(help="Results folder.")] = Path("results"),
    session: Annotated[str, typer.Option(help="Name of this sitting; pairs of another sitting are others.")] = "1",
    again: Annotated[bool, typer.Option("--again", help="Measure anew, in a session of its own.")] = False,
    format: Medium = None,
    json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
    junit: Annotated[Path | None, typer.Option(help="Also write JUnit XML to this file.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File instead of stdout.")] = None,
    lang: Language = "en",
) -> None:
    """Measure base against new, and say for each case whether it became slower.

    Pairs of fresh processes take turns, step by step, until the verdicts are final or the budget is spent; the same
    command goes on from there. A revision is one of the git repository in the current folder; it is installed over the
    packages of a build. Ends with 1 if anything is slower, 4 if it cannot be told yet, 2 if a side failed.

    Examples:

    rigmark ab fast --base origin/main --new HEAD --budget 5m --format markdown

    rigmark ab fast --base default --new torch-2.9.1 --framework torch
    """
    from rigmark.bench.cli import medium_of, run
    from rigmark.bench.cli.compare import conclude, show
    from rigmark.bench.plan import sessions
    from rigmark.bench.store.store import Store

    medium = medium_of(format, output, json=json)
    budget_s = options.seconds("--budget", budget)
    options.above("--timeout", timeout, "s")
    instead = {
        axis: options.numbers(option, text)
        for axis, option, text in (("local_batches", "--batch", batch), ("threads", "--threads", threads))
        if text is not None
    }
    sweeps = run.declared(suite, named(model=model, framework=framework, mode=mode), {}, instead=instead)
    store = Store(results)
    if again:
        session = sessions.unused(store.trials().table)
    verdicts = decided(
        base, new, sweeps, store, beneath=beneath, packages=tuple(package or ()), clock=clock, suite=suite,
        session=session, budget_s=budget_s, deadline_s=timeout,
    )
    show(verdicts, medium, output, junit)
    raise typer.Exit(conclude(verdicts))


def decided(
    base: str, new: str, sweeps: Sequence[Sweep], store: Store, *, beneath: str = "default",
    packages: Sequence[str] = (), clock: Clock = Clock.WALL, only: Callable[[Case], bool] | None = None,
    budget_s: float, **settings: Any,
) -> Verdicts:
    """Verdicts on two sides as a user names them, measured with these settings of a bench.ab.contest.Contest.

    An interrupt ends the command, and what is finished is stored. Raises UserError for sides that cannot be.
    """
    from rigmark.bench.ab import contest as ab
    from rigmark.bench.builds import build
    from rigmark.bench.cli import keeping, say
    from rigmark.bench.runner.progress import BudgetProgress
    from rigmark.bench.store.store import Store

    known = build.load()
    under = build.find(beneath, known)
    first, second = (
        ab.side(word, known, folder=Path.cwd(), beneath=under, packages=packages, tell=say) for word in (base, new)
    )
    if isinstance(second, Store):
        raise UserError(f"'{new}' is a folder of results; the new side is measured: name a build or a git revision")
    sweeps, notes = ab.depending(sweeps, (first, second), settings["suite"])
    settings |= {"command": shlex.join(["rigmark", *sys.argv[1:]]), "budget_s": budget_s}
    with keeping("pairs"), BudgetProgress(budget_s) as progress:
        if not isinstance(first, Store):
            contest = ab.Contest(store, first, second, sweeps, clock=clock, only=only, **settings)
            store.create()
            verdicts = contest.run(progress)
        elif clock is not Clock.WALL:
            raise UserError("stored results are compared by wall time; leave --clock out")
        else:
            verdicts = ab.against_stored(
                store.create(), first, second, sweeps, names=(base, new), progress=progress, **settings
            )
    return replace(verdicts, notes=(*notes, *verdicts.notes))


def named(**words: str | None) -> dict[str, Any]:
    """Axes by the options that name some of a suite's values."""
    return {f"{name}s": options.listed(f"--{name}", text) for name, text in words.items() if text is not None}
