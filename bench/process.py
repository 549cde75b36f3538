"""Starting a worker: a fresh process in a build's interpreter, heard on its own pipe, never outliving its parent."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import signal
import subprocess
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bench.builds import Build
from bench.words import Outcome

CHILD_PACKAGES = ("frameworks", "worker")
CHILD_ROOT = "rigmark_child"
MAIN = f"import sys\nfrom {CHILD_ROOT}.worker.main import main\nmain(sys.argv[1:])\n"
GRACE_S = 10.0           # for a worker to end by itself after its answer
LAST_WORDS = 2000        # characters of a failed worker's stderr that are kept
NOT_LENT = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONSAFEPATH")   # the parent's, not the build's


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
    root = Path(__file__).parent
    files = {f"{CHILD_ROOT}/__init__.py": b"", "__main__.py": MAIN.encode()}
    for package in CHILD_PACKAGES:
        for path in sorted((root / package).glob("*.py")):
            files[f"{CHILD_ROOT}/{package}/{path.name}"] = path.read_bytes()
    return files


@cache
def code_version() -> str:
    """Hash of the code that measures: a trial measured by other code is another trial."""
    digest = hashlib.sha256()
    for name, content in sorted(child_files().items()):
        digest.update(name.encode() + b"\0" + content + b"\0")
    return digest.hexdigest()[:12]


def write_child(directory: Path) -> Path:
    """The child's half as one archive that any Python can run."""
    path = directory / "child.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in child_files().items():
            archive.writestr(name, content)
    return path


def environment(build: Build, threads: int) -> dict[str, str]:
    """The variables a worker starts with: ours without the parent's Python path, the threads, then the build's."""
    count = str(threads)
    ours = {name: value for name, value in os.environ.items() if name not in NOT_LENT}
    pools = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), count)
    return {**ours, **pools, "PYTHONDONTWRITEBYTECODE": "1", **build.variables}


def run_worker(
    build: Build, child: Path, job: Mapping[str, Any], directory: Path, *, threads: int, deadline_s: float
) -> Answer:
    """Run one job in a fresh process of its own session and wait, asleep, for its answer or its end.

    The whole process group is gone when this returns, also by an exception.
    """
    (directory / "job.json").write_text(json.dumps(job))
    answer_read, answer_write = os.pipe()
    lifeline_read, lifeline_write = os.pipe()
    started = time.monotonic()
    kills_before = _kernel_kills()
    stderr_path = directory / "stderr"
    try:
        with open(directory / "stdout", "wb") as stdout, open(stderr_path, "wb") as stderr:
            command = [build.interpreter, str(child), str(directory), str(answer_write), str(lifeline_read)]
            process = subprocess.Popen(
                command, env=environment(build, threads), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
                pass_fds=(answer_write, lifeline_read), start_new_session=True, cwd=directory,
            )
    except OSError as error:
        for descriptor in (answer_read, answer_write, lifeline_read, lifeline_write):
            os.close(descriptor)
        return Answer(
            outcome=Outcome.BUILD_BROKEN, result={}, marks={}, last_words="", wall_time_s=0.0,
            reason=f"build '{build.name}' cannot start {build.interpreter}: {error.strerror}",
        )
    os.close(answer_write)
    os.close(lifeline_read)
    try:
        messages, is_late = _listen(process, answer_read, started + deadline_s)
        if not is_late:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(answer_read)
        os.close(lifeline_write)
    last_words = stderr_path.read_text(errors="replace")[-LAST_WORDS:]
    outcome, reason, result = _judge(messages, process.returncode, is_late, deadline_s, last_words, kills_before)
    return Answer(
        outcome=outcome, reason=reason, result=result,
        marks={m["mark"]: m["at_s"] for m in messages if m["event"] == "mark"},
        last_words="" if outcome is Outcome.OK else last_words, wall_time_s=time.monotonic() - started,
    )


def _listen(process: subprocess.Popen[bytes], descriptor: int, until: float) -> tuple[list[dict[str, Any]], bool]:
    """(messages, whether the deadline passed); ends at the last message or when the worker is gone."""
    pending = b""
    messages: list[dict[str, Any]] = []
    with _end_of(process) as ended:
        while True:
            ready, _, _ = select.select([descriptor, *ended], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                return messages, True
            if descriptor not in ready:      # gone, while a process it forked still holds the pipe open
                return messages, False
            chunk = os.read(descriptor, 1 << 20)
            *lines, pending = (pending + chunk).split(b"\n")
            messages += [json.loads(line) for line in lines]
            if not chunk or (messages and messages[-1]["event"] in ("result", "failed")):
                return messages, False


@contextlib.contextmanager
def _end_of(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """A descriptor that becomes readable when the process ends, where the system has such a thing."""
    if not hasattr(os, "pidfd_open"):
        yield []
        return
    descriptor = os.pidfd_open(process.pid)
    try:
        yield [descriptor]
    finally:
        os.close(descriptor)


def _judge(
    messages: list[dict[str, Any]], code: int, is_late: bool, deadline_s: float, last_words: str, kills_before: int
) -> tuple[Outcome, str | None, dict[str, Any]]:
    final = messages[-1] if messages else {"event": "nothing"}
    if final["event"] == "result":
        return Outcome.OK, None, {name: value for name, value in final.items() if name != "event"}
    if final["event"] == "failed":
        return Outcome(final["outcome"]), final["reason"], {}
    reached = f"after '{final['mark']}'" if final["event"] == "mark" else "before it started"
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
