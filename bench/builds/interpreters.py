"""Finds the Python interpreters of this machine by their release: on the PATH, and those of pyenv and uv."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import platformdirs

from rigmark.bench.errors import UserError

SHIMS = "shims"              # pyenv's folder of programs of every release that it has, which mostly refuse to start


def find(release: str) -> str | None:
    """The path of an interpreter of a release such as "3.6"; None if this machine has none. Nothing is started."""
    if release == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    return next(map(str, _candidates(release)), None)


def needed(name: str, releases: Sequence[str]) -> str:
    """The path of an interpreter of the first of these releases that this machine has.

    Raises UserError if it has none, with commands that add one; ``name`` is what needs it.
    """
    for release in releases:
        if (path := find(release)) is not None:
            return path
    raise UserError(f"{name} needs {lacking(releases)}")


def lacking(releases: Sequence[str]) -> str:
    """"Python 3.6, which this machine lacks: ...": the end of a sentence, with commands that add one."""
    return (f"Python {' or '.join(releases)}, which this machine lacks: uv python install {releases[0]}, or "
            f"pyenv install {releases[0]}")


def _candidates(release: str) -> Iterator[Path]:
    program = f"python{release}"
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        found = shutil.which(program, path=folder)
        if found is not None and SHIMS not in Path(found).parts:
            yield Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or platformdirs.user_data_path("uv") / "python")
    for installed in (pyenv, uv):
        yield from sorted(
            (path for path in installed.glob(f"*/bin/{program}") if os.access(path, os.X_OK)), reverse=True)
