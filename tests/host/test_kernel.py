"""What the kernel says in files: limits of control groups, and whom it killed for memory."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from rigmark.bench.host import kernel
from rigmark.bench.host.kernel import MemoryKills
from rigmark.bench.machine import hardware
from tests.fakes import eventually


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kernel, "ROOT", tmp_path)
    return tmp_path


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


# Limits of control groups ------------------------------------------------------------------------------------------


def test_the_limits_of_a_control_group_are_those_of_the_strictest_above(root: Path):
    write(root, {
        "proc/self/cgroup": "0::/pod/box\n", "sys/fs/cgroup/pod/box/cpu.max": "300000 100000\n",
        "sys/fs/cgroup/pod/cpu.max": "150000 100000\n", "sys/fs/cgroup/pod/box/memory.max": "1073741824\n",
        "sys/fs/cgroup/pod/memory.max": "max\n", "sys/fs/cgroup/cpu.max": "max 100000\n",
    })

    assert (kernel.cpu_quota_cores(), kernel.memory_limit_bytes()) == (1.5, 2**30)


def test_a_control_group_of_the_first_version_is_understood(root: Path):
    write(root, {
        "proc/self/cgroup": "5:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n1:name=systemd:/docker/1\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
    })

    assert (kernel.cpu_quota_cores(), kernel.memory_limit_bytes()) == (2.0, None)


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", 8), ("50000 100000", 1), ("150000 100000", 1), ("299999 100000", 2), ("1600000 100000", 8)],
)
def test_a_quota_leaves_as_many_cores_as_it_has_time_for(
    root: Path, monkeypatch: pytest.MonkeyPatch, quota: str, cores: int
):
    monkeypatch.setattr(hardware, "affinity", lambda: tuple(range(8, 16)))
    write(root, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": quota})

    assert tuple(range(8, 8 + cores)) == hardware.usable_cpus()


# Processes killed for memory ---------------------------------------------------------------------------------------

OWN = "sys/fs/cgroup/box/memory.events"
LOG = "dev/kmsg"
KILLED = "3,1,2,-;Memory cgroup out of memory: Killed process {pid} (python) total-vm:1kB\n"


@pytest.fixture
def machine(root: Path) -> Path:
    """One on which 7 processes were killed before, 2 of them in our control group."""
    write(root, {
        "proc/self/cgroup": "0::/box\n", "proc/vmstat": "oom_kill 7\n", OWN: "oom 3\noom_kill 2\n",
        LOG: KILLED.format(pid=12),
    })
    (root / "proc/self/ns").mkdir()
    (root / "proc/self/ns/pid").symlink_to(kernel.FIRST_NAMESPACE)
    return root


@pytest.mark.parametrize(
    ("meanwhile", "told"),
    [
        ({"proc/vmstat": "oom_kill 8\n"}, False),                                # in another control group
        ({OWN: "oom_kill 3\n", LOG: KILLED.format(pid=12) + KILLED.format(pid=12)}, True),
        ({OWN: "oom_kill 3\n", LOG: KILLED.format(pid=12) + KILLED.format(pid=123)}, False),
    ],
    ids=["elsewhere", "this one", "another one"],
)
def test_the_log_names_who_was_killed_for_memory(machine: Path, meanwhile: dict[str, str], told: bool):
    with MemoryKills() as kills:
        write(machine, meanwhile)

        assert kills.has_killed(12) is told


@pytest.mark.parametrize(
    ("meanwhile", "told"), [({}, False), ({"proc/vmstat": "oom_kill 8\n"}, False), ({OWN: "oom_kill 3\n"}, True)]
)
def test_where_the_log_is_closed_the_control_group_counts(machine: Path, meanwhile: dict[str, str], told: bool):
    (machine / LOG).unlink()
    with MemoryKills() as kills:
        write(machine, meanwhile)

        assert kills.has_killed(12) is told


def test_numbers_of_processes_are_others_in_a_namespace_of_their_own(machine: Path):
    (machine / "proc/self/ns/pid").unlink()
    (machine / "proc/self/ns/pid").symlink_to("pid:[4026532198]")
    with MemoryKills() as kills:
        write(machine, {OWN: "oom_kill 3\n", LOG: KILLED.format(pid=12) + KILLED.format(pid=77_012)})

        assert kills.has_killed(12) is True


@pytest.mark.parametrize(("count", "told"), [(7, False), (8, None)])
def test_that_some_process_was_killed_tells_nothing_of_this_one(machine: Path, count: int, told: bool | None):
    for name in (OWN, LOG):
        (machine / name).unlink()
    with MemoryKills() as kills:
        write(machine, {"proc/vmstat": f"oom_kill {count}\n"})

        assert kills.has_killed(12) is told


BOTH = """
import subprocess, sys
from rigmark.bench.host.kernel import MemoryKills

with MemoryKills() as kills:
    hog = subprocess.Popen([sys.executable, "-c", "held = bytearray(1 << 30)"])
    bystander = subprocess.Popen(["sleep", "60"])
    hog.wait()
    bystander.kill()
    bystander.wait()
    print(hog.returncode, kills.has_killed(hog.pid), kills.has_killed(bystander.pid))
"""


@pytest.fixture
def little_memory() -> Iterator[Path]:
    """A control group whose processes may hold 300 MB together."""
    group = Path("/sys/fs/cgroup/memory") / f"rigmark-{uuid.uuid4().hex}"
    try:
        os.close(os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK))
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(300 << 20))
        with contextlib.suppress(OSError):
            (group / "memory.memsw.limit_in_bytes").write_text(str(300 << 20))
    except OSError:
        pytest.skip("this system lets nobody make a memory control group (version 1), or read the kernel's log")
    yield group
    eventually(lambda: not (group / "cgroup.procs").read_text(), within_s=5.0)
    group.rmdir()


def test_a_process_killed_by_hand_beside_one_killed_for_memory_is_distinguished(little_memory: Path):
    if os.readlink("/proc/self/ns/pid") != kernel.FIRST_NAMESPACE:
        pytest.skip("the kernel's log has other numbers for processes")
    enter = f"echo $$ > {little_memory}/cgroup.procs; exec {sys.executable} -c '{BOTH}'"

    told = subprocess.run(["sh", "-c", enter], check=True, capture_output=True, text=True).stdout

    assert "-9 True False\n" == told
