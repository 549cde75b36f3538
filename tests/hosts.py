"""The command on a host that lacks something, in a fork of a process that has imported what verbs need."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from pathlib import Path

PRELOADED = (
    "rigmark.bench.cli", "rigmark.bench.reporting.gather", "rigmark.bench.runner.runner",
    "rigmark.bench.analysis.results.summary", "duckdb", "jinja2", "numpy", "pandas", "psutil",
    "rigmark.reports.media.html", "rich.console", "rich.table", "rich.live", "scipy.stats", "tests.hosts",
)
"""Modules that take long to import. One that no longer exists only costs time: it is then imported by each fork."""

OUTPUT, ERRORS = "stdout.txt", "stderr.txt"


def into_file(descriptor: int, name: str) -> None:
    _move(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), descriptor)


def into_full_disk(descriptor: int, name: str) -> None:
    _move(os.open("/dev/full", os.O_WRONLY), descriptor)


def closed(descriptor: int, name: str) -> None:
    os.close(descriptor)


def into_broken_pipe(descriptor: int, name: str) -> None:
    read, write = os.pipe()
    os.close(read)
    _move(write, descriptor)


def _move(opened: int, descriptor: int) -> None:
    os.dup2(opened, descriptor)
    os.close(opened)


Connect = Callable[[int, str], None]


def run(
    arguments: Sequence[str], folder: Path, *, output: Connect = into_file, errors: Connect = into_file,
    encoding: str = "utf-8", stdin: Connect | None = None,
) -> tuple[int | None, str, str]:
    """Exit code, standard output and error of the command in a folder; None where it did not end within a minute."""
    context = get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    for name in (OUTPUT, ERRORS):
        (folder / name).unlink(missing_ok=True)
    process = context.Process(target=_become, args=(list(arguments), str(folder), output, errors, encoding, stdin))
    process.start()
    process.join(60)
    if process.exitcode is None:
        process.kill()
        process.join()
        return None, "", ""
    return process.exitcode, _text(folder / OUTPUT), _text(folder / ERRORS)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _become(
    arguments: list[str], folder: str, output: Connect, errors: Connect, encoding: str, stdin: Connect | None
) -> None:
    """The command, as a fresh interpreter would start it."""
    from rigmark.bench.cli import main
    from rigmark.bench.processes import probe

    probe.facts = lambda build: ({"python": "3.11", "packages": {}}, None)   # a worker each would take seconds
    os.chdir(folder)
    os.environ["HOME"] = folder
    if stdin is not None:
        stdin(0, "")
    output(1, OUTPUT)
    errors(2, ERRORS)
    sys.stdin = sys.__stdin__ = _stream(0, "r", encoding)    # type: ignore[misc]
    sys.stdout = sys.__stdout__ = _stream(1, "w", encoding)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _stream(2, "w", encoding)  # type: ignore[misc]
    sys.argv = ["rigmark", *arguments]
    try:
        main()
    except SystemExit as end:
        os._exit(int(end.code or 0))


def _stream(descriptor: int, mode: str, encoding: str) -> object:
    """As Python opens it at its start: None where it is closed."""
    try:
        os.fstat(descriptor)
    except OSError:
        return None
    return open(descriptor, mode, encoding=encoding, closefd=False)
