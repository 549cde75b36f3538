"""Starting a worker: a fresh process in a build's interpreter, heard on its own pipe, never outliving its parent."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from bench.builds import Build
from bench.words import Outcome

CHILD_PACKAGES = ("frameworks", "limits", "strategies", "tracing", "worker")
CHILD_ROOT = "rigmark_child"
MAIN = f"import sys\nfrom {CHILD_ROOT}.worker.main import main\nmain(sys.argv[1:])\n"
NUMBER = struct.Struct("i")      # what a fork server sends: a process id, then its exit code
GRACE_S = 10.0           # for a worker to end by itself after its answer
LAST_WORDS = 2000        # characters of a failed worker's stderr that are kept
STOPPED = "killed with its world"        # begins the reason of a worker that was told to stop
NOT_LENT = (
    "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONSAFEPATH",       # the parent's, not the build's
    # What torchrun tells the parent; PyTorch would believe that workers are its ranks too.
    "RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_USE_AGENT_STORE",
)

NUMBERING = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""So that "cuda:0" is the GPU that NVML calls 0, where the user has not said otherwise. CUDA's own order is the fastest
first, which it alone knows."""


class Listener(Protocol):
    """Who wants to know at once how far a worker is; called while it runs, so it must be quick and raise nothing."""

    def started(self, pid: int) -> None: ...

    def marked(self, name: str, at_s: float) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of a worker."""

    outcome: Outcome
    reason: str | None           # None if ok
    result: dict[str, Any]       # empty unless ok
    marks: dict[str, float]      # seconds on the host's monotonic clock
    last_words: str              # the end of its stderr, kept where it failed
    wall_time_s: float


@cache
def child_files() -> dict[str, bytes]:
    """The child's half by path inside the archive."""
    return child_files_of(Path(__file__).parent, CHILD_PACKAGES)


def child_files_of(root: Path, packages: Sequence[str]) -> dict[str, bytes]:
    """Some packages of a child's half whose sources are in ``root``, by path inside the archive."""
    files = {f"{CHILD_ROOT}/__init__.py": b"", "__main__.py": MAIN.encode()}
    for package in packages:
        for path in sorted((root / package).glob("*.py")):
            files[f"{CHILD_ROOT}/{package}/{path.name}"] = path.read_bytes()
    return files


WEIGHTS = "ir/weights.py"
ORACLE_FILES = (WEIGHTS, *(f"{CHILD_ROOT}/{name}" for name in (
    "frameworks/__init__.py", "frameworks/numpy.py", "worker/jobs.py", "worker/proof.py",
)))


@cache
def code_version() -> str:
    """Hash of the code that measures, and of that which draws weights and inputs: by other code, another trial."""
    return version_of(child_files())


def version_of(files: Mapping[str, bytes]) -> str:
    """The code version where these files are the child's half."""
    return _hash(_versioned(files))


@cache
def oracle_version() -> str:
    """Hash of that part of it which decides what the oracle answers."""
    versioned = _versioned(child_files())
    return _hash({name: versioned[name] for name in ORACLE_FILES})


