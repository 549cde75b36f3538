"""``rigmark ab`` over commands and benchmark suites: from options to a contest."""

from __future__ import annotations

import shlex
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rigmark.bench.cli import _options as options
from rigmark.bench.enums import Clock
from rigmark.bench.errors import UserError, unknown
from rigmark.bench.host.interrupts import Interrupted

if TYPE_CHECKING:
    from rigmark.bench.ab.kinds import Kind
    from rigmark.bench.ab.kinds.command import Side
    from rigmark.bench.analysis.comparison.verdicts import Verdicts
    from rigmark.bench.plan.sweep import Sweep

SEPARATOR = "--"
Words = tuple[str, ...]


def asked_for(
    words: Sequence[str], base_command: str | None, new_command: str | None, names: tuple[str | None, str | None]
) -> tuple[str, tuple[Words, Words] | None]:
    """The suite, or the commands of both sides, that a command line asks for; raises UserError if it is neither."""
    from rigmark.bench.ab.kinds.command import parsed

    told = sys.argv[sys.argv.index(SEPARATOR) + 1:] if SEPARATOR in sys.argv else []
    after = tuple(told) if told and list(words[-len(told):]) == told else ()
    before = words[:len(words) - len(after)]
    if (base_command is None) != (new_command is None):
        lacking = "--base-command" if base_command is None else "--new-command"
        raise UserError(f"two commands are compared; add {lacking}, or write one command for both sides after '--'")
    if base_command is not None and new_command is not None:
        if words:
            raise UserError(f"'{words[0]}' is one thing too many beside --base-command and --new-command; leave it out")
        return "", (parsed("--base-command", base_command), parsed("--new-command", new_command))
    if before and after:
        raise UserError(f"a suite or a command is judged, not both; leave '{before[0]}' out, or what follows '--'")
    if after:
        if None in names:
            lacking = "--base" if names[0] is None else "--new"
            raise UserError(f"one command is compared in two git revisions or builds; add {lacking}")
        return "", (after, after)
    if len(before) != 1:
        wrong = f"not {' '.join(before)}; a command stands after '--'" if before else "name one"
        raise UserError(f"rigmark ab takes one suite, or a command: {wrong}")
    return before[0], None


ABOUT_COMMANDS = "is about commands, and the networks of a suite are measured otherwise; leave it out"
ABOUT_SUITES = "is about suites of networks; leave it out for a command"


def refuse(given: Mapping[str, Any], reason: str) -> None:
    """Raises UserError for an option that was given, and means nothing for what is judged."""
    for name, value in given.items():
        if value is not None and value is not False:
            raise UserError(f"--{name} {reason}")


def decided(
    commands: tuple[Words, Words], names: tuple[str | None, str | None], results: Path, *, what: str,
    metric: tuple[str | None, str | None, str | None], is_google: bool, lower: bool, higher: bool, margin: float | None,
    same_output: bool, warm_ups: int, build_command: str | None, clock: Clock, beneath: str, threads: str | None,
    budget_s: float, timeout_s: float, has_causes: bool,
) -> Verdicts:
    """The verdict on two commands, or one in two revisions or builds; after an interrupt the finished pairs are stored.

    Raises UserError for options that contradict each other or mean nothing.
    """
    from rigmark.bench.ab import kinds
    from rigmark.bench.ab.kinds import _printed
    from rigmark.bench.ab.kinds import command as kind
    from rigmark.bench.cli import say

    if metric[2] is not None and metric[2] not in list(_printed.Take):
        raise unknown("number to take", metric[2], _printed.Take)
    number = _printed.metric(metric[0], metric[1], _printed.Take(metric[2]) if metric[2] else None)
    if is_google and (number is not None or what != "time"):
        raise UserError("--metric-google judges the time of each benchmark; leave --what and other metrics out")
    _check_direction(number is not None, what, clock, lower=lower, higher=higher, margin=margin)
    if warm_ups < 0:
        raise UserError(f"--warm-up must be at least 0, not {warm_ups}")
    sides = _sides(commands, names, beneath)
    if build_command is not None and all(side.revision is None for side in sides):
        raise UserError("--build-command builds git revisions, and no side is one; leave it out")
    settings = kind.Settings(
        what=kind.What.MEMORY if what == "memory" else kind.What.CPU if clock is Clock.CPU else kind.What.WALL,
        metric=number, is_google=is_google, is_higher_better=higher, margin=margin, same_output=same_output,
        timeout_s=timeout_s, build_command=build_command, cpus=_cpus(threads),
    )
    contest = kinds.load("command")(*sides, settings, Path.cwd(), say)       # type: ignore[call-arg]
    return _judged(
        contest, (sides[0].name, sides[1].name), results, budget_s=budget_s, warm_ups=warm_ups,
        has_causes=has_causes,
    )


