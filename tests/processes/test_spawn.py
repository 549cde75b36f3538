"""Workers that do bad things, each a real process: what is said of them, and that nothing of them stays."""

from __future__ import annotations

import contextlib
import inspect
import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rigmark.bench.builds import variables, worker_package
from rigmark.bench.builds.build import Build
from rigmark.bench.builds.variables import extended
from rigmark.bench.enums import Cause, Outcome, StartMethod
from rigmark.bench.host.kernel import MemoryKills
from rigmark.bench.processes.forkserver import ForkServer
from rigmark.bench.processes.launch import Launch
from rigmark.bench.processes.spawn import Answer, judge, run_worker
from tests.fakes import TOKEN, alive, bare_environment, eventually

JOBS_FILE = "jobs/__init__.py"
JOBS = """
import ctypes, os, signal, subprocess, sys, time

class Failed(Exception):
    pass

def classified(error):
    return "crashed", str(error), None

def preload(framework):
    pass

def run(job, directory, answers):
"""
Behave = Callable[..., Answer]


def files_of(behaviour: str) -> dict[str, bytes]:
    """The worker package with a job that behaves so."""
    jobs = JOBS + textwrap.indent(textwrap.dedent(behaviour), "    ")
    return {**worker_package.files(), JOBS_FILE: jobs.encode()}


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    name = uuid.uuid4().hex
    monkeypatch.setenv(TOKEN, name)
    return name


@pytest.fixture(params=list(StartMethod))
def start_method(request: pytest.FixtureRequest) -> StartMethod:
    return StartMethod(request.param)


@pytest.fixture
def behave(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, start_method: StartMethod, token: str) -> Behave:
    """Run a worker that behaves as the given Python source says."""
    def run(behaviour: str, *, deadline_s: float = 20.0, **changes: Any) -> Answer:
        files = files_of(behaviour)
        monkeypatch.setattr(worker_package, "files", lambda: files)
        child = worker_package.write(tmp_path)
        build = Build(**{"name": "here", "interpreter": sys.executable, **changes})
        cpus = sorted(os.sched_getaffinity(0))[:1]
        launch = Launch.of(build, child, cpus=cpus, threads=1, deadline_s=deadline_s)
        if start_method is StartMethod.SPAWN:
            return run_worker(launch, {}, tmp_path)
        server = ForkServer(launch, tmp_path, preload="numpy")
        try:
            return server.run({}, tmp_path)
        finally:
            server.close()

    return run


spawned_only = pytest.mark.parametrize("start_method", [StartMethod.SPAWN], indirect=True)


# Answers ---------------------------------------------------------------------------------------------------------


def test_an_answer_comes_with_its_marks_in_order(behave: Behave):
    answer = behave("answers.mark('half way'); answers.send('result', number=42)")

    assert Outcome.OK is answer.outcome
    assert {"number": 42} == answer.result
    assert ["launched", "started", "half way"] == list(answer.marks)
    assert sorted(answer.marks.values()) == list(answer.marks.values())      # one clock, of parent and worker
    assert answer.marks["started"] <= answer.marks["half way"] <= time.perf_counter()


def test_noise_of_native_libraries_is_not_taken_for_an_answer(behave: Behave):
    answer = behave("""
        for descriptor in (1, 2):
            for _ in range(4):
                os.write(descriptor, b'{"event": "result", "number": 0}\\n\\xff\\x00' * 32768)
        answers.send('result', number=42)
    """)

    assert Outcome.OK is answer.outcome
    assert {"number": 42} == answer.result


def test_an_answer_larger_than_a_pipe_arrives_whole(behave: Behave):
    assert 300_000 == len(behave("answers.send('result', numbers=[0.5] * 300000)").result["numbers"])


def test_an_exception_is_a_typed_outcome_with_the_traceback_beside_it(behave: Behave):
    answer = behave("raise ValueError('no such kernel')")

    assert Outcome.CRASHED is answer.outcome
    assert "no such kernel" == answer.reason
    assert "Traceback" in answer.last_words


def test_a_cause_is_known_where_the_worker_says_one_and_unknown_from_packages_that_cannot():
    said = {"event": "failed", "outcome": "crashed", "reason": "rank 1 is gone"}

    assert judged([{**said, "cause": "peer_lost"}]).cause is Cause.PEER_LOST
    assert judged([said]).cause is None


def test_a_worker_that_was_told_to_stop_says_that_by_its_cause_and_one_that_is_late_does_not():
    assert judged([], is_late=True, is_stopped=True).cause is Cause.STOPPED
    assert judged([], is_late=True).cause is None


def judged(messages: list[dict[str, Any]], *, is_late: bool = False, is_stopped: bool = False) -> Answer:
    return judge(messages, 0, is_late, 1.0, "", lambda: False, wall_time_s=1.0, is_stopped=is_stopped)


