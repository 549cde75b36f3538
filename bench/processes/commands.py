"""Runs commands of users, one at a time, and measures each as a whole: time, CPU time and memory of all its processes.

A command gets /dev/null as stdin and a session of its own; whatever it starts ends with it. A small process starts it;
see bench.processes.command_server for the reason.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from rigmark.bench.errors import UserError
from rigmark.bench.processes import command_server

END_S = 15.0                 # for the end of the server with all that it started
LAST_WORDS = 2000            # characters that are kept of what a failed command printed


@dataclass(frozen=True, kw_only=True)
class Command:
    """A program with its arguments, where it runs, and with which variables."""

    argv: tuple[str, ...]
    path: str                            # the file of the program
    cwd: Path
    environment: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How a command ended, and what it used."""

    wall_time_s: float
    cpu_time_s: float                    # of all its processes
    largest_process_bytes: int           # peak resident memory of that process of it which had most
    group_bytes: int | None              # peak of all its processes together, sampled; None: not asked, or too short
    switches: int                        # how often the system took it from a core while it could have run
    floor_bytes: int                     # a peak below this cannot be seen
    exit_code: int                       # negative: the number of the signal that killed it
    is_late: bool                        # it was killed since it did not end in time
    left_behind: int                     # processes that still ran when it had ended, and were killed
    cannot_start: str | None             # what the system says
    stdout: bytes                        # its end only, if it is longer than was asked
    stdout_bytes: int                    # of all that it printed
    stderr: bytes                        # its end
    digest: str | None                   # SHA-256 of all that it printed to stdout; None: not asked

    @property
    def peak_memory_bytes(self) -> int:
        return max(self.largest_process_bytes, self.group_bytes or 0)

    @property
    def last_words(self) -> str:
        said = self.stderr if self.stderr.strip() else self.stdout
        return said.decode(errors="replace").strip()[-LAST_WORDS:]


def found(argv: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> Command:
    """The command that starts with these words; raises UserError if it is not a program that can be run."""
    name = argv[0] if argv else ""
    is_path = os.sep in name
    path = str(cwd / name) if is_path else shutil.which(name, path=environment.get("PATH", os.defpath))
    if path is not None and is_path and Path(path).is_file() and not os.access(path, os.X_OK):
        raise UserError(f"'{name}' is not executable; chmod +x makes it so, or name the program that runs it first")
    if path is None or not Path(path).is_file():
        place = f"in {cwd}" if is_path else "in the folders of PATH"
        raise UserError(f"there is no program '{name}' {place}")
    return Command(argv=tuple(argv), path=path, cwd=cwd, environment=dict(environment))


class Commands:
    """Runs commands while its block lasts; nothing that they started survives it."""

    def __init__(self, cpus: Sequence[int]):
        self._cpus = list(cpus)

    def __enter__(self) -> Commands:
        self._server = subprocess.Popen(
            [sys.executable, "-I", "-S", command_server.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            start_new_session=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        with contextlib.suppress(BrokenPipeError):       # it was killed
            self._server.stdin.close()
        try:
            self._server.wait(END_S)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._server.stdout.close()

    def run(
        self, command: Command, *, timeout_s: float, keep_bytes: int = 0, has_digest: bool = False,
        samples_memory: bool = False,
    ) -> Ran:
        """Runs a command to its end; its stdout is kept as a whole if it has no more than ``keep_bytes``."""
        stdin, stdout = self._server.stdin, self._server.stdout
        assert stdin is not None
        assert stdout is not None
        request = json.dumps({
            "argv": command.argv, "path": command.path, "cwd": str(command.cwd),
            "environment": dict(command.environment), "cpus": self._cpus, "timeout_s": timeout_s,
            "keep_bytes": keep_bytes, "has_digest": has_digest, "samples_memory": samples_memory,
        })
        line = b""
        with contextlib.suppress(BrokenPipeError):
            stdin.write(request.encode() + b"\n")
            stdin.flush()
            line = stdout.readline()
        if not line:
            raise UserError(f"the process that starts commands ended while it ran {command.argv[0]}")
        facts: dict[str, Any] = json.loads(line)
        out, err = facts.pop("kept")
        return Ran(
            **{"cannot_start": None, **facts}, stdout=stdout.read(out) if out else b"",
            stderr=stdout.read(err) if err else b"",
        )
