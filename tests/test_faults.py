"""Bad things done to real sweeps: interrupts, kills, hangs, memory that is not there. Nothing finished is lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from rigmark.bench.enums import Outcome
from tests.fakes import (
    RIGMARK,
    TOKEN,
    alive,
    eventually,
    lend_framework,
    measure,
    proof_record,
    rigmark,
    start_rigmark,
    timing_record,
    write_builds,
)

ROOT = Path(__file__).parent.parent
SWEEP = (
    "run", "--model", "mlp", "--framework", "numpy", "--mode", "inference", "--batch", "2", "--threads", "1",
    "--repetitions", "4", "--min-time", "0.2",
)


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    name = uuid.uuid4().hex
    monkeypatch.setenv(TOKEN, name)
    return name


def records(folder: Path) -> dict[str, bytes]:
    """Contents of the stored records by file name."""
    return {path.name: path.read_bytes() for path in folder.glob("results/records/*.json")}


# Ends of a sweep ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sweep_keeps_what_is_finished_and_goes_on_from_there(
    tmp_path: Path, token: str, number: signal.Signals
):
    with start_rigmark(*SWEEP, cwd=tmp_path) as command:
        assert eventually(lambda: 2 <= len(records(tmp_path)), within_s=30.0)      # the proof and a timing trial
        command.send_signal(number)
        _, errors = command.communicate(timeout=30)
    finished = records(tmp_path)

    assert 130 == command.returncode
    assert "rigmark: interrupted; finished trials are stored; the same command continues from there\n" == errors
    assert eventually(lambda: not alive(token), within_s=20.0)
    assert 2 <= len(finished) < 5

    again = rigmark(*SWEEP, cwd=tmp_path)

    assert 0 == again.returncode
    assert f"{5 - len(finished)} trial" in again.stderr
    assert f"{len(finished)} were stored already" in again.stderr
    assert 5 == len(records(tmp_path))
    assert finished.items() <= records(tmp_path).items()


def test_a_killed_sweep_leaves_no_process_and_no_half_record(tmp_path: Path, token: str):
    with start_rigmark(*SWEEP, cwd=tmp_path) as command:
        assert eventually(lambda: 2 <= len(records(tmp_path)), within_s=30.0)
        command.kill()

        assert eventually(lambda: not alive(token), within_s=20.0)
    finished = records(tmp_path)
    assert all(json.loads(content)["outcome"] == "ok" for content in finished.values())

    again = rigmark(*SWEEP, cwd=tmp_path)

    assert 0 == again.returncode
    assert f"{len(finished)} were stored already" in again.stderr
    assert finished.items() <= records(tmp_path).items()


def test_a_sweep_killed_at_random_moments_loses_and_repeats_nothing(tmp_path: Path):
    script = ROOT / "evidence" / "kill_sweep.py"

    result = subprocess.run(
        [sys.executable, str(script), "--kills", "3", "--folder", str(tmp_path)], check=False, capture_output=True,
        text=True, timeout=120,
    )

    assert 0 == result.returncode, result.stdout + result.stderr


def test_a_second_command_into_the_same_folder_is_refused_while_the_first_measures(tmp_path: Path):
    with start_rigmark(*SWEEP, cwd=tmp_path) as first:
        assert eventually((tmp_path / "results" / "lock").exists, within_s=30.0)
        assert eventually(lambda: 1 <= len(records(tmp_path)), within_s=30.0)

        second = rigmark(*SWEEP, cwd=tmp_path)
        _, errors = first.communicate(timeout=60)

    assert 2 == second.returncode
    assert second.stderr == (
        "rigmark: another sweep is measuring into results; two would disturb each other, so wait for its end\n"
    )
    assert (0, "5 trials measured") == (first.returncode, errors[:17])


# Workers that never answer or die -----------------------------------------------------------------------------------

HANGS = """
import subprocess, time

def prepare(graph, weights, settings):
    subprocess.Popen(["sleep", "60"])
    time.sleep(60)
"""
CRASHES = """
import ctypes, os
from .numpy import adapter as honest

class Crashing(honest.Network):
    def step(self):
        os.write(2, b"illegal address\\n")
        ctypes.string_at(0)

def prepare(graph, weights, settings):
    return Crashing(graph, weights, settings)
