"""Interpreters of other releases, where pyenv, uv and the system put them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rigmark.bench.builds import interpreters
from rigmark.bench.errors import UserError

OURS = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(autouse=True)
def no_interpreters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "uv"))


def install(path: Path) -> str:
    path.parent.mkdir(parents=True)
    path.write_text("")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("place", [
    "bin/python3.6", "pyenv/versions/3.6.15/bin/python3.6", "uv/cpython-3.6.15-linux-x86_64-gnu/bin/python3.6",
])
def test_an_interpreter_is_found_where_it_was_installed(tmp_path: Path, place: str):
    assert interpreters.find("3.6") is None

    path = install(tmp_path / place)

    assert path == interpreters.find("3.6")
    assert interpreters.find("3.7") is None


def test_the_interpreter_that_runs_rigmark_is_taken_for_its_release():
    assert sys.executable == interpreters.find(OURS)


def test_a_shim_of_pyenv_is_no_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shims = tmp_path / "pyenv" / "shims"
    install(shims / "python3.6")
    monkeypatch.setenv("PATH", str(shims))

    assert interpreters.find("3.6") is None


def test_the_first_release_that_is_there_is_taken_and_a_missing_one_is_one_sentence(tmp_path: Path):
    with pytest.raises(UserError, match=r"caffe needs Python 3\.9 or 3\.6, which this machine lacks: uv "):
        interpreters.needed("caffe", ("3.9", "3.6"))

    path = install(tmp_path / "pyenv" / "versions" / "3.6.15" / "bin" / "python3.6")

    assert path == interpreters.needed("caffe", ("3.9", "3.6"))
