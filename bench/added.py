"""Files that users add to Rigmark's packages: networks, suites, sources of input, importers, media of reports.

A mistake in one of them is the user's to mend, so it ends in one sentence that names the file and its line.
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

MOST_WORDS = 300             # characters of an exception that are told; some hold whole arrays


def load(package: str, name: str, what: str) -> ModuleType:
    """The module of that name in a package; raises UserError for a mistake in it. ``what`` it is called: "model"."""
    with mistakes_in(package, name, what):
        return importlib.import_module(f"{package}.{name}")


@contextlib.contextmanager
def mistakes_in(package: str, name: str, what: str) -> Iterator[None]:
    """Where code of that module runs: whatever it raises but a UserError becomes one that names the line.

    "model 'mine' cannot be used: bench/models/mine.py:12: NameError: name 'Buidler' is not defined".
    """
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise mistake(error, package, name, what) from error


def mistake(error: BaseException, package: str, name: str, what: str) -> UserError:
    """The sentence for what code of a module raised."""
    where, words = _where(error, _file(package, name), package.count(".") + 2), " ".join(str(error).split())
    said = f"{type(error).__name__}{f': {words[:MOST_WORDS]}' if words else ''}"
    return UserError(f"{what} '{name}' cannot be used: {where}: {said}")


def _file(package: str, name: str) -> Path:
    found = importlib.util.find_spec(f"{package}.{name}")
    return Path((found and found.origin) or name)


def _where(error: BaseException, file: Path, parts: int) -> str:
    """The file, by so many last parts of its path, and the line of it that the error comes from, if it is one."""
    shown = "/".join(file.parts[-parts:])
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return f"{shown}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return f"{shown}:{lines[-1]}" if lines else shown
