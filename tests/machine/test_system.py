"""The fingerprint of a system: the same for the same system, another for another; what is volatile stays out of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from rigmark.bench.host import kernel
from rigmark.bench.machine import hardware, system
from tests.records import MACHINE

CPUINFO = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 143
model name\t: Intel(R) Xeon(R) Platinum 8480+
stepping\t: 8
microcode\t: 0x2b0004d0
flags\t\t: fpu sse4_1 avx2 {more}
bugs\t\t: spectre_v1

processor\t: 1
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(kernel, "ROOT", tmp_path)
    system.facts.cache_clear()
    yield tmp_path
    system.facts.cache_clear()


def write(root: Path, **files: str) -> None:
    """Files below the root; two underscores in a name are a slash."""
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def fingerprint() -> str:
    system.facts.cache_clear()
    return system.fingerprint(system.facts())


def test_a_system_that_says_nothing_has_facts_of_none_and_a_fingerprint(root: Path):
    described = system.described()

    assert described["facts"]["processor"]["microcode"] is None
    assert described["facts"]["operating_system"]["virtual_machine"] is None
    assert described["facts"]["frequency"] == {"driver": None, "turbo": None, "min_hz": None, "max_hz": None}
    assert described["facts"]["numa_nodes"] == []
    assert described["volatile"]["governors"] is None
    assert len(described["fingerprint"]) == 12


def test_what_the_kernel_says_of_a_processor_is_kept(root: Path):
    write(root, proc__cpuinfo=CPUINFO.format(more="hypervisor"), sys__class__dmi__id__sys_vendor="QEMU\n")

    facts = system.facts()

    assert facts["processor"]["microcode"] == "0x2b0004d0"
    assert facts["processor"]["flags"] == ["avx2", "fpu", "hypervisor", "spectre_v1", "sse4_1"]
    assert facts["operating_system"]["virtual_machine"] == "QEMU"


def test_the_fingerprint_tells_settings_apart_and_heeds_nothing_of_the_moment(root: Path):
    write(root, proc__cpuinfo=CPUINFO.format(more=""), proc__cmdline="ro quiet root=/dev/sda1")
    first = fingerprint()
    write(root, sys__devices__system__cpu__cpufreq__policy0__scaling_governor="powersave\n",
          proc__pressure__cpu="some avg10=12.50 avg60=1.00 avg300=0.10 total=5\n", proc__cmdline="ro root=/dev/sdb7")
    moment = fingerprint()
    write(root, proc__cmdline="ro mitigations=off root=/dev/sda1")

    assert moment == first
    assert system.volatile()["governors"] == ["powersave"]
    assert system.volatile()["cpu_pressure_ratio"] == 0.125
    assert fingerprint() != first
    assert system.kernel_options() == ["mitigations=off"]


def battery(monkeypatch: pytest.MonkeyPatch, is_plugged: bool | None) -> dict[str, object]:
    """What is recorded where psutil says this of a battery at 63 %."""
    said = SimpleNamespace(percent=63.0, power_plugged=is_plugged)
    monkeypatch.setattr(psutil, "sensors_battery", lambda: said, raising=False)
    return {name: fact for name, fact in system.volatile().items() if "battery" in name}


@pytest.mark.parametrize(("is_plugged", "online", "on_battery"), [
    (False, "0", True), (True, "1", False), (None, "1", False), (None, "0", None)])
def test_a_laptop_runs_on_battery_or_on_mains(
    is_plugged: bool | None, online: str, on_battery: bool | None, root: Path, monkeypatch: pytest.MonkeyPatch
):
    """A battery that is held below full is "Not charging", of which psutil makes neither."""
    write(root, sys__class__power_supply__BAT0__type="Battery", sys__class__power_supply__ADP1__type="Mains",
          sys__class__power_supply__ADP1__online=online)
    result = battery(monkeypatch, is_plugged)

    assert {"on_battery": on_battery, "battery_ratio": 0.63} == {
        name: fact for name, fact in result.items() if name != "battery_reason"}
    assert (on_battery is None) == (result["battery_reason"] is not None)


def test_the_battery_of_a_mouse_is_not_the_machine_s(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("platform.system", lambda: "Linux")
    write(root, sys__class__power_supply__hidpp_battery_0__type="Battery",
          sys__class__power_supply__hidpp_battery_0__scope="Device")

    assert {"on_battery": None, "battery_ratio": None, "battery_reason": "the system shows no battery"} == battery(
        monkeypatch, False)


@pytest.mark.parametrize(
    ("file", "value", "turbo"),
    [
        ("intel_pstate__no_turbo", "0", True), ("intel_pstate__no_turbo", "1", False), ("cpufreq__boost", "1", True),
        ("cpufreq__boost", "0", False),
    ],
)
def test_turbo_is_told_by_either_driver(root: Path, file: str, value: str, turbo: bool):
    write(root, **{f"sys__devices__system__cpu__{file}": value})

    assert system.turbo() is turbo


# The machine --------------------------------------------------------------------------------------------------------


def test_a_machine_is_the_same_after_a_restart_that_leaves_it_other_memory():
    assert replace(MACHINE, memory_bytes=MACHINE.memory_bytes - 3 * 2**20).id == MACHINE.id
    assert replace(MACHINE, memory_bytes=2 * MACHINE.memory_bytes).id != MACHINE.id


@pytest.mark.parametrize(
    ("line", "driver"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024", "550.54.14"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  560.35.03  Release Build", "560.35.03"),
    ],
)
def test_gpus_are_told_by_the_drivers_files(
    line: str, driver: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for bus, name in (("0000:3B:00.0", "NVIDIA A100-SXM4-80GB"), ("0000:18:00.0", "NVIDIA H100 PCIe")):
        (tmp_path / "gpus" / bus).mkdir(parents=True)
        (tmp_path / "gpus" / bus / "information").write_text(
            f"Model: \t\t {name}\nIRQ:   \t\t 62\nGPU UUID: \t GPU-1\nVideo BIOS: \t 92.00.45.00.03\n"
        )
    (tmp_path / "version").write_text(f"{line}\nGCC version: gcc version 12.2.0\n")
    monkeypatch.setattr(hardware, "NVIDIA", tmp_path)

    first, second = hardware.nvidia_gpus()

    assert first == {"name": "NVIDIA H100 PCIe", "bus_id": "0000:18:00.0", "vbios": "92.00.45.00.03"}
    assert second["name"] == "NVIDIA A100-SXM4-80GB"
    assert hardware.nvidia_driver() == driver
    assert hardware.machine.__wrapped__().gpus == ("NVIDIA H100 PCIe", "NVIDIA A100-SXM4-80GB")


def test_without_a_driver_there_are_no_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hardware, "NVIDIA", tmp_path / "gone")

    assert (hardware.nvidia_gpus(), hardware.nvidia_driver()) == ((), None)
