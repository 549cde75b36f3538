"""The benchmarks of a pytest-benchmark suite as they are, in two git revisions or builds.

They run in pytest and pytest-benchmark of each side, which collect, set up, calibrate and time them. A turn is some
rounds of a benchmark, or for ``benchmark.pedantic`` all rounds that the test states; its number is their median.
"""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rigmark.bench.ab.kinds import Ending, TurnFailed, _suites
from rigmark.bench.ab.kinds._suites import Finds, Suite, SuiteContest
from rigmark.bench.analysis.comparison.numbers import Quantity
from rigmark.bench.builds import revisions
from rigmark.bench.document.language import tr
from rigmark.bench.errors import UserError
from rigmark.bench.host import files
from rigmark.bench.processes import suites
from rigmark.bench.store.record import SIDES

NOT_COPIED = shutil.ignore_patterns("__pycache__", ".benchmarks", ".pytest_cache", ".git", ".venv", "venv")


class PytestContest(SuiteContest):
    """A contest of the benchmarks of a pytest-benchmark suite."""

    KIND, LABEL = "pytest", "pytest benchmarks"

    def _prepare(self, folder: Path) -> None:
        self._other: dict[str, list[str]] = {side: [] for side in SIDES}     # files that the revision has otherwise

    def _settle(self, name: str) -> None:
        """In the checkout of a revision the benchmarks are replaced by those of the user, so both sides have the same.
        """
        ready, source = self._ready[name], self._of.benchmarks
        if ready.checkout is None:
            return
        target = self._benchmarks(name)
        self._other[name] = _different(source, target)
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
            return
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target, ignore=NOT_COPIED, symlinks=True)

    def _project(self, name: str) -> Path:
        """The folder in which a side runs pytest."""
        checkout, root = self._ready[name].checkout, self._of.repository
        if checkout is None or root is None:
            return Path.cwd()
        return checkout / Path.cwd().resolve().relative_to(root)

    def _benchmarks(self, name: str) -> Path:
        checkout, root = self._ready[name].checkout, self._of.repository
        if checkout is None or root is None:
            return self._of.benchmarks
        return checkout / self._of.benchmarks.relative_to(root)

    def _server(self, name: str, benchmark: str | None) -> tuple[Path, tuple[str, ...], Path]:
        project = self._project(name)
        project.mkdir(parents=True, exist_ok=True)
        return suites.PYTEST, (str(project), str(self._benchmarks(name))), project

    def _understood(self, told: Mapping[str, Any]) -> Finds:
        return Finds(benchmarks={name: name for name in told["benchmarks"]}, broken=told["broken"])

    def _is_of_revision(self, ready: _suites.Ready, file: Path) -> bool:
        name = next(side for side, each in self._ready.items() if each is ready)
        return super()._is_of_revision(ready, file) and not file.is_relative_to(self._benchmarks(name).resolve())

    def _request(self, unit: str, benchmark: str, side: str) -> dict[str, Any]:
        return {"name": benchmark}

    @property
    def _end_s(self) -> float:
        """The rest of the test, with what it asserts."""
        return self._settings.timeout_s

    def _ended(self, side: str, answer: Mapping[str, Any]) -> None:
        """What fails after the rounds of a benchmark, such as an assertion on its result, fails its pair."""
        if "error" in answer:
            raise TurnFailed(
                Ending.CRASHED, f"its test failed in {side} after the benchmark", str(answer["error"])
            )

    def _usual_quantity(self) -> Quantity:
        return Quantity(name="time per call", unit="s")

    def quantity(self, case: str) -> Quantity:
        return self._usual_quantity()

    def notes(self) -> tuple[str, ...]:
        return (*super().notes(), *(
            tr("{side} has other files of the benchmarks than this checkout, whose files were used in both sides: "
               "{files}.", side=self._sides[side].name, files=", ".join(others))
            for side, others in getattr(self, "_other", {}).items() if others
        ))


KIND = PytestContest


def suite(path: Path) -> Suite:
    """The suite in a file or folder; raises UserError if there is none, or if it is all of its repository."""
    if not path.exists():
        raise UserError(f"there is no {files.shown(path)}; --pytest takes the file or folder of benchmarks")
    benchmarks, folder = path.resolve(), Path.cwd().resolve()
    found = revisions.find("HEAD", folder)
    root = None if found is None else found.root.resolve()
    if root is not None and root.is_relative_to(benchmarks):
        raise UserError(
            f"{files.shown(path)} is all of the repository {root}; --pytest takes its file or folder of benchmarks"
        )
    if not benchmarks.is_relative_to(folder if root is None else root):
        raise UserError(f"{files.shown(path)} is not in {root or folder}; run rigmark ab in the project's repository")
    return Suite(
        benchmarks=benchmarks, repository=root,
        subfolder="" if root is None or folder == root else folder.relative_to(root).as_posix(),
    )


def check_installable(suite: Suite) -> None:
    """Each revision of its repository can be."""


def _different(source: Path, target: Path) -> list[str]:
    """Files of the benchmarks that are not the same in both places."""
    if source.is_file():
        return [] if target.is_file() and filecmp.cmp(source, target, shallow=False) else [source.name]
    every = {
        path.relative_to(root).as_posix() for root in (source, target) for path in root.rglob("*.py")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return sorted(
        name for name in every if not ((source / name).is_file() and (target / name).is_file()
                                       and filecmp.cmp(source / name, target / name, shallow=False))
    )
