"""Reads the result folders of asv, of any project, in versions 1 and 2 of its files. asv itself is not needed.

The format is defined by asv/results.py and asv/benchmarks.py of asv 0.6; a file of version 1 has no columns.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import json5

from rigmark.bench.errors import UserError
from rigmark.bench.history.directions import by_words
from rigmark.bench.history.reading import Cell, History, finished, stated_direction
from rigmark.bench.history.series import LESS_BY_KIND, Direction, Ended, Grounds, label
from rigmark.bench.host import files

BENCHMARKS, MACHINE = "benchmarks.json", "machine.json"
CONFIGURATIONS = ("asv.conf.json", "asv.conf.jsonc")
RESULTS = "results"          # asv's folder, if its configuration names no other
SKIPPED = frozenset({BENCHMARKS, MACHINE})
NEWEST = 2                   # newest known version of a result file
MOST_CASES = 100_000         # combinations of the parameters of one benchmark
MOST_CONFIGURATION_BYTES = 2**17     # json5 takes seconds for as much
NAMED_AT_MOST = 5            # benchmarks that a note lists
FAILED = "asv stored null"
"""The reason that is stated for a benchmark that failed: asv stores no other. A skipped benchmark is NaN."""

KINDS = frozenset({"time", "memory", "peakmemory"})
"""Kinds of benchmark for which less is better, whatever their unit; the only other kind of asv is "track"."""

TIMED_NAME = re.compile(r"(time_|Time[A-Z_]|timeraw_|Timeraw[A-Z_]|mem_|Mem[A-Z_]|peakmem_|PeakMem[A-Z_])")
"""How the names of benchmarks of these kinds begin."""


@dataclass(frozen=True, kw_only=True)
class _Benchmark:
    """A benchmark as benchmarks.json describes it."""

    unit: str = ""
    kind: str | None = None              # "time", "track"
    version: str | None = None
    names: tuple[str, ...] = ()          # of its parameters
    axes: tuple[tuple[str, ...], ...] = ()
    is_higher_better: bool | None = None


def results_folder(path: Path) -> Path:
    """The folder with asv results: ``path`` itself, the one named by the asv configuration in it, or asv's default.

    ``path`` may also be the configuration file. Raises UserError if there are no results.
    """
    folder = _project(path)
    for candidate in (folder, *_configured(path), folder / RESULTS, folder / ".asv" / RESULTS):
        if candidate.is_dir() and ((candidate / BENCHMARKS).is_file() or any(candidate.glob(f"*/{MACHINE}"))):
            return candidate
    raise UserError(
        f"no asv results in {files.shown(folder)}, its folders {RESULTS} and .asv/{RESULTS}, or the folder named by "
        f"{' or '.join(CONFIGURATIONS)}: none contains {BENCHMARKS}, or the folder of a machine with {MACHINE}"
    )


def read(
    folder: Path, *, may_differ: Sequence[str] = (), higher_is_better: str | None = None,
    lower_is_better: str | None = None,
) -> History:
    """Every series below ``folder``. A file that cannot be read becomes a problem of the result, not an error.

    A series has one benchmark with its version and parameters, one machine with its facts, and one environment, except
    that facts named in ``may_differ`` may change within it. ``higher_is_better`` and ``lower_is_better`` are regular
    expressions for names of series, including parameters. Points are in the order of the commits if git knows them,
    else of their dates. Raises UserError for a folder without results.
    """
    root = results_folder(folder)
    problems: list[str] = []
    benchmarks = _benchmarks(root / BENCHMARKS, problems)
    stated = stated_direction(higher_is_better, lower_is_better)
    cells: dict[tuple[Any, ...], Cell] = {}
    others: Counter[str] = Counter()     # number of results of other versions, by benchmark
    for path in sorted(root.rglob("*.json")):
        if path.name in SKIPPED or path.parent == root:
            continue
        try:
            result = _load(path)
            rows = list(_rows(result, benchmarks or {}, others))
            facts, revision, date_s = _facts(result, path), str(result["commit_hash"]), _date_s(result)
        except files.Unreadable as error:
            problems.append(_damaged(path, error.reason))
            continue
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            problems.append(_damaged(path, _reason(error)))
            continue
        kept = {name: value for name, value in facts.items() if name not in may_differ}
        environment = ", ".join(f"{name} {facts[name]}" for name in sorted(facts) if name in may_differ)
        shared = tuple(sorted(kept.items()))
        for name, version, combination, value in rows:
            described = (benchmarks or {}).get(name, _Benchmark())
            key = (name, version, combination, shared)
            if key not in cells:
                case = _case(combination, described.names)
                cells[key] = Cell(
                    name=name, case=case, unit=described.unit, facts=kept, ended=_ended(name, combination, benchmarks),
                    failed=FAILED,
                    direction=stated(label(name, case)) or _direction(name, described),
                )
            cells[key].points.append((revision, date_s, value, environment))
    found, notes = finished(
        list(cells.values()), folder, _project(folder), may_differ, higher_is_better, lower_is_better
    )
    return History(series=found, problems=tuple(problems), notes=(*_left_out(others), *notes))


def _damaged(path: Path, reason: str) -> str:
    return f"{files.shown(path)} is damaged and was left out ({reason}); asv run measures it again"


def _left_out(others: Counter[str]) -> Iterator[str]:
    """A note about the results of other versions of a benchmark, which are left out."""
    if others:
        named = [*sorted(others)[:NAMED_AT_MOST], *(["..."] if len(others) > NAMED_AT_MOST else [])]
        yield (f"{others.total():,} results of {len(others)} benchmark{'s' * (len(others) != 1)} are left out, as asv "
               f"does, because {BENCHMARKS} has another version of them: {', '.join(named)}")


# Directions ---------------------------------------------------------------------------------------------------------


def _direction(name: str, described: _Benchmark) -> Direction:
    """The direction that the benchmark declares, else that of its kind, else that of the words of its unit and name."""
    if described.is_higher_better is not None:
        return Direction(is_higher_better=described.is_higher_better, grounds=Grounds.DECLARED)
    is_timed = described.kind is None and TIMED_NAME.match(name.rpartition(".")[2])
    return LESS_BY_KIND if is_timed or described.kind in KINDS else by_words(described.unit, name)


# Files --------------------------------------------------------------------------------------------------------------


def _load(path: Path) -> dict[str, Any]:
    result = files.read_json(path)
    version = int(result.get("version", 1))
    if version > NEWEST:
        raise ValueError(f"version {version} is newer than {NEWEST}")
    return dict(result)


def _date_s(result: Mapping[str, Any]) -> float:
    date_s = float(result["date"]) / 1000
    if not math.isfinite(date_s):
        raise ValueError(f"its date is {date_s}")
    return date_s


def _benchmarks(path: Path, problems: list[str]) -> dict[str, _Benchmark] | None:
    """The benchmarks by name; None if the file cannot be read, so that directions follow from names alone."""
    try:
        return {
            str(name): _benchmark(facts) for name, facts in files.read_json(path).items() if isinstance(facts, dict)
        }
    except files.Unreadable as error:
        reason = error.reason
    except (AttributeError, TypeError, ValueError) as error:
        reason = _reason(error)
    problems.append(
        f"{files.shown(path)} cannot be read ({reason}); so units and deleted benchmarks are not known, and directions "
        "follow from names"
    )
    return None


def _benchmark(facts: Mapping[str, Any]) -> _Benchmark:
    version, kind, is_higher_better = facts.get("version"), facts.get("type"), facts.get("higher_is_better")
    return _Benchmark(
        unit=str(facts.get("unit") or ""), kind=None if kind is None else str(kind),
        version=None if version is None else str(version), names=tuple(map(str, facts.get("param_names") or ())),
        axes=tuple(tuple(map(str, axis)) for axis in facts.get("params") or ()),
        is_higher_better=None if is_higher_better is None else bool(is_higher_better),
    )


Combination = tuple[str, ...]
"""One value of each parameter; empty for a benchmark without parameters."""


def _rows(
    result: Mapping[str, Any], benchmarks: Mapping[str, _Benchmark], others: Counter[str]
) -> Iterator[tuple[str, str, Combination, float | None]]:
    """(benchmark, version, parameters, value) of each result; the value is None if it failed, NaN if it was skipped.

    Results of another version of a benchmark are only counted, in ``others``. Raises ValueError for values that do not
    fit the parameters.
    """
    for name, values, params, version in _columns(result):
        described = benchmarks.get(name, _Benchmark())
        if version is not None and described.version not in (None, version):
            others[name] += 1
            continue
        axes = params or (described.axes if values is None else ())
        cases = math.prod(map(len, axes))
        if cases > MOST_CASES:
            raise ValueError(f"{name} has {cases:.3g} combinations of parameters; at most {MOST_CASES:,} are "
                             "read")
        by_case = values if isinstance(values, list) else [values] * (cases if values is None else 1)
        if len(by_case) != cases:
            raise ValueError(f"{name} has {len(by_case):,} values for {cases:,} combinations of parameters")
        current = str(version or described.version or "")
        for combination, value in zip(itertools.product(*axes), by_case, strict=True):
            if value is None or type(value) in (int, float):
                yield name, current, tuple(map(str, combination)), None if value is None else float(value)


def _columns(result: Mapping[str, Any]) -> Iterator[tuple[str, Any, Sequence[Any], str | None]]:
    """(benchmark, result, params, version) of each, in both versions of the format."""
    columns = result.get("result_columns")
    if columns is None:
        for name, stored in result["results"].items():
            row = stored if isinstance(stored, dict) else {"result": stored}
            yield name, row.get("result"), row.get("params") or (), result.get("benchmark_version", {}).get(name)
        return
    places = [columns.index(column) for column in ("result", "params", "version")]
    for name, stored in result["results"].items():
        # asv omits nulls at the end of a row.
        value, params, version = (stored[place] if place < len(stored) else None for place in places)
        yield name, value, params or (), version


def _case(combination: Combination, names: Sequence[str]) -> str:
    """The parameters in words: "model='mlp', batch=8"."""
    padded = itertools.chain(names, itertools.repeat(""))
    named = zip(padded, combination, strict=False)
    return ", ".join(f"{name}={value}" if name else value for name, value in named)


def _ended(name: str, combination: Combination, benchmarks: Mapping[str, _Benchmark] | None) -> Ended | None:
    """Why a benchmark is no longer measured; None if it still is, or if that is not known."""
    if benchmarks is None:
        return None
    if name not in benchmarks:
        return Ended.BENCHMARK
    axes = benchmarks[name].axes
    is_there = len(axes) == len(combination) and all(map(lambda value, axis: value in axis, combination, axes))
    return None if is_there else Ended.PARAMETERS


def _facts(result: Mapping[str, Any], path: Path) -> dict[str, str]:
    """The facts that are constant within a series: the machine and its facts, Python, requirements, variables."""
    facts = {name: str(value) for name, value in result.get("params", {}).items()}
    facts.setdefault("machine", path.parent.name)
    for name, value in {**result.get("requirements", {}), **result.get("env_vars", {})}.items():
        facts[name] = str(value)
    facts["python"] = str(result.get("python", ""))
    return facts


def _reason(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__


def _project(path: Path) -> Path:
    """The project folder: the folder of a configuration file, or the folder itself."""
    return path.parent if path.is_file() else path


def _configured(path: Path) -> Iterator[Path]:
    """The results folder named by the asv configuration, or by the one in a folder; UserError if there are two."""
    configurations = [path] if path.is_file() else [path / name for name in CONFIGURATIONS if (path / name).exists()]
    if len(configurations) > 1:
        raise UserError(f"{files.shown(path)} contains {' and '.join(CONFIGURATIONS)}; name the one to use")
    for each in configurations:
        text = files.read_text(each, MOST_CONFIGURATION_BYTES)
        try:
            named = json5.loads(text).get("results_dir", RESULTS)
            yield each.parent / named
        except RecursionError:
            raise files.Unreadable(each, files.NESTED) from None
        except (AttributeError, TypeError, ValueError) as error:
            raise UserError(f"cannot read {files.shown(each)} as asv's configuration: {error}") from None
