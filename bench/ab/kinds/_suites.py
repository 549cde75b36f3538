"""What contests of benchmark suites share, whoever finds and times the benchmarks.

A pair is a new process on each side, in which both take turns. So what differs between processes (layout of memory,
hash seeds) is in the spread between pairs, and what drifts hits both sides alike.
"""

from __future__ import annotations

import contextlib
import os
import re
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rigmark.bench.ab.kinds import Ending, Kind, Turn, TurnFailed, TurnSkipped
from rigmark.bench.ab.kinds.command import LONGEST_BUILD_S, _code, _first_in_path
from rigmark.bench.analysis.comparison.numbers import Quantity
from rigmark.bench.builds import environments, revisions
from rigmark.bench.builds.build import Build
from rigmark.bench.builds.revisions import Revision
from rigmark.bench.builds.variables import NOT_LENT
from rigmark.bench.document.language import tr
from rigmark.bench.errors import UserError
from rigmark.bench.host import files, secrets
from rigmark.bench.host.workfolder import working_folder
from rigmark.bench.processes import suites
from rigmark.bench.processes.commands import Command, Commands, found
from rigmark.bench.processes.installed import packages
from rigmark.bench.processes.suites import Ended, SuiteProcess
from rigmark.bench.store.record import BASE, NEW, SIDES

PIP = ("python", "-m", "pip", "install", "--disable-pip-version-check")
INSTALL = "python -m pip install --disable-pip-version-check --no-deps ."


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A suite as its files describe it, as far as it counts for every kind of suite."""

    benchmarks: Path                     # the folder, or a file
    repository: Path | None              # None: it is elsewhere
    subfolder: str = ""                  # of the repository, where the project is
    requirements: tuple[str, ...] = ()   # for pip
    variables: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side as the user named it."""

    name: str
    build: Build                         # which the benchmarks run in, or on top of whose packages a revision is built
    revision: Revision | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    bench: str | None = None             # a regular expression; None: all benchmarks
    build_command: str = INSTALL
    timeout_s: float = 600.0
    cpus: tuple[int, ...] = ()


@dataclass
class Ready:
    """A side whose benchmarks can be run."""

    interpreter: str
    environment: dict[str, str]
    folder: Path                         # of its own, where it may write
    checkout: Path | None = None         # of its revision
    benchmarks: dict[str, Any] = field(default_factory=dict)                 # by label
    skipped: set[str] = field(default_factory=set)
    broken: dict[str, str] = field(default_factory=dict)                     # modules that cannot be imported, and why


@dataclass(frozen=True, kw_only=True)
class Finds:
    """The benchmarks of a side by label, those of them that the suite skips, and the modules that cannot be imported.
    """

    benchmarks: Mapping[str, Any]
    skipped: frozenset[str] = frozenset()
    broken: Mapping[str, str] = field(default_factory=dict)


