"""Starts a worker: a fresh process in a build's interpreter, with a pipe for answers; it never outlives its parent."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rigmark.bench.builds.build import Build
from rigmark.bench.enums import Cause, Outcome
from rigmark.bench.host.kernel import MemoryKills
from rigmark.bench.host.limits import writing
from rigmark.bench.processes.launch import Launch

if TYPE_CHECKING:                # whoever only starts a process needs no telemetry
    from rigmark.bench.telemetry.recorder import Recording

GRACE_S = 10.0           # time for a worker to end by itself after its answer
ARRAYS = "answer.npz"    # in the directory of a worker: what it left beside its answer
LAST_WORDS = 2000        # characters of a failed worker's stderr that are stored


class Listener(Protocol):
    """Is notified of the phases of a worker while it runs; it must be fast and never raise."""

    def started(self, pid: int) -> None: ...

    def marked(self, name: str, at_s: float) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer of a worker, or how it ended."""

    outcome: Outcome
    reason: str | None           # None if ok
    result: dict[str, Any]       # empty unless ok
    marks: dict[str, float]      # seconds on the host's monotonic clock
    last_words: str              # the end of its stderr if it failed
    wall_time_s: float
    cause: Cause | None = None   # None if ok or not known; worker packages of old revisions do not state it
    recording: Recording | None = None       # of the telemetry beside it; None: there was none


def not_run(outcome: Outcome, reason: str) -> Answer:
    """The answer where no worker was started."""
    return Answer(outcome=outcome, reason=reason, result={}, marks={}, last_words="", wall_time_s=0.0)


def run_worker(
    launch: Launch, job: Mapping[str, Any], directory: Path, *, listener: Listener | None = None,
    stop: int | None = None,
) -> Answer:
    """Runs one job in a new process with its own session, and sleeps until its answer or its end.

    ``stop`` is a descriptor that becomes readable if the worker must be killed earlier.

    The whole process group has ended when this returns, even by an exception.
    """
    write_job(launch, job, directory)
    with Pipes() as pipes:
        try:
            with open(directory / "stdout", "wb") as stdout, open(directory / "stderr", "wb") as stderr:
                process = subprocess.Popen(
                    [
                        launch.build.interpreter, str(launch.package), str(directory), str(pipes.answer_write),
                        str(pipes.lifeline_read),
                    ],
                    env=launch.environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
                    pass_fds=(pipes.answer_write, pipes.lifeline_read), start_new_session=True, cwd=directory,
                )
        except OSError as error:
            return cannot_start(launch.build, error)
        pipes.close_child_ends()
        with end_of(process.pid) as ended:
            return attend(
                process.pid, process.wait, pipes.answer_read, ended, directory, launch.deadline_s, listener, stop
            )


def write_job(launch: Launch, job: Mapping[str, Any], directory: Path) -> None:
    """Where a worker that starts in this directory reads it, with the cores that it is limited to, and the time now."""
    path = directory / "job.json"
    with writing(path):
        path.write_text(json.dumps({**job, "cpus": launch.cpus, "launched_at_s": time.perf_counter()}))


class Pipes:
    """The pipe of the answers, and the lifeline that ends when this process does."""

    def __init__(self, *, lifeline: bool = True):
        self.answer_read, self.answer_write = os.pipe()
        self.lifeline_read, self._lifeline_write = os.pipe() if lifeline else (-1, -1)

    def __enter__(self) -> Pipes:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close_child_ends(self) -> None:
        """Closes our copies of the child's ends, so that its answers end when it does."""
        self._close("answer_write", "lifeline_read")

    def close(self) -> None:
        self._close("answer_read", "answer_write", "lifeline_read", "_lifeline_write")

    def _close(self, *names: str) -> None:
        for name in names:
            if (descriptor := getattr(self, name)) >= 0:
                os.close(descriptor)
                setattr(self, name, -1)


def cannot_start(build: Build, error: OSError) -> Answer:
    """The answer for a build whose interpreter the system does not start."""
    return not_run(Outcome.BUILD_BROKEN, f"build '{build.name}' cannot start {build.interpreter}: {error.strerror}")


