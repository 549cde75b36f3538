"""Histories from the result folders of asv, of any project: versions 1 and 2 of its files, without asv and its machine.

The format is that of asv/results.py and asv/benchmarks.py of asv 0.6; a file of version 1 has no columns.
"""

from __future__ import annotations

import itertools
import math
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import json5
import numpy as np

from rigmark.bench.errors import UserError, unknown
from rigmark.bench.history.directions import by_words
from rigmark.bench.history.series import LESS_BY_KIND, Direction, Ended, Grounds, Series, failure, label
from rigmark.bench.host import files

BENCHMARKS, MACHINE = "benchmarks.json", "machine.json"
CONFIGURATIONS = ("asv.conf.json", "asv.conf.jsonc")
RESULTS = "results"          # where asv keeps them if its configuration names no other folder
SKIPPED = frozenset({BENCHMARKS, MACHINE})
NEWEST = 2                   # version of a result file
MOST_CASES = 100_000         # combinations of one benchmark's parameters
MOST_CONFIGURATION_BYTES = 2**17     # json5 takes seconds for as many
NAMED_AT_MOST = 5            # benchmarks in a note
FAILED = "asv stored null"
"""What is known of a benchmark that failed; one that was skipped is NaN."""

KINDS = frozenset({"time", "memory", "peakmemory"})
"""Of which less is better, whatever their unit; asv's only other one is track."""

TIMED_NAME = re.compile(r"(time_|Time[A-Z_]|timeraw_|Timeraw[A-Z_]|mem_|Mem[A-Z_]|peakmem_|PeakMem[A-Z_])")
"""Begins the names of benchmarks of these kinds."""


