"""The host's figures, from files as kernels write them, and from this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rigmark.bench.telemetry.sources import Reason, Tier, Unavailable, Wanted, host
from tests.fakes import eventually

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's /proc")


def readings(source: host.Host, device: str = "host") -> dict[str, float | Reason | None]:
    """{field: value, or the reason why it is None} of one device, over all tiers."""
    return {
        host.FIELDS[reading.field].name: reading.reason if reading.value is None else reading.value
        for tier in Tier for reading in source.read(tier) if source.devices[reading.device].id == device
    }


# A system of files ---------------------------------------------------------------------------------------------------

FILES = {
    "proc/stat": "cpu  100 10 50 1000 40 3 7 20 5 0\ncpu0 100 10 50 1000 40 3 7 20 5 0\nintr 1\n",
    "proc/pressure/cpu": "some avg10=1.00 avg60=1.00 avg300=1.00 total=1500000\nfull avg10=0.00 total=9\n",
    "proc/pressure/memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "proc/pressure/io": "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\n",
    "proc/vmstat": "nr_free_pages 1\npswpin 3\npswpout 5\nzswpin 9\n",
    "proc/meminfo": "MemTotal: 100 kB\nMemAvailable:   40 kB\nSwapTotal:  30 kB\nSwapFree:  10 kB\n",
    "proc/diskstats": " 8 0 sda 1 0 10 5 2 0 20 5 0 9 9\n 8 1 sda1 1 0 10 5 2 0 20 5 0 9 9\n"
                      " 7 0 loop0 1 0 99 5 2 0 99 5 0 9 9\n",
    "proc/net/dev": "Inter-|\n face |bytes\n lo: 77 1 0 0 0 0 0 0 77 1 0 0 0 0 0 0\n"
                    "eth0:1000 1 0 0 0 0 0 0 2000 1 0 0 0 0 0 0\nbr0: 1000 1 0 0 0 0 0 0 2000 1 0 0 0 0 0 0\n",
    "proc/self/cgroup": "0::/slice/job\n",
    "sys/fs/cgroup/slice/job/cpu.stat": "usage_usec 9\nnr_periods 8\nnr_throttled 4\nthrottled_usec 250000\n",
    "sys/fs/cgroup/slice/cpu.stat": "usage_usec 9\nnr_periods 8\nnr_throttled 1\nthrottled_usec 500000\n",
    "sys/fs/cgroup/cpu.stat": "usage_usec 9\n",
    "sys/block/sda/device/model": "disk\n", "sys/block/loop0/size": "1\n",
    "sys/class/net/eth0/device/vendor": "x\n", "sys/class/net/br0/address": "x\n", "sys/class/net/lo/address": "x\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "2100000\n",
    "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "2\n",
    "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count": "1\n",
    "sys/class/hwmon/hwmon0/name": "coretemp\n", "sys/class/hwmon/hwmon0/temp1_input": "61000\n",
    "sys/class/hwmon/hwmon0/temp2_input": "67500\n", "sys/class/hwmon/hwmon0/temp3_input": "255000\n",
    "sys/class/hwmon/hwmon1/name": "nvme\n", "sys/class/hwmon/hwmon1/temp1_input": "99000\n",
}
EXPECTED = {
    "cpu_busy_s": 1.7, "cpu_steal_s": 0.2, "cpu_idle_s": 10.4,
    "cpu_pressure_s": 1.5, "memory_pressure_s": 0.0, "io_pressure_s": 2.5,
    "swap_in_bytes": 3 * 4096, "swap_out_bytes": 5 * 4096,
    "disk_read_bytes": 5120, "disk_write_bytes": 10240, "network_receive_bytes": 1000, "network_send_bytes": 2000,
    "cgroup_throttled_s": 0.75, "cgroup_throttled_periods": 5,
    "memory_available_bytes": 40960, "swap_used_bytes": 20480,
    "cpu_clock_hz": 2.1e9, "cpu_temperature_c": 67.5, "cpu_thermal_throttles": 3,
}
V1 = {
    "proc/self/cgroup": "3:cpuset:/\n1:cpu,cpuacct:/as/the/host/calls/it\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.stat": "nr_periods 8\nnr_throttled 2\nthrottled_time 1500000000\n",
}


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path, FILES)
    for name, folder in (
        ("PROC", "proc"), ("SYS", "sys"), ("CPUS", "sys/devices/system/cpu"), ("CGROUPS", "sys/fs/cgroup"),
    ):
        monkeypatch.setattr(host, name, tmp_path / folder)
    monkeypatch.setattr(os, "sysconf", {"SC_CLK_TCK": 100, "SC_PAGE_SIZE": 4096}.__getitem__)
    return tmp_path


def write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def test_every_field_of_the_host_is_read_in_the_unit_of_its_name(system: Path):
    assert pytest.approx(EXPECTED) == readings(host.open_source(Wanted()))


def test_every_field_belongs_to_a_device_and_is_tested():
    of_trial = {name for group in host.GROUPS if group.device == host.TRIAL for name in group.names}

    assert {field.name for field in host.FIELDS} == EXPECTED.keys() | of_trial
    assert len(host.FIELDS) == len({field.name for field in host.FIELDS})


def test_control_groups_of_version_1_are_found_under_the_name_of_their_container(system: Path):
    write(system, V1)

    values = readings(host.open_source(Wanted()))

    assert (1.5, 2) == (values["cgroup_throttled_s"], values["cgroup_throttled_periods"])


@pytest.mark.parametrize(
    ("file", "fields"),
    [
        ("proc/pressure/io", {"cpu_pressure_s", "memory_pressure_s", "io_pressure_s"}),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", {"cpu_clock_hz"}),
        ("sys/class/hwmon/hwmon0/name", {"cpu_temperature_c"}),
        ("proc/diskstats", {"disk_read_bytes", "disk_write_bytes"}),
        ("proc/self/cgroup", {"cgroup_throttled_s", "cgroup_throttled_periods"}),
    ],
)
def test_what_a_kernel_lacks_is_not_found_and_the_rest_is_read(system: Path, file: str, fields: set[str]):
    (system / file).unlink()

    values = readings(host.open_source(Wanted()))

    assert dict.fromkeys(fields, Reason.NOT_FOUND) == {k: v for k, v in values.items() if isinstance(v, Reason)}


def test_a_file_of_another_form_is_a_failed_read_and_no_number(system: Path):
    write(system, {"proc/stat": "cpu\n", "proc/meminfo": "MemTotal: 1 kB\n"})

    values = readings(host.open_source(Wanted()))

    assert {Reason.FAILED} == {values[name] for name in ("cpu_busy_s", "cpu_steal_s", "memory_available_bytes")}


def test_a_system_without_proc_is_unavailable_in_a_sentence(system: Path):
    (system / "proc/stat").unlink()

    with pytest.raises(Unavailable, match="needs /proc of Linux"):
        host.open_source(Wanted())


# This machine ----------------------------------------------------------------------------------------------------


@pytest.fixture
def here() -> Iterator[host.Host]:
    source = host.open_source(Wanted(processes=(os.getpid(),)))
    yield source
    source.close()


def cpu_time_s(source: host.Host) -> float:
    value = readings(source, "trial")["cpu_time_s"]
    assert isinstance(value, float)
    return value


BURN = "import time\nwhile time.thread_time() < 0.5: pass"
IN_A_THREAD = f"import threading\nt = threading.Thread(target=exec, args=({BURN!r},))\nt.start()\nt.join()"
IN_A_PROCESS = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r}])"


@pytest.mark.parametrize("behaviour", [IN_A_THREAD, IN_A_PROCESS])
def test_threads_and_processes_of_the_trial_count_also_after_they_have_ended(here: host.Host, behaviour: str):
    """The trial itself only waits for the one that works."""
    trial = subprocess.Popen(
        [sys.executable, "-c", f"{behaviour}\nprint('ended', flush=True)\ninput()"], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )
    assert trial.stdout is not None
    here.watch((trial.pid,))
    try:
        assert eventually(lambda: cpu_time_s(here) > 0.4, within_s=30)
        assert b"ended\n" == trial.stdout.readline()
        assert cpu_time_s(here) > 0.4
    finally:
        trial.communicate()


def test_the_peak_is_the_processes_own_and_not_what_it_inherited(here: host.Host):
    values = readings(here, "trial")

    assert 0 < values["resident_bytes"] <= values["peak_resident_bytes"]     # type: ignore[operator]


def test_a_trial_that_has_ended_is_lost_and_another_can_be_watched(here: host.Host):
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    here.watch((child.pid,))
    child.wait()

    assert {Reason.LOST} == set(readings(here, "trial").values())
    here.watch((os.getpid(),))
    assert cpu_time_s(here) > 0


def test_processes_have_no_readings_until_they_are_watched(here: host.Host):
    here.watch(())

    assert {} == readings(here, "trial")


def test_descendants_are_found_also_where_the_kernel_lists_no_children():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert child.pid in set(host._descendants({os.getpid()}))
        assert os.getppid() not in set(host._descendants({os.getpid()}))
    finally:
        child.communicate()