def of_suite(
    kind: str, path: Path, names: tuple[str | None, str | None], results: Path, *, bench: str | None,
    build_command: str | None, beneath: str, threads: str | None, budget_s: float, timeout_s: float,
    has_causes: bool,
) -> Verdicts:
    """The verdicts on the benchmarks of a suite in two revisions or builds; ``kind`` is a file of bench.ab.kinds.

    Raises UserError for a suite that cannot be read, and for options that mean nothing.
    """
    import re

    from rigmark.bench.ab import contest, kinds
    from rigmark.bench.ab.kinds import _suites
    from rigmark.bench.builds import build as builds
    from rigmark.bench.builds.revisions import Revision
    from rigmark.bench.cli import say

    try:
        re.compile(bench or "")
    except re.error as error:
        raise UserError(f"--bench '{bench}' is no regular expression: {error}") from None
    module = kinds.module(kind)
    suite, known = module.suite(path), builds.load()
    under = builds.find(beneath, known)
    sides = []
    for name, option in zip(names, ("--base", "--new"), strict=True):
        if name is None:
            raise UserError(f"a suite of benchmarks is compared in two git revisions or builds; add {option}")
        meant = contest.named(name, known, suite.repository or Path.cwd())
        if isinstance(meant, Revision):
            module.check_installable(suite)
            sides.append(_suites.Side(name=name, build=under, revision=meant))
        elif isinstance(meant, contest.Side):
            sides.append(_suites.Side(name=name, build=meant.build))
        else:
            raise UserError(_results(option, name, "a suite of benchmarks"))
    if all(side.revision is None for side in sides):
        given = {"build-command": build_command, "beneath": None if beneath == "default" else beneath}
        refuse(given, "is about git revisions, and no side is one; leave it out")
    settings = _suites.Settings(
        bench=bench, build_command=_suites.INSTALL if build_command is None else build_command, timeout_s=timeout_s,
        cpus=_cpus(threads),
    )
    base, new = sides
    return _judged(
        module.KIND(suite, base, new, settings, say), (base.name, new.name), results, budget_s=budget_s, warm_ups=1,
        has_causes=has_causes,
    )


def of_start_up(
    names: tuple[str, str], results: Path, sweeps: Sequence[Sweep], *, beneath: str, packages: Sequence[str],
    suite: str, budget_s: float, timeout_s: float, has_causes: bool,
) -> Verdicts:
    """The verdicts on the start-up of the networks of a suite, in two builds or revisions; raises UserError for names
    that are no such sides."""
    from rigmark.bench.ab import contest as ab
    from rigmark.bench.ab.kinds.start import StartContest
    from rigmark.bench.builds import build as builds
    from rigmark.bench.cli import _networks, say
    from rigmark.bench.store.store import Store

    known = builds.load()
    sides = ab.sides(
        names, known, folder=Path.cwd(), beneath=builds.find(beneath, known), packages=packages, sweeps=sweeps,
        suite=suite, tell=say,
    )
    sweeps, _ = ab.depending(sweeps, sides, suite)
    for name, side, option in zip(names, sides, ("--base", "--new"), strict=True):
        if isinstance(side, Store):
            raise UserError(_results(option, name, "start-up"))
    base, new = (side for side in sides if isinstance(side, ab.Side))
    store = Store(results).create()
    models = [model for sweep in sweeps for model in sweep.models]
    with _networks.bringing(models, None, None, known, store.networks) as networks:
        contest = StartContest(
            base, new, [sweep.shortened for sweep in sweeps], store, networks=networks, suite=suite,
            command=shlex.join(["rigmark", *sys.argv[1:]]), deadline_s=timeout_s,
        )
        with contest.proven():
            return _judged(contest, names, results, budget_s=budget_s, warm_ups=0, has_causes=has_causes)