def _versioned(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {**files, WEIGHTS: (Path(__file__).parent / WEIGHTS).read_bytes()}


def _hash(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(name.encode() + b"\0" + content + b"\0")
    return digest.hexdigest()[:12]


def write_child(directory: Path, files: Mapping[str, bytes] | None = None) -> Path:
    """The child's half as one archive that any Python can run; of other ``files`` than ours where they are given."""
    path = directory / "child.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (child_files() if files is None else files).items():
            archive.writestr(name, content)
    return path


def environment(build: Build, threads: int, cache: Path | None = None) -> dict[str, str]:
    """The variables a worker starts with: ours without the parent's Python path, the threads, then the build's.

    ``cache`` is where frameworks keep compiled programs, so that the next process need not compile them again.
    """
    count = str(threads)
    ours = {name: value for name, value in os.environ.items() if name not in NOT_LENT}
    pools = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), count)
    caches = {} if cache is None else {
        "JAX_COMPILATION_CACHE_DIR": str(cache.absolute() / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
        "TORCHINDUCTOR_CACHE_DIR": str(cache.absolute() / "inductor"),
    }
    return {**NUMBERING, **ours, **pools, **caches, "PYTHONDONTWRITEBYTECODE": "1", **build.variables}


FLAGS = "_FLAGS"             # ends the name of a variable that holds many settings, the last of which counts


def with_variables(build: Build, more: Mapping[str, str]) -> Build:
    """The build with more variables: a list of flags is appended to the one that workers would have without."""
    own = environment(build, threads=1)
    merged = {
        name: f"{own[name]} {value}" if name.endswith(FLAGS) and own.get(name) else value
        for name, value in more.items()
    }
    return replace(build, variables={**build.variables, **merged})


def run_worker(
    build: Build, child: Path, job: Mapping[str, Any], directory: Path, *, threads: int, deadline_s: float,
    cache: Path | None = None, listener: Listener | None = None, stop: int | None = None,
) -> Answer:
    """Run one job in a fresh process of its own session and wait, asleep, for its answer or its end.

    ``stop`` is a descriptor that becomes readable where the worker shall be killed before.

    The whole process group is gone when this returns, also by an exception.
    """
    (directory / "job.json").write_text(json.dumps(job))
    with _Pipes() as pipes:
        try:
            with open(directory / "stdout", "wb") as stdout, open(directory / "stderr", "wb") as stderr:
                process = subprocess.Popen(
                    [build.interpreter, str(child), str(directory), str(pipes.answer_write), str(pipes.lifeline_read)],
                    env=environment(build, threads, cache), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
                    pass_fds=(pipes.answer_write, pipes.lifeline_read), start_new_session=True, cwd=directory,
                )
        except OSError as error:
            return _cannot_start(build, error)
        pipes.close_child_ends()
        with _end_of(process.pid) as ended:
            return _attend(process.pid, process.wait, pipes.answer_read, ended, directory, deadline_s, listener, stop)


class ForkServer:
    """A process that has imported a framework and nothing more; each job runs in a fork of it, and so starts at once.

    One server serves the cases of one repetition, on the CPU only. Close it when the repetition is over.
    """

    def __init__(
        self, build: Build, child: Path, directory: Path, *, threads: int, cpus: Sequence[int], preload: str,
        cache: Path | None = None,
    ):
        ours, theirs = socket.socketpair()
        self._build = build
        self._control = ours
        self._pipes = _Pipes()
        self._failure: Answer | None = None
        self._stderr_path = directory / "server-stderr"
        self._kills_before = _kernel_kills()
        command = [
            build.interpreter, str(child), "--serve", str(theirs.fileno()), str(self._pipes.lifeline_read),
            ",".join(map(str, cpus)), preload,
        ]
        try:
            with open(self._stderr_path, "wb") as stderr:
                self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
                    command, env=environment(build, threads, cache),
                    stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr,
                    pass_fds=(theirs.fileno(), self._pipes.lifeline_read), start_new_session=True, cwd=directory,
                )
        except OSError as error:
            self._process = None
            self._failure = _cannot_start(build, error)
        finally:
            theirs.close()

    def run(
        self, job: Mapping[str, Any], directory: Path, *, deadline_s: float, listener: Listener | None = None,
        stop: int | None = None,
    ) -> Answer:
        """As run_worker, in a fork of this server."""
        if self._failure is not None:
            return self._failure
        (directory / "job.json").write_text(json.dumps(job))
        with _Pipes(lifeline=False) as pipes:
            try:
                socket.send_fds(self._control, [str(directory).encode()], [pipes.answer_write])
                fork = _Fork(self._control, deadline_s)      # it may still be importing the framework
            except OSError:
                self._failure = self._not_serving(deadline_s)
                return self._failure
            pipes.close_child_ends()
            ended = [self._control.fileno()]     # where the exit code arrives
            return _attend(fork.pid, fork.wait, pipes.answer_read, ended, directory, deadline_s, listener, stop)

    def _not_serving(self, deadline_s: float) -> Answer:
        """What is to be said of a server that has ended, or is still importing the framework."""
        assert self._process is not None
        code = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(1.0)
        last_words = self._stderr_path.read_text(errors="replace")[-LAST_WORDS:]
        outcome, reason, _ = _judge([], code or 0, code is None, deadline_s, last_words, self._kills_before)
        return Answer(outcome=outcome, reason=reason, result={}, marks={}, last_words=last_words, wall_time_s=0.0)

    def close(self) -> None:
        """End the server; it has no job by now."""
        self._control.close()
        self._pipes.close()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class _Fork:
    """A worker that a server forked: its process id, and its exit code when it has ended."""

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
                self._code = -signal.SIGKILL     # the server was killed, and nobody else knows
        return self._code

    def _number(self, timeout_s: float | None) -> int:
        """The next number from the server; raises OSError where it has ended."""
        self._control.settimeout(timeout_s)
        content = self._control.recv(NUMBER.size)
        if len(content) < NUMBER.size:
            raise ConnectionResetError
        number: int = NUMBER.unpack(content)[0]
        return number


