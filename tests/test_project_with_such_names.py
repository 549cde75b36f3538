"""A project that has packages of its own called bench, reports and suites can use Rigmark from its root."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A git repository whose packages end whatever imports them."""
    for name in ("bench", "reports", "suites"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('this is {name} of the project')\n")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mine"\n')
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "mine"]):
        subprocess.run(["git", "-c", "user.name=me", "-c", "user.email=me@here", *command], cwd=tmp_path, check=True)
    return tmp_path


def python(project: Path, *arguments: str) -> str:
    """What Python prints that is started in the project, whose folder comes first on its path."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(project), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout


def test_it_is_measured_and_its_results_are_a_table_in_a_notebook(project: Path):
    python(
        project, "-m", "rigmark", "run", "--model", "mlp", "--framework", "numpy", "--mode", "inference", "--batch",
        "2", "--repetitions", "1", "--telemetry", "off",
    )

    assert "1 results of 2 trials" in python(project, "-c", "import rigmark; print(rigmark.load('results'))")
    assert "mlp" in python(project, "-m", "rigmark", "report", "--format", "markdown")


def test_asv_is_set_up_and_finds_the_suite(project: Path):
    python(project, "-m", "rigmark", "init", "--asv", "--framework", "numpy")

    assert "No problems found" in python(project, "-m", "asv", "check")


def test_a_suite_of_rigmark_is_planned(project: Path):
    assert "trials" in python(project, "-m", "rigmark.bench", "run", "fast", "--dry-run")
