"""What the doctor is told of GPUs by a simulated driver, in whatever state; and that nothing holds the doctor up."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import typer

from rigmark.bench import cli, doctor
from rigmark.bench.cli import doctor as cli_doctor
from rigmark.bench.doctor import gpus
from rigmark.bench.doctor.gpus import Gpus, Look
from rigmark.bench.doctor.noise import OtherWork
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


def test_gpus_that_answer_are_reported_with_their_facts(tmp_path: Path):
    examination = examined(tmp_path, "gpus 2")

    assert ({}, 2, "550.54.15") == (examination.silent, len(examination.nvidia), examination.driver)
    assert "Simulated A100" == examination.nvidia[0].name
    assert {"amd", "rapl"} >= set(examination.unavailable)


def test_a_gpu_that_is_lost_is_reported_and_the_others_are_examined(tmp_path: Path):
    examination = examined(tmp_path, "gpus 2\nfault 1 * -1e9 1e9 error 15")

    assert {"gpu-1": Reason.LOST} == examination.silent
    assert UUID == examination.nvidia[0].id


def test_a_gpu_that_hangs_when_it_is_read_is_reported(tmp_path: Path):
    examination = examined(tmp_path, "gpus 2\nfault 0 GetUtilizationRates -1e5 1e9 hang")

    assert {UUID: Reason.TIMEOUT} == examination.silent


def test_a_driver_that_hangs_and_a_source_that_breaks_are_reported_and_delay_nobody(
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


def test_what_depends_on_no_gpu_is_shown_before_a_driver_that_hangs_is_given_up(
    lend: Lend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    lend("hangs", at_last="def open_source(wanted):\n    time.sleep(600)\n")
    monkeypatch.setattr(gpus, "TELL_S", 0.2)
    monkeypatch.setattr(gpus, "ANSWER_S", 1.0)
    monkeypatch.setattr(doctor, "usable_builds", list)
    monkeypatch.setattr(doctor, "other_work", lambda: OtherWork(cores=0.0, steal=0.0, processes=()))
    shown_first: list[str] = []
    monkeypatch.setattr(cli, "say", lambda _why: shown_first.append(capsys.readouterr().out))

    with pytest.raises(typer.Exit):      # no build has a framework
        cli_doctor.command(tmp_path)

    first, then = shown_first[0], capsys.readouterr().out
    assert "processor" in first
    assert "no build has a framework" in first
    assert "its driver hangs" not in first
    assert "its driver hangs" in then
    assert "processor" not in then
    assert then.rstrip().splitlines()[-1].startswith("✗ = prevents measuring")
