"""``rigmark ab``: is the new revision, build or command slower? Measured in turns, until there is a verdict."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rigmark.bench.cli import Language, Medium, _networks
from rigmark.bench.cli import _options as options
from rigmark.bench.enums import Clock
from rigmark.bench.errors import UserError

if TYPE_CHECKING:
    from rigmark.bench.analysis.comparison.verdicts import Verdicts
    from rigmark.bench.plan.case import Case
    from rigmark.bench.plan.sweep import Sweep
    from rigmark.bench.store.store import Store

NEEDS_ARGUMENTS = True


class What(StrEnum):
    """What is judged."""

    TIME = "time"
    MEMORY = "memory"        # of commands
    START = "start"          # of networks


def command(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[SUITE | -- COMMAND ...]", help="Name of a suite, or a command.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="The baseline: a git revision, a build, or a results folder.")
    ] = None,
    new: Annotated[str | None, typer.Option(help="The side to judge: a git revision or a build.")] = None,
    base_command: Annotated[str | None, typer.Option(help="The command of the base.")] = None,
    new_command: Annotated[str | None, typer.Option(help="The command of the new side.")] = None,
    budget: Annotated[str, typer.Option(help="Time that measuring may take: 90s, 10m, 1h.")] = "10m",
    clock: Annotated[
        Clock, typer.Option(help="Judge by wall time, or by CPU time if the machine is busy.")
    ] = Clock.WALL,
    model: Annotated[str | None, typer.Option(help="Only these networks, separated by commas.")] = None,
    framework: Annotated[str | None, typer.Option(help="Only these frameworks, separated by commas.")] = None,
    mode: Annotated[str | None, typer.Option(help="Only inference, or only training.")] = None,
    batch: Annotated[str | None, typer.Option(help="Samples per step instead of the suite's.")] = None,
    threads: Annotated[
        str | None, typer.Option(help="CPU threads instead of the suite's; the number of cores that a command may use.")
    ] = None,
    asv: Annotated[
        Path | None, typer.Option(help="Instead of a suite: the asv benchmarks of a folder with an asv.conf.json.")
    ] = None,
    pytest: Annotated[
        Path | None, typer.Option(help="Instead of a suite: the pytest-benchmark benchmarks of a folder or file.")
    ] = None,
    bench: Annotated[
        str | None, typer.Option(help="Only the benchmarks of --asv or --pytest that this regular expression finds.")
    ] = None,
    what: Annotated[
        What, typer.Option(help="Judge the time, the memory of a command, or the start-up of networks.")
    ] = What.TIME,
    metric: Annotated[
        str | None, typer.Option(help="Judge a number that a command prints: the group of this regular expression.")
    ] = None,
    metric_json: Annotated[
        str | None, typer.Option(help="The same for JSON: the key, with dots between it and those around it.")
    ] = None,
    metric_google: Annotated[
        bool, typer.Option("--metric-google", help="The command is a Google Benchmark program that prints JSON.")
    ] = False,
    take: Annotated[
        str | None, typer.Option(help="The number that counts if there are several: first, last or sum.")
    ] = None,
    lower: Annotated[bool, typer.Option("--lower", help="Lower numbers are better.")] = False,
    higher: Annotated[bool, typer.Option("--higher", help="Higher numbers are better.")] = False,
    margin: Annotated[
        float | None, typer.Option(help="A difference of the printed number that is of no interest.")
    ] = None,
    same_output: Annotated[
        bool, typer.Option("--same-output", help="A command that prints something else than the base has failed.")
    ] = False,
    warm_up: Annotated[int, typer.Option(help="Runs of a command on each side that are not counted.")] = 1,
    build_command: Annotated[
        str | None, typer.Option(help="Runs once in the checkout of each git revision, in a shell, before measuring.")
    ] = None,
    beneath: Annotated[
        str, typer.Option(help="The build that provides the other packages of a git revision.")
    ] = "default",
    package: Annotated[
        list[str] | None, typer.Option(help="Another package to install for a git revision; may be repeated.")
    ] = None,
    cause: Annotated[
        bool, typer.Option("--cause/--no-cause", help="Also tell the cause; it may take a quarter of the budget more.")
    ] = True,
    timeout: Annotated[float, typer.Option(help="Seconds after which a worker or command is killed.")] = 600.0,
    results: Annotated[Path, typer.Option(help="Results folder.")] = Path("results"),
    session: Annotated[
        str, typer.Option(help="Name of the session; a new name measures everything again.")
    ] = "1",
    again: Annotated[bool, typer.Option("--again", help="Measure again, in a new session.")] = False,
    format: Medium = None,
    json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
    junit: Annotated[Path | None, typer.Option(help="Also write JUnit XML to this file.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write to instead of stdout.")] = None,
    lang: Language = "en",
) -> None:
    """Measure a base and a new version, and say for each case whether it became slower.

    Pairs of new processes take turns, step by step, until the verdicts are final or the budget is spent; the same
    command continues from there. Git revisions are those of the repository in the current folder; each is installed on
    top of the packages of a build. Exit code: 1 if a case is slower, 2 if a side failed, 4 if there is no verdict yet.

    Instead of a suite, any command can be judged: its time, CPU time (--clock cpu), memory, or a number that it prints.
    It runs in a checkout of each git revision, in each build, or as each side's own command. A run of it is a turn.

    The benchmarks of an asv suite (--asv DIR) or of pytest-benchmark (--pytest PATH) are judged as they are: each
    revision is built in an environment of its own, and both sides take turns, sample by sample.

    Examples:

    rigmark ab fast --base origin/main --new HEAD --budget 5m --format markdown

    rigmark ab fast --base default --new torch-2.9.1 --framework torch

    rigmark ab --base origin/main --new HEAD -- python train.py --steps 20

    rigmark ab --asv . --bench 'time_.*' --base origin/main --new HEAD

    rigmark ab --pytest tests/bench --base origin/main --new HEAD

    rigmark ab --base-command './old' --new-command './new' --metric 'loss time: ([0-9.]+) ms' --lower
    """
    from rigmark.bench.cli import _commands, medium_of, run
    from rigmark.bench.cli.compare import conclude, show
    from rigmark.bench.plan import sessions
    from rigmark.bench.store.store import Store

    medium = medium_of(format, output, json=json)
    budget_s = options.seconds("--budget", budget)
    options.above("--timeout", timeout, "s")
    of_others = {name: path for name, path in (("asv", asv), ("pytest", pytest)) if path is not None}
    if not of_others:
        suite, commands = _commands.asked_for(words or [], base_command, new_command, (base, new))
    elif words or len(of_others) > 1:
        first, *others = [*of_others, *(words or [])]
        raise UserError(f"'{others[0]}' is one thing too many beside --{first}; leave it out")
    of_command = {
        "what": what is What.MEMORY, "metric": metric, "metric-json": metric_json,
        "metric-google": metric_google, "take": take, "lower": lower,
        "higher": higher, "margin": margin, "same-output": same_output, "warm-up": warm_up != 1,
    }
    of_suite = {
        "model": model, "framework": framework, "mode": mode, "batch": batch, "package": package, "again": again,
        "session": session != "1",
    }
    for kind, path in of_others.items():
        _commands.refuse(
            {"base-command": base_command, "new-command": new_command, "clock": clock is not Clock.WALL, **of_command,
             **of_suite, "what start": what is What.START},
            f"means nothing for the benchmarks of --{kind}; leave it out",
        )
        verdicts = _commands.of_suite(
            kind, path, (base, new), results, bench=bench, build_command=build_command, beneath=beneath,
            threads=threads, budget_s=budget_s, timeout_s=timeout,
            has_causes=cause,
        )
        show(verdicts, medium, output, junit)
        raise typer.Exit(conclude(verdicts))
    _commands.refuse({"bench": bench}, "is about the benchmarks of --asv or --pytest; add that, or leave it out")
    if commands is None:
        _commands.refuse({**of_command, "build-command": build_command}, _commands.ABOUT_COMMANDS)
    else:
        _commands.refuse({**of_suite, "what start": what is What.START}, _commands.ABOUT_SUITES)
    if commands is not None:
        verdicts = _commands.decided(
            commands, (base, new), results, what=what, metric=(metric, metric_json, take),
            is_google=metric_google, lower=lower, higher=higher,
            margin=margin, same_output=same_output, warm_ups=warm_up, build_command=build_command, clock=clock,
            beneath=beneath, threads=threads, budget_s=budget_s, timeout_s=timeout, has_causes=cause,
        )
        show(verdicts, medium, output, junit)
        raise typer.Exit(conclude(verdicts))
    if base is None or new is None:
        raise UserError("rigmark ab compares two sides; name them with --base and --new")
    wanted = run.asked_for({"model": model, "framework": framework, "mode": mode})
    sweeps = run.declared(suite, wanted, {}, instead=run.asked_for({"batch": batch, "threads": threads}))
    store = Store(results)
    if what is What.START:
        _commands.refuse({"clock": clock is not Clock.WALL}, "is about steps; leave it out for --what start")
        verdicts = _commands.of_start_up(
            (base, new), results, sweeps, beneath=beneath, packages=tuple(package or ()), suite=suite,
            budget_s=budget_s, timeout_s=timeout, has_causes=cause,
        )
        show(verdicts, medium, output, junit)
        raise typer.Exit(conclude(verdicts))
    if again:
        session = sessions.unused(store.trials().table)
    verdicts = decided(
        base, new, sweeps, store, beneath=beneath, packages=tuple(package or ()), clock=clock, suite=suite,
        session=session, budget_s=budget_s, deadline_s=timeout, has_causes=cause,
    )
    show(verdicts, medium, output, junit)
    raise typer.Exit(conclude(verdicts))


def decided(
    base: str, new: str, sweeps: Sequence[Sweep], store: Store, *, beneath: str = "default",
    packages: Sequence[str] = (), clock: Clock = Clock.WALL, only: Callable[[Case], bool] | None = None,
    budget_s: float, **settings: Any,
) -> Verdicts:
    """The verdicts on two sides, which are given as the user named them. ``settings`` are those of ab.contest.Contest.

    After an interrupt the finished pairs are stored. Raises UserError for a name that is no side, or for two sides that
    cannot be compared.
    """
    from rigmark.bench.ab import contest as ab
    from rigmark.bench.builds import build
    from rigmark.bench.cli import keeping, say
    from rigmark.bench.runner.progress import BudgetProgress
    from rigmark.bench.store.store import Store

    known = build.load()
    under = build.find(beneath, known)
    first, second = ab.sides(
        (base, new), known, folder=Path.cwd(), beneath=under, packages=packages, sweeps=sweeps,
        suite=settings["suite"], tell=say,
    )
    if isinstance(second, Store):
        raise UserError(f"'{new}' is a folder of results; the new side is measured: name a build or a git revision")
    sweeps, notes = ab.depending(sweeps, (first, second), settings["suite"])
    settings |= {"command": shlex.join(["rigmark", *sys.argv[1:]]), "budget_s": budget_s}
    models = [model for sweep in sweeps for model in sweep.models]
    with (
        _networks.bringing(models, None, None, known, store.networks) as networks,
        keeping("pairs"), BudgetProgress(budget_s) as progress,
    ):
        sweeps, settings = [sweep.shortened for sweep in sweeps], {**settings, "networks": networks}
        if not isinstance(first, Store):
            contest = ab.Contest(store, first, second, sweeps, clock=clock, only=only, **settings)
            store.create()
            verdicts, tally = contest.run(progress), contest.tally
        elif clock is not Clock.WALL:
            raise UserError("stored results are compared by wall time; leave --clock out")
        else:
            settings.pop("has_causes", None)     # nothing is paired
            verdicts, tally = ab.against_stored(
                store.create(), first, second, sweeps, names=(base, new), progress=progress, **settings
            )
    for sentence in tally.anew:
        say(f"rigmark: {sentence}")
    return replace(verdicts, notes=(*notes, *verdicts.notes))
