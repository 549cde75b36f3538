"""Ctrl-C and its like: one exception, once, wherever they come; and the end of the process where cleaning up hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rigmark.bench.host.interrupts import EXIT_CODE, PATIENCE_S, Interrupted, Interrupts
from tests.fakes import Clock, alive, eventually, start_rigmark
from tests.test_faults import SWEEP, records, token

__all__ = ["token"]

WAITS = """
import os, signal, sys, time
from rigmark.bench import cli

def tell():
    print("waits", flush=True)

def wait(**named):
    {body}

cli.app = wait
cli.main()
"""


def ended(body: str, *numbers: signal.Signals, **options: object) -> tuple[int, str]:
    """Exit code and standard error of a command that does this, and is sent these signals when it tells."""
    with subprocess.Popen(
        [sys.executable, "-c", WAITS.format(body=body)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[2], **options,      # type: ignore[call-overload]
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        for number in numbers:
            process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    return process.returncode, errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_end_from_outside_is_one_sentence(number: signal.Signals):
    assert (EXIT_CODE, "rigmark: interrupted\n") == ended("tell(); signal.pause()", number)


def test_a_second_ctrl_c_does_not_disturb_the_cleaning_up():
    body = """
    try:
        tell()
        signal.pause()
    finally:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
        sys.stderr.write("clean; ")
"""
    assert (EXIT_CODE, "clean; rigmark: interrupted\n") == ended(body, signal.SIGINT)


def test_one_that_comes_much_later_ends_the_process_at_once():
    clock, ends = Clock(), []
    interrupts = Interrupts(clock, ends.append)

    with pytest.raises(Interrupted):
        interrupts.answer(signal.SIGINT, None)
    clock.now_s = PATIENCE_S / 2
    interrupts.answer(signal.SIGINT, None)
    early = list(ends)
    clock.now_s = PATIENCE_S
    interrupts.answer(signal.SIGINT, None)

    assert ([], [EXIT_CODE]) == (early, ends)


def test_an_interrupt_that_a_destructor_swallows_comes_again():
    body = """
    class Swallows:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)
    Swallows()
    signal.pause()
"""
    assert (EXIT_CODE, "rigmark: interrupted\n") == ended(body)


@pytest.mark.parametrize(
    "body", ["raise RuntimeError('of a library')", "sys.exit(0)", "pass"], ids=["error", "end", "return"]
)
def test_what_a_library_makes_of_an_interrupt_is_an_interrupt(body: str):
    within = f"""
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        {body}
"""
    assert (EXIT_CODE, "rigmark: interrupted\n") == ended(within)


@pytest.mark.parametrize("slow", ["typer", "rigmark.bench.host.interrupts"])
def test_an_interrupt_before_the_command_is_there_is_the_same_sentence(slow: str):
    code = f"""
import os, runpy, signal, sys

class Slow:
    def find_spec(self, name, *rest):
        if name == {slow!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Slow())
runpy.run_module("rigmark", run_name="__main__")
"""
    done = subprocess.run(
        [sys.executable, "-c", code, "--version"], capture_output=True, text=True, check=False,
        cwd=Path(__file__).parents[2],
    )

    assert (EXIT_CODE, "", "rigmark: interrupted\n") == (done.returncode, done.stdout, done.stderr)


def test_the_command_waits_for_no_other_module_before_it_is_ready_for_an_interrupt():
    code = "import sys; before = set(sys.modules); import rigmark.bench.__main__; print(*set(sys.modules) - before)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )

    assert {"__future__", "rigmark", "rigmark.bench", "rigmark.bench.__main__", "rigmark.bench.version"} >= {
        *done.stdout.split()}


def test_a_signal_that_is_ignored_stays_so():
    def ignore() -> None:        # as nohup does
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    assert (0, "") == ended("os.kill(os.getpid(), signal.SIGHUP)", preexec_fn=ignore)


@pytest.mark.parametrize("numbers", [(signal.SIGINT, signal.SIGINT), (signal.SIGHUP,)], ids=["Ctrl-C twice", "hang-up"])
def test_a_sweep_that_is_ended_from_outside_leaves_its_records_and_nothing_else(
    tmp_path: Path, token: str, numbers: tuple[signal.Signals, ...]
):
    with start_rigmark(*SWEEP, cwd=tmp_path) as command:
        assert eventually(lambda: bool(records(tmp_path)), within_s=60.0)
        for number in numbers:
            command.send_signal(number)
        _, errors = command.communicate(timeout=60)

    assert EXIT_CODE == command.returncode
    assert "rigmark: interrupted; finished trials are stored; the same command continues from there\n" == errors
    assert not alive(token)
    assert not [path for path in tmp_path.rglob("*.tmp") if os.path.exists(path)]
