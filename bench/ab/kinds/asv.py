"""The benchmarks of an asv suite as they are, in two git revisions or builds.

A pair is a new process on each side, in which both take turns; a turn is one sample as asv takes it. So what differs
between processes (layout of memory, hash seeds) is in the spread between pairs, and what drifts hits both sides alike.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
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
from rigmark.bench.history import directions
from rigmark.bench.history.asv_results import CONFIGURATIONS, MOST_CONFIGURATION_BYTES
from rigmark.bench.host import files, secrets
from rigmark.bench.host.workfolder import working_folder
from rigmark.bench.processes.asv_suites import Ended, SuiteProcess, lend
from rigmark.bench.processes.commands import Command, Commands, found
from rigmark.bench.store.record import BASE, NEW, SIDES

PIP = ("python", "-m", "pip", "install", "--disable-pip-version-check")
INSTALL = "python -m pip install --disable-pip-version-check --no-deps ."
INSTALLABLE = frozenset({"", "virtualenv", "uv", "existing", "rigmark"})     # types of environment
MEASURED = {"time": "time per call", "peakmemory": "peak memory", "memory": "memory"}
UNITS = {"seconds": "s", "bytes": "B", "unit": ""}       # asv's names of units


@dataclass(frozen=True, kw_only=True)
class Suite:
    """What asv.conf.json in a folder says, as far as it counts here."""

    root: Path                           # the folder of the configuration
    benchmarks: Path
    repository: Path | None              # None: it is elsewhere
    subfolder: str                       # of the repository, where the project is
    environment_type: str
    requirements: tuple[str, ...]        # for pip
    variables: Mapping[str, str]
    notes: tuple[str, ...]


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


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A benchmark with one combination of its parameters, in one side."""

    name: str
    index: int | None                    # of the combination
    type: str
    unit: str
    timeout_s: float | None
    cache: str | None                    # the key of its setup_cache
    cache_timeout_s: float | None


@dataclass
class Ready:
    """A side whose benchmarks can be run."""

    interpreter: str
    environment: dict[str, str]
    folder: Path
    benchmarks: dict[str, Benchmark] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)
    broken: dict[str, str] = field(default_factory=dict)                     # modules that cannot be imported, and why
    caches: dict[str, TurnFailed | None] = field(default_factory=dict)       # those that were made, or failed


