"""The benchmarks of an asv suite as they are, in two git revisions or builds. A turn is one sample as asv takes it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rigmark.bench.ab.kinds import TurnFailed, _suites
from rigmark.bench.ab.kinds._suites import Finds, SuiteContest
from rigmark.bench.analysis.comparison.numbers import Quantity
from rigmark.bench.document.language import tr
from rigmark.bench.errors import UserError
from rigmark.bench.history import directions
from rigmark.bench.history.asv_results import CONFIGURATIONS, MOST_CONFIGURATION_BYTES
from rigmark.bench.host import files
from rigmark.bench.processes import suites
from rigmark.bench.store.record import BASE, SIDES

LENT = ("asv_runner", "pympler")         # pure Python; only mem_* needs pympler, which imports NumPy
INSTALLABLE = frozenset({"", "virtualenv", "uv", "existing", "rigmark"})     # types of environment
MEASURED = {"time": "time per call", "peakmemory": "peak memory", "memory": "memory"}
UNITS = {"seconds": "s", "bytes": "B", "unit": ""}       # asv's names of units


@dataclass(frozen=True, kw_only=True)
class Suite(_suites.Suite):
    """What asv.conf.json in a folder says, as far as it counts here."""

    environment_type: str


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


class AsvContest(SuiteContest):
    """A contest of the benchmarks of an asv suite."""

    KIND, LABEL = "asv", "asv benchmarks"

    def _prepare(self, folder: Path) -> None:
        # Each as light as it can be, since what is imported counts in the peak memory of a benchmark.
        self._packages = {heavy: _lend(folder / f"lent{heavy:d}", for_memory=heavy) for heavy in (False, True)}
        self._caches: dict[str, dict[str, TurnFailed | None]] = {side: {} for side in SIDES}    # made, or failed

    def _server(self, name: str, benchmark: Benchmark | None) -> tuple[Path, tuple[str, ...], Path]:
        cwd = self._cache_folder(name, benchmark)
        cwd.mkdir(exist_ok=True)
        packages = self._packages[benchmark is None or benchmark.type == "memory"]
        return suites.ASV, (str(packages), str(self._of.benchmarks)), cwd

    def _cache_folder(self, name: str, benchmark: Benchmark | None) -> Path:
        """The folder in which a benchmark runs: one for all that share a setup_cache."""
        caches = self._ready[name].folder / "caches"
        if benchmark is None or benchmark.cache is None:
            return caches / ("find" if benchmark is None else "none")
        keys = list(self._caches[name])
        number = keys.index(benchmark.cache) if benchmark.cache in keys else len(keys)
        return caches / f"{number:04}"

    def _understood(self, told: Mapping[str, Any]) -> Finds:
        every = [found for described in told["benchmarks"] for found in _combinations(described)]
        return Finds(
            benchmarks={label: benchmark for label, benchmark, is_skipped in every if not is_skipped},
            skipped=frozenset(label for label, _, is_skipped in every if is_skipped),
            broken={module.partition(".")[2]: error for module, error in told["broken"].items()},
        )

    def _timeout_s(self, benchmark: Benchmark) -> float:
        return benchmark.timeout_s or self._settings.timeout_s

    def _request(self, unit: str, benchmark: Benchmark, side: str) -> dict[str, Any]:
        made = self._cached(benchmark, side)
        return {"name": benchmark.name, "index": benchmark.index, "cache": made and str(made)}

    def _cached(self, benchmark: Benchmark, side: str) -> Path | None:
        """What the setup_cache of a benchmark returned, as a file; it runs once per side. None if it has none."""
        if benchmark.cache is None:
            return None
        caches, folder = self._caches[side], self._cache_folder(side, benchmark)
        made = folder.with_suffix(".pickle")
        if benchmark.cache not in caches:
            process = self._started(side, benchmark)
            caches[benchmark.cache] = None
            try:
                _suites.asked(
                    process, "make_cache", benchmark.cache_timeout_s or self._settings.timeout_s, name=benchmark.name,
                    path=str(made),
                )
            except TurnFailed as failed:
                caches[benchmark.cache] = TurnFailed(failed.outcome, f"setup_cache: {failed}", failed.last_words)
            finally:
                process.close()
        failure = caches[benchmark.cache]
        if failure is not None:
            raise failure
        return made

    def _usual_quantity(self) -> Quantity:
        return Quantity(name=MEASURED["time"], unit="s")

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

    def notes(self) -> tuple[str, ...]:
        said = super().notes()
        if len(self._ready) == len(SIDES):
            assumed = [
                label for label in self._common()
                if (of_base := self._ready[BASE].benchmarks.get(label)) and self._direction(of_base) is None
            ]
            if assumed:
                said = (*said, tr("Nothing says in which direction these are better; lower is taken as better, as asv "
                                  "does: {cases}.", cases=", ".join(assumed)))
        return said


KIND = AsvContest


def _lend(folder: Path, *, for_memory: bool) -> Path:
    """A folder that has nothing but the packages which the server needs, for interpreters that lack them."""
    folder.mkdir()
    for name in LENT if for_memory else LENT[:1]:
        spec = find_spec(name)
        if spec is not None and spec.submodule_search_locations:
            (folder / name).symlink_to(Path(next(iter(spec.submodule_search_locations))).resolve())
    return folder


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
        benchmarks=benchmarks, repository=repository.resolve() if repository.is_dir() else None,
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
