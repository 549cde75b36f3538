"""``rigmark run``: measure a suite, or a sweep put together on the command line."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rigmark.bench.cli import Language
from rigmark.bench.cli import _options as options
from rigmark.bench.datasets import REAL, SYNTHETIC
from rigmark.bench.enums import StartMethod
from rigmark.bench.errors import UserError, unknown
from rigmark.bench.worker import strategies

if TYPE_CHECKING:
    from rigmark.bench.builds.build import Build
    from rigmark.bench.enums import Outcome
    from rigmark.bench.launch.agents import Agents
    from rigmark.bench.plan.schedule import Trial
    from rigmark.bench.plan.sweep import Sweep
    from rigmark.bench.runner.tally import Tally
    from rigmark.bench.store.store import Store

MOST_TELEMETRY_HZ = 100.0    # no sensor gives more, and the sampler would be in the way
LONG_S = 60.0                # of a sweep that one would rather know of before it begins
WIDTH = 120                  # of the figures where no terminal is


def command(
    suite: Annotated[str | None, typer.Argument(help="A suite by name; leave it out to put a sweep together.")] = None,
    model: Annotated[str | None, typer.Option(help="Networks, or limits of the machine, with commas.")] = None,
    framework: Annotated[str | None, typer.Option(help="Frameworks, with commas.")] = None,
    build: Annotated[str | None, typer.Option(help="Builds, as builds.toml names them.")] = None,
    isa: Annotated[str | None, typer.Option(help="Ceiling of instruction sets: sse41, avx2, avx512, native.")] = None,
    compile_mode: Annotated[str | None, typer.Option(help="best, default, eager, compiled, xla.")] = None,
    layout: Annotated[str | None, typer.Option(help="best, default, nchw, channels_last.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32, fp64, ...")] = None,
    mode: Annotated[str | None, typer.Option(help="inference, training.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda:0, ...")] = None,
    batch: Annotated[str | None, typer.Option(help="Samples per step on one device.")] = None,
    world_size: Annotated[str | None, typer.Option(help="Devices that share the work, with commas.")] = None,
    strategy: Annotated[
        str | None, typer.Option(help=f"How: usual, {', '.join(strategies.NAMES)}.")
    ] = None,
    devices_per_process: Annotated[int | None, typer.Option(help="Left out: as the strategy usually has it.")] = None,
    bucket_mb: Annotated[
        str | None, typer.Option(help="MB of gradients that a world sends as one message: usual, 1, 25, ...")
    ] = None,
    gradient_compression: Annotated[
        str | None, typer.Option(help="Format that a world sends gradients in: none, fp16.")
    ] = None,
    global_batch: Annotated[
        str | None, typer.Option(help="Samples per step on all devices (strong scaling); --batch: on each (weak).")
    ] = None,
    oversubscribe: Annotated[
        bool | None, typer.Option("--oversubscribe", help="Allow more threads than cores; labelled wherever shown.")
    ] = None,
    threads: Annotated[
        str | None, typer.Option(help="Host threads of a device; left out: all usable cores, shared by the devices.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help=f"{SYNTHETIC} for pure speed, or real input: {', '.join(REAL)}.")
    ] = None,
    steps_per_timing: Annotated[int | None, typer.Option(help="1: latency; more: the host may run ahead.")] = None,
    repetitions: Annotated[int | None, typer.Option(help="Fresh processes a case; 6 or more for an interval.")] = None,
    min_time: Annotated[float | None, typer.Option(help="Least seconds of timed steps in each process.")] = None,
    layers: Annotated[bool | None, typer.Option(help="Also find out where the time of a step goes.")] = None,
    start_method: Annotated[str | None, typer.Option(help="spawn, forkserver (CPU only, quicker).")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds after which a trial is killed.")] = 600.0,
    results: Annotated[Path, typer.Option(help="Results folder.")] = Path("results"),
    session: Annotated[str, typer.Option(help="Name of this sitting; trials of another sitting are others.")] = "1",
    session_count: Annotated[
        int, typer.Option("--sessions", help="Measure so many times, in sessions of their own; see --spread.")
    ] = 1,
    spread: Annotated[
        str | None, typer.Option(help="From the start of the first session to that of the last: 90m, 2h.")
    ] = None,
    telemetry: Annotated[
        str | None, typer.Option(help="off, or reads a second; left out: 10 of the host, 20 of GPUs.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Measure anew, in a session of its own.")] = False,
    beyond: Annotated[
        bool, typer.Option("--beyond", help="Options replace the values of a suite, also by what it has not.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what is stored, what is to be measured, and how long it may take.")
    ] = False,
    lang: Language = "en",
) -> None:
    """Measure, and store one record a trial; what is stored already is not measured again.

    On a suite, options limit it to those of its cases that they name; --build, --device, --threads and how to time
    replace what the suite says. With --beyond all options replace. Started by torchrun, mpirun or srun, it measures
    worlds over all the machines that they start it on.

    Examples:

    rigmark run quick

    rigmark run --model mlp,resnet18 --framework torch,numpy --mode inference --batch 1,8

    rigmark run --model resnet18 --framework torch,tensorflow --isa sse41,avx2,native

    rigmark run --model resnet18 --framework torch,jax --mode training --world-size 1,2 --batch 4 --global-batch 8

    rigmark run quick --repetitions 4 --sessions 5 --spread 2h
    """
    from rigmark.bench.builds import build as builds
    from rigmark.bench.launch import agents
    from rigmark.bench.machine import hardware
    from rigmark.bench.plan import sessions
    from rigmark.bench.plan.schedule import plan
    from rigmark.bench.store.store import Store

    of_suite = _parsed({
        "models": model, "frameworks": framework, "compile_modes": compile_mode, "layouts": layout,
        "precisions": precision, "modes": mode, "data": data, "isas": isa, "strategies": strategy,
        "local_batches": batch, "global_batches": global_batch, "world_sizes": world_size, "buckets_mb": bucket_mb,
        "gradient_compressions": gradient_compression,
    })
    places = _parsed({"builds": build, "devices": device, "threads": threads})
    instead = places | {
        name: value
        for name, value in (
            ("steps_per_timing", steps_per_timing), ("repetitions", repetitions), ("layers", layers),
            ("devices_per_process", devices_per_process), ("oversubscribe", oversubscribe),
        )
        if value is not None
    }
    asked = None if suite is None else of_suite | places
    if suite is None or beyond:
        of_suite |= {"local_batches": ()} if global_batch is not None and batch is None else {}      # strong scaling
    if beyond:
        of_suite, instead = {}, instead | of_suite
    options.above("--timeout", timeout, "s")
    options.above("--min-time", 1.0 if min_time is None else min_time, "s")
    if start_method is not None and start_method not in tuple(StartMethod):
        raise unknown("start method", start_method, StartMethod)
    apart_s = _apart_s(session_count, spread)
    is_watched, rate_hz = _telemetry(telemetry)
    timing = {
        name: value for name, value in (("min_time_s", min_time), ("start_method", start_method)) if value is not None
    }
    sweeps = declared(suite, of_suite, timing, instead=instead)
    known_builds = builds.load()
    for name in {name for sweep in sweeps for name in sweep.builds}:
        builds.find(name, known_builds)
    here = agents.place(os.environ)
    if here is not None and here.rank > 0:
        agents.serve(here)
        return
    store = Store(results)
    if again:
        session = sessions.unused(store.trials().table)
    with contextlib.ExitStack() as launched:
        others = None
        if here is not None:
            if start_method not in (None, StartMethod.SPAWN):
                raise UserError(f"ranks that {here.launcher} started spawn their workers; leave --start-method out")
            sweeps = [replace(each, timing=replace(each.timing, start_method=StartMethod.SPAWN)) for each in sweeps]
            others = launched.enter_context(agents.Agents(here))
        world_cores = None if others is None else others.cores
        plans = {
            name: [
                replace(trial, case=builds.held(trial.case, known_builds)) for trial in
                plan(sweeps, cores=len(hardware.usable_cpus()), seed=name, world_cores=world_cores,
                     held_builds=builds.held_builds(known_builds))
            ] for name in sessions.names(session, session_count)
        }
        _check_files(plans)
        if dry_run:
            _show_plan(plans, store, known_builds, others)
            return
        store.create()
        tally = _measure(
            plans, store, known_builds, apart_s, suite=suite or "adhoc", deadline_s=timeout, agents=others,
            telemetry=is_watched, telemetry_rate_hz=rate_hz,
        )
    _tell(tally, results)
    _show_measured(tally, store, lang)
    _conclude(tally, asked)


def _measure(
    plans: Mapping[str, Sequence[Trial]], store: Store, known_builds: dict[str, Build], apart_s: float, **settings: Any
) -> Tally:
    """Run the trials of each session, by its name, with these settings of the Runner.

    ``apart_s`` are from the start of one session to that of the next. An interrupt ends the command, and what is
    finished is stored.
    """
    from rigmark.bench.cli import keeping, say
    from rigmark.bench.plan import sessions
    from rigmark.bench.runner.progress import TerminalProgress, duration
    from rigmark.bench.runner.runner import Runner
    from rigmark.bench.runner.tally import Tally

    line = shlex.join(["rigmark", *sys.argv[1:]])
    tally, previous = Tally(), None
    with keeping("trials"):
        for session, trials in plans.items():
            if previous is not None and (wait_s := sessions.wait_s(store.trials().table, previous, apart_s)) > 0:
                say(f"session {session} begins in {duration(wait_s)}")
                time.sleep(wait_s)
            previous = session
            with (
                Runner(store, known_builds, command=line, session=session, **settings) as runner,
                TerminalProgress() as progress,
            ):
                _foretell([trial for trial in trials if not runner.is_settled(trial)], store)
                tally += runner.run(trials, progress)
    return tally


def more_help() -> str:
    """The suites, with what each takes on this machine."""
    from rigmark import suites
    from rigmark.bench.machine import hardware
    from rigmark.bench.plan.schedule import plan
    from rigmark.bench.runner.expectation import expected

    def line(name: str) -> str:
        try:
            trials = plan(suites.sweeps(name), cores=len(hardware.usable_cpus()), seed=name)
            return f"{name}: {expected(trials).words}. {suites.title(name)}"
        except UserError as error:
            return f"{name}: {error}"

    head = "Suites, with the trials that they have on this machine; large networks take longer than is guessed here:"
    return "\n\n".join([head, *map(line, suites.NAMES)])


def _apart_s(session_count: int, spread: str | None) -> float:
    """Seconds from the start of one session to that of the next."""
    if session_count < 1:
        raise UserError(f"there must be at least 1 session, not {session_count}")
    if spread is not None and session_count == 1:
        raise UserError("one session cannot be spread; say how many with --sessions 5")
    return 0.0 if spread is None else options.seconds("--spread", spread) / (session_count - 1)


def _telemetry(text: str | None) -> tuple[bool, float | None]:
    """(whether it is on, reads a second or None for each source's own)."""
    if text is None or text == "off":
        return text is None, None
    try:
        rate_hz = float(text)
    except ValueError:
        rate_hz = 0.0
    if not 0 < rate_hz <= MOST_TELEMETRY_HZ:
        raise UserError(f"telemetry takes off, or up to {MOST_TELEMETRY_HZ:g} reads a second, not '{text}'")
    return True, rate_hz


OPTIONS: Mapping[str, tuple[str, Callable[[str, str], tuple[Any, ...]]]] = {
    "models": ("--model", options.listed), "frameworks": ("--framework", options.listed),
    "builds": ("--build", options.listed), "compile_modes": ("--compile-mode", options.listed),
    "layouts": ("--layout", options.listed), "precisions": ("--precision", options.listed),
    "modes": ("--mode", options.listed), "devices": ("--device", options.listed), "data": ("--data", options.listed),
    "isas": ("--isa", options.listed), "strategies": ("--strategy", options.listed),
    "local_batches": ("--batch", options.numbers), "global_batches": ("--global-batch", options.numbers),
    "world_sizes": ("--world-size", options.numbers), "threads": ("--threads", options.numbers),
    "buckets_mb": ("--bucket-mb", lambda option, text: tuple(
        None if part == "usual" else options.number(option, part, "usual, or ") for part in options.listed(option, text)
    )),
    "gradient_compressions": ("--gradient-compression", lambda option, text: tuple(
        None if part == "none" else part for part in options.listed(option, text)
    )),
}
"""The option of each axis, and how its text is read."""


def _parsed(texts: Mapping[str, str | None]) -> dict[str, Any]:
    """The values of each axis that a text names some of."""
    return {
        axis: parse(option, text)
        for axis, (option, parse) in OPTIONS.items() if (text := texts.get(axis)) is not None
    }


def declared(
    suite: str | None, axes: Mapping[str, Any], timing: Mapping[str, Any], *, instead: Mapping[str, Any] | None = None
) -> Sequence[Sweep]:
    """The sweeps of a suite with those of their values that ``axes`` names, and what is said ``instead`` of theirs;
    without a suite, the one sweep of both. Raises UserError for values that a suite has not, or that nothing has."""
    from rigmark import suites
    from rigmark.bench.plan.selection import limited
    from rigmark.bench.plan.sweep import Sweep, check_words

    instead = instead or {}
    check_words({**axes, **instead})
    if suite is not None:
        sweeps = tuple(replace(sweep, **instead) for sweep in limited(suite, suites.sweeps(suite), axes))
    elif {"models", "frameworks"} <= axes.keys():
        sweeps = (Sweep(**axes, **instead),)
    else:
        raise UserError(
            f"name a suite ({', '.join(suites.NAMES)}), or a --model and a --framework; rigmark run --help shows how"
        )
    return tuple(replace(sweep, timing=replace(sweep.timing, **timing)) for sweep in sweeps)


def _check_files(plans: Mapping[str, Sequence[Trial]]) -> None:
    """Builds the networks and reads their input, so that a mistake in a file is told before anything is measured."""
    from rigmark.bench import datasets as data
    from rigmark.bench import models

    cases = {(t.case.model, t.case.data) for trials in plans.values() for t in trials if not t.case.is_limit}
    graphs = {model: models.build(model) for model in sorted({model for model, _ in cases})}
    for model, source in sorted(cases):
        if source != SYNTHETIC:
            data.load(source, graphs[model])


def _foretell(trials: Sequence[Trial], store: Store) -> None:
    """Tells how long these will take, where one would rather know it than wait."""
    from rigmark.bench.cli import say
    from rigmark.bench.runner.expectation import expected

    ahead = expected(trials, store.trials().table)
    if ahead.seconds > LONG_S:
        say(f"to measure: {ahead.words}; Ctrl-C at any time, and the same command goes on from there")


def _show_plan(
    plans: Mapping[str, Sequence[Trial]], store: Store, known_builds: dict[str, Build], agents: Agents | None
) -> None:
    """The trials of each session in order, which of them are stored, and how long the others may take."""
    from rigmark.bench.cli import tell
    from rigmark.bench.runner.expectation import expected
    from rigmark.bench.runner.runner import Runner

    ahead: list[Trial] = []
    count = 0
    for session, trials in plans.items():
        with Runner(
            store, known_builds, suite="", command="", session=session, agents=agents, telemetry=False
        ) as runner:
            for trial in trials:
                is_settled = runner.is_settled(trial)
                tell(f"{'stored   ' if is_settled else 'measure  '}{trial.label}")
                count += is_settled
                ahead += [] if is_settled else [trial]
    there = f"; {count:,} trial{' is' if count == 1 else 's are'} stored already" if count else ""
    tell(f"to measure: {expected(ahead, store.trials().table).words if ahead else 'nothing'}{there}")


def _show_measured(tally: Tally, store: Store, language: str) -> None:
    """The figures of the cases whose trials were timed, now or before, and which command shows all of them."""
    from rigmark.bench.cli import show_document
    from rigmark.bench.enums import TIMED
    from rigmark.bench.sections.short import concluded
    from rigmark.bench.store.record import key_of_plain

    ids = [record.key for record in tally.stored if record.identity.kind in TIMED]
    ids += [key_of_plain(record) for record in tally.already_there if record["identity"]["kind"] in TIMED]
    if ids:
        command = shlex.join([
            "rigmark", "report", *(["--results", str(store.root)] if store.root != Path("results") else []),
            *(["--lang", language] if language != "en" else []),
        ])
        show_document(concluded(store.trials().table, set(ids), command=command), WIDTH)


FIELDS = {
    "models": "model", "frameworks": "framework", "builds": "build", "compile_modes": "compile_mode",
    "layouts": "layout", "precisions": "precision", "modes": "mode", "devices": "device", "data": "data",
    "isas": "isa", "strategies": "strategy", "local_batches": "local_batch", "world_sizes": "world_size",
    "threads": "threads",
}
"""The field of a case that an axis gives its values to."""


def _unmet(
    asked: Mapping[str, Sequence[Any]] | None, gaps: Sequence[Mapping[str, Any]], measured: Sequence[Mapping[str, Any]]
) -> bool:
    """Whether cells that a framework or build does not have were asked for by name.

    Of a suite that is so of a value that was named and of which nothing could be measured: its other cells are planned.
    None: a sweep that was put together by hand, so that each of its cells was asked for.
    """
    if asked is None:
        return bool(gaps)
    return any(
        any(case[FIELDS[axis]] == value for case in gaps) and not any(case[FIELDS[axis]] == value for case in measured)
        for axis, values in asked.items() if axis in FIELDS for value in values
    )


def _outcomes(tally: Tally) -> list[tuple[Outcome, str, str, Mapping[str, Any]]]:
    """(outcome, kind, reason, case) of each trial, those stored before too."""
    from rigmark.bench.enums import Outcome

    return [
        (r.outcome, r.identity.kind, str(r.reason), r.identity.case) for r in tally.stored
    ] + [
        (Outcome(r["outcome"]), r["identity"]["kind"], str(r["reason"]), r["identity"]["case"])
        for r in tally.already_there
    ]


def _tell(tally: Tally, results: Path) -> None:
    """What failed and why, and how much was measured."""
    from rigmark.bench.cli import say
    from rigmark.bench.enums import Outcome
    from rigmark.bench.runner.progress import duration

    for outcome, reason, case in dict.fromkeys(
        (outcome, reason, f"{case['model']}/{case['framework']}/{case['mode']}")
        for outcome, _, reason, case in _outcomes(tally)
        if outcome is not Outcome.OK
    ):
        say(f"{outcome}: {case}: {reason}")
    for what in tally.damaged:
        say(f"rigmark: {what}; it was measured anew")
    skipped = f", {len(tally.already_there)} were stored already" if tally.already_there else ""
    gave_up = f", {tally.not_started} not started after a failure of their case" if tally.not_started else ""
    say(f"{len(tally.stored)} trials measured in {duration(tally.wall_time_s)}{skipped}{gave_up}; results in {results}")
    if tally.stored and tally.wall_time_s > 0:       # by a monotonic clock, which some sandboxes turn back
        say(f"{tally.stepping_time_s / tally.wall_time_s:.0%} of the time went into warm-up and timed steps")


def _conclude(tally: Tally, asked: Mapping[str, Sequence[Any]] | None) -> None:
    """The exit code; ``asked`` are the values that were named, as _unmet has them."""
    from rigmark.bench.cli import Exit
    from rigmark.bench.enums import PLANNED_GAPS, TIMED, Outcome, TrialKind

    outcomes = _outcomes(tally)
    failed = [outcome for outcome, *_ in outcomes if outcome is not Outcome.OK and outcome not in PLANNED_GAPS]
    # That a framework tells no layer times is no fault of a case that it can run.
    gaps = [case for outcome, kind, _, case in outcomes if outcome in PLANNED_GAPS and kind != TrialKind.LAYERS]
    measured = [case for outcome, kind, _, case in outcomes if outcome is Outcome.OK and kind in TIMED]
    if failed or _unmet(asked, gaps, measured):
        raise typer.Exit(Exit.BAD)
    if not measured:
        raise typer.Exit(Exit.NOTHING_MEASURED)