class AsvContest(Kind):
    """A contest of the benchmarks of an asv suite."""

    def __init__(
        self, suite: Suite, base: Side, new: Side, settings: Settings, tell: Callable[[str], None]
    ):
        self._suite, self._sides, self._settings, self._tell = suite, {BASE: base, NEW: new}, settings, tell
        self._ready: dict[str, Ready] = {}
        self._live: dict[str, SuiteProcess] = {}
        self._numbers: dict[str, int] = {}
        self._skipped: dict[str, str] = {}       # and where
        self._beside: dict[str, str] = {}        # modules that cannot be imported, and that --bench does not name
        self._not_from_revision: list[str] = []

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        with working_folder() as folder, Commands(self._settings.cpus) as commands, contextlib.ExitStack() as stack:
            # Each as light as it can be, since what is imported counts in the peak memory of a benchmark.
            self._packages = {heavy: lend(folder / f"lent{heavy:d}", for_memory=heavy) for heavy in (False, True)}
            for number, (name, side) in enumerate(self._sides.items()):
                # Paths of equal length: that of the folder alone can change the time of a program.
                own = folder / str(number)
                (own / "caches").mkdir(parents=True)
                self._ready[name] = self._made_ready(name, side, own, commands, stack)
                self._find(name)
            for label in sorted(self._ready[BASE].skipped & self._ready[NEW].skipped):
                self._skipped[label] = f"{BASE}, {NEW}"
            if not self._common():
                only = [name for name in SIDES if self.only(name)]
                raise UserError(
                    f"no benchmark in {files.shown(self._suite.benchmarks)} "
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
            **self._suite.variables,
        }
        if side.revision is None:
            programs = str(Path(side.build.interpreter).parent)
            return Ready(
                interpreter=side.build.interpreter, environment=_first_in_path(variables, programs), folder=folder
            )
        own, checkout = folder / "environment", folder / "source"
        stack.enter_context(revisions.worktree(side.revision, checkout))
        project = checkout / self._suite.subfolder
        if not project.is_dir():
            raise UserError(f"there is no folder {self._suite.subfolder} in {side.name}, as repo_subdir says")

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
        if self._suite.requirements:
            step(found((*PIP, *self._suite.requirements), project, environment), "installing the matrix")
        step(found(("sh", "-c", self._settings.build_command), project, environment), "--build-command")
        return Ready(interpreter=str(own / "bin" / "python"), environment=environment, folder=folder)

    def _started(self, name: str, cwd: Path, *, for_memory: bool) -> SuiteProcess:
        side = self._ready[name]
        cwd.mkdir(exist_ok=True)
        try:
            return SuiteProcess(
                side.interpreter, side.environment, cwd, packages=self._packages[for_memory],
                suite=self._suite.benchmarks, cpus=self._settings.cpus,
            )
        except Ended as ended:
            raise TurnFailed(Ending.CRASHED, str(ended)) from None

    def _find(self, name: str) -> None:
        """Has asv_runner find the benchmarks of a side."""
        ready, side = self._ready[name], self._sides[name]
        process = self._started(name, ready.folder / "caches" / "find", for_memory=True)
        try:
            told = _asked(process, "find", self._settings.timeout_s)
        except TurnFailed as failed:
            raise TurnFailed(
                Ending.CRASHED, f"{name}: the benchmarks cannot be imported in {side.name}: {failed}", failed.last_words
            ) from None
        finally:
            process.close()
        self._check_origin(name, told["files"])
        for module, error in told["broken"].items():
            short = module.partition(".")[2]
            if self._settings.bench is None or re.search(self._settings.bench, short):
                ready.broken[f"{short} (cannot be imported)"] = error
            else:
                self._beside[f"{short} in {name}"] = error
        for each in told["benchmarks"]:
            for label, benchmark, is_skipped in _combinations(each):
                if self._settings.bench is None or re.search(self._settings.bench, label):
                    if is_skipped:
                        ready.skipped.add(label)
                    else:
                        ready.benchmarks[label] = benchmark

    def _check_origin(self, name: str, imported: Mapping[str, str]) -> None:
        """Raises TurnFailed if a revision's benchmarks use the project of the user's checkout."""
        revision = self._sides[name].revision
        if revision is None:
            return
        root, suite, own = (
            path.resolve() for path in (revision.root, self._suite.benchmarks, self._ready[name].folder)
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
        if not any(Path(file).resolve().is_relative_to(own) for file in imported.values()):
            self._not_from_revision.append(self._sides[name].name)

    def _unread(self) -> str:
        return ", ".join(f"{module} ({where})" for module, where in sorted(self._beside.items()))

    def _common(self) -> list[str]:
        base, new = self._ready[BASE], self._ready[NEW]
        return [*(label for label in base.benchmarks if label in new.benchmarks), *{**base.broken, **new.broken}]

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
        try:
            yield
        finally:
            for process in self._live.values():
                process.close()
            self._live = {}

    def turn(self, unit: str, side: str) -> Turn:
        ready = self._ready[side]
        for each in (side, *SIDES):
            if unit in self._ready[each].broken:
                raise TurnFailed(Ending.CRASHED, f"not a benchmark of it can be found in {each}",
                                 self._ready[each].broken[unit])
        benchmark = ready.benchmarks[unit]
        timeout_s = benchmark.timeout_s or self._settings.timeout_s
        try:
            if side not in self._live:
                self._load(unit, benchmark, side, timeout_s)
            told = _asked(self._live[side], "turn", timeout_s)
        except TurnSkipped:
            self._skipped[unit] = f"{BASE}, {NEW}" if self._is_skipped(unit, NEW if side == BASE else BASE) else side
            raise
        if told["value"] is None:
            raise TurnFailed(Ending.NO_NUMBER, "it returned no finite number")
        return Turn(
            numbers={unit: told["value"]}, wall_time_s=told["wall_time_s"], cpu_time_s=told.get("cpu_time_s"),
            facts={"calls": self._numbers[unit]},
        )

    def _is_skipped(self, unit: str, side: str) -> bool:
        """Whether this side skips what the other did."""
        benchmark = self._ready[side].benchmarks[unit]
        timeout_s = benchmark.timeout_s or self._settings.timeout_s
        try:
            if side not in self._live:
                self._load(unit, benchmark, side, timeout_s)
            _asked(self._live[side], "turn", timeout_s)
        except TurnSkipped:
            return True
        except TurnFailed:
            pass
        return False

    def _load(self, unit: str, benchmark: Benchmark, side: str, timeout_s: float) -> None:
        """Starts the process of a side in this pair. Both call a benchmark equally often in a turn."""
        cwd = self._cached(benchmark, side)
        process = self._live[side] = self._started(side, cwd, for_memory=benchmark.type == "memory")
        told = _asked(
            process, "load", timeout_s, name=benchmark.name, index=benchmark.index,
            cache=None if benchmark.cache is None else str(_pickle(cwd)), number=self._numbers.get(unit, 0),
        )
        self._numbers.setdefault(unit, told["number"])

    def _cached(self, benchmark: Benchmark, side: str) -> Path:
        """The folder in which a benchmark runs; where it has a setup_cache, that has run there, once per side."""
        ready = self._ready[side]
        if benchmark.cache is None:
            return ready.folder / "caches" / "none"
        keys = list(ready.caches)
        number = keys.index(benchmark.cache) if benchmark.cache in keys else len(keys)
        cwd = ready.folder / "caches" / f"{number:04}"
        if benchmark.cache not in ready.caches:
            process = self._started(side, cwd, for_memory=benchmark.type == "memory")
            ready.caches[benchmark.cache] = None
            try:
                _asked(
                    process, "make_cache", benchmark.cache_timeout_s or self._settings.timeout_s, name=benchmark.name,
                    path=str(_pickle(cwd)),
                )
            except TurnFailed as failed:
                ready.caches[benchmark.cache] = TurnFailed(
                    failed.outcome, f"setup_cache: {failed}", failed.last_words
                )
            finally:
                process.close()
        failure = ready.caches[benchmark.cache]
        if failure is not None:
            raise failure
        return cwd

    def quantity(self, case: str) -> Quantity:
        benchmark = self._ready[BASE].benchmarks[case]
        return Quantity(
            name=MEASURED.get(benchmark.type, "tracked number"), unit=UNITS.get(benchmark.unit, benchmark.unit),
            is_higher_better=self._direction(benchmark) or False,
        )

    @staticmethod
    def _direction(benchmark: Benchmark) -> bool | None:
        """Whether higher is better; None: nothing says so."""
        if benchmark.type in MEASURED:
            return False
        return directions.by_words(benchmark.unit, benchmark.name).is_higher_better

    def plain(self) -> dict[str, Any]:
        settings, names = self._settings, self._common() if len(self._ready) == len(SIDES) else []
        return {
            "kind": "asv", "label": f"asv benchmarks in {files.shown(self._suite.benchmarks)}",
            "quantity": _plain_quantity(Quantity(name=MEASURED["time"], unit="s")),
            "quantities": {
                name: _plain_quantity(self.quantity(name)) for name in names if name in self._ready[BASE].benchmarks
            },
            "only": {side: list(self.only(side)) for side in SIDES} if names else {},
            "skipped": dict(self._skipped), "bench": settings.bench, "timeout_s": settings.timeout_s,
            "build_command": secrets.hidden(settings.build_command), "requirements": list(self._suite.requirements),
            "cpus": list(settings.cpus),
            **{name: self._plain_side(name, side) for name, side in self._sides.items()},
        }

    def _plain_side(self, name: str, side: Side) -> dict[str, Any]:
        ready = self._ready.get(name)
        interpreter = ready.interpreter if ready else side.build.interpreter
        return {
            "name": secrets.hidden(side.name), "command": interpreter, "interpreter": interpreter,
            "commit": side.revision and side.revision.commit, "build": side.build.name,
            "folder": str(self._suite.benchmarks),
        }

    def notes(self) -> tuple[str, ...]:
        said = [*self._suite.notes]
        if self._beside:
            said.append(tr("Not measured, since they cannot be imported: {modules}.", modules=self._unread()))
        if self._skipped:
            said.append(tr("The suite itself skips {cases}.", cases=", ".join(
                f"{label} ({sides})" for label, sides in sorted(self._skipped.items())
            )))
        if len(self._ready) == len(SIDES):
            assumed = [
                label for label in self._common()
                if (of_base := self._ready[BASE].benchmarks.get(label)) and self._direction(of_base) is None
            ]
            if assumed:
                said.append(tr("Nothing says in which direction these are better; lower is taken as better, as asv "
                               "does: {cases}.", cases=", ".join(assumed)))
        if self._not_from_revision:
            said.append(tr("No module that the benchmarks import at the top was installed for {sides}; check that both "
                           "sides do not use the same project.", sides=", ".join(self._not_from_revision)))
        changed = [side.name for side in self._sides.values() if side.revision and revisions.is_changed(side.revision)]
        if changed:
            said.append(tr("The benchmarks are those of the checkout as it is; other changes that are not committed "
                           "were not measured."))
        return tuple(said)


KIND = AsvContest


def suite(path: Path) -> Suite:
    """The asv suite whose configuration is in a folder; raises UserError if there is none, or it cannot be read."""
    from asv import util
    from asv.config import Config
    from asv.environment import iter_matrix

    candidates = [path] if path.is_file() else [path / each for each in CONFIGURATIONS if (path / each).exists()]
    if len(candidates) != 1:
        raise UserError(
            f"{files.shown(path)} contains {' and '.join(CONFIGURATIONS)}; name the one to use" if candidates
            else f"there is no {CONFIGURATIONS[0]} in {files.shown(path)}; --asv takes the folder of an asv suite"
        )
    file = candidates[0].resolve()
    files.read_text(file, MOST_CONFIGURATION_BYTES)
    try:
        config = Config.load(str(file))
        kind = str(config.environment_type or "").partition(":")[0]
        combinations = [
            {key: value for key, value in each.items() if key[0] in ("req", "env", "env_nobuild")}
            for each in iter_matrix(kind or "virtualenv", [str(each) for each in config.pythons][:1], config)
        ]
        benchmarks = (file.parent / str(config.benchmark_dir)).resolve()
        place = str(config.repo)
        stated = config.build_command or config.install_command
    except (util.UserError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"cannot read {files.shown(file)} as asv's configuration: {first}") from None
    if not benchmarks.is_dir():
        raise UserError(f"there is no {files.shown(benchmarks)}, which {files.shown(file)} names as benchmark_dir")
    chosen = combinations[0] if combinations else {}
    notes = []
    if len(combinations) > 1:
        notes.append(tr("The matrix of asv.conf.json has {count} combinations; this is the first: {chosen}.", count=len(
            combinations), chosen=", ".join(f"{key[1]} {value}".strip() for key, value in chosen.items())))
    if stated:
        notes.append(tr("The commands in asv.conf.json that build and install were not used; --build-command states "
                        "what is."))
    repository = file.parent / place
    return Suite(
        root=file.parent, benchmarks=benchmarks, repository=repository.resolve() if repository.is_dir() else None,
        subfolder=str(config.repo_subdir or ""), environment_type=kind, requirements=tuple(
            _requirement(key[1], str(value)) for key, value in chosen.items() if key[0] == "req"
        ), variables={key[1]: str(value) for key, value in chosen.items() if key[0] != "req"}, notes=tuple(notes),
    )


def check_installable(suite: Suite) -> None:
    """Raises UserError if the suite states a type of environment that pip cannot stand for."""
    if suite.environment_type not in INSTALLABLE:
        raise UserError(
            f"asv.conf.json asks for environments of type '{suite.environment_type}', which Rigmark does not make; "
            "create one with each version of the project, describe them in builds.toml, and compare these two builds"
        )


def _requirement(name: str, version: str) -> str:
    """For pip: "numpy==1.26"; asv writes "pip+numpy" where conda would be asked otherwise."""
    name = name.removeprefix("pip+")
    if not version:
        return name
    return f"{name}{version}" if version[0] in "<>=!~@" else f"{name}=={version}"


def _combinations(described: Mapping[str, Any]) -> Iterator[tuple[str, Benchmark, bool]]:
    """The label of each combination of the parameters of a benchmark, with it, and whether the suite skips it."""
    common = {
        "name": described["name"], "type": described["type"], "unit": described["unit"],
        "timeout_s": described["timeout_s"], "cache": described["cache"],
        "cache_timeout_s": described["cache_timeout_s"],
    }
    if not described["params"]:
        yield described["name"], Benchmark(index=None, **common), False
        return
    for index, words in enumerate(itertools.product(*described["params"])):
        label = f"{described['name']}({', '.join(words)})"
        yield label, Benchmark(index=index, **common), index in described["skipped"]


def _asked(process: SuiteProcess, do: str, timeout_s: float, **request: Any) -> dict[str, Any]:
    """The answer of a process; raises TurnFailed or TurnSkipped if it is none."""
    try:
        told = process.ask(do, timeout_s, **request)
    except Ended as ended:
        raise TurnFailed(Ending.TIMEOUT if ended.is_late else Ending.CRASHED, str(ended), ended.last_words) from None
    if "skipped" in told:
        raise TurnSkipped(told["skipped"])
    if "error" in told:
        raise TurnFailed(Ending.CRASHED, "it raised an exception", told["trace"])
    return told


def _pickle(cwd: Path) -> Path:
    return cwd.with_suffix(".pickle")


def _plain_quantity(quantity: Quantity) -> dict[str, Any]:
    return {
        "name": quantity.name, "unit": quantity.unit, "is_higher_better": quantity.is_higher_better,
        "margin": quantity.margin,
    }
