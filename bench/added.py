"""Loads files that users add to Rigmark's packages: networks, suites, readers of data, importers, media of reports.

A mistake in such a file is reported to the user in one sentence with the file and the line.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from rigmark.bench.errors import UserError
from rigmark.bench.worker import registry

MOST_WORDS = 300             # characters of an exception that are shown; some contain whole arrays


def names(package: str) -> tuple[str, ...]:
    """The names of the modules of a package, without helpers. The package itself is not imported."""
    spec = importlib.util.find_spec(package)
    known: tuple[str, ...] = registry.names(spec and spec.submodule_search_locations)
    return known


def load(package: str, name: str, what: str) -> ModuleType:
    """The module of a name in a package; raises UserError for a mistake in it. ``what`` is its kind: "model"."""
    with mistakes_in(package, name, what):
        return importlib.import_module(f"{package}.{name}")


@contextlib.contextmanager
def mistakes_in(package: str, name: str, what: str) -> Iterator[None]:
    """A context for running code of that module: every exception becomes a UserError that names the line, such as

    "model 'mine' cannot be used: bench/models/mine.py:12: NameError: name 'Buidler' is not defined".
    """
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise mistake(error, package, name, what) from error


def mistake(error: BaseException, package: str, name: str, what: str) -> UserError:
    """The error for an exception that was raised by code of a module."""
    where, words = _where(error, _file(package, name), package.count(".") + 2), " ".join(str(error).split())
    said = f"{type(error).__name__}{f': {words[:MOST_WORDS]}' if words else ''}"
    return UserError(f"{what} '{name}' cannot be used: {where}: {said}")


def _file(package: str, name: str) -> Path:
    spec = importlib.util.find_spec(f"{package}.{name}")
    return Path((spec and spec.origin) or name)


def _where(error: BaseException, file: Path, parts: int) -> str:
    """The file, with this many last parts of its path, and the line in it that raised the error, if known."""
    shown = "/".join(file.parts[-parts:])
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return f"{shown}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return f"{shown}:{lines[-1]}" if lines else shown
