"""Results of other benchmark programs, of many commits: one file per format, found by its name.

A file defines TITLE ("a result of hyperfine"), FILES, a pattern of the files to read below a folder, and
``measured(content, path) -> Measured``, which raises KeyError, TypeError, ValueError or the like for another format.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rigmark.bench.errors import UserError
from rigmark.bench.history.reading import Cell, History, commits, finished, stated_direction
from rigmark.bench.history.series import LESS_BY_KIND, label
from rigmark.bench.host import files
from rigmark.bench.worker import registry

NAMES = registry.names(__path__)

HASH = re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{7,40}(?![0-9A-Za-z])")
"""A commit in the name of a file or folder."""

WHOLE = 40                   # digits of a whole hash
OF_ANOTHER_FORMAT = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
UNIT = "seconds"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one file holds."""

    times_s: Mapping[str, float | None]              # by benchmark; None if it failed
    failures: str = ""                               # why those that failed did
    facts: Mapping[str, str] = field(default_factory=dict)       # constant within a series: the machine, versions
    commit: str | None = None                        # None: the file does not state it
    date_s: float | None = None                      # in seconds since 1970; None: the file does not state it
    is_changed: bool = False                         # whether there were changes that were not committed


def read(
    source: str, folder: Path, *, repository: Path | None = None, may_differ: Sequence[str] = (),
    higher_is_better: str | None = None, lower_is_better: str | None = None,
) -> History:
    """Every series in the files below ``folder``, of a format that is named by its file here.

    The commit of a file is what it states, or else a hash in its name or in that of a folder around it. Its date is
    what it states, or else that of its commit. ``repository`` is a folder of the git repository that knows the commits;
    by default it is searched around ``folder``. A file that cannot be read, or has no commit or date, is a problem.
    Raises UserError if there is no file. For the other arguments see bench.history.asv_results.
    """
    module = registry.load(__name__, source)
    if not folder.is_dir():
        raise UserError(f"there is no folder {files.shown(folder)}; --{source} takes a folder of files of many commits")
    paths = [path for path in sorted(folder.rglob(module.FILES)) if path.is_file()]
    if not paths:
        raise UserError(f"no file below {files.shown(folder)} has a name like {module.FILES}, as {module.TITLE} has")
    known = commits(repository or folder)
    problems: list[str] = []
    cells: dict[tuple[str, tuple[tuple[str, str], ...]], Cell] = {}
    stated = stated_direction(higher_is_better, lower_is_better)
    changed = 0
    for path in paths:
        try:
            each = _measured(module, path)
            revision = _commit(each, path.relative_to(folder), known)
            date_s = each.date_s if each.date_s is not None else _date_s(revision, known, repository or folder)
        except files.Unreadable as error:
            problems.append(_left_out(path, module, error.reason))
            continue
        except OF_ANOTHER_FORMAT as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
            problems.append(_left_out(path, module, reason))
            continue
        changed += each.is_changed
        kept = {name: fact for name, fact in each.facts.items() if name not in may_differ}
        environment = ", ".join(f"{name} {each.facts[name]}" for name in sorted(each.facts) if name in may_differ)
        for name, time_s in each.times_s.items():
            cell = cells.setdefault((name, tuple(sorted(kept.items()))), Cell(
                name=name, case="", unit=UNIT, direction=stated(label(name, "")) or LESS_BY_KIND, facts=kept,
                ended=None, failed=each.failures or "it failed",
            ))
            cell.points.append((revision, date_s, time_s, environment))
    found, notes = finished(
        list(cells.values()), folder, repository or folder, may_differ, higher_is_better, lower_is_better
    )
    own = []
    if changed:
        own.append(f"{changed} of {len(paths)} files state that there were changes that their commit does not have")
    if any("machine" not in cell.facts for cell in cells.values()) and "machine" not in may_differ:
        own.append("the files do not state their machine; a change of it looks like a change of the project")
    return History(series=found, problems=tuple(problems), notes=(*own, *notes))


def _measured(module: Any, path: Path) -> Measured:
    content = files.read_json(path)
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")
    measured: Measured = module.measured(content, path)
    for name, time_s in measured.times_s.items():
        if time_s is not None and not (math.isfinite(time_s) and time_s > 0):
            raise ValueError(f"{name} took {time_s} s")
    return measured


def _commit(measured: Measured, path: Path, known: Mapping[str, float]) -> str:
    """The whole hash of a file's commit if the repository has it, else as it is stated."""
    candidates = [measured.commit] if measured.commit else [
        word for part in reversed(path.parts) for word in HASH.findall(part)
    ]
    matches = {commit for word in candidates for commit in known if commit.startswith(word)}
    if len(matches) > 1:
        raise ValueError(f"it could be of several commits: {', '.join(sorted(each[:12] for each in matches))}")
    if matches:
        return matches.pop()
    # A word of digits alone is a date more often than a commit.
    likely = [word for word in candidates if measured.commit or not word.isdecimal() or len(word) == WHOLE]
    if not likely:
        raise ValueError("neither it nor its name, nor that of a folder around it, states its commit")
    return likely[0]


def _date_s(revision: str, known: Mapping[str, float], repository: Path) -> float:
    if revision not in known:
        raise ValueError(f"it states no date, and its commit {revision[:12]} is not in a git repository around "
                         f"{files.shown(repository)}; --repo names the repository")
    return known[revision]


def _left_out(path: Path, module: Any, reason: str) -> str:
    return f"{files.shown(path)} is not {module.TITLE} of a commit, and was left out: {reason}"


def each_of(entries: Any) -> Iterator[Mapping[str, Any]]:
    """The objects of a list; raises ValueError for anything else."""
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise ValueError("its results are no list of objects")
    yield from entries


def number(value: Any) -> float:
    """A number of JSON; raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{str(value)[:40]!r} stands where a number is expected")
    return float(value)


def known(**facts: Any) -> dict[str, str]:
    """The facts that are stated."""
    return {name: str(fact) for name, fact in facts.items() if fact not in (None, "")}