def attend(
    pid: int, exit_code: Callable[[float | None], int], answer_read: int, ended: Sequence[int], directory: Path,
    deadline_s: float, listener: Listener | None = None, stop: int | None = None,
) -> Answer:
    """Waits for the answer of a started worker, ends its whole process group, and judges it.

    ``ended`` contains a descriptor that becomes readable when the worker ends, if the system supports that.
    """
    started = time.monotonic()
    with MemoryKills() as kills:
        try:
            if listener is not None:
                listener.started(pid)
            messages, is_late = _listen(answer_read, ended, started + deadline_s, listener, stop)
            if not is_late:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    exit_code(GRACE_S)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            code = exit_code(None)
        last_words = (directory / "stderr").read_text(errors="replace")[-LAST_WORDS:]
        is_stopped = time.monotonic() < started + deadline_s     # if it is late, the deadline is the reason
        return judge(
            messages, code, is_late, deadline_s, last_words, lambda: kills.has_killed(pid),
            wall_time_s=time.monotonic() - started, is_stopped=is_stopped,
        )


def _listen(
    descriptor: int, ended: Sequence[int], until: float, listener: Listener | None = None, stop: int | None = None
) -> tuple[list[dict[str, Any]], bool]:
    """(messages, whether it must be killed); returns at the last message, at the end of the worker, or at ``stop``."""
    pending = b""
    messages: list[dict[str, Any]] = []
    while True:
        watched = [descriptor, *ended, *([] if stop is None else [stop])]
        ready, _, _ = select.select(watched, [], [], max(0.0, until - time.monotonic()))
        if not ready or stop in ready:
            return messages, True
        if descriptor not in ready:      # it ended, but a process that it forked still holds the pipe open
            return messages, False
        chunk = os.read(descriptor, 1 << 20)
        *lines, pending = (pending + chunk).split(b"\n")
        for message in map(json.loads, lines):
            messages.append(message)
            if listener is not None and message["event"] == "mark":
                listener.marked(message["mark"], message["at_s"])
        if not chunk or (messages and messages[-1]["event"] in ("result", "failed")):
            return messages, False


@contextlib.contextmanager
def end_of(pid: int) -> Iterator[list[int]]:
    """A list with a descriptor that becomes readable when the process ends; [] if the system does not support it."""
    if not hasattr(os, "pidfd_open"):
        yield []
        return
    descriptor = os.pidfd_open(pid)
    try:
        yield [descriptor]
    finally:
        os.close(descriptor)


def judge(
    messages: Sequence[Mapping[str, Any]], code: int, is_late: bool, deadline_s: float, last_words: str,
    was_killed_for_memory: Callable[[], bool | None], *, wall_time_s: float, is_stopped: bool = False,
) -> Answer:
    """The answer of a worker with these messages and this end; see kernel.MemoryKills.has_killed."""
    def answer(
        outcome: Outcome, reason: str | None, result: dict[str, Any] | None = None, cause: Cause | None = None
    ) -> Answer:
        return Answer(
            outcome=outcome, reason=reason, result=result or {},
            marks={message["mark"]: message["at_s"] for message in messages if message["event"] == "mark"},
            last_words="" if outcome is Outcome.OK else last_words, wall_time_s=wall_time_s, cause=cause,
        )

    final = messages[-1] if messages else {"event": "nothing"}
    if final["event"] == "result":
        return answer(Outcome.OK, None, {name: value for name, value in final.items() if name != "event"})
    if final["event"] == "failed":
        cause = final.get("cause")
        return answer(Outcome(final["outcome"]), final["reason"], cause=None if cause is None else Cause(cause))
    reached = f"after '{final['mark']}'" if final["event"] == "mark" else "before it started"
    if is_late and is_stopped:
        return answer(Outcome.CRASHED, f"killed together with its rank group {reached}", cause=Cause.STOPPED)
    if is_late:
        return answer(Outcome.TIMEOUT, f"no answer within {deadline_s:g} s; killed {reached}")
    last_line = (last_words.strip().splitlines() or ["nothing on stderr"])[-1][:300]
    for_memory = was_killed_for_memory() if code == -signal.SIGKILL else False
    if for_memory:
        return answer(Outcome.OUT_OF_MEMORY, f"killed by the kernel's out-of-memory killer {reached}")
    if code < 0:
        killed = f"killed by {signal.Signals(-code).name} {reached}"
        if for_memory is None:
            killed += " (the kernel killed a process for lack of memory meanwhile, perhaps this one)"
        return answer(Outcome.CRASHED, f"{killed}; last words: {last_line}")
    if final["event"] == "nothing":
        return answer(Outcome.BUILD_BROKEN, f"the interpreter ended with exit code {code} {reached}: {last_line}")
    return answer(
        Outcome.CRASHED, f"ended with exit code {code} {reached} without an answer; last words: {last_line}"
    )
