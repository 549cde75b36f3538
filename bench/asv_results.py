"""Histories from the result folders of asv, of any project: versions 1 and 2 of its files, without asv and its machine.

The format is that of asv/results.py and asv/benchmarks.py of asv 0.6; a file of version 1 has no columns.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.series import Series, failure
from bench.words import UserError, unknown

BENCHMARKS, MACHINE, CONFIGURATION = "benchmarks.json", "machine.json", "asv.conf.json"
SKIPPED = frozenset({BENCHMARKS, MACHINE})
NEWEST = 2                   # version of a result file
FAILED = "asv stored null"
"""What is known of a benchmark that failed; one that was skipped is NaN."""

RATES = re.compile(r"/\s*(s|sec|second|min|minute|h|hour)\b|\b(per_s|per_second|fps|ips)\b|throughput", re.I)
"""In a unit or the name of a track_ benchmark: more is better. asv has no direction, and takes less for better."""


@dataclass(frozen=True, kw_only=True)
class History:
    """The series of a folder, and what could not be read or had to be assumed, a sentence each."""

    series: tuple[Series, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class _Cell:
    """A series in the making."""

    unit: str
    is_higher_better: bool
    facts: dict[str, str]
    points: list[tuple[str, float, float | None, str]] = field(default_factory=list)
    """(revision, date, value, environment) of each; the value is None where it failed, and NaN where it was skipped."""


def results_folder(folder: Path) -> Path:
    """The results in a folder, or in that which its asv.conf.json names; raises UserError where there are none."""
    for candidate in (folder, *_configured(folder), folder / ".asv" / "results"):
        if (candidate / BENCHMARKS).is_file() or any(candidate.glob(f"*/{MACHINE}")):
            return candidate
    raise UserError(f"no asv results in {folder}: it has neither {BENCHMARKS} nor a machine's folder with {MACHINE}")


def read(folder: Path, *, may_differ: Sequence[str] = (), higher_is_better: str | None = None) -> History:
    """Every series below ``folder``; a file that cannot be read is a problem, not an end.

    A series is of one benchmark, its version and parameters, one machine and its facts, one environment; of these the
    facts named in ``may_differ`` do not end it. ``higher_is_better`` is a regular expression for names of benchmarks.
    Points are in the order of the commits where git knows them, else of their dates. Raises UserError for a folder
    that holds no results.
    """
    root = results_folder(folder)
    problems: list[str] = []
    benchmarks = _benchmarks(root / BENCHMARKS, problems)
    wanted = None if higher_is_better is None else pattern(higher_is_better)
    cells: dict[tuple[Any, ...], _Cell] = {}
    for path in sorted(root.rglob("*.json")):
        if path.name in SKIPPED or path.parent == root:
            continue
        try:
            result = _load(path)
            rows = list(_rows(result, benchmarks))
            facts, revision, date_s = _facts(result, path), str(result["commit_hash"]), float(result["date"]) / 1000
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            problems.append(f"{path} is damaged and was left out ({_said(error)}); asv run measures it anew")
            continue
        kept = {name: value for name, value in facts.items() if name not in may_differ}
        environment = ", ".join(f"{name} {facts[name]}" for name in sorted(facts) if name in may_differ)
        shared = tuple(sorted(kept.items()))
        for name, version, case, value in rows:
            key = (name, version, case, shared)
            if key not in cells:
                described = benchmarks.get(name, {})
                is_higher = _is_higher_better(name, described) or bool(wanted and wanted.search(name))
                cells[key] = _Cell(unit=str(described.get("unit", "")), is_higher_better=is_higher, facts=kept)
            cells[key].points.append((revision, date_s, value, environment))
    met = sorted({name for cell in cells.values() for name in cell.facts})
    for name in may_differ:
        if cells and name not in met and not any(name in point[3] for cell in cells.values() for point in cell.points):
            raise unknown("fact", name, met)
    order, notes = _order(folder, {point[0] for cell in cells.values() for point in cell.points})
    return History(
        series=tuple(
            each for each in (_series(key[0], key[2], cell, order) for key, cell in cells.items())
            if len(each.values) or each.failure
        ),
        problems=tuple(problems), notes=tuple(notes),
    )


# Files --------------------------------------------------------------------------------------------------------------


def _load(path: Path) -> dict[str, Any]:
    result = json.loads(path.read_text(encoding="utf-8"))
    version = int(result.get("version", 1))
    if version > NEWEST:
        raise ValueError(f"version {version} is newer than {NEWEST}")
    return dict(result)


def _benchmarks(path: Path, problems: list[str]) -> dict[str, dict[str, Any]]:
    """Units and directions by name; without them, what the names say."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: facts for name, facts in found.items() if isinstance(facts, dict)}
    except (OSError, ValueError, AttributeError) as error:
        problems.append(f"{path} cannot be read ({_said(error)}); units are not known, directions are from names")
        return {}