@dataclass(frozen=True, kw_only=True)
class History:
    """The series of a folder, and what could not be read or had to be assumed, a sentence each."""

    series: tuple[Series, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Benchmark:
    """What benchmarks.json says of a benchmark."""

    unit: str = ""
    kind: str | None = None              # "time", "track"
    version: str | None = None
    names: tuple[str, ...] = ()          # of its parameters
    axes: tuple[tuple[str, ...], ...] = ()
    is_higher_better: bool | None = None


@dataclass
class _Cell:
    """A series in the making."""

    name: str
    case: str                            # its parameters
    unit: str
    direction: Direction
    facts: dict[str, str]
    ended: Ended | None
    points: list[tuple[str, float, float | None, str]] = field(default_factory=list)
    """(revision, date, value, environment) of each; the value is None where it failed, and NaN where it was skipped."""


def results_folder(path: Path) -> Path:
    """The results in a folder, in that which asv's configuration in it names, or where asv keeps them by default.

    ``path`` may be the configuration itself. Raises UserError where there are none.
    """
    folder = _project(path)
    for candidate in (folder, *_configured(path), folder / RESULTS, folder / ".asv" / RESULTS):
        if candidate.is_dir() and ((candidate / BENCHMARKS).is_file() or any(candidate.glob(f"*/{MACHINE}"))):
            return candidate
    raise UserError(
        f"no asv results in {files.shown(folder)}, its folder {RESULTS}, .asv/{RESULTS} or where an "
        f"{' or '.join(CONFIGURATIONS)} says: none has {BENCHMARKS} or a machine's folder with {MACHINE}"
    )


def read(
    folder: Path, *, may_differ: Sequence[str] = (), higher_is_better: str | None = None,
    lower_is_better: str | None = None,
) -> History:
    """Every series below ``folder``; a file that cannot be read is a problem, not an end.

    A series is of one benchmark, its version and parameters, one machine and its facts, one environment; of these the
    facts named in ``may_differ`` do not end it. ``higher_is_better`` and ``lower_is_better`` are regular expressions
    for names of series, parameters included. Points are in the order of the commits where git knows them, else of
    their dates. Raises UserError for a folder that holds no results.
    """
    root = results_folder(folder)
    problems: list[str] = []
    benchmarks = _benchmarks(root / BENCHMARKS, problems)
    told = _told(higher_is_better, lower_is_better)
    cells: dict[tuple[Any, ...], _Cell] = {}
    others: Counter[str] = Counter()     # results of other versions, by benchmark
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
            problems.append(_damaged(path, _said(error)))
            continue
        kept = {name: value for name, value in facts.items() if name not in may_differ}
        environment = ", ".join(f"{name} {facts[name]}" for name in sorted(facts) if name in may_differ)
        shared = tuple(sorted(kept.items()))
        for name, version, combination, value in rows:
            described = (benchmarks or {}).get(name, _Benchmark())
            key = (name, version, combination, shared)
            if key not in cells:
                case = _case(combination, described.names)
                cells[key] = _Cell(
                    name=name, case=case, unit=described.unit, facts=kept, ended=_ended(name, combination, benchmarks),
                    direction=told(label(name, case)) or _direction(name, described),
                )
            cells[key].points.append((revision, date_s, value, environment))
    _check_options(folder, {label(cell.name, cell.case) for cell in cells.values()}, higher_is_better, lower_is_better)
    met = sorted({name for cell in cells.values() for name in cell.facts})
    for name in may_differ:
        if cells and name not in met and not any(name in point[3] for cell in cells.values() for point in cell.points):
            raise unknown("fact", name, met)
    order, notes = _order(_project(folder), {point[0] for cell in cells.values() for point in cell.points})
    return History(
        series=tuple(
            each for each in (_series(cell, order) for cell in cells.values()) if len(each.values) or each.failure
        ),
        problems=tuple(problems), notes=(*_left_out(others), *notes),
    )


def _damaged(path: Path, reason: str) -> str:
    return f"{files.shown(path)} is damaged and was left out ({reason}); asv run measures it anew"


def _left_out(others: Counter[str]) -> Iterator[str]:
    """What became of results that another version of a benchmark gave."""
    if others:
        named = [*sorted(others)[:NAMED_AT_MOST], *(["..."] if len(others) > NAMED_AT_MOST else [])]
        yield (f"{others.total():,} results of other versions of {len(others)} "
               f"benchmark{'s' * (len(others) != 1)} than {BENCHMARKS} has are left out, as asv does: "
               f"{', '.join(named)}")


# Directions ---------------------------------------------------------------------------------------------------------


def _told(higher: str | None, lower: str | None) -> Callable[[str], Direction | None]:
    """What the user says of a series, by its label."""
    patterns = [
        (is_higher, pattern(text)) for is_higher, text in ((True, higher), (False, lower)) if text is not None
    ]

    def direction(name: str) -> Direction | None:
        ways = [is_higher for is_higher, wanted in patterns if wanted.search(name)]
        if len(ways) > 1:
            raise UserError(f"{name} matches --higher-is-better '{higher}' and --lower-is-better '{lower}'")
        return Direction(is_higher_better=ways[0], grounds=Grounds.OPTION) if ways else None

    return direction


def _check_options(folder: Path, names: set[str], *texts: str | None) -> None:
    """Raises UserError where what the user says of directions is of no series."""
    for text in texts:
        if text is not None and names and not any(pattern(text).search(name) for name in names):
            raise UserError(f"no series of {files.shown(folder)} is called like '{text}'")


def _direction(name: str, described: _Benchmark) -> Direction:
    """What the benchmark says, then its kind, then the words of its unit and name."""
    if described.is_higher_better is not None:
        return Direction(is_higher_better=described.is_higher_better, grounds=Grounds.DECLARED)
    is_timed = described.kind is None and TIMED_NAME.match(name.rpartition(".")[2])
    return LESS_BY_KIND if is_timed or described.kind in KINDS else by_words(described.unit, name)


def pattern(text: str) -> re.Pattern[str]:
    """A regular expression that a user wrote; raises UserError where it is none."""
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise UserError(f"'{text}' is no regular expression: {error}") from None


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
    """What there is by name; None where that is not known, so that directions are what the names say."""
    try:
        return {
            str(name): _benchmark(facts) for name, facts in files.read_json(path).items() if isinstance(facts, dict)
        }
    except files.Unreadable as error:
        reason = error.reason
    except (AttributeError, TypeError, ValueError) as error:
        reason = _said(error)
    problems.append(
        f"{files.shown(path)} cannot be read ({reason}); units and what was deleted are not known, directions are from "
        "names"
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
"""Of parameters; empty for a benchmark that has none."""


def _rows(
    result: Mapping[str, Any], benchmarks: Mapping[str, _Benchmark], others: Counter[str]
) -> Iterator[tuple[str, str, Combination, float | None]]:
    """(benchmark, version, parameters, value) of all that was asked for; None where it failed, NaN where skipped.

    What another version of a benchmark measured is counted in ``others``. Raises ValueError for values that do not fit
    the parameters.
    """
    for name, values, params, version in _columns(result):
        described = benchmarks.get(name, _Benchmark())
        if version is not None and described.version not in (None, version):
            others[name] += 1
            continue
        axes = params or (described.axes if values is None else ())
        cases = math.prod(map(len, axes))
        if cases > MOST_CASES:
            raise ValueError(f"{name} has {cases:.3g} combinations of parameters, and more than {MOST_CASES:,} are not "
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
        # What is null at the end of a row is left out.
        value, params, version = (stored[place] if place < len(stored) else None for place in places)
        yield name, value, params or (), version


def _case(combination: Combination, names: Sequence[str]) -> str:
    """"model='mlp', batch=8"."""
    padded = itertools.chain(names, itertools.repeat(""))
    named = zip(padded, combination, strict=False)
    return ", ".join(f"{name}={value}" if name else value for name, value in named)


def _ended(name: str, combination: Combination, benchmarks: Mapping[str, _Benchmark] | None) -> Ended | None:
    """Why it is measured no more, as far as benchmarks.json tells."""
    if benchmarks is None:
        return None
    if name not in benchmarks:
        return Ended.BENCHMARK
    axes = benchmarks[name].axes
    is_there = len(axes) == len(combination) and all(map(lambda value, axis: value in axis, combination, axes))
    return None if is_there else Ended.PARAMETERS


def _facts(result: Mapping[str, Any], path: Path) -> dict[str, str]:
    """What a series must not cross unasked: machine and its facts, Python, requirements, variables."""
    facts = {name: str(value) for name, value in result.get("params", {}).items()}
    facts.setdefault("machine", path.parent.name)
    for name, value in {**result.get("requirements", {}), **result.get("env_vars", {})}.items():
        facts[name] = str(value)
    facts["python"] = str(result.get("python", ""))
    return facts


def _said(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__


def _project(path: Path) -> Path:
    """The folder of a configuration, or the folder itself."""
    return path.parent if path.is_file() else path


def _configured(path: Path) -> Iterator[Path]:
    """Where asv's configuration, or that in a folder, says that results are; raises UserError where it has two."""
    found = [path] if path.is_file() else [path / name for name in CONFIGURATIONS if (path / name).exists()]
    if len(found) > 1:
        raise UserError(f"{files.shown(path)} has {' and '.join(CONFIGURATIONS)}; name the one that counts")
    for each in found:
        text = files.read_text(each, MOST_CONFIGURATION_BYTES)
        try:
            named = json5.loads(text).get("results_dir", RESULTS)
            yield each.parent / named
        except RecursionError:
            raise files.Unreadable(each, files.NESTED) from None
        except (AttributeError, TypeError, ValueError) as error:
            raise UserError(f"cannot read {files.shown(each)} as asv's configuration: {error}") from None


# Order --------------------------------------------------------------------------------------------------------------


def _order(folder: Path, revisions: set[str]) -> tuple[dict[str, int], list[str]]:
    """The place of each commit in the history, where git knows all of them; else nothing, and a note."""
    if not revisions:
        return {}, []
    try:
        listed = subprocess.run(
            ["git", "-C", str(folder), "rev-list", "--topo-order", "--reverse", "--all"],
            capture_output=True, text=True, check=False,
        ).stdout.split()
    except OSError:
        listed = []
    places = {commit: place for place, commit in enumerate(listed)}
    if revisions <= places.keys():
        return places, []
    missing = len(revisions - places.keys())
    return {}, [f"{missing} of {len(revisions)} commits are not in a git repository around {folder}; points are in the "
                "order of their dates"]


def _series(cell: _Cell, order: Mapping[str, int]) -> Series:
    points = sorted(cell.points, key=lambda point: (order.get(point[0], 0), point[1], point[0]))
    failed = failure([
        (revision, date_s, FAILED if value is None else None) for revision, date_s, value, _ in points
    ])
    measured = [
        (revision, date_s, value, environment) for revision, date_s, value, environment in points
        if value is not None and math.isfinite(value)
    ]
    environments = [point[3] for point in measured]
    return Series(
        name=cell.name, case=cell.case, unit=cell.unit, direction=cell.direction, facts=cell.facts,
        values=np.array([point[2] for point in measured]), revisions=[point[0] for point in measured],
        dates_s=np.array([point[1] for point in measured]), environments=environments if any(environments) else (),
        failure=failed, ended=cell.ended, tried=[
            (revision, date_s) for revision, date_s, value, _ in points if value is None or math.isfinite(value)
        ],
    )
