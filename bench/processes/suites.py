"""Live processes that run the benchmarks of a suite turn by turn; see bench.processes.suite_server."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ASV = Path(__file__).with_name("asv_server.py")
PYTEST = Path(__file__).with_name("pytest_server.py")
END_S = 10.0                 # for a teardown at the end
LAST_WORDS = 2000


class Ended(Exception):
    """A process gave no answer; the message says why. ``last_words`` is the end of what it printed."""

    def __init__(self, reason: str, last_words: str, *, is_late: bool = False):
        super().__init__(reason)
        self.last_words, self.is_late = last_words, is_late


class SuiteProcess:
    """One process of one side; nothing that it started survives its block."""

    def __init__(
        self, interpreter: str, environment: Mapping[str, str], cwd: Path, server: Path, words: Sequence[str], *,
        stderr: Path, cpus: Sequence[int],
    ):
        """``server`` is a script of this folder, and ``words`` is what it is to know; what it prints goes to a file.

        Raises Ended if the system cannot start it.
        """
        self._errors = stderr
        try:
            with open(stderr, "wb") as errors:
                self._process = subprocess.Popen(
                    [interpreter, str(server), ",".join(map(str, cpus)), *words],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, cwd=cwd, env=dict(environment),
                    start_new_session=True,
                )
        except OSError as error:
            raise Ended(f"the system cannot start {interpreter}: {error.strerror}", "") from None
        self._is_over = False

    def ask(self, do: str, timeout_s: float, **request: Any) -> dict[str, Any]:
        """The answer to a request; raises Ended if there is none in time, or never will be."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        until = time.monotonic() + timeout_s
        text = b""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"do": do, **request}).encode() + b"\n")
            self._process.stdin.flush()
        descriptor = self._process.stdout.fileno()
        while not text.endswith(b"\n"):
            ready, _, _ = select.select([descriptor], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                self._kill()
                raise Ended(f"killed after {timeout_s:g} s", self._last_words(), is_late=True)
            chunk = os.read(descriptor, 1 << 20)
            if not chunk:
                self._is_over = True
                code = self._process.wait()
                said = f"signal {-code}" if code < 0 else f"exit code {code}"
                raise Ended(f"its process ended with {said}", self._last_words())
            text += chunk
        answer: dict[str, Any] = json.loads(text)
        return answer

    def close(self, timeout_s: float = END_S) -> dict[str, Any]:
        """Ends it, after the teardown of its benchmark; what that answered, {} if it had ended before."""
        answer: dict[str, Any] = {}
        if not self._is_over:
            try:
                answer = self.ask("end", timeout_s)
            except Ended as ended:
                answer = {"error": str(ended), "trace": ended.last_words}
        self._kill()
        return answer

    def _kill(self) -> None:
        self._is_over = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def _last_words(self) -> str:
        return self._errors.read_text(errors="replace").strip()[-LAST_WORDS:]
