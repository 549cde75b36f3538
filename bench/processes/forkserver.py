"""A fork server: a process that has imported a framework, so that jobs in forks of it start at once."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rigmark.bench.host.kernel import MemoryKills
from rigmark.bench.processes.launch import Launch
from rigmark.bench.processes.spawn import LAST_WORDS, Answer, Listener, Pipes, attend, cannot_start, judge, write_job

NUMBER = struct.Struct("i")      # a fork server sends a process id, then its exit code


class ForkServer:
    """A process that has only imported a framework; each job runs in a fork of it, and so starts at once.

    One server serves the cases of one repetition, on the CPU only. Close it after the repetition.
    """

    def __init__(self, launch: Launch, directory: Path, *, preload: str):
        """``launch`` is that of every fork; ``preload`` the framework that is imported."""
        ours, theirs = socket.socketpair()
        self._launch = launch
        self._control = ours
        self._pipes = Pipes()
        self._failure: Answer | None = None
        self._stderr_path = directory / "server-stderr"
        self._kills = MemoryKills()
        command = [
            launch.build.interpreter, str(launch.package), "--serve", str(theirs.fileno()),
            str(self._pipes.lifeline_read), ",".join(map(str, launch.cpus)), preload,
        ]
        try:
            with open(self._stderr_path, "wb") as stderr:
                self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
                    command, env=launch.environment, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr,
                    pass_fds=(theirs.fileno(), self._pipes.lifeline_read), start_new_session=True, cwd=directory,
                )
        except OSError as error:
            self._process = None
            self._failure = cannot_start(launch.build, error)
        finally:
            theirs.close()

    def run(
        self, job: Mapping[str, Any], directory: Path, *, listener: Listener | None = None, stop: int | None = None
    ) -> Answer:
        """As run_worker, in a fork of this server."""
        if self._failure is not None:
            return self._failure
        write_job(self._launch, job, directory)
        deadline_s = self._launch.deadline_s
        with Pipes(lifeline=False) as pipes:
            try:
                socket.send_fds(self._control, [str(directory).encode()], [pipes.answer_write])
                fork = _Fork(self._control, deadline_s)      # the server may still be importing the framework
            except OSError:
                self._failure = self._not_serving()
                return self._failure
            pipes.close_child_ends()
            ended = [self._control.fileno()]     # where the exit code arrives
            return attend(fork.pid, fork.wait, pipes.answer_read, ended, directory, deadline_s, listener, stop)

    def _not_serving(self) -> Answer:
        """End a server that has ended by itself or is still importing the framework, and what is to be said of it.

        It may have forked without having sent the process id: the lifeline, which close() cuts, ends that process.
        """
        assert self._process is not None
        code = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(1.0)
        last_words = self._stderr_path.read_text(errors="replace")[-LAST_WORDS:]
        pid = self._process.pid
        answer = judge(
            [], code or 0, code is None, self._launch.deadline_s, last_words, lambda: self._kills.has_killed(pid),
            wall_time_s=0.0,
        )
        self.close()
        return answer

    def close(self) -> None:
        """Ends the server, which has no job at this time; may be called more than once."""
        self._control.close()
        self._pipes.close()
        self._kills.close()
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class ForkServers:
    """The servers of one repetition, by what their forks have in common. Repetitions share nothing."""

    def __init__(self) -> None:
        self._servers: dict[tuple[object, ...], ForkServer] = {}
        self._repetition: tuple[object, ...] | None = None

    def of(
        self, repetition: tuple[object, ...], key: tuple[object, ...], start: Callable[[], ForkServer]
    ) -> ForkServer:
        """The server with this key, which is started if necessary; servers of other repetitions are closed."""
        if repetition != self._repetition:
            self.close()
            self._repetition = repetition
        if key not in self._servers:
            self._servers[key] = start()
        return self._servers[key]

    def close(self) -> None:
        while self._servers:
            self._servers.popitem()[1].close()


class _Fork:
    """A worker that a server forked: its process id, and its exit code after it has ended."""

    def __init__(self, control: socket.socket, timeout_s: float):
        self._control = control
        self._code: int | None = None
        self.pid = self._number(timeout_s)

    def wait(self, timeout_s: float | None = None) -> int:
        """As subprocess.Popen.wait."""
        if self._code is None:
            try:
                self._code = self._number(timeout_s)
            except TimeoutError:
                raise subprocess.TimeoutExpired("fork", timeout_s or 0.0) from None
            except OSError:
                self._code = -signal.SIGKILL     # the server was killed, and only it knew the code
        return self._code

    def _number(self, timeout_s: float | None) -> int:
        """The next number from the server; raises OSError if it has ended."""
        self._control.settimeout(timeout_s)
        content = self._control.recv(NUMBER.size)
        if len(content) < NUMBER.size:
            raise ConnectionResetError
        number: int = NUMBER.unpack(content)[0]
        return number
