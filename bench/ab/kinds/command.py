"""Any command: two commands, or one command in two git revisions or builds. A turn is one run of it.

Judged is the wall time of the run, the CPU time or the peak memory of all its processes, or a number that it prints.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from rigmark.bench.ab.kinds import Ending, Kind, Turn, TurnFailed
from rigmark.bench.ab.kinds._printed import Metric, google
from rigmark.bench.analysis.comparison.numbers import Quantity
from rigmark.bench.builds import revisions
from rigmark.bench.builds.build import Build
from rigmark.bench.builds.revisions import Revision
from rigmark.bench.document.language import tr
from rigmark.bench.errors import UserError
from rigmark.bench.host import secrets
from rigmark.bench.host.workfolder import working_folder
from rigmark.bench.machine import hardware
from rigmark.bench.processes.commands import Command, Commands, Ran, found
from rigmark.bench.processes.installed import is_python, packages
from rigmark.bench.store.record import BASE, NEW, SIDES

SHELL_ONLY = frozenset({"|", "||", "&", "&&", ";", "<", ">", ">>", "2>", "2>&1"})
KEPT_BYTES = 64 * 2**20      # of an output in which a number is searched
OWN_ENVIRONMENTS = (".venv", "venv")     # that a build command may make in a checkout
LONGEST_BUILD_S = 24 * 3600.0


class What(StrEnum):
    """What of a command is judged, if not a number that it prints."""

    WALL = "wall time"
    CPU = "CPU time"
    MEMORY = "peak memory"


UNITS = {What.WALL: "s", What.CPU: "s", What.MEMORY: "B"}


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side as the user named it."""

    name: str
    argv: tuple[str, ...]
    revision: Revision | None = None     # whose checkout it runs in; None: the current folder
    build: Build | None = None           # whose Python and variables it gets; None: those of the user


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the command line said, beside the sides."""

    what: What = What.WALL
    metric: Metric | None = None         # instead of ``what``
    is_google: bool = False              # it is a Google Benchmark program, each of whose benchmarks is a case
    is_higher_better: bool = False
    margin: float | None = None
    same_output: bool = False
    timeout_s: float = 600.0
    build_command: str | None = None
    cpus: tuple[int, ...] = ()           # the cores that every run is limited to


class CommandContest(Kind):
    """A contest of commands."""

    def __init__(self, base: Side, new: Side, settings: Settings, folder: Path, tell: Callable[[str], None]):
        self._sides, self._settings, self._folder, self._tell = {BASE: base, NEW: new}, settings, folder, tell
        self._ready: dict[str, Command] = {}
        self._first_output: str | None = None
        self._left_behind, self._floor_bytes, self._peaks = 0, 0, dict.fromkeys(SIDES, 0)

    @property
    def label(self) -> str:
        base, new = (self._sides[side].argv for side in SIDES)
        return secrets.hidden(shlex.join(base)) if base == new else self._quantity.name

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        with (
            working_folder() as folder, Commands(self._settings.cpus) as self._commands,
            contextlib.ExitStack() as stack,
        ):
            for number, (name, side) in enumerate(self._sides.items()):
                # Paths of equal length: that of the folder alone can change the time of a program.
                self._ready[name] = self._made_ready(name, side, folder / str(number), stack)
            yield

    def _made_ready(self, name: str, side: Side, checkout: Path, stack: contextlib.ExitStack) -> Command:
        cwd = self._folder
        environment = in_build(os.environ, side.build)
        if side.revision is not None:
            stack.enter_context(revisions.worktree(side.revision, checkout))
            cwd = checkout / self._folder.resolve().relative_to(side.revision.root.resolve())
            if not cwd.is_dir():
                raise UserError(f"the current folder {self._folder} is not in {side.name}")
            if self._settings.build_command is not None:
                self._tell(f"building {side.name}")
                shell = found(("sh", "-c", self._settings.build_command), cwd, environment)
                built = self._commands.run(shell, timeout_s=LONGEST_BUILD_S)
                if built.exit_code or built.cannot_start:
                    raise TurnFailed(
                        Ending.BUILD_BROKEN,
                        f"{name}: --build-command ended with {_code(built.exit_code)} in {side.name}", built.last_words,
                    )
            environment = in_own_environment(environment, cwd)
        argv = side.argv
        if side.build is not None and argv[0] in ("python", "python3"):
            argv = (side.build.interpreter, *argv[1:])
        return found(argv, cwd, environment)

    def units(self) -> Sequence[str]:
        return [self.label]

    def turn(self, unit: str, side: str) -> Turn:
        settings = self._settings
        ran = self._commands.run(
            self._ready[side], timeout_s=settings.timeout_s, keep_bytes=KEPT_BYTES if self._reads else 0,
            has_digest=settings.same_output, samples_memory=not self._reads and settings.what is What.MEMORY,
        )
        self._check(ran, side)
        self._left_behind += ran.left_behind
        self._floor_bytes = max(self._floor_bytes, ran.floor_bytes)
        self._peaks[side] = max(self._peaks[side], ran.peak_memory_bytes)
        is_wall = not self._reads and settings.what is What.WALL
        return Turn(
            numbers=self._numbers(ran), wall_time_s=ran.wall_time_s, cpu_time_s=ran.cpu_time_s if is_wall else None,
            facts={
                "cpu_time_of_all_s": ran.cpu_time_s, "largest_process_bytes": ran.largest_process_bytes,
                "group_bytes": ran.group_bytes, "left_behind": ran.left_behind,
                "switches": ran.switches, "stdout_bytes": ran.stdout_bytes,
            },
        )

    def _check(self, ran: Ran, side: str) -> None:
        """Raises TurnFailed if a run is no turn."""
        if ran.cannot_start is not None:
            raise TurnFailed(Ending.CRASHED, f"the system cannot start it: {ran.cannot_start}")
        if ran.is_late:
            raise TurnFailed(
                Ending.TIMEOUT, f"killed after {self._settings.timeout_s:g} s; --timeout allows more", ran.last_words
            )
        if ran.exit_code:
            raise TurnFailed(Ending.CRASHED, f"it ended with {_code(ran.exit_code)}", ran.last_words)
        if self._settings.same_output:
            if self._first_output is None and side == BASE:
                self._first_output = ran.digest
            elif self._first_output is not None and ran.digest != self._first_output:
                raise TurnFailed(
                    Ending.OTHER_OUTPUT,
                    "it did not print the same as the first turn of the base, as --same-output asks", ran.last_words,
                )

    @property
    def _reads(self) -> bool:
        """Whether numbers come from what is printed."""
        return self._settings.is_google or self._settings.metric is not None

    def _numbers(self, ran: Ran) -> dict[str, float]:
        if not self._reads:
            used = {
                What.WALL: ran.wall_time_s, What.CPU: ran.cpu_time_s, What.MEMORY: float(ran.peak_memory_bytes),
            }
            return {self.label: used[self._settings.what]}
        if ran.stdout_bytes > KEPT_BYTES:
            raise TurnFailed(
                Ending.NO_NUMBER, f"it printed {ran.stdout_bytes / 2**20:.0f} MiB, and a number is searched in "
                f"{KEPT_BYTES / 2**20:.0f} MiB at the most; have it print less", ran.last_words,
            )
        stdout, stderr = (text.decode(errors="replace") for text in (ran.stdout, ran.stderr))
        try:
            if self._settings.metric is None:
                return google(stdout, cpu=self._settings.what is What.CPU)
            return {self.label: self._settings.metric.number(stdout, stderr)}
        except TurnFailed as failed:
            raise TurnFailed(failed.outcome, failed.reason, ran.last_words) from None

    @property
    def _quantity(self) -> Quantity:
        metric, what = self._settings.metric, self._settings.what
        if self._settings.is_google:
            return Quantity(name=f"{what} per iteration", unit="s")
        return Quantity(
            name=what.value if metric is None else metric.name, unit=UNITS[what] if metric is None else "",
            is_higher_better=self._settings.is_higher_better, margin=self._settings.margin,
        )

    def quantity(self, case: str) -> Quantity:
        return self._quantity

    def plain(self) -> dict[str, Any]:
        settings, quantity = self._settings, self._quantity
        return {
            "kind": "command", "label": self.label,
            "quantity": {"name": quantity.name, "unit": quantity.unit, "is_higher_better": quantity.is_higher_better,
                         "margin": quantity.margin},
            "take": settings.metric and settings.metric.take, "is_google": settings.is_google,
            "same_output": settings.same_output,
            "timeout_s": settings.timeout_s,
            "build_command": None if settings.build_command is None else secrets.hidden(settings.build_command),
            "cpus": list(settings.cpus),
            **{name: self._plain_side(name, side) for name, side in self._sides.items()},
        }

    def _plain_side(self, name: str, side: Side) -> dict[str, Any]:
        ready = self._ready.get(name)
        return {
            "name": secrets.hidden(side.name), "command": secrets.hidden(shlex.join(side.argv)),
            "program": ready and ready.path,
            "folder": str(ready.cwd if ready else self._folder), "commit": side.revision and side.revision.commit,
            "build": side.build and side.build.name, "interpreter": side.build and side.build.interpreter,
            "variables": hardware.variables(ready.environment) if ready else {},
            "packages": packages(ready.path, ready.cwd, ready.environment) if ready and is_python(ready.path) else None,
        }

    def doubts(self, case: str) -> tuple[str, ...]:
        doubts = []
        if self._left_behind:
            doubts.append(f"processes that it had started still ran {self._left_behind} times when it ended; they were "
                          "killed, and their work is not in its time")
        if self._settings.what is What.MEMORY and min(self._peaks.values()) <= self._floor_bytes:
            doubts.append(f"less than {self._floor_bytes / 2**20:.0f} MiB of memory cannot be seen")
        return tuple(doubts)

    def notes(self) -> tuple[str, ...]:
        changed = [
            side.name for side in self._sides.values() if side.revision and revisions.is_changed(side.revision)
        ]
        method = tr(
            "Peak memory is that of the largest process of a run, or of all its processes together in samples every "
            "10 ms, if that is more."
        ) if not self._reads and self._settings.what is What.MEMORY else ""
        said = tr(
            "Changes in the repository that are not committed were not measured: {sides}.", sides=", ".join(changed)
        ) if changed else ""
        return tuple(filter(None, (method, said)))


KIND = CommandContest


def parsed(option: str, text: str) -> tuple[str, ...]:
    """The words of a command that was given as one text; raises UserError if it means nothing without a shell."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise UserError(f"{option} '{text}' is no command: {error}") from None
    if not words:
        raise UserError(f"{option} is empty; it takes a command")
    for word in words:
        if word in SHELL_ONLY:
            raise UserError(f"no shell runs {option}, so '{word}' means nothing in it; write sh -c '...' for a shell")
    return words


def in_build(variables: Mapping[str, str], build: Build | None) -> dict[str, str]:
    """The variables of a command in a build: its programs come first, then those of the user."""
    if build is None:
        return dict(variables)
    programs = str(Path(build.interpreter).parent)
    return {**_first_in_path(variables, programs), **build.variables}


def in_own_environment(variables: Mapping[str, str], cwd: Path) -> dict[str, str]:
    """The variables in a checkout whose build made a virtual environment there."""
    for name in OWN_ENVIRONMENTS:
        if (cwd / name / "bin" / "python").exists():
            return {**_first_in_path(variables, str(cwd / name / "bin")), "VIRTUAL_ENV": str(cwd / name)}
    return dict(variables)


def _first_in_path(variables: Mapping[str, str], folder: str) -> dict[str, str]:
    return {**variables, "PATH": os.pathsep.join([folder, variables.get("PATH", os.defpath)])}


def _code(exit_code: int) -> str:
    return f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