# Bad ends --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "name"),
    [
        ("ctypes.string_at(0)", "SIGSEGV"),
        ("os.abort()", "SIGABRT"),
        ("os.kill(os.getpid(), signal.SIGILL)", "SIGILL"),
    ],
)
def test_a_crash_is_named_by_its_signal_and_how_far_it_came(behave: Behave, behaviour: str, name: str):
    answer = behave(f"answers.mark('prepared')\nos.write(2, b'assertion failed\\n')\n{behaviour}")

    assert Outcome.CRASHED is answer.outcome
    assert f"killed by {name} after 'prepared'; last words: assertion failed" == answer.reason


@pytest.mark.parametrize("end", ["os._exit(3)", "sys.exit(3)"])
def test_an_end_without_an_answer_is_a_crash(behave: Behave, end: str):
    answer = behave(f"os.write(2, b'giving up\\n')\n{end}")

    assert Outcome.CRASHED is answer.outcome
    assert "ended with exit code 3 after 'started' without an answer; last words: giving up" == answer.reason


def test_half_an_answer_is_no_answer(behave: Behave):
    answer = behave("os.write(answers._pipe.fileno(), b'{\"event\": \"result\", \"number\"')\nos._exit(0)")

    assert Outcome.CRASHED is answer.outcome


def test_a_worker_killed_by_the_kernel_for_memory_ran_out_of_memory(
    behave: Behave, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(MemoryKills, "has_killed", lambda self, pid: True)

    answer = behave("os.kill(os.getpid(), signal.SIGKILL)")

    assert Outcome.OUT_OF_MEMORY is answer.outcome
    assert "killed by the kernel's out-of-memory killer after 'started'" == answer.reason


@pytest.mark.parametrize(
    ("for_memory", "reason"),
    [
        (False, "killed by SIGKILL after 'started'; last words: "),
        (None, "killed by SIGKILL after 'started' (the kernel killed a process for lack of memory meanwhile, "
               "perhaps this one); last words: "),
    ],
)
def test_a_worker_killed_by_someone_else_crashed(
    behave: Behave, monkeypatch: pytest.MonkeyPatch, for_memory: bool | None, reason: str
):
    monkeypatch.setattr(MemoryKills, "has_killed", lambda self, pid: for_memory)

    answer = behave("os.kill(os.getpid(), signal.SIGKILL)")

    assert Outcome.CRASHED is answer.outcome
    assert answer.reason is not None
    assert answer.reason.startswith(reason)


# Workers that never answer, and processes that they leave behind ---------------------------------------------------

GRANDCHILD = "subprocess.Popen(['sleep', '60'], close_fds={close_fds})\n"


@pytest.mark.parametrize(
    "hang",
    [
        "time.sleep(60)",
        "ctypes.PyDLL(None).sleep(60)      # holds the GIL, as a native library may",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: pass",
        "os.kill(os.getpid(), signal.SIGSTOP)",
    ],
    ids=["asleep", "holds the GIL", "busy and deaf", "stopped"],
)
def test_a_worker_that_hangs_is_killed_at_the_deadline_with_what_it_started(behave: Behave, token: str, hang: str):
    answer = behave(f"answers.mark('loaded')\n{GRANDCHILD.format(close_fds=True)}{hang}", deadline_s=1.5)

    assert Outcome.TIMEOUT is answer.outcome
    assert "no answer within 1.5 s; killed after 'loaded'" == answer.reason
    assert 1.5 <= answer.wall_time_s < 30.0
    assert eventually(lambda: not alive(token), within_s=20.0)


@pytest.mark.parametrize("end", ["answers.send('result')", "os._exit(1)"], ids=["answered", "without an answer"])
def test_a_forked_process_that_holds_the_pipe_open_is_not_waited_for(behave: Behave, token: str, end: str):
    answer = behave(f"if os.fork() == 0:\n    time.sleep(60)\n{end}")

    assert answer.outcome is (Outcome.OK if "result" in end else Outcome.CRASHED)
    assert answer.wall_time_s < 30.0
    assert eventually(lambda: not alive(token), within_s=20.0)


PARENT = """
import sys
from pathlib import Path

from rigmark.bench.builds import worker_package
from rigmark.bench.builds.build import Build
from rigmark.bench.processes.launch import Launch
from rigmark.bench.processes.spawn import run_worker

folder, files = Path(sys.argv[1]), eval(sys.stdin.read())
worker_package.files = lambda: files
build = Build(name="here", interpreter=sys.executable)
run_worker(Launch.of(build, worker_package.write(folder), cpus=[0], threads=1, deadline_s=60), {}, folder)
"""


@pytest.mark.parametrize(
    "hang", ["time.sleep(60)", "ctypes.PyDLL(None).sleep(60)", "os.kill(os.getpid(), signal.SIGSTOP)"],
    ids=["asleep", "holds the GIL", "stopped"]
)
@pytest.mark.parametrize("close_fds", [True, False], ids=["descriptors closed", "descriptors inherited"])
def test_a_killed_parent_leaves_neither_worker_nor_grandchild(
    tmp_path: Path, token: str, hang: str, close_fds: bool
):
    behaviour = GRANDCHILD.format(close_fds=close_fds) + "open('reached', 'w').close()\n" + hang
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdin=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdin is not None
        parent.stdin.write(repr(files_of(behaviour)))
        parent.stdin.close()
        assert eventually((tmp_path / "reached").exists, within_s=30.0)
        assert 3 == len(alive(token))    # parent, worker, grandchild

        parent.send_signal(signal.SIGKILL)

        assert eventually(lambda: not alive(token), within_s=20.0)


def test_an_interrupt_while_waiting_leaves_no_process(behave: Behave, token: str, tmp_path: Path):
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(KeyboardInterrupt):
            behave(GRANDCHILD.format(close_fds=True) + "time.sleep(60)")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert eventually(lambda: not alive(token), within_s=20.0)


@pytest.mark.parametrize("behaviour", ["answers.send('result')", "os._exit(1)", "time.sleep(60)"])
def test_no_file_descriptor_stays_open(behave: Behave, behaviour: str):
    before = sorted(os.listdir("/proc/self/fd"))

    behave(behaviour, deadline_s=0.5)

    assert before == sorted(os.listdir("/proc/self/fd"))


# Interpreters that are none ----------------------------------------------------------------------------------------


def script(folder: Path, source: str, mode: int = 0o755) -> str:
    path = folder / "python"
    path.write_text(inspect.cleandoc(source) + "\n")
    path.chmod(mode)
    return str(path)


def test_an_interpreter_that_is_not_there_is_a_broken_build(behave: Behave):
    answer = behave("", interpreter="/nowhere/python")

    assert Outcome.BUILD_BROKEN is answer.outcome
    assert "build 'here' cannot start /nowhere/python: No such file or directory" == answer.reason


def test_an_interpreter_that_may_not_be_executed_is_a_broken_build(behave: Behave, tmp_path: Path):
    interpreter = script(tmp_path, "#!/bin/sh", mode=0o644)

    assert f"build 'here' cannot start {interpreter}: Permission denied" == behave("", interpreter=interpreter).reason


def test_a_folder_is_not_an_interpreter(behave: Behave, tmp_path: Path):
    assert Outcome.BUILD_BROKEN is behave("", interpreter=str(tmp_path)).outcome


def test_a_program_of_another_machine_is_a_broken_build(behave: Behave, tmp_path: Path):
    interpreter = tmp_path / "python"
    interpreter.write_bytes(b"\x7fELF of another machine")
    interpreter.chmod(0o755)

    answer = behave("", interpreter=str(interpreter))

    assert Outcome.BUILD_BROKEN is answer.outcome
    assert f"build 'here' cannot start {interpreter}: Exec format error" == answer.reason


@pytest.mark.parametrize("code", [0, 1])
def test_an_interpreter_that_ends_at_once_is_a_broken_build(behave: Behave, tmp_path: Path, code: int):
    answer = behave("", interpreter=script(tmp_path, f"#!/bin/sh\necho no libpython >&2; exit {code}"))

    assert Outcome.BUILD_BROKEN is answer.outcome
    assert f"the interpreter ended with exit code {code} before it started: no libpython" == answer.reason


def test_a_build_without_numpy_is_broken_and_told_so(tmp_path: Path):
    interpreter = bare_environment(tmp_path / "bare")
    build = Build(name="bare", interpreter=str(interpreter))
    launch = Launch.of(build, worker_package.write(tmp_path), cpus=[0], threads=1, deadline_s=20)

    answer = run_worker(launch, {"kind": "probe", "distributions": []}, tmp_path)

    assert Outcome.BUILD_BROKEN is answer.outcome
    assert answer.reason == (
        f"a worker needs NumPy, but {interpreter} cannot import it: No module named 'numpy'; install numpy there"
    )


# What a worker starts with -----------------------------------------------------------------------------------------


def test_a_build_does_not_see_the_packages_of_its_parent(
    behave: Behave, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "parents_own.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    answer = behave("""
        try:
            import parents_own
        except ImportError:
            answers.send('result', modules=sorted(name for name in sys.modules if name.split('.')[0] == 'bench'))
    """)

    assert {"modules": []} == answer.result


def test_threads_and_variables_are_set_before_the_interpreter_starts_and_the_build_has_the_last_word(behave: Behave):
    answer = behave(
        "names = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'GREETING')\n"
        "answers.send('result', **{name: os.environ[name] for name in names})",
        variables={"MKL_NUM_THREADS": "7", "GREETING": "hello"},
    )

    assert {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "7", "GREETING": "hello"} == answer.result


def test_a_worker_runs_on_the_cores_it_is_given(behave: Behave):
    answer = behave("answers.send('result', cores=sorted(os.sched_getaffinity(0)))")

    assert sorted(os.sched_getaffinity(0))[:1] == answer.result["cores"]


# What only a fork server can suffer --------------------------------------------------------------------------------


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, token: str) -> Iterator[Callable[[str], ForkServer]]:
    """Start a server whose import of a framework behaves as the given Python source says."""
    with contextlib.ExitStack() as stack:
        def start(
            importing: str, behaviour: str = "answers.send('result')", deadline_s: float = 20.0
        ) -> ForkServer:
            files = files_of(behaviour)
            files[JOBS_FILE] = files[JOBS_FILE].replace(b"    pass\n\ndef run", f"    {importing}\n\ndef run".encode())
            monkeypatch.setattr(worker_package, "files", lambda: files)
            build = Build(name="here", interpreter=sys.executable)
            launch = Launch.of(build, worker_package.write(tmp_path), cpus=[0], threads=1, deadline_s=deadline_s)
            started = ForkServer(launch, tmp_path, preload="numpy")
            stack.callback(started.close)
            return started

        yield start


@pytest.mark.parametrize(
    ("importing", "outcome", "reason"),
    [
        ("os.write(2, b'AVX-512 is missing\\n'); os.kill(os.getpid(), signal.SIGILL)", Outcome.CRASHED,
         "killed by SIGILL before it started; last words: AVX-512 is missing"),
        ("os._exit(3)", Outcome.BUILD_BROKEN,
         "the interpreter ended with exit code 3 before it started: nothing on stderr"),
        ("time.sleep(60)", Outcome.TIMEOUT, "no answer within 0.5 s; killed before it started"),
    ],
    ids=["signal", "exit", "hang"],
)
def test_a_framework_that_ends_the_server_at_its_import_is_reported_for_every_job(
    server: Callable[..., ForkServer], tmp_path: Path, importing: str, outcome: Outcome, reason: str
):
    started = server(importing, deadline_s=0.5)

    for _ in range(2):
        answer = started.run({}, tmp_path)
        assert (outcome, reason) == (answer.outcome, answer.reason)


def test_a_worker_whose_server_is_killed_is_no_riddle_and_no_orphan(
    server: Callable[..., ForkServer], tmp_path: Path, token: str
):
    started = server("pass", "os.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(60)")

    answer = started.run({}, tmp_path)

    assert Outcome.CRASHED is answer.outcome
    assert answer.wall_time_s < 30.0
    assert eventually(lambda: not alive(token), within_s=20.0)


def test_forks_of_one_server_follow_each_other(server: Callable[..., ForkServer], tmp_path: Path):
    started = server("pass", "answers.send('result', parent=os.getppid(), process=os.getpid())")

    first, second = (started.run({}, tmp_path).result for _ in range(2))

    assert first["parent"] == second["parent"]
    assert first["process"] != second["process"]


# Variables -------------------------------------------------------------------------------------------------------


def test_more_flags_stand_behind_those_that_are_there_and_other_variables_replace(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XLA_FLAGS", "--ours")
    monkeypatch.setenv("TF_XLA_FLAGS", "--theirs")
    build = Build(name="b", interpreter="python", variables={"TF_XLA_FLAGS": "--own", "MKL_CBWR": "AUTO"})
    of_layers = {"XLA_FLAGS": "--a", "TF_XLA_FLAGS": "--b", "MKL_CBWR": "COMPATIBLE", "NEW_FLAGS": "--c"}

    usual, more, most = (
        dict(Launch.of(build, Path("worker.zip"), cpus=[0], threads=1, deadline_s=1.0, more=more).environment)
        for more in ([], [of_layers], [of_layers, {"XLA_FLAGS": "--last"}])
    )

    assert more == usual | {
        "XLA_FLAGS": "--ours --a", "TF_XLA_FLAGS": "--own --b", "MKL_CBWR": "COMPATIBLE", "NEW_FLAGS": "--c",
    }
    assert most == more | {"XLA_FLAGS": "--ours --a --last"}
    assert extended(usual, {}) == usual


def test_workers_number_gpus_as_their_driver_does_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    build = Build(name="here", interpreter=sys.executable)

    assert "PCI_BUS_ID" == variables.environment(build, 1)["CUDA_DEVICE_ORDER"]
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    assert "FASTEST_FIRST" == variables.environment(build, 1)["CUDA_DEVICE_ORDER"]
