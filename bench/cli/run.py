"""``rigmark run``: measures a suite, or a sweep that is declared on the command line."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rigmark.bench.cli import Language, _networks
from rigmark.bench.cli import _options as options
from rigmark.bench.datasets import REAL, SYNTHETIC
from rigmark.bench.enums import StartMethod
from rigmark.bench.errors import UserError
from rigmark.bench.worker import strategies

if TYPE_CHECKING:
    from rigmark.bench.builds.build import Build
    from rigmark.bench.enums import Outcome
    from rigmark.bench.launch.launcher import Launcher
    from rigmark.bench.networks import Networks
    from rigmark.bench.plan.schedule import Trial
    from rigmark.bench.plan.sweep import Sweep
    from rigmark.bench.runner.tally import Tally
    from rigmark.bench.store.store import Store

MOST_TELEMETRY_HZ = 100.0    # no sensor is faster, and more reads would disturb the measurement
LONG_S = 60.0                # if a sweep takes longer, its expected time is shown before it begins
WIDTH = 120                  # of the figures in columns, if stdout is not a terminal


def command(
    suite: Annotated[
        str | None, typer.Argument(help="Name of a suite. Without one, options declare a sweep.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Networks, or files of networks, separated by commas.")
    ] = None,
    microbenchmark: Annotated[
        str | None, typer.Option(help="Micro-benchmarks of the machine, separated by commas: matmul_1024, launch, ...")
    ] = None,
    framework: Annotated[str | None, typer.Option(help="Frameworks, separated by commas.")] = None,
    implementation: Annotated[
        str | None, typer.Option(
            help="Of a network that you bring: usual (both), lowered (Rigmark's own), as_written (yours, as it is).")
    ] = None,
    build: Annotated[str | None, typer.Option(help="Names of builds in builds.toml, separated by commas.")] = None,
    isa: Annotated[
        str | None, typer.Option(help="Highest instruction set to use: sse41, avx2, avx512, native.")
    ] = None,
    compile_mode: Annotated[
        str | None, typer.Option(help="Compile modes: best, default, eager, compiled, xla.")
    ] = None,
    layout: Annotated[str | None, typer.Option(help="Layouts of images: best, default, nchw, channels_last.")] = None,
    precision: Annotated[str | None, typer.Option(help="Precisions: fp32, fp64, ...")] = None,
    mode: Annotated[str | None, typer.Option(help="Modes: inference, training, decode.")] = None,
    loss: Annotated[
        str | None, typer.Option(
            help="Losses of training instead of the networks' own: softmax_cross_entropy, mean_squared_error, "
                 "binary_cross_entropy, value.")
    ] = None,
    optimizer: Annotated[
        str | None, typer.Option(
            help="Optimizers of training instead of the networks' own: sgd, adam, adamw:learning_rate=3e-4, ...")
    ] = None,
    accumulate: Annotated[
        str | None, typer.Option(help="Equal parts of a batch whose gradients are added up for one update: 1, 4, ...")
    ] = None,
    device: Annotated[str | None, typer.Option(help="Devices: cpu, cuda:0, ...")] = None,
    batch: Annotated[
        str | None, typer.Option(help="Samples per step on each device, separated by commas (weak scaling).")
    ] = None,
    world_size: Annotated[
        str | None, typer.Option(help="Numbers of devices that share the work, separated by commas.")
    ] = None,
    strategy: Annotated[
        str | None, typer.Option(help=f"How devices share the work: usual, {', '.join(strategies.NAMES)}.")
    ] = None,
    devices_per_process: Annotated[
        int | None, typer.Option(help="Devices that one process drives. By default the strategy decides.")
    ] = None,
    bucket_mb: Annotated[
        str | None, typer.Option(help="Size of the messages in which gradients are sent, in MB: usual, 1, 25, ...")
    ] = None,
    gradient_compression: Annotated[
        str | None, typer.Option(help="Format in which gradients are sent: none, fp16.")
    ] = None,
    global_batch: Annotated[
        str | None, typer.Option(help="Samples per step on all devices together, separated by commas (strong scaling).")
    ] = None,
    oversubscribe: Annotated[
        bool | None, typer.Option("--oversubscribe", help="Allow more threads than cores; such results are labelled.")
    ] = None,
    prompt_length: Annotated[
        str | None, typer.Option(help="Tokens of each prompt in mode decode, separated by commas.")
    ] = None,
    generated_length: Annotated[
        str | None, typer.Option(help="Tokens that follow each prompt in mode decode, separated by commas.")
    ] = None,
    threads: Annotated[
        str | None, typer.Option(help="CPU threads per device. By default all usable cores, shared among the devices.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help=f"Input: {SYNTHETIC} for pure speed, or real data: {', '.join(REAL)}.")
    ] = None,
    steps_per_timing: Annotated[
        int | None, typer.Option(help="Steps per clock reading: 1 for latency; with more the host may run ahead.")
    ] = None,
    repetitions: Annotated[
        int | None, typer.Option(help="New processes per case; an interval needs at least 6.")
    ] = None,
    min_time: Annotated[float | None, typer.Option(help="Least seconds of timed steps per process.")] = None,
    layers: Annotated[bool | None, typer.Option(help="Also measure a per-layer profile of each case.")] = None,
    start_method: Annotated[
        StartMethod | None, typer.Option(help="How processes start: spawn, or forkserver (faster, CPU only).")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds after which a trial is killed.")] = 600.0,
    budget: Annotated[
        str | None, typer.Option(help="Time for each session: 90s, 10m, 1h. Only repetitions that fit into it begin.")
    ] = None,
    results: Annotated[Path, typer.Option(help="Results folder.")] = Path("results"),
    session: Annotated[
        str, typer.Option(help="Name of the session; a new name measures everything again.")
    ] = "1",
    session_count: Annotated[
        int, typer.Option("--sessions", help="Number of sessions to measure, one after another; see --spread.")
    ] = 1,
    spread: Annotated[
        str | None, typer.Option(help="Time from the start of the first session to that of the last: 90m, 2h.")
    ] = None,
    telemetry: Annotated[
        str | None, typer.Option(help="Reads per second, or off. By default 10 of the host and 20 of GPUs.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Measure again, in a new session.")] = False,
    beyond: Annotated[
        bool, typer.Option("--beyond", help="All options replace the suite's values, even by values that it lacks.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what is stored, what would be measured, and how long it takes.")
    ] = False,
    pin: _networks.Pin = None,
    shape: _networks.Shape = None,
    carry: _networks.Carry = None,
    lang: Language = "en",
) -> None:
    """Measure a suite or a sweep, and store one record per trial. Trials that are stored already are not repeated.

    With a suite, an option selects those of the suite's cases that have its values, except that --build, --device,
    --threads and the options of timing replace the suite's values. With --beyond all options replace them. If it is
    started by torchrun, mpirun or srun, it measures process groups across all the machines that they start it on.

    Examples:

    rigmark run quick

    rigmark run --model mlp,resnet18 --framework torch,numpy --mode inference --batch 1,8

    rigmark run --model resnet18 --framework torch,tensorflow --isa sse41,avx2,native

    rigmark run --model resnet18 --framework torch,jax --mode training --world-size 1,2 --batch 4 --global-batch 8

    rigmark run --model path/to/net.onnx --framework torch,jax --mode inference --batch 1

    rigmark run --model gpt2 --framework torch,jax --mode decode --batch 1 --prompt-length 128 --generated-length 32

    rigmark run quick --repetitions 4 --sessions 5 --spread 2h

    rigmark run quick --budget 5m
    """
    given = dict(locals())
    from rigmark.bench.builds import build as builds
    from rigmark.bench.launch import agents
    from rigmark.bench.machine import hardware
    from rigmark.bench.plan import selection, sessions
    from rigmark.bench.plan.axes import SWEPT
    from rigmark.bench.plan.schedule import plan
    from rigmark.bench.store.store import Store

    stated = asked_for(given)
    of_suite = {name: values for name, values in stated.items() if SWEPT[name].is_of_suite}
    instead = {name: values for name, values in stated.items() if name not in of_suite}
    places = {name: values for name, values in instead.items() if not SWEPT[name].is_single}
    instead |= {
        name: value for name, value in (("repetitions", repetitions), ("layers", layers)) if value is not None
    }
    asked = None if suite is None else _networks.asked_for(of_suite | places)
    if suite is None or beyond:
        of_suite |= selection.excluded(of_suite)
    if beyond:
        of_suite, instead = {}, instead | of_suite
    options.above("--timeout", timeout, "s")
    options.above("--min-time", 1.0 if min_time is None else min_time, "s")
    apart_s = _apart_s(session_count, spread)
    is_watched, rate_hz = _telemetry(telemetry)
    budget_s = None if budget is None else options.seconds("--budget", budget)
    timing = {
        name: value for name, value in (("min_time_s", min_time), ("start_method", start_method)) if value is not None
    }
    sweeps = declared(suite, of_suite, timing, instead=instead)
    known_builds = _known_builds(sweeps)
    here = agents.member(os.environ)
    if here is not None and here.rank > 0:
        agents.serve(here)
        return
    store = Store(results)
    if again:
        session = sessions.unused(store.trials().table)
    with contextlib.ExitStack() as launched:
        networks = launched.enter_context(_networks.bringing(
            [model for sweep in sweeps for model in sweep.models], pin, shape, known_builds,
            store.networks if store.networks.exists() or not dry_run else None, carry,
        ))
        others = None
        if here is not None:
            if start_method not in (None, StartMethod.SPAWN):
                raise UserError(
                    f"ranks started by {here.launcher} can only spawn their workers; leave --start-method out"
                )
            sweeps = [replace(each, timing=replace(each.timing, start_method=StartMethod.SPAWN)) for each in sweeps]
            others = launched.enter_context(agents.Agents(here))
        world_cores = None if others is None else others.cores
        plans = {
            name: [
                replace(trial, case=builds.with_isa_of_build(trial.case, known_builds)) for trial in
                plan([each.shortened for each in sweeps], cores=len(hardware.usable_cpus()), seed=name,
                     world_cores=world_cores, limited_builds=builds.limited_builds(known_builds),
                     originals=networks.originals)
            ] for name in sessions.names(session, session_count)
        }
        _check_files(plans, networks)
        if dry_run:
            _show_plan(plans, store, known_builds, others, networks)
            return
        tally = _measure(
            plans, store, known_builds, apart_s, budget_s, suite=suite or "adhoc", deadline_s=timeout, launcher=others,
            telemetry=is_watched, telemetry_rate_hz=rate_hz, networks=networks,
        )
    _tell(tally, results)
    _show_measured(tally, store, lang)
    _conclude(tally, asked, are_originals_asked=implementation is not None)


def _known_builds(sweeps: Sequence[Sweep]) -> dict[str, Build]:
    """All builds by name; raises UnknownName for one of the sweeps that is not among them."""
    from rigmark.bench.builds import build as builds

    known = builds.load()
    for name in {name for sweep in sweeps for name in sweep.builds}:
        builds.find(name, known)
    return known


def _measure(
    plans: Mapping[str, Sequence[Trial]], store: Store, known_builds: dict[str, Build], apart_s: float,
    budget_s: float | None, **settings: Any,
) -> Tally:
    """Runs the trials of each session, which are given by its name; ``settings`` are those of the Runner.

    ``apart_s`` is the time from the start of one session to that of the next, in seconds, and ``budget_s`` the time
    for each (None: as long as it takes). After an interrupt the finished trials are stored.
    """
    from rigmark.bench.cli import keeping, say
    from rigmark.bench.plan import sessions
    from rigmark.bench.runner.progress import TerminalProgress, duration
    from rigmark.bench.runner.runner import Runner
    from rigmark.bench.runner.tally import Tally

    line = shlex.join(["rigmark", *sys.argv[1:]])
    tally, previous = Tally(), None
    store.create()
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
                tally += runner.run(trials, progress, budget_s=budget_s)
    return tally


def more_help() -> str:
    """The suites, with the expected time of each on this machine."""
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

    head = "Suites, with their trials and expected time on this machine (large networks take longer than estimated):"
    return "\n\n".join([head, *map(line, suites.NAMES)])


def _apart_s(session_count: int, spread: str | None) -> float:
    """The seconds from the start of one session to that of the next; 0 if they follow each other directly."""
    if session_count < 1:
        raise UserError(f"--sessions must be at least 1, not {session_count}")
    if spread is not None and session_count == 1:
        raise UserError("--spread needs several sessions; name their number, for example --sessions 5")
    return 0.0 if spread is None else options.seconds("--spread", spread) / (session_count - 1)


def _telemetry(text: str | None) -> tuple[bool, float | None]:
    """(whether telemetry is on, reads per second; None for the usual rate of each source)."""
    if text is None or text == "off":
        return text is None, None
    try:
        rate_hz = float(text)
    except ValueError:
        rate_hz = 0.0
    if not 0 < rate_hz <= MOST_TELEMETRY_HZ:
        raise UserError(f"--telemetry takes off, or up to {MOST_TELEMETRY_HZ:g} reads per second, not '{text}'")
    return True, rate_hz


def asked_for(given: Mapping[str, Any]) -> dict[str, Any]:
    """What options say of a sweep, by its field; ``given`` are the options of a command, those left out None."""
    from rigmark.bench.plan.axes import SWEPT

    stated = ((each, given.get(each.word)) for each in SWEPT.values())
    return {
        each.name: options.values(each, value) if isinstance(value, str) else value
        for each, value in stated if value is not None
    }


def declared(
    suite: str | None, axes: Mapping[str, Any], timing: Mapping[str, Any], *, instead: Mapping[str, Any] | None = None
) -> Sequence[Sweep]:
    """The sweeps of a suite, limited to the values in ``axes``, with the values in ``instead`` in place of the suite's.
    Without a suite, one sweep of both. Raises UserError for a value that is unknown, or that the suite does not have.
    """
    from rigmark import suites
    from rigmark.bench.plan.axes import check
    from rigmark.bench.plan.selection import limited
    from rigmark.bench.plan.sweep import Sweep

    instead = instead or {}
    check({**axes, **instead})
    if suite is not None:
        sweeps = tuple(replace(sweep, **instead) for sweep in limited(suite, suites.sweeps(suite), axes))
    elif "frameworks" in axes and not axes.keys().isdisjoint(("models", "microbenchmarks")):
        sweeps = (Sweep(**axes, **instead),)
    else:
        raise UserError(
            f"name a suite ({', '.join(suites.NAMES)}), or a --model (or --microbenchmark) and a --framework; "
            "rigmark run --help shows how"
        )
    return tuple(replace(sweep, timing=replace(sweep.timing, **timing)) for sweep in sweeps)


def _check_files(plans: Mapping[str, Sequence[Trial]], networks: Networks) -> None:
    """Builds the networks and reads their input, so that a mistake in a file is reported before measuring begins."""
    from rigmark.bench import datasets as data

    cases = {t.case for trials in plans.values() for t in trials if not t.case.is_limit}
    for case in sorted(cases, key=lambda each: (each.model, each.data)):
        graph = networks.of(case).graph
        if case.data != SYNTHETIC:
            data.load(case.data, graph)


def _foretell(trials: Sequence[Trial], store: Store) -> None:
    """Shows how long the trials will take, if that is longer than LONG_S."""
    from rigmark.bench.cli import say
    from rigmark.bench.runner.expectation import expected

    ahead = expected(trials, store.trials().table)
    if ahead.seconds > LONG_S:
        say(f"to measure: {ahead.words}; you may press Ctrl-C at any time, and the same command continues from there")


def _show_plan(
    plans: Mapping[str, Sequence[Trial]], store: Store, known_builds: dict[str, Build], launcher: Launcher | None,
    networks: Networks,
) -> None:
    """Shows the trials of each session in order, which of them are stored, and how long the others may take."""
    from rigmark.bench.cli import tell
    from rigmark.bench.runner.expectation import expected
    from rigmark.bench.runner.runner import Runner

    ahead: list[Trial] = []
    count = 0
    for session, trials in plans.items():
        with Runner(
            store, known_builds, suite="", command="", session=session, launcher=launcher, telemetry=False,
            networks=networks,
        ) as runner:
            for trial in trials:
                is_settled = runner.is_settled(trial)
                tell(f"{'stored   ' if is_settled else 'measure  '}{trial.label}")
                count += is_settled
                ahead += [] if is_settled else [trial]
    there = f"; {count:,} trial{' is' if count == 1 else 's are'} stored already" if count else ""
    tell(f"to measure: {expected(ahead, store.trials().table).words if ahead else 'nothing'}{there}")


def _show_measured(tally: Tally, store: Store, language: str) -> None:
    """Shows the figures of the timed cases, measured now or before, and the command that shows the whole report."""
    from rigmark.bench.cli import show_document
    from rigmark.bench.enums import TIMED
    from rigmark.bench.sections.short import concluded

    ids = [record.key for record in tally.stored if record.identity.kind in TIMED]
    ids += [record.key for record in tally.already_there if record.identity.kind in TIMED]
    if ids:
        command = shlex.join([
            "rigmark", "report", *(["--results", str(store.root)] if store.root != Path("results") else []),
            *(["--lang", language] if language != "en" else []),
        ])
        show_document(concluded(store.trials().table, set(ids), command=command), WIDTH)


def _unmet(
    asked: Mapping[str, Sequence[Any]] | None, gaps: Sequence[Mapping[str, Any]], measured: Sequence[Mapping[str, Any]]
) -> bool:
    """Whether the user explicitly asked for cases that a framework or build cannot run.

    ``asked`` holds the values that the user named, by axis. Of a suite, that is a named value of which nothing could be
    measured; its other gaps are planned. None means a sweep declared by options, of which every case was asked for.
    """
    from rigmark.bench.plan.axes import AXES

    if asked is None:
        return bool(gaps)
    of_case = {axis.swept.name: axis.name for axis in AXES} | {"microbenchmarks": "model"}
    return any(
        any(case.get(of_case[name]) == value for case in gaps)         # which lacks later axes at their defaults
        and not any(case.get(of_case[name]) == value for case in measured)
        for name, values in asked.items() if name in of_case for value in values
    )


def _outcomes(tally: Tally) -> list[tuple[Outcome, str, str, Mapping[str, Any]]]:
    """(outcome, kind, reason, case) of each trial, including those that were stored already."""

    return [
        (r.outcome, r.identity.kind, str(r.reason), r.identity.case) for r in tally.stored
    ] + [
        (r.outcome, r.identity.kind, str(r.reason), r.identity.case.plain())
        for r in tally.already_there
    ]


def _tell(tally: Tally, results: Path) -> None:
    """Shows what failed and why, and how much was measured."""
    from rigmark.bench.cli import say
    from rigmark.bench.document import formatting
    from rigmark.bench.enums import Outcome
    from rigmark.bench.runner.progress import duration

    for outcome, reason, case in dict.fromkeys(
        (outcome, reason, f"{case['model']}/{case['framework']}/{case['mode']}")
        for outcome, _, reason, case in _outcomes(tally)
        if outcome is not Outcome.OK
    ):
        say(f"{outcome}: {case}: {reason}")
    for sentence in tally.anew:
        say(f"rigmark: {sentence}")
    there = len(tally.already_there)
    skipped = f", {there} {'was' if there == 1 else 'were'} stored already" if there else ""
    gave_up = f", {tally.not_started} not started because their case had failed" if tally.not_started else ""
    if tally.beyond_budget:
        say(f"{formatting.count(tally.beyond_budget, 'trial')} of later repetitions did not fit into the budget; the "
            "same command goes on with them")
    measured = f"{formatting.count(len(tally.stored), 'trial')} measured in {duration(tally.wall_time_s)}"
    say(f"{measured}{skipped}{gave_up}; results in {results}")
    if tally.stored and tally.wall_time_s > 0:       # some sandboxes set even the monotonic clock back
        say(f"{tally.stepping_time_s / tally.wall_time_s:.0%} of the time went into warm-up and timed steps")


def _conclude(tally: Tally, asked: Mapping[str, Sequence[Any]] | None, *, are_originals_asked: bool = False) -> None:
    """Ends the command with the right exit code; ``asked`` holds the values that the user named, as in _unmet.

    A network as written that does not run is no failure, unless it was asked for by name.
    """
    from rigmark.bench.cli import Exit
    from rigmark.bench.enums import PLANNED_GAPS, TIMED, Implementation, Outcome, TrialKind

    outcomes = _outcomes(tally)
    failed = [outcome for outcome, *_ in outcomes if outcome is not Outcome.OK and outcome not in PLANNED_GAPS]
    # A framework without layer times is no gap of a case that it can run otherwise.
    gaps = [case for outcome, kind, _, case in outcomes if outcome in PLANNED_GAPS and kind != TrialKind.LAYERS and (
        are_originals_asked or case.get("implementation") != Implementation.AS_WRITTEN)]
    measured = [case for outcome, kind, _, case in outcomes if outcome is Outcome.OK and kind in TIMED]
    if failed or _unmet(asked, gaps, measured):
        raise typer.Exit(Exit.BAD)
    if not measured:
        raise typer.Exit(Exit.NOTHING_MEASURED)