class SuiteContest(Kind):
    """A contest of the benchmarks of a suite."""

    KIND: str                            # as the option that takes the suite
    LABEL: str                           # of the suite, for people

    def __init__(
        self, suite: Suite, base: Side, new: Side, settings: Settings, tell: Callable[[str], None]
    ):
        self._of, self._sides, self._settings, self._tell = suite, {BASE: base, NEW: new}, settings, tell
        self._ready: dict[str, Ready] = {}
        self._live: dict[str, SuiteProcess] = {}
        self._numbers: dict[str, Any] = {}       # how often a benchmark is called in a turn
        self._skipped: dict[str, str] = {}       # and where
        self._beside: dict[str, str] = {}        # modules that cannot be imported, and that --bench does not name
        self._not_from_revision: list[str] = []

    # What a kind of suite says ---------------------------------------------------------------------------------------

    def _prepare(self, folder: Path) -> None:
        """What both sides need, before they are made ready."""

    def _settle(self, name: str) -> None:
        """What a side needs before its benchmarks are found."""

    @abstractmethod
    def _server(self, name: str, benchmark: Any | None) -> tuple[Path, tuple[str, ...], Path]:
        """The script that runs a benchmark of a side, or finds all, its words, and the folder in which it runs."""

    @abstractmethod
    def _understood(self, told: Mapping[str, Any]) -> Finds:
        """What the server of a side has found."""

    @abstractmethod
    def _request(self, unit: str, benchmark: Any, side: str) -> dict[str, Any]:
        """What the server is told to load a benchmark; "number" is added."""

    @property
    def _end_s(self) -> float:
        """How long the end of a benchmark may take."""
        return suites.END_S

    def _timeout_s(self, benchmark: Any) -> float:
        return self._settings.timeout_s

    def _ended(self, side: str, answer: Mapping[str, Any]) -> None:
        """Judges what a process answered to its end, after a pair of turns; may raise TurnFailed."""

    # Made ready ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        with working_folder() as folder, Commands(self._settings.cpus) as commands, contextlib.ExitStack() as stack:
            self._prepare(folder)
            for number, (name, side) in enumerate(self._sides.items()):
                # Paths of equal length: that of the folder alone can change the time of a program.
                own = folder / str(number)
                (own / "caches").mkdir(parents=True)
                self._ready[name] = self._made_ready(name, side, own, commands, stack)
                self._settle(name)
                self._find(name)
            for label in sorted(self._ready[BASE].skipped & self._ready[NEW].skipped):
                self._skipped[label] = f"{BASE}, {NEW}"
            if not self._common():
                only = [name for name in SIDES if self.only(name)]
                raise UserError(
                    f"no benchmark in {files.shown(self._of.benchmarks)} "
                    + ("is in both sides" if only else "can be measured" if self._settings.bench is None
                       else f"matches --bench '{self._settings.bench}'")
                    + (f"; it cannot be imported: {self._unread()}" if self._beside else "")
                )
            yield

    def _made_ready(
        self, name: str, side: Side, folder: Path, commands: Commands, stack: contextlib.ExitStack
    ) -> Ready:
        variables = {
            **{key: value for key, value in os.environ.items() if key not in NOT_LENT}, **side.build.variables,
            **self._of.variables,
        }
        if side.revision is None:
            programs = str(Path(side.build.interpreter).parent)
            return Ready(
                interpreter=side.build.interpreter, environment=_first_in_path(variables, programs), folder=folder
            )
        own, checkout = folder / "environment", folder / "source"
        stack.enter_context(revisions.worktree(side.revision, checkout))
        project = checkout / self._of.subfolder
        if not project.is_dir():
            raise UserError(f"there is no folder {self._of.subfolder} in {side.name}")

        def step(command: Command, what: str) -> None:
            ran = commands.run(command, timeout_s=LONGEST_BUILD_S)
            if ran.exit_code or ran.cannot_start:
                raise TurnFailed(
                    Ending.BUILD_BROKEN, f"{name}: {what} ended with {_code(ran.exit_code)} in {side.name}",
                    ran.cannot_start or ran.last_words,
                )

        self._tell(f"building {side.name}")
        step(found((side.build.interpreter, "-m", "venv", "--without-pip", str(own)), project, variables), "venv")
        (packages,) = (own / "lib").glob("python*/site-packages")
        (packages / environments.OVER).write_text(
            "".join(f"{each}\n" for each in revisions.package_folders(side.build)), encoding="utf-8"
        )
        environment = {**_first_in_path(variables, str(own / "bin")), "VIRTUAL_ENV": str(own)}
        if self._of.requirements:
            step(found((*PIP, *self._of.requirements), project, environment), "installing the matrix")
        step(found(("sh", "-c", self._settings.build_command), project, environment), "--build-command")
        return Ready(
            interpreter=str(own / "bin" / "python"), environment=environment, folder=folder, checkout=checkout
        )

    def _started(self, name: str, benchmark: Any | None) -> SuiteProcess:
        side = self._ready[name]
        server, words, cwd = self._server(name, benchmark)
        try:
            return SuiteProcess(
                side.interpreter, side.environment, cwd, server, words, stderr=side.folder / "stderr",
                cpus=self._settings.cpus,
            )
        except Ended as ended:
            raise TurnFailed(Ending.CRASHED, str(ended)) from None

    def _find(self, name: str) -> None:
        """Has the server of a side find its benchmarks."""
        ready, side = self._ready[name], self._sides[name]
        process = self._started(name, None)
        try:
            told = asked(process, "find", self._settings.timeout_s)
        except TurnFailed as failed:
            raise TurnFailed(
                Ending.CRASHED, f"{name}: the benchmarks cannot be imported in {side.name}: {failed}", failed.last_words
            ) from None
        finally:
            process.close()
        self._check_origin(name, told["files"])
        finds = self._understood(told)
        for module, error in finds.broken.items():
            if self._is_wanted(module):
                ready.broken[f"{module} (cannot be imported)"] = error
            else:
                self._beside[f"{module} in {name}"] = error
        ready.benchmarks = {label: each for label, each in finds.benchmarks.items() if self._is_wanted(label)}
        ready.skipped = {label for label in finds.skipped if self._is_wanted(label)}

    def _is_wanted(self, label: str) -> bool:
        return self._settings.bench is None or re.search(self._settings.bench, label) is not None

    def _check_origin(self, name: str, imported: Mapping[str, str]) -> None:
        """Raises TurnFailed if a revision's benchmarks use the project of the user's checkout."""
        revision = self._sides[name].revision
        if revision is None:
            return
        root, suite, own = (
            path.resolve() for path in (revision.root, self._of.benchmarks, self._ready[name].folder)
        )
        for module, file in imported.items():
            path = Path(file).resolve()
            if (
                path.is_relative_to(root) and not path.is_relative_to(suite) and not path.is_relative_to(own)
                and "site-packages" not in path.parts
            ):
                raise TurnFailed(
                    Ending.BUILD_BROKEN, f"{name}: its benchmarks import {module} from {path}, not from "
                    f"{self._sides[name].name}; --build-command must install it, in the environment that is active",
                )
        if not any(self._is_of_revision(self._ready[name], Path(file).resolve()) for file in imported.values()):
            self._not_from_revision.append(self._sides[name].name)

    def _is_of_revision(self, ready: Ready, file: Path) -> bool:
        """Whether a module that was imported is one of the revision, not of the suite."""
        return file.is_relative_to(ready.folder.resolve())

    def _unread(self) -> str:
        return ", ".join(f"{module} ({where})" for module, where in sorted(self._beside.items()))

    def _common(self) -> list[str]:
        base, new = self._ready[BASE], self._ready[NEW]
        return [*(label for label in base.benchmarks if label in new.benchmarks), *{**base.broken, **new.broken}]

    # Turns -----------------------------------------------------------------------------------------------------------

    def units(self) -> Sequence[str]:
        return self._common()

    def only(self, side: str) -> Sequence[str]:
        other = NEW if side == BASE else BASE
        if len(self._ready) < len(SIDES):
            return []
        return [
            label for label in self._ready[side].benchmarks
            if label not in self._ready[other].benchmarks or self._skipped.get(label) == other
        ]

    @contextlib.contextmanager
    def pair(self, unit: str) -> Iterator[None]:
        answers: dict[str, dict[str, Any]] = {}
        try:
            yield
        finally:
            for side, process in self._live.items():
                answers[side] = process.close(self._end_s)
            self._live = {}
        for side, answer in answers.items():
            self._ended(side, answer)

    def turn(self, unit: str, side: str) -> Turn:
        for each in (side, *SIDES):
            if unit in self._ready[each].broken:
                raise TurnFailed(Ending.CRASHED, f"not a benchmark of it can be found in {each}",
                                 self._ready[each].broken[unit])
        try:
            told = self._taken(unit, side)
        except TurnSkipped:
            self._skipped[unit] = f"{BASE}, {NEW}" if self._is_skipped(unit, NEW if side == BASE else BASE) else side
            raise
        if told["value"] is None:
            raise TurnFailed(Ending.NO_NUMBER, "it returned no finite number")
        return Turn(
            numbers={unit: told["value"]}, wall_time_s=told["wall_time_s"], cpu_time_s=told.get("cpu_time_s"),
            facts={"calls": self._numbers[unit]},
        )

    def _taken(self, unit: str, side: str) -> dict[str, Any]:
        """What the process of a side answers to a turn, which is started if this is the first of the pair.

        Both sides call a benchmark equally often in a turn.
        """
        benchmark = self._ready[side].benchmarks[unit]
        timeout_s = self._timeout_s(benchmark)
        if side not in self._live:
            request = self._request(unit, benchmark, side)
            self._live[side] = self._started(side, benchmark)
            told = asked(self._live[side], "load", timeout_s, number=self._numbers.get(unit), **request)
            self._numbers.setdefault(unit, told["number"])
        return asked(self._live[side], "turn", timeout_s)

    def _is_skipped(self, unit: str, side: str) -> bool:
        """Whether this side skips what the other did."""
        try:
            self._taken(unit, side)
        except TurnSkipped:
            return True
        except TurnFailed:
            pass
        return False

    # What is said ----------------------------------------------------------------------------------------------------

    @abstractmethod
    def _usual_quantity(self) -> Quantity:
        """What most benchmarks of such suites measure."""

    def plain(self) -> dict[str, Any]:
        settings, names = self._settings, self._common() if len(self._ready) == len(SIDES) else []
        return {
            "kind": self.KIND, "label": f"{self.LABEL} in {files.shown(self._of.benchmarks)}",
            "quantity": _plain_quantity(self._usual_quantity()),
            "quantities": {
                name: _plain_quantity(self.quantity(name)) for name in names if name in self._ready[BASE].benchmarks
            },
            "only": {side: list(self.only(side)) for side in SIDES} if names else {},
            "skipped": dict(self._skipped), "bench": settings.bench, "timeout_s": settings.timeout_s,
            "build_command": secrets.hidden(settings.build_command), "requirements": list(self._of.requirements),
            "cpus": list(settings.cpus),
            **{name: self._plain_side(name, side) for name, side in self._sides.items()},
        }

    def _plain_side(self, name: str, side: Side) -> dict[str, Any]:
        ready = self._ready.get(name)
        interpreter = ready.interpreter if ready else side.build.interpreter
        return {
            "name": secrets.hidden(side.name), "command": interpreter, "interpreter": interpreter,
            "commit": side.revision and side.revision.commit, "build": side.build.name,
            "folder": str(self._of.benchmarks),
            "packages": packages(interpreter, self._of.benchmarks, os.environ) if ready else None,
        }

    def notes(self) -> tuple[str, ...]:
        said = [*self._of.notes]
        if self._beside:
            said.append(tr("Not measured, since they cannot be imported: {modules}.", modules=self._unread()))
        if self._skipped:
            said.append(tr("The suite itself skips {cases}.", cases=", ".join(
                f"{label} ({sides})" for label, sides in sorted(self._skipped.items())
            )))
        if self._not_from_revision:
            said.append(tr("No module that the benchmarks import at the top was installed for {sides}; check that both "
                           "sides do not use the same project.", sides=", ".join(self._not_from_revision)))
        changed = [side.name for side in self._sides.values() if side.revision and revisions.is_changed(side.revision)]
        if changed:
            said.append(tr("The benchmarks are those of the checkout as it is; other changes that are not committed "
                           "were not measured."))
        return tuple(said)


def asked(process: SuiteProcess, do: str, timeout_s: float, **request: Any) -> dict[str, Any]:
    """The answer of a process; raises TurnFailed or TurnSkipped if it is none."""
    try:
        told = process.ask(do, timeout_s, **request)
    except Ended as ended:
        raise TurnFailed(Ending.TIMEOUT if ended.is_late else Ending.CRASHED, str(ended), ended.last_words) from None
    return checked(told)


def checked(told: dict[str, Any]) -> dict[str, Any]:
    """An answer that is no failure; raises TurnFailed or TurnSkipped for one that is."""
    if "skipped" in told:
        raise TurnSkipped(told["skipped"])
    if "error" in told:
        raise TurnFailed(Ending.CRASHED, "it raised an exception", told["trace"])
    return told


def _plain_quantity(quantity: Quantity) -> dict[str, Any]:
    return {
        "name": quantity.name, "unit": quantity.unit, "is_higher_better": quantity.is_higher_better,
        "margin": quantity.margin,
    }
