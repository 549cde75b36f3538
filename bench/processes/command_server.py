"""Starts commands and measures them: a small process that imports nothing of Rigmark, run as a script.

It is small because the kernel counts the memory that a process had before ``exec`` to the peak of the command that it
becomes: one that the parent itself started would have used 100 MB at least. It adopts whatever a command leaves behind
(Linux: it is a subreaper), so that nothing survives a turn, and the CPU time of all descendants is known.

It reads a request per line from stdin, a JSON object, and answers each with a line of JSON on stdout and the bytes that
the line announces. It ends, with all that it started, when stdin does.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import select
import signal
import sys
import time

TYPE_CHECKING = False        # as typing has it, which would be more memory to import
if TYPE_CHECKING:
    from typing import Any, NoReturn

PIPE_BYTES = 1 << 20         # so that a command that prints does not wait for us
TAIL_BYTES = 8192            # of an output that is not kept as a whole
SAMPLE_S = 0.01              # between samples of memory
PATIENCE_S = 10.0            # for the end of a process that was killed
SET_PIPE_SIZE = 1031         # F_SETPIPE_SZ, which Python names from 3.10 on
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
LOCALE = "utf-8"

PRCTL = getattr(ctypes.CDLL(None), "prctl", None)        # None: not Linux


class Output:
    """What a command wrote to one of its streams: all of it up to a limit, beyond that the end only."""

    def __init__(self, keep_bytes: int, has_digest: bool) -> None:
        self.read_end, self.write_end = os.pipe()
        with contextlib.suppress(OSError):
            fcntl.fcntl(self.read_end, SET_PIPE_SIZE, PIPE_BYTES)
        os.set_blocking(self.read_end, False)
        self.bytes, self._kept, self._keep_bytes = 0, bytearray(), keep_bytes
        self._digest = None
        if has_digest:
            import hashlib  # several MB, which only this needs
            self._digest = hashlib.sha256()

    def read(self) -> bool:
        """Reads what is there; False at the end of the stream."""
        while True:
            try:
                chunk = os.read(self.read_end, PIPE_BYTES)
            except BlockingIOError:
                return True
            if not chunk:
                return False
            self.bytes += len(chunk)
            self._kept += chunk
            if self.bytes > self._keep_bytes:
                del self._kept[:-TAIL_BYTES]
            if self._digest is not None:
                self._digest.update(chunk)

    def close_write_end(self) -> None:
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def close(self) -> None:
        self.close_write_end()
        os.close(self.read_end)

    @property
    def kept(self) -> bytes:
        return bytes(self._kept)

    @property
    def digest(self) -> str | None:
        return None if self._digest is None else self._digest.hexdigest()


class Usage:
    """What the kernel counted of processes that have ended."""

    def __init__(self) -> None:
        self.cpu_time_s, self.largest_bytes, self.switches = 0.0, 0, 0

    def add(self, used: resource.struct_rusage) -> None:
        self.cpu_time_s += used.ru_utime + used.ru_stime
        self.switches += used.ru_nivcsw
        self.largest_bytes = max(self.largest_bytes, used.ru_maxrss * MAXRSS_UNIT)


def run(request: dict[str, Any], woken: int, lifeline: int) -> tuple[dict[str, Any], bytes, bytes]:
    """Runs one command; returns (facts, stdout, stderr)."""
    out, err = Output(request["keep_bytes"], request["has_digest"]), Output(TAIL_BYTES, False)
    failed_read, failed_write = os.pipe()
    try:
        drain(woken)
        started = time.perf_counter()
        pid = os.fork()
        if pid == 0:
            become(request, out.write_end, err.write_end, failed_write)
        os.close(failed_write)
        failed_write = -1
        out.close_write_end()
        err.close_write_end()
        facts = attend(pid, request, started, (out, err), woken, lifeline)
        error = os.read(failed_read, 4096)
        if error:
            facts["cannot_start"] = error.decode(LOCALE, "replace")
        out.read()
        err.read()
        facts.update(stdout_bytes=out.bytes, digest=out.digest)
        return facts, out.kept, err.kept
    finally:
        out.close()
        err.close()
        os.close(failed_read)
        if failed_write >= 0:
            os.close(failed_write)


def become(request: dict[str, Any], stdout: int, stderr: int, failed: int) -> NoReturn:
    """In the new process: becomes the command, or tells why not."""
    try:
        os.setsid()
        if PRCTL is not None:
            PRCTL(PR_SET_PDEATHSIG, signal.SIGKILL)
        for number in (signal.SIGPIPE, getattr(signal, "SIGXFSZ", signal.SIGPIPE)):
            signal.signal(number, signal.SIG_DFL)        # Python ignores them, which a command would inherit
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        if request["cpus"] and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, request["cpus"])
        os.chdir(request["cwd"])
        os.execve(request["path"], request["argv"], request["environment"])
    except BaseException as error:
        os.write(failed, str(getattr(error, "strerror", None) or error).encode(LOCALE, "replace"))
    finally:
        os._exit(127)


def attend(
    pid: int, request: dict[str, Any], started: float, outputs: tuple[Output, ...], woken: int, lifeline: int
) -> dict[str, Any]:
    """Reads what a command prints until it ends or its time is over, and ends all that it left."""
    usage, until = Usage(), started + request["timeout_s"]
    poll = select.poll()
    for descriptor in (woken, lifeline, *(output.read_end for output in outputs)):
        poll.register(descriptor, select.POLLIN)
    by_end = {output.read_end: output for output in outputs}
    sampled = 0
    is_late = False
    while True:
        left = until - time.perf_counter()
        if left <= 0:
            is_late = True
            break
        ready = poll.poll(1000 * min(left, SAMPLE_S) if request["samples_memory"] else 1000 * left)
        for descriptor, _ in ready:
            if descriptor == woken:
                drain(woken)
            elif descriptor == lifeline:         # the parent sends nothing while a command runs: it has ended
                end_all(pid, usage)
                sys.exit(1)
            elif not by_end[descriptor].read():
                poll.unregister(descriptor)
        ended, status, used = os.wait4(pid, os.WNOHANG)
        if ended:
            wall_time_s = time.perf_counter() - started
            usage.add(used)
            left_behind = end_all(pid, usage)
            break
        if request["samples_memory"]:
            sampled = max(sampled, group_bytes())
    if is_late:
        wall_time_s, status = time.perf_counter() - started, 0
        left_behind = end_all(pid, usage)
    return {
        "wall_time_s": wall_time_s, "cpu_time_s": usage.cpu_time_s, "is_late": is_late, "left_behind": left_behind,
        "exit_code": -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status),
        "largest_process_bytes": usage.largest_bytes, "switches": usage.switches, "group_bytes": sampled or None,
        "floor_bytes": own_bytes(),
    }


def end_all(pid: int, usage: Usage) -> int:
    """Kills all descendants and waits for their end; returns how many had not ended by themselves."""
    left_behind: set[int] = set()
    until = time.perf_counter() + PATIENCE_S
    while time.perf_counter() < until:
        try:
            while True:
                ended, _, used = os.wait4(-1, os.WNOHANG)
                if not ended:
                    break
                usage.add(used)
        except ChildProcessError:
            break
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        for child in children(os.getpid()):
            left_behind.add(child)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        time.sleep(0.0005)
    return len(left_behind)


def children(pid: int) -> list[int]:
    """The direct children of a process; none where the system does not list them."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as listing:
            return [int(child) for child in listing.read().split()]
    except OSError:
        return []


def own_bytes() -> int:
    """Memory of this process, below which the peak of no command that it starts can be seen."""
    try:
        with open("/proc/self/statm") as listing:
            return int(listing.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT


def group_bytes() -> int:
    """Memory of all descendants; pages that several of them share count once."""
    total, waiting = 0, children(os.getpid())
    while waiting:
        pid = waiting.pop()
        waiting += children(pid)
        with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup", "rb") as listing:
            for line in listing:
                if line.startswith(b"Pss:"):
                    total += 1024 * int(line.split()[1])
                    break
    return total


def drain(descriptor: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.read(descriptor, 4096):
            pass


def main() -> None:
    if PRCTL is not None:
        PRCTL(PR_SET_CHILD_SUBREAPER, 1)
    woken, wake = os.pipe()
    for descriptor in (woken, wake):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        line = sys.stdin.buffer.readline()
        if not line:
            return
        facts, stdout, stderr = run(json.loads(line), woken, 0)
        header = json.dumps({**facts, "kept": [len(stdout), len(stderr)]}).encode()
        sys.stdout.buffer.write(header + b"\n" + stdout + stderr)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
