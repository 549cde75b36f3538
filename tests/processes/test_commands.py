"""Commands of users: what is measured of them, and what becomes of the processes that they start."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from rigmark.bench.errors import UserError
from rigmark.bench.processes.commands import Command, Commands, found
from tests.fakes import TOKEN, alive

CPU = min(os.sched_getaffinity(0))


@pytest.fixture(scope="module")
def commands() -> Iterator[Commands]:
    with Commands([CPU]) as running:
        yield running


def shell(script: str, **variables: str) -> Command:
    return found(("sh", "-c", script), Path.cwd(), {**os.environ, **variables})


def python(script: str) -> Command:
    return found((sys.executable, "-S", "-c", script), Path.cwd(), os.environ)


def test_what_a_command_leaves_running_is_ended_with_it(commands: Commands):
    token = uuid.uuid4().hex

    ran = commands.run(
        shell("sleep 60 & (setsid sleep 60 &) ; echo done", **{TOKEN: token}), timeout_s=30.0, keep_bytes=9
    )

    assert (0, b"done\n", 2) == (ran.exit_code, ran.stdout, ran.left_behind)
    assert ran.wall_time_s < 10.0
    assert not alive(token)


def test_a_command_that_takes_too_long_is_ended_with_all_that_it_started(commands: Commands):
    token = uuid.uuid4().hex

    ran = commands.run(shell("setsid sleep 60 & sleep 60", **{TOKEN: token}), timeout_s=0.2)

    assert ran.is_late
    assert not alive(token)


def test_a_command_has_an_empty_stdin_its_cores_and_the_usual_signals(commands: Commands):
    ran = commands.run(
        shell("cat; grep -E 'SigIgn|Cpus_allowed_list' /proc/self/status"), timeout_s=30.0, keep_bytes=1000
    )

    ignored, cores = (line.split()[1] for line in ran.stdout.decode().splitlines())
    ignored_by_python = [number for number in (signal.SIGPIPE, signal.SIGXFSZ) if int(ignored, 16) >> number - 1 & 1]
    assert ([], str(CPU)) == (ignored_by_python, cores)


def test_of_megabytes_the_end_is_kept_and_all_is_hashed(commands: Commands):
    size = 30_000_000

    ran = commands.run(
        python(f"import sys; sys.stdout.write('x' * {size} + 'end')"), timeout_s=30.0, keep_bytes=1000, has_digest=True
    )

    assert size + 3 == ran.stdout_bytes
    assert ran.stdout.endswith(b"xend")
    assert len(ran.stdout) < 10_000
    assert hashlib.sha256(b"x" * size + b"end").hexdigest() == ran.digest


def test_cpu_time_is_that_of_all_processes(commands: Commands):
    busy = "import time\nwhile time.process_time() < 0.15: pass"

    once = f'"{sys.executable}" -S -c "{busy}"'

    ran = commands.run(shell(f"{once} & {once}; wait"), timeout_s=30.0)

    assert 0.3 <= ran.cpu_time_s < 1.0


def test_memory_does_not_include_that_of_the_process_that_starts_it(commands: Commands):
    ballast = bytearray(150_000_000)

    ran = commands.run(shell("true"), timeout_s=30.0)

    assert len(ballast) > 5 * ran.peak_memory_bytes
    assert ran.floor_bytes < 30_000_000


def test_memory_is_that_of_all_processes_together(commands: Commands):
    ran = commands.run(python(
        "import os, time\nfor _ in range(2):\n    if os.fork() == 0:\n        held = bytearray(40_000_000)\n"
        "        time.sleep(0.3)\n        os._exit(0)\nos.wait(), os.wait()"
    ), timeout_s=30.0, samples_memory=True)

    assert ran.largest_process_bytes < 80e6 < ran.peak_memory_bytes < 150e6


def test_a_file_that_the_system_cannot_run_is_told(commands: Commands, tmp_path: Path):
    (tmp_path / "broken").write_bytes(b"\x7fELF nothing")
    (tmp_path / "broken").chmod(0o755)

    ran = commands.run(found(("./broken",), tmp_path, os.environ), timeout_s=30.0)

    assert "Exec format error" == ran.cannot_start


def test_the_end_of_the_process_that_starts_commands_is_told():
    with Commands([CPU]) as running:
        running._server.kill()
        running._server.wait()
        with pytest.raises(UserError, match="the process that starts commands ended while it ran sh"):
            running.run(shell("true"), timeout_s=30.0)
