"""What the doctor says: each cause by its severity and with its fix, and nothing of a machine that is well."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rigmark.bench import doctor
from rigmark.bench.builds.build import Build
from rigmark.bench.doctor.builds import Usable
from rigmark.bench.doctor.checks import Check, Severity
from rigmark.bench.doctor.compatibility import COMPILERS, Installed
from rigmark.bench.doctor.gpus import Gpus
from rigmark.bench.doctor.noise import OtherWork
from rigmark.bench.host import kernel
from rigmark.bench.machine import isa
from rigmark.bench.telemetry.sources import Device, Reason
from tests.fakes import rigmark, write_builds

COMPILER = dict.fromkeys(COMPILERS, True)
QUIET = OtherWork(cores=0.01, steal=0.0, processes=())
WELL: dict[str, Any] = {
    "facts": {
        "operating_system": {"virtual_machine": None, "clock_source": "tsc"},
        "processor": {"smt": "off", "cores": 8}, "memory": {"bytes": 64 * 2**30, "numa_balancing": "0"},
        "numa_nodes": [{}], "frequency": {"turbo": False},
        "limits": {"cpus": list(range(8)), "cpu_quota_cores": None, "memory_bytes": None},
    },
    "volatile": {
        "governors": ["performance"], "on_battery": False, "swap_used_bytes": 0, "cpu_pressure_ratio": 0.0,
    },
}
TORCH = Usable(
    build=Build(name="default", interpreter="/usr/bin/python3"), python="3.11.7", versions={"torch": "2.9.1"},
    frameworks=("torch",), problem=None,
    installed=Installed(python="3.11.7", versions={"torch": "2.9.1+cu128"}, packages={}),
)
A100 = Device(id="GPU-1", kind="gpu", name="NVIDIA A100", facts={
    "driver": "550.54.14", "power_limit_w": 400.0, "power_limit_default_w": 400.0, "persistence": True,
    "pcie_link_width": 16, "pcie_link_width_max": 16, "mig": False,
})
ONE_GPU = Gpus(on_bus=1, has_library=True, by_source={"nvml": (A100,)}, driver="550.54.14", unavailable={})


def but(path: str, value: Any) -> dict[str, Any]:
    """The system that is well, with one fact changed: "facts.processor.smt"."""
    described = copy.deepcopy(WELL)
    place = described
    *outer, last = path.split(".")
    for name in outer:
        place = place[name]
    place[last] = value
    return described


def only(checks: Iterator[Check]) -> Check:
    check, = checks
    return check


# Noise --------------------------------------------------------------------------------------------------------------


def test_a_quiet_machine_has_no_noise():
    assert list(doctor.noise.noise_checks(WELL, QUIET)) == []


@pytest.mark.parametrize(
    ("path", "value", "words", "fix"),
    [
        ("volatile.governors", ["powersave"], "governor 'powersave'", "cpupower frequency-set"),
        ("facts.frequency.turbo", True, "turbo is on", "no_turbo"),
        ("volatile.on_battery", True, "battery", "plug it in"),
        ("volatile.swap_used_bytes", 2**21, "2 MiB are in swap", "swapoff"),
        ("facts.processor.smt", "on", "two threads share each core", "--threads 8"),
        ("facts.operating_system.virtual_machine", "KVM", "a virtual machine (KVM)", "--session"),
        ("facts.numa_nodes", [{}, {}], "divided among 2 nodes", "numactl"),
        ("facts.operating_system.clock_source", "hpet", "clock is 'hpet'", "dmesg"),
        ("volatile.cpu_pressure_ratio", 0.4, "waited for a core in 40% of", "stop other work"),
    ],
)
def test_a_source_of_noise_is_reported_with_its_fix(path: str, value: Any, words: str, fix: str):
    check = only(doctor.noise.noise_checks(but(path, value), QUIET))

    assert check.severity is Severity.NOISE
    assert words in check.text
    assert fix in (check.fix or "")


def test_what_is_not_known_is_no_noise():
    for path in ("volatile.governors", "volatile.on_battery", "volatile.cpu_pressure_ratio", "facts.frequency.turbo",
                 "facts.processor.smt", "facts.operating_system.clock_source"):
        assert list(doctor.noise.noise_checks(but(path, None), OtherWork(cores=None, steal=None, processes=()))) == []


def test_other_work_is_told_by_name():
    busy = OtherWork(cores=1.52, steal=0.03, processes=(("chrome", 1.4), ("sshd", 0.01)))

    work, steal = doctor.noise.noise_checks(WELL, busy)

    assert "other processes keep 1.5 cores busy (chrome 1.4)" in work.text
    assert "gives 3% of the cores' time to others" in steal.text


# Room ---------------------------------------------------------------------------------------------------------------


def test_limits_of_the_control_group_are_reported(tmp_path: Path):
    quota = only(doctor.space.space_checks(tmp_path, but("facts.limits.cpu_quota_cores", 1.5)))
    memory = only(doctor.space.space_checks(tmp_path, but("facts.limits.memory_bytes", 2**32)))

    assert (quota.severity, "a worker gets 1 of them" in quota.text) == (Severity.NOISE, True)
    assert "4.0 of 64 GiB" in memory.text


def test_a_folder_that_cannot_be_written_prevents_measuring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor.space.os, "access", lambda *_: False)       # root may write anywhere

    assert only(doctor.space.space_checks(tmp_path / "results", WELL)).severity is Severity.PREVENTS


def test_a_full_disk_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor.space.shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))

    assert all("1 MiB are free" in check.text for check in doctor.space.space_checks(tmp_path, WELL))


# Builds -------------------------------------------------------------------------------------------------------------


def test_a_build_that_goes_together_with_the_driver_is_well():
    result = doctor.builds.build_checks([TORCH], "550.54.14", COMPILER)

    assert [check.text for check in result if check.severity is not Severity.OK] == []


def test_a_driver_too_old_for_a_build_prevents_measuring():
    check, *_ = doctor.builds.build_checks([TORCH], "470.82", COMPILER)

    assert check.severity is Severity.PREVENTS
    assert "is for CUDA 12.8, which needs an NVIDIA driver of 525.60.13 or newer, but 470.82 is loaded" in check.text


def test_a_build_without_its_compiler_is_reported():
    check, *_ = doctor.builds.build_checks([TORCH], None, dict.fromkeys(COMPILERS, False))

    assert check.severity is Severity.PROBLEM
    assert "build-essential" in (check.fix or "")


def build(**changes: Any) -> Usable:
    facts: dict[str, Any] = {
        "build": Build(name="old", interpreter="/old/python"), "python": None, "versions": {}, "frameworks": (),
        "problem": None, "installed": None,
    }
    return Usable(**{**facts, **changes})


def test_a_broken_build_prevents_and_a_recipe_does_not():
    broken, *_ = doctor.builds.build_checks([build(problem="no such file"), TORCH], None, COMPILER)
    recipe, *_ = doctor.builds.build_checks([build(problem="not created yet"), TORCH], None, COMPILER)

    assert (broken.severity, recipe.severity) == (Severity.PREVENTS, Severity.PROBLEM)
    assert recipe.fix == "rigmark builds create old"


def test_without_any_framework_nothing_can_be_measured():
    check, *_ = doctor.builds.build_checks([build(frameworks=("numpy",), python="3.11.7")], None, COMPILER)

    assert check.severity is Severity.PREVENTS
    assert "rigmark builds create torch" in (check.fix or "")


# GPUs ---------------------------------------------------------------------------------------------------------------


def test_a_gpu_that_is_well_is_no_problem():
    assert list(doctor.gpus.gpu_checks(ONE_GPU, [TORCH])) == []


def test_a_gpu_on_the_bus_that_nothing_sees_prevents_measuring():
    lost = Gpus(on_bus=2, has_library=False, by_source={}, driver=None, unavailable={"nvml": "no NVIDIA driver"})

    check = only(doctor.gpus.gpu_checks(lost, [TORCH]))

    assert check.severity is Severity.PREVENTS
    assert "2 NVIDIA GPUs are on the bus, but telemetry sees 0: no NVIDIA driver" in check.text
    assert only(doctor.gpus.gpu_checks(lost, [build()])).severity is Severity.PROBLEM


def test_a_driver_that_is_there_and_does_not_work_is_reported():
    why = {"nvml": "versions differ: reboot"}
    broken = Gpus(on_bus=0, has_library=True, by_source={}, driver=None, unavailable=why)

    assert only(doctor.gpus.gpu_checks(broken, [TORCH])).text == "versions differ: reboot"
    assert list(doctor.gpus.telemetry_checks(broken)) == []


def test_a_machine_without_gpus_needs_none():
    none = Gpus(on_bus=0, has_library=False, by_source={}, driver=None, unavailable={"nvml": "no driver"})

    assert list(doctor.gpus.gpu_checks(none, [TORCH])) == []
    assert only(doctor.gpus.telemetry_checks(none)).severity is Severity.OK


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"power_limit_w": 250.0}, "is 250 W, below its own 400 W"), ({"persistence": False}, "persistence mode"),
        ({"pcie_link_width": 8}, "8 of 16 PCIe lanes"), ({"mig": True}, "MIG"),
        ({"compute_mode": "prohibited"}, "forbids any program"),
    ],
)
def test_a_gpu_that_runs_below_itself_is_reported(facts: dict[str, Any], words: str):
    gpu = Device(id="GPU-1", kind="gpu", name="NVIDIA A100", facts={**A100.facts, **facts})

    gpus = Gpus(on_bus=1, has_library=True, by_source={"nvml": (gpu,)}, driver=None, unavailable={})

    assert words in only(doctor.gpus.gpu_checks(gpus, [TORCH])).text


def test_gpus_without_a_framework_for_them_are_reported():
    assert "no build has a framework with CUDA" in only(doctor.gpus.gpu_checks(ONE_GPU, [build()])).text


def test_gpus_of_another_maker_are_not_asked_for_cuda():
    gpu = Device(id="GPU-2", kind="gpu", name="AMD Instinct MI250", facts={"driver": "6.3.6"})
    gpus = Gpus(on_bus=0, has_library=False, by_source={"amd": (gpu,)}, driver=None, unavailable={})

    assert list(doctor.gpus.gpu_checks(gpus, [build()])) == []


@pytest.mark.parametrize(("reason", "text", "fix"), [
    (Reason.TIMEOUT, "unknown GPU (GPU 1) does not answer", "sudo nvidia-smi -r -i 1"),
    (Reason.LOST, "the driver has lost unknown GPU (GPU 1)", "look for Xid in dmesg"),
])
def test_a_gpu_that_hangs_or_is_lost_is_named_with_what_to_do(reason: Reason, text: str, fix: str):
    gpu = Device(id="gpu-1", kind="gpu", name="unknown GPU", facts={"index": 1}, unknown={"id": reason})
    alone = Gpus(on_bus=1, has_library=True, by_source={"nvml": (gpu,)}, driver=None, unavailable={},
                 silent={"gpu-1": reason})
    beside = replace(alone, on_bus=2, by_source={"nvml": (A100, gpu)})

    for result, severity in ((alone, Severity.PREVENTS), (beside, Severity.PROBLEM)):
        check = only(doctor.gpus.gpu_checks(result, [TORCH]))
        assert severity is check.severity
        assert check.text.startswith(text)
        assert fix in (check.fix or "")


def test_a_gpu_that_does_not_say_what_it_is_has_the_name_that_its_drivers_files_tell(monkeypatch: pytest.MonkeyPatch):
    gpu = Device(id="gpu-0", kind="gpu", name="unknown GPU", facts={"index": 0}, unknown={"id": Reason.TIMEOUT})
    silent = Gpus(on_bus=1, has_library=True, by_source={"nvml": (gpu,)}, driver=None, unavailable={},
                  silent={"gpu-0": Reason.TIMEOUT})
    told = ({"name": "NVIDIA A100", "bus_id": "0000:3b:00.0", "vbios": None},)
    monkeypatch.setattr(doctor.gpus.hardware, "nvidia_gpus", lambda: told)

    text = only(doctor.gpus.gpu_checks(silent, [TORCH])).text

    assert text.startswith("NVIDIA A100 (GPU 0, at 0000:3b:00.0) does not answer")


def test_gpus_are_counted_on_the_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kernel, "ROOT", tmp_path)
    for place, vendor, kind in (
        ("0000:00:02.0", "0x8086", "0x030000"), ("0000:3b:00.0", "0x10de", "0x030200"),
        ("0000:3b:00.1", "0x10de", "0x040300"),
    ):
        (folder := tmp_path / "sys/bus/pci/devices" / place).mkdir(parents=True)
        (folder / "vendor").write_text(f"{vendor}\n")
        (folder / "class").write_text(f"{kind}\n")

    assert list(doctor.gpus.nvidia_places()) == ["0000:3b:00.0"]


# The command --------------------------------------------------------------------------------------------------------


def test_the_command_says_what_this_machine_is_and_ends_with_0_or_2(tmp_path: Path):
    ended = rigmark("doctor", "--json", cwd=tmp_path, XDG_CONFIG_HOME=str(tmp_path))

    content = json.loads(ended.stdout)
    assert ended.returncode == (0 if content["can_measure"] else 2)
    default, = content["builds"]
    assert "numpy" in default["frameworks"]
    has = {level for level, is_there in content["instruction_sets"].items() if is_there}
    assert set(default["instruction_sets"]["numpy"]) <= has
    assert content["machine"]["id"]
    assert {check["severity"] for check in content["checks"]} <= set(Severity)


def test_the_command_ends_with_2_where_a_build_is_broken_and_tells_the_fix(tmp_path: Path):
    write_builds(tmp_path, gone=tmp_path / "nowhere/python")

    ended = rigmark("doctor", cwd=tmp_path, XDG_CONFIG_HOME=str(tmp_path))

    assert ended.returncode == 2
    assert "build 'gone' cannot be used" in ended.stdout
    assert "rigmark builds remove gone" in ended.stdout
    assert "Traceback" not in ended.stderr


def test_a_build_that_is_held_to_an_instruction_set_can_use_that_one_alone():
    features = frozenset().union(*isa.FEATURES.values())

    assert ["sse41", "avx2", "avx512"] == doctor.builds.usable_levels("torch", "native", features)
    assert ["avx2"] == doctor.builds.usable_levels("torch", "avx2", features)
    assert [] == doctor.builds.usable_levels("torch", "avx2", frozenset())