class _Pipes:
    """The pipe of the answers, and the lifeline that ends when this process does."""

    def __init__(self, *, lifeline: bool = True):
        self.answer_read, self.answer_write = os.pipe()
        self.lifeline_read, self._lifeline_write = os.pipe() if lifeline else (-1, -1)

    def __enter__(self) -> _Pipes:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close_child_ends(self) -> None:
        """So that the end of the child is the end of its answers."""
        self._close("answer_write", "lifeline_read")

    def close(self) -> None:
        self._close("answer_read", "answer_write", "lifeline_read", "_lifeline_write")

    def _close(self, *names: str) -> None:
        for name in names:
            if (descriptor := getattr(self, name)) >= 0:
                os.close(descriptor)
                setattr(self, name, -1)


def _cannot_start(build: Build, error: OSError) -> Answer:
    return Answer(
        outcome=Outcome.BUILD_BROKEN, result={}, marks={}, last_words="", wall_time_s=0.0,
        reason=f"build '{build.name}' cannot start {build.interpreter}: {error.strerror}",
    )


def _attend(
    pid: int, exit_code: Callable[[float | None], int], answer_read: int, ended: Sequence[int], directory: Path,
    deadline_s: float, listener: Listener | None = None, stop: int | None = None,
) -> Answer:
    """Wait for the answer of a started worker, see to it that its whole group is gone, and judge.

    ``ended`` holds a descriptor that becomes readable when the worker ends, where the system has such a thing.
    """
    started = time.monotonic()
    kills_before = _kernel_kills()
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
    is_stopped = time.monotonic() < started + deadline_s     # if it is late, then for another reason
    outcome, reason, result = _judge(messages, code, is_late, deadline_s, last_words, kills_before, is_stopped)
    return Answer(
        outcome=outcome, reason=reason, result=result,
        marks={m["mark"]: m["at_s"] for m in messages if m["event"] == "mark"},
        last_words="" if outcome is Outcome.OK else last_words, wall_time_s=time.monotonic() - started,
    )


def _listen(
    descriptor: int, ended: Sequence[int], until: float, listener: Listener | None = None, stop: int | None = None
) -> tuple[list[dict[str, Any]], bool]:
    """(messages, whether it must be killed); ends at the last message, when the worker is gone, or at ``stop``."""
    pending = b""
    messages: list[dict[str, Any]] = []
    while True:
        watched = [descriptor, *ended, *([] if stop is None else [stop])]
        ready, _, _ = select.select(watched, [], [], max(0.0, until - time.monotonic()))
        if not ready or stop in ready:
            return messages, True
        if descriptor not in ready:      # gone, while a process it forked still holds the pipe open
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
def _end_of(pid: int) -> Iterator[list[int]]:
    """A descriptor that becomes readable when the process ends, where the system has such a thing."""
    if not hasattr(os, "pidfd_open"):
        yield []
        return
    descriptor = os.pidfd_open(pid)
    try:
        yield [descriptor]
    finally:
        os.close(descriptor)