def _rows(
    result: Mapping[str, Any], benchmarks: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, str, str, float | None]]:
    """(benchmark, version, case, value) of all that was asked for; None where it failed, NaN where it was skipped."""
    for name, values, params, version in _columns(result):
        described = benchmarks.get(name, {})
        if version is not None and described.get("version") not in (None, version):
            continue     # measured by another version of the benchmark, which asv leaves out too
        names = described.get("param_names") or []
        axes = params or (values is None and described.get("params")) or ()
        cases = [_case(combination, names) for combination in itertools.product(*axes)] if axes else [""]
        by_case = values if isinstance(values, list) else itertools.repeat(None) if values is None else [values]
        current = str(version or described.get("version") or "")
        for case, value in zip(cases, by_case, strict=False):
            if value is None or type(value) in (int, float):
                yield name, current, case, None if value is None else float(value)


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


def _case(combination: Sequence[Any], names: Sequence[str]) -> str:
    """"model='mlp', batch=8"."""
    padded = itertools.chain(names, itertools.repeat(""))
    named = zip(padded, combination, strict=False)
    return ", ".join(f"{name}={value}" if name else str(value) for name, value in named)


def _facts(result: Mapping[str, Any], path: Path) -> dict[str, str]:
    """What a series must not cross unasked: machine and its facts, Python, requirements, variables."""
    facts = {name: str(value) for name, value in result.get("params", {}).items()}
    facts.setdefault("machine", path.parent.name)
    for name, value in {**result.get("requirements", {}), **result.get("env_vars", {})}.items():
        facts[name] = str(value)
    facts["python"] = str(result.get("python", ""))
    return facts


def _is_higher_better(name: str, described: Mapping[str, Any]) -> bool:
    said = described.get("higher_is_better")
    if said is not None:
        return bool(said)
    is_tracked = described.get("type", "track") == "track" and "track_" in name.lower()
    return is_tracked and bool(RATES.search(str(described.get("unit", ""))) or RATES.search(name))


def pattern(text: str) -> re.Pattern[str]:
    """A regular expression that a user wrote; raises UserError where it is none."""
    try:
        return re.compile(text)
    except re.error as error:
        raise UserError(f"'{text}' is no regular expression: {error}") from None


def _said(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__


# Order --------------------------------------------------------------------------------------------------------------


def _configured(folder: Path) -> Iterator[Path]:
    """Where the asv.conf.json in a folder says that results are."""
    path = folder / CONFIGURATION
    if path.is_file():
        text = path.read_text(encoding="utf-8", errors="replace")
        named = re.search(r'^\s*"results_dir"\s*:\s*"([^"]+)"', text, re.M)
        yield folder / (named[1] if named else "results")


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


def _series(name: str, case: str, cell: _Cell, order: Mapping[str, int]) -> Series:
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
        name=name, case=case, unit=cell.unit, is_higher_better=cell.is_higher_better, facts=cell.facts,
        values=np.array([point[2] for point in measured]), revisions=[point[0] for point in measured],
        dates_s=np.array([point[1] for point in measured]), environments=environments if any(environments) else (),
        failure=failed,
    )