def _judged(
    contest: Kind, names: tuple[str, str], results: Path, *, budget_s: float, warm_ups: int, has_causes: bool
) -> Verdicts:
    """The verdicts of a contest, which is stored; after an interrupt too."""
    from rigmark.bench.ab.turns import Turns
    from rigmark.bench.host import limits
    from rigmark.bench.machine import hardware, system
    from rigmark.bench.machine.node import node
    from rigmark.bench.runner.progress import BudgetProgress
    from rigmark.bench.store.contests import ContestFile
    from rigmark.bench.store.store import Store

    store, identity = Store(results).create(), uuid.uuid4().hex[:12]
    file = ContestFile(results, identity)
    facts = {
        "command": shlex.join(["rigmark", *sys.argv[1:]]), "machine": hardware.machine().plain(),
        "recorded_at": limits.now().isoformat(timespec="seconds"), "node": node(store.salt).id,
        "system": system.described(), "load_before": hardware.load_average(),
    }
    turns = Turns(
        contest, names=names, seed=identity, budget_s=budget_s, warm_ups=warm_ups,
        store=lambda plain: file.write({**facts, **plain}), has_causes=has_causes,
    )
    try:
        with store.measuring(), BudgetProgress(budget_s) as progress:
            return turns.run(progress.before_pair)
    except Interrupted:
        raise Interrupted(f"finished pairs are stored in {file.path}; the same command starts anew") from None


def _check_direction(
    is_metric: bool, what: str, clock: Clock, *, lower: bool, higher: bool, margin: float | None
) -> None:
    if is_metric:
        if lower == higher:
            raise UserError("nothing says in which direction the number is better; add either --lower or --higher")
        if what != "time" or clock is not Clock.WALL:
            raise UserError("a number that the command prints is judged, or its time or memory; leave one of them out")
        if margin is not None:
            options.above("--margin", margin)
        return
    for name, is_given in (("lower", lower), ("higher", higher), ("margin", margin is not None)):
        if is_given:
            raise UserError(f"--{name} is about a number that the command prints; add --metric, or leave it out")
    if what != "time" and clock is not Clock.WALL:
        raise UserError("--clock is about time, and memory is judged; leave it out")


def _cpus(threads: str | None) -> tuple[int, ...]:
    from rigmark.bench.machine import hardware

    usable = hardware.usable_cpus()
    if threads is None:
        return usable
    if not threads.isdecimal() or not 0 < int(threads) <= len(usable):
        raise UserError(f"--threads of a command is the number of cores that it may use, 1 to {len(usable)}, not "
                        f"'{threads}'")
    return usable[:int(threads)]


def _sides(commands: tuple[Words, Words], names: tuple[str | None, str | None], beneath: str) -> tuple[Side, Side]:
    from rigmark.bench.ab import contest
    from rigmark.bench.ab.kinds import command as kind
    from rigmark.bench.builds import build as builds
    from rigmark.bench.builds.revisions import Revision

    known = builds.load()
    under = None if beneath == "default" else builds.find(beneath, known)
    sides = []
    for argv, name, option in zip(commands, names, ("--base", "--new"), strict=True):
        meant = None if name is None else contest.named(name, known, Path.cwd())
        if name is None:
            sides.append(kind.Side(name=shlex.join(argv), argv=argv, build=under))
        elif isinstance(meant, Revision):
            sides.append(kind.Side(name=name, argv=argv, revision=meant, build=under))
        elif isinstance(meant, contest.Side):
            sides.append(kind.Side(name=name, argv=argv, build=meant.build))
        else:
            raise UserError(_results(option, name, "a command"))
    return sides[0], sides[1]


def _results(option: str, name: str, what: str) -> str:
    return (
        f"{option} {name} is a folder of results, and {what} is measured on both sides; name a git revision or a build"
    )