def _judge(
    messages: list[dict[str, Any]], code: int, is_late: bool, deadline_s: float, last_words: str, kills_before: int,
    is_stopped: bool = False,
) -> tuple[Outcome, str | None, dict[str, Any]]:
    final = messages[-1] if messages else {"event": "nothing"}
    if final["event"] == "result":
        return Outcome.OK, None, {name: value for name, value in final.items() if name != "event"}
    if final["event"] == "failed":
        return Outcome(final["outcome"]), final["reason"], {}
    reached = f"after '{final['mark']}'" if final["event"] == "mark" else "before it started"
    if is_late and is_stopped:
        return Outcome.CRASHED, f"{STOPPED} {reached}", {}
    if is_late:
        return Outcome.TIMEOUT, f"no answer within {deadline_s:g} s; killed {reached}", {}
    last_line = (last_words.strip().splitlines() or ["nothing on stderr"])[-1][:300]
    if code == -signal.SIGKILL and _kernel_kills() > kills_before:
        return Outcome.OUT_OF_MEMORY, f"killed by the kernel's out-of-memory killer {reached}", {}
    if code < 0:
        return Outcome.CRASHED, f"killed by {signal.Signals(-code).name} {reached}; last words: {last_line}", {}
    if final["event"] == "nothing":
        return Outcome.BUILD_BROKEN, f"the interpreter ended with exit code {code} {reached}: {last_line}", {}
    return Outcome.CRASHED, f"ended with exit code {code} {reached} without an answer; last words: {last_line}", {}


def _kernel_kills() -> int:
    """How many processes the kernel has killed for memory since it started; 0 where it does not count them."""
    with contextlib.suppress(OSError), open("/proc/vmstat", encoding="ascii") as counters:
        for line in counters:
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


# Workers that live on ------------------------------------------------------------------------------------------------


class Ended(Exception):
    """A live worker came to its end where an answer was due; ``answer`` says what became of it."""

    def __init__(self, answer: Answer):
        super().__init__(answer.reason)
        self.answer = answer


class LiveWorker:
    """A fresh process that is told what to do next, line by line, and sleeps in between. Use it as a context manager.

    Each answer, the first one included, is due within ``deadline_s``. The whole process group is gone when the block
    is left, also by an exception.
    """

    def __init__(
        self, build: Build, child: Path, job: Mapping[str, Any], directory: Path, *, threads: int, deadline_s: float,
        cache: Path | None = None,
    ):
        """Raises Ended where the build cannot be started."""
        self._directory = directory
        self._deadline_s = deadline_s
        self._started = time.monotonic()
        self._kills_before = _kernel_kills()
        self._messages: list[dict[str, Any]] = []        # marks and what ends it, by which it is judged
        self._pending = b""
        self._is_gone = False
        with contextlib.ExitStack() as stack:
            self._pipes = stack.enter_context(_Pipes())
            commands_read, commands_write = os.pipe()
            self._commands = stack.enter_context(open(commands_write, "wb", buffering=0))
            with (
                open(commands_read, "rb") as commands,
                open(directory / "stdout", "wb") as stdout, open(directory / "stderr", "wb") as stderr,
            ):
                lent = (self._pipes.answer_write, self._pipes.lifeline_read, commands.fileno())
                (directory / "job.json").write_text(json.dumps({**job, "commands": commands.fileno()}))
                try:
                    self._process = subprocess.Popen(
                        [build.interpreter, str(child), str(directory), *map(str, lent[:2])],
                        env=environment(build, threads, cache), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
                        pass_fds=lent, start_new_session=True, cwd=directory,
                    )
                except OSError as error:
                    raise Ended(_cannot_start(build, error)) from None
            self._pipes.close_child_ends()
            stack.callback(self._kill)
            self._ended = stack.enter_context(_end_of(self._process.pid))
            self._stack = stack.pop_all()

    def __enter__(self) -> LiveWorker:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def hear(self) -> dict[str, Any]:
        """Its next answer; raises Ended where it came to its end instead, or where the deadline passed."""
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
        """Its answer to a command; raises Ended as ``hear`` does."""
        with contextlib.suppress(BrokenPipeError):       # it has ended, as ``hear`` will find
            self._commands.write(json.dumps({"do": do, **more}).encode() + b"\n")
        return self.hear()

    def end(self) -> Answer:
        """What it says in the end."""
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
        outcome, reason, result = _judge(
            self._messages, code, is_late, self._deadline_s, last_words, self._kills_before
        )
        return Answer(
            outcome=outcome, reason=reason, result=result,
            marks={m["mark"]: m["at_s"] for m in self._messages if m["event"] == "mark"},
            last_words="" if outcome is Outcome.OK else last_words, wall_time_s=time.monotonic() - self._started,
        )

    def _kill(self) -> int:
        """Its exit code, after its whole group is gone."""
        if not self._is_gone:        # later its number may be another's
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._is_gone = True
        return self._process.wait()