"""


def test_a_framework_that_hangs_is_a_timeout_and_what_it_started_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str
):
    lend_framework(monkeypatch, "hanging", HANGS)

    tally = measure(tmp_path, frameworks=("hanging",), deadline_s=5.0, repetitions=3)

    proof, timing = proof_record(tally), timing_record(tally)
    assert Outcome.TIMEOUT is proof.outcome
    assert "no answer within 5 s; killed after 'imported'" == proof.reason
    assert "its proof: no answer within 5 s; killed after 'imported'" == timing.reason
    assert 2 == tally.not_started
    assert eventually(lambda: not alive(token), within_s=20.0)


def test_a_framework_that_crashes_fails_its_own_cells_and_the_sweep_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    lend_framework(monkeypatch, "crashing", CRASHES)

    tally = measure(tmp_path, frameworks=("crashing", "numpy"))

    outcomes = {(r.identity.kind.value, r.identity.case["framework"]): r for r in tally.stored}
    crashed = outcomes["timing", "crashing"]
    assert Outcome.CRASHED is crashed.outcome
    assert "killed by SIGSEGV after 'loaded'; last words: illegal address" == crashed.reason
    assert Outcome.OK is outcomes["timing", "numpy"].outcome


# Memory -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [50_000_000, 10**15, 10**20])
def test_an_impossible_batch_is_out_of_memory_in_a_sentence(tmp_path: Path, batch: int):
    record = timing_record(measure(tmp_path, local_batches=(batch,)))

    assert Outcome.OUT_OF_MEMORY is record.outcome
    assert record.reason is not None
    assert any(words in record.reason for words in ("Unable to allocate", "array is too big", "Maximum allowed"))


@pytest.fixture
def little_memory() -> Iterator[Path]:
    """A control group whose processes may hold 300 MB together."""
    group = Path("/sys/fs/cgroup/memory") / f"rigmark-{uuid.uuid4().hex}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(300 << 20))
        with contextlib.suppress(OSError):
            (group / "memory.memsw.limit_in_bytes").write_text(str(300 << 20))
    except OSError:
        pytest.skip("this system lets nobody make a memory control group (version 1)")
    yield group
    eventually(lambda: not (group / "cgroup.procs").read_text(), within_s=5.0)
    group.rmdir()


def test_a_worker_that_the_kernel_kills_for_memory_ran_out_of_memory(tmp_path: Path, little_memory: Path):
    arguments = " ".join((*SWEEP, "--batch", "200000"))      # 630 MB of input
    enter_and_run = f"echo $$ > {little_memory}/cgroup.procs; exec {RIGMARK} {arguments}"

    result = subprocess.run(
        ["sh", "-c", enter_and_run], cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60
    )

    assert 2 == result.returncode
    assert "out_of_memory: mlp/numpy/inference: killed by the kernel's out-of-memory killer" in result.stderr
    assert "3 not started because their case had failed" in result.stderr


# Folders and builds -------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 20 KiB, which some records fill."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20k", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_fills_up_ends_the_sweep_in_a_sentence_and_room_lets_it_go_on(small_disk: Path, tmp_path: Path):
    arguments = (*SWEEP, "--repetitions", "8", "--min-time", "0.01", "--results", str(small_disk / "results"))

    full = rigmark(*arguments, cwd=tmp_path)
    finished = records(small_disk)

    assert 2 == full.returncode
    assert "rigmark: cannot store a record in " in full.stderr
    assert "No space left on device" in full.stderr
    assert "Traceback" not in full.stderr
    assert 1 <= len(finished) < 9

    subprocess.run(["mount", "-o", "remount,size=10m", str(small_disk)], check=True)
    assert 0 == rigmark(*arguments, cwd=tmp_path).returncode
    assert 9 == len(records(small_disk))
    assert finished.items() <= records(small_disk).items()


@pytest.mark.parametrize(
    ("interpreter", "reason"),
    [
        ("/nowhere/python", "cannot start /nowhere/python: No such file or directory"),
        (str(ROOT / "pyproject.toml"), "pyproject.toml: Permission denied"),
        ("/bin/false", "the interpreter ended with exit code 1 before it started: nothing on stderr"),
    ],
)
def test_a_broken_interpreter_is_reported_in_a_sentence(tmp_path: Path, interpreter: str, reason: str):
    write_builds(tmp_path, odd=interpreter)

    result = rigmark(*SWEEP, "--build", "odd", cwd=tmp_path)

    assert 2 == result.returncode
    assert reason in result.stderr
    assert "Traceback" not in result.stderr


def test_workers_files_are_gone_after_a_sweep(tmp_path: Path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    rigmark(*SWEEP, "--repetitions", "1", cwd=tmp_path, TMPDIR=str(scratch))

    assert [] == os.listdir(scratch)
