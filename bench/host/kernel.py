"""Facts from files of the Linux kernel: about the control group of this process, and processes killed for memory.

A fact that the system does not state is None.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")

UNLIMITED_V1 = 2**60         # version 1 of cgroups writes about 2**63, depending on page size, for no limit
FIRST_NAMESPACE = "pid:[4026531836]"     # PROC_PID_INIT_INO of linux/proc_ns.h, equal in all kernels
LOG_PATIENCE_S = 1.0         # the kernel first sends the signal, then writes to its log


def text(path: str) -> str | None:
    """The text of a file below the root, without surrounding white space; None if it cannot be read, or is empty."""
    try:
        return (ROOT / path).read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


# Control groups ----------------------------------------------------------------------------------------------------


def cpu_quota_cores() -> float | None:
    """The CPU quota of this process in cores, from its control group and those above; None without a quota."""
    quotas_cores = []
    for setting in _settings("cpu", "cpu.max"):                  # version 2: "200000 100000", or "max 100000"
        quota, _, period = setting.partition(" ")
        if quota.isdigit() and period.isdigit():
            quotas_cores.append(int(quota) / int(period))
    quotas, periods = _settings("cpu", "cpu.cfs_quota_us"), _settings("cpu", "cpu.cfs_period_us")
    quotas_cores += [int(q) / int(p) for q, p in zip(quotas, periods, strict=False) if q.isdigit() and int(q) > 0]
    return min(quotas_cores, default=None)


def memory_limit_bytes() -> int | None:
    """The memory limit of this process's control group; None without a limit."""
    settings = [*_settings("memory", "memory.max"), *_settings("memory", "memory.limit_in_bytes")]
    limits = [int(setting) for setting in settings if setting.isdigit()]
    return min((limit for limit in limits if limit < UNLIMITED_V1), default=None)


def _settings(controller: str, name: str) -> Iterator[str]:
    """The setting in the control group and in each group above it; in a container its own group may be the root."""
    for line in (text("proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        group = Path(controllers) if controllers else Path()
        while True:
            if (value := text(f"sys/fs/cgroup/{group}/{path.strip('/')}/{name}")) is not None:
                yield value
            if path.strip("/") in ("", "."):
                break
            path = str(Path(path).parent)


# Processes killed for memory ---------------------------------------------------------------------------------------


class MemoryKills:
    """Observes from now on which processes the kernel kills for memory. Use it as a context manager, or close it."""

    def __init__(self) -> None:
        self._of_group, self._of_all = _kills_of_group(), _kills_of_all()
        self._log: int | None = None
        # In another namespace the process ids in the log differ from ours.
        with contextlib.suppress(OSError):
            if os.readlink(ROOT / "proc/self/ns/pid") == FIRST_NAMESPACE:
                self._log = os.open(ROOT / "dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                os.lseek(self._log, 0, os.SEEK_END)

    def __enter__(self) -> MemoryKills:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the log; may be called more than once."""
        if self._log is not None:
            os.close(self._log)
            self._log = None

    def has_killed(self, pid: int) -> bool | None:
        """Whether a child process that died of SIGKILL was killed for lack of memory; None if that is not known.

        It is decided by the kernel's log if this user may read it, else by the counter of our control group.
        """
        of_group = _kills_of_group()
        if of_group == self._of_group and (of_group is not None or _kills_of_all() == self._of_all):
            return False
        is_named = self._is_named(pid)
        return is_named if is_named is not None or of_group is None else True

    def _is_named(self, pid: int) -> bool | None:
        """Whether the log names the process; None if the log cannot be read, or has been overwritten."""
        log = b""
        while self._log is not None:
            try:
                chunk = os.read(self._log, 1 << 16)
                is_at_end = not chunk
            except BlockingIOError:
                chunk, is_at_end = b"", not select.select([self._log], [], [], LOG_PATIENCE_S)[0]
            except OSError:
                break
            log += chunk
            if re.search(rb"Killed process %d\b" % pid, log):
                return True
            if is_at_end:
                return False
        return None


def _kills_of_group() -> int | None:
    """The number of processes in this control group that were killed for lack of memory, under any limit."""
    for name in ("memory.events", "memory.oom_control"):         # of version 2, and of version 1
        for setting in _settings("memory", name):
            return _counted(setting)
    return None


def _kills_of_all() -> int | None:
    """The same for the whole machine since boot."""
    return _counted(text("proc/vmstat") or "")


def _counted(counters: str) -> int | None:
    match = re.search(r"^oom_kill (\d+)$", counters, re.MULTILINE)
    return int(match[1]) if match else None
