"""What the doctor is told of GPUs by a simulated driver, in whatever state; and that nothing holds the doctor up."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from rigmark.bench.doctor import gpus
from rigmark.bench.doctor.gpus import Gpus, Look
from rigmark.bench.telemetry.sources import Reason
from tests.telemetry import simulator
from tests.telemetry.conftest import Lend

UUID = "GPU-a0000000-1111-2222-3333-44445555ffff"


def examined(folder: Path, scenario: str) -> Gpus:
    if simulator.compiler() is None:
        pytest.skip(simulator.MISSING)
    with simulator.Installed(scenario, folder) as driver:
        look = Look()
        driver.start()
        return look.end()


def test_gpus_that_answer_are_told_with_their_facts(tmp_path: Path):
    examination = examined(tmp_path, "gpus 2")

    assert ({}, 2, "550.54.15") == (examination.silent, len(examination.nvidia), examination.driver)
    assert "Simulated A100" == examination.nvidia[0].name
    assert {"amd", "rapl"} >= set(examination.unavailable)


def test_a_gpu_that_is_lost_is_told_and_the_others_are_examined(tmp_path: Path):
    examination = examined(tmp_path, "gpus 2\nfault 1 * -1e9 1e9 error 15")

    assert {"gpu-1": Reason.LOST} == examination.silent
    assert UUID == examination.nvidia[0].id


def test_a_gpu_that_hangs_when_it_is_read_is_told(tmp_path: Path):
    examination = examined(tmp_path, "gpus 2\nfault 0 GetUtilizationRates -1e5 1e9 hang")

    assert {UUID: Reason.TIMEOUT} == examination.silent


def test_a_driver_that_hangs_and_a_source_that_breaks_are_told_and_hold_nobody_up(
    lend: Lend, monkeypatch: pytest.MonkeyPatch
):
    lend("hangs", at_last="def open_source(wanted):\n    time.sleep(600)\n")
    lend("broken", at_last="def open_source(wanted):\n    raise OSError('bad library')\n")
    lend("none", at_last="def open_source(wanted):\n    raise Unavailable('no driver')\n")
    monkeypatch.setattr(gpus, "TELL_S", 0.2)
    monkeypatch.setattr(gpus, "ANSWER_S", 2.5)
    told: list[str] = []

    began_s = time.monotonic()
    unavailable = Look().end(told.append).unavailable

    assert time.monotonic() - began_s < 60
    assert 1 == len(told)
    assert "hangs" in told[0].split(",")[0]
    assert "it did not answer within 2 s; its driver hangs: read dmesg, then reboot" == unavailable["hangs"]
    assert "could not be opened: OSError: bad library" == unavailable["broken"]
    assert "no driver" == unavailable["none"]
