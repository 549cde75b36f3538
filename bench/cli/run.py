"""``rigmark run``: measure a suite, or a sweep put together on the command line."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rigmark.bench.datasets import REAL, SYNTHETIC
from rigmark.bench.enums import StartMethod
from rigmark.bench.errors import UserError, unknown
from rigmark.bench.worker import strategies

if TYPE_CHECKING:
    from rigmark.bench.builds.build import Build
    from rigmark.bench.plan.schedule import Trial
    from rigmark.bench.plan.sweep import Sweep
    from rigmark.bench.runner.tally import Tally
    from rigmark.bench.store.store import Store

MOST_TELEMETRY_HZ = 100.0    # no sensor gives more, and the sampler would be in the way
GUESSED_PROOF_S = 15.0       # of a trial that no stored record tells the time of
GUESSED_START_S = {"spawn": 4.0, "forkserver": 0.5}


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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and the expected time only.")] = False,
) -> None:
    """Measure, and store one record a trial; what is stored already is not measured again.

    Options that name an axis replace it in a suite. Started by torchrun, mpirun or srun, it measures worlds over all
    the machines that they start it on.

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

    axes: dict[str, Any] = {
        axis: split(text)
        for axis, text in (
            ("models", model), ("frameworks", framework), ("builds", build), ("compile_modes", compile_mode),
            ("layouts", layout), ("precisions", precision), ("modes", mode), ("devices", device), ("data", data),
            ("isas", isa), ("strategies", strategy),
        )
        if text is not None
    }
    axes |= {
        axis: tuple(number(name, part) for part in split(text))
        for axis, name, text in (
            ("local_batches", "batch", batch), ("threads", "threads", threads),
            ("world_sizes", "world size", world_size), ("global_batches", "global batch", global_batch),
        )
        if text is not None
    }
    if bucket_mb is not None:
        axes["buckets_mb"] = tuple(None if part == "usual" else megabytes(part) for part in split(bucket_mb))
    if gradient_compression is not None:
        axes["gradient_compressions"] = tuple(None if part == "none" else part for part in split(gradient_compression))
    axes |= {
        name: value
        for name, value in (
            ("steps_per_timing", steps_per_timing), ("repetitions", repetitions), ("layers", layers),
            ("devices_per_process", devices_per_process), ("oversubscribe", oversubscribe),
        )
        if value is not None
    }
    if global_batch is not None and batch is None:
        axes["local_batches"] = ()       # strong scaling alone
    if timeout <= 0:
        raise UserError(f"timeout must be above 0 s, not {timeout:g}")
    if start_method is not None and start_method not in tuple(StartMethod):
        raise unknown("start method", start_method, StartMethod)
    apart_s = _apart_s(session_count, spread)
    is_watched, rate_hz = _telemetry(telemetry)
    timing = {
        name: value for name, value in (("min_time_s", min_time), ("start_method", start_method)) if value is not None
    }
    sweeps = declared(suite, axes, timing)
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
        if dry_run:
            _show_plan(plans, store)
            return
        store.create()
        tally = _measure(
            plans, store, known_builds, apart_s, suite=suite or "adhoc", deadline_s=timeout, agents=others,
            telemetry=is_watched, telemetry_rate_hz=rate_hz,
        )
    _conclude(tally, results, asked_by_name=framework is not None)


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
                tally += runner.run(trials, progress)
    return tally


def split(text: str) -> tuple[str, ...]:
    if not text.strip(" ,"):
        raise UserError(f"an axis needs at least one value, not '{text}'; leave the option out for the usual one")
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _apart_s(session_count: int, spread: str | None) -> float:
    """Seconds from the start of one session to that of the next."""
    if session_count < 1:
        raise UserError(f"there must be at least 1 session, not {session_count}")
    if spread is not None and session_count == 1:
        raise UserError("one session cannot be spread; say how many with --sessions 5")
    return 0.0 if spread is None else seconds("spread", spread) / (session_count - 1)


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


def number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UserError(f"{name} takes whole numbers with commas, not '{text}'") from None


def megabytes(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"bucket mb takes usual, or numbers with commas, not '{text}'") from None


def declared(suite: str | None, axes: dict[str, Any], timing: dict[str, Any]) -> Sequence[Sweep]:
    from rigmark import suites
    from rigmark.bench.plan.sweep import Sweep

    if suite is not None:
        sweeps = tuple(replace(sweep, **axes) for sweep in suites.sweeps(suite))
    elif {"models", "frameworks"} <= axes.keys():
        sweeps = (Sweep(**axes),)
    else:
        raise UserError(
            f"name a suite ({', '.join(suites.NAMES)}), or a --model and a --framework; rigmark run --help shows how"
        )
    return tuple(replace(sweep, timing=replace(sweep.timing, **timing)) for sweep in sweeps)


UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def seconds(name: str, text: str) -> float:
    """Of "90s", "10m", "1.5h"; raises UserError for what is no time."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if match is None or match[2] not in UNITS_S or not float(match[1]):
        raise UserError(f"a {name} is a time as 90s, 10m or 1h, not '{text}'")
    return float(match[1]) * UNITS_S[match[2]]


def _show_plan(plans: Mapping[str, Sequence[Trial]], store: Store) -> None:
    """The trials of each session in order, and how long they may take by what alike trials took before."""
    from rigmark.bench.cli import tell
    from rigmark.bench.runner.progress import duration

    table = store.trials().table
    known = table[table.outcome == "ok"].groupby(["kind", "model", "framework"]).wall_time_s.median().to_dict()
    total_s, guesses, trials = 0.0, 0, [trial for planned in plans.values() for trial in planned]
    for trial in trials:
        before = known.get((trial.kind, trial.case.model, trial.case.framework))
        if before is None:
            guesses += 1
            timing = trial.timing
            before = GUESSED_PROOF_S if timing is None else (
                GUESSED_START_S[timing.start_method] + timing.min_time_s + 1
            )
        total_s += before
        tell(trial.label)
    basis = f"{guesses} of them guessed" if guesses else "by what they took before"
    tell(f"{len(trials)} trials, about {duration(total_s)} ({basis}); what is stored already is skipped")


def _conclude(tally: Tally, results: Path, *, asked_by_name: bool) -> None:
    """What came of it, and the exit code."""
    from rigmark.bench.cli import Exit, say
    from rigmark.bench.enums import PLANNED_GAPS, TIMED, Outcome, TrialKind
    from rigmark.bench.runner.progress import duration

    outcomes = [
        (r.outcome, r.identity.kind, str(r.reason), r.identity.case) for r in tally.stored
    ] + [
        (Outcome(r["outcome"]), r["identity"]["kind"], str(r["reason"]), r["identity"]["case"])
        for r in tally.already_there
    ]
    for outcome, reason, case in dict.fromkeys(
        (outcome, reason, f"{case['model']}/{case['framework']}/{case['mode']}")
        for outcome, _, reason, case in outcomes
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
    say(f"next: rigmark report --results {results}")
    failed = [
        outcome for outcome, kind, *_ in outcomes
        # That a framework tells no layer times is no fault of a case that it can run.
        if outcome is not Outcome.OK
        and (outcome not in PLANNED_GAPS or (asked_by_name and kind != TrialKind.LAYERS))
    ]
    if failed:
        raise typer.Exit(Exit.BAD)
    if not any(o is Outcome.OK and kind in TIMED for o, kind, *_ in outcomes):
        raise typer.Exit(Exit.NOTHING_MEASURED)
