"""Workers that live on: each command is a line, and they sleep until the next."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rigmark.bench.host.kernel import MemoryKills
from rigmark.bench.processes.launch import Launch
from rigmark.bench.processes.spawn import GRACE_S, LAST_WORDS, Answer, Pipes, cannot_start, end_of, judge, write_job


class Ended(Exception):
    """A persistent worker ended instead of answering; ``answer`` states how it ended."""

    def __init__(self, answer: Answer):
        super().__init__(answer.reason)
        self.answer = answer


class LiveWorker:
    """A fresh process that works on command and sleeps until the next one. Use it as a context manager.

    Each answer, the first one included, is due within the deadline of its launch. The whole process group is gone when
    the block is left, also by an exception.
    """

    def __init__(self, launch: Launch, job: Mapping[str, Any], directory: Path):
        """Raises Ended if the build cannot be started."""
        self._directory = directory
        self._deadline_s = launch.deadline_s
        self._started = time.monotonic()
        self._messages: list[dict[str, Any]] = []        # marks and the last message, by which it is judged
        self._pending = b""
        self._is_gone = False
        with contextlib.ExitStack() as stack:
            self._kills = stack.enter_context(MemoryKills())
            self._pipes = stack.enter_context(Pipes())
            commands_read, commands_write = os.pipe()
            self._commands = stack.enter_context(open(commands_write, "wb", buffering=0))
            with (
                open(commands_read, "rb") as commands,
                open(directory / "stdout", "wb") as stdout, open(directory / "stderr", "wb") as stderr,
            ):
                passed = (self._pipes.answer_write, self._pipes.lifeline_read, commands.fileno())
                write_job(launch, {**job, "commands": commands.fileno()}, directory)
                try:
                    self._process = subprocess.Popen(
                        [launch.build.interpreter, str(launch.package), str(directory), *map(str, passed[:2])],
                        env=launch.environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
                        pass_fds=passed, start_new_session=True, cwd=directory,
                    )
                except OSError as error:
                    raise Ended(cannot_start(launch.build, error)) from None
            self._pipes.close_child_ends()
            stack.callback(self._kill)
            self._ended = stack.enter_context(end_of(self._process.pid))
            self._stack = stack.pop_all()

    def __enter__(self) -> LiveWorker:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def next_answer(self) -> dict[str, Any]:
        """Its next answer; raises Ended if it ended instead, or if the deadline passed."""
        until = time.monotonic() + self._deadline_s
        while True:
            line, newline, rest = self._pending.partition(b"\n")
            if newline:
                self._pending = rest
                message: dict[str, Any] = json.loads(line)
                if message["event"] not in ("mark", "result", "failed"):
                    return message
                self._messages.append(message)
                if message["event"] != "mark":
                    raise Ended(self._judged(is_late=False))
                continue
            answers = self._pipes.answer_read
            ready, _, _ = select.select([answers, *self._ended], [], [], max(0.0, until - time.monotonic()))
            chunk = os.read(answers, 1 << 16) if answers in ready else b""
            if not chunk:
                raise Ended(self._judged(is_late=not ready))
            self._pending += chunk

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """Its answer to a command; raises Ended as ``next_answer`` does."""
        with contextlib.suppress(BrokenPipeError):       # it has ended, as ``next_answer`` will find
            self._commands.write(json.dumps({"do": do, **more}).encode() + b"\n")
        return self.next_answer()

    def end(self) -> Answer:
        """Its last answer."""
        try:
            self.ask("end")
        except Ended as ended:
            return ended.answer
        raise AssertionError("a worker that was told to end gave another answer")

    def _judged(self, *, is_late: bool) -> Answer:
        if not is_late:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE_S)
        code = self._kill()
        last_words = (self._directory / "stderr").read_text(errors="replace")[-LAST_WORDS:]
        return judge(
            self._messages, code, is_late, self._deadline_s, last_words,
            lambda: self._kills.has_killed(self._process.pid), wall_time_s=time.monotonic() - self._started,
        )

    def _kill(self) -> int:
        """Ends its whole process group; returns its exit code."""
        if not self._is_gone:        # later its id may belong to another process
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._is_gone = True
        return self._process.wait()
