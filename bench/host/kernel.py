"""What the Linux kernel says in files: of this process's control group, and of processes that it killed for memory.

A fact that this system does not tell is None.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")

UNLIMITED_V1 = 2**60         # what version 1 of cgroups says for no limit is near 2**63, by page size
FIRST_NAMESPACE = "pid:[4026531836]"     # of processes: PROC_PID_INIT_INO of linux/proc_ns.h, the same for every kernel
LOG_PATIENCE_S = 1.0         # the kernel sends the signal first, and writes to its log then


def text(path: str) -> str | None:
    """What a file below the root says, without white space around it; None where it cannot be read, or is empty."""
    try:
        return (ROOT / path).read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


# Control groups ----------------------------------------------------------------------------------------------------


def cpu_quota_cores() -> float | None:
    """How many cores' time this process may use, by its control group and those above; None for no quota."""
    found = []
    for setting in _settings("cpu", "cpu.max"):                  # version 2: "200000 100000", or "max 100000"
        quota, _, period = setting.partition(" ")
        if quota.isdigit() and period.isdigit():
            found.append(int(quota) / int(period))
    quotas, periods = _settings("cpu", "cpu.cfs_quota_us"), _settings("cpu", "cpu.cfs_period_us")
    found += [int(q) / int(p) for q, p in zip(quotas, periods, strict=False) if q.isdigit() and int(q) > 0]
    return min(found, default=None)


def memory_limit_bytes() -> int | None:
    """Of this process's control group; None for no limit."""
    settings = [*_settings("memory", "memory.max"), *_settings("memory", "memory.limit_in_bytes")]
    limits = [int(setting) for setting in settings if setting.isdigit()]
    return min((limit for limit in limits if limit < UNLIMITED_V1), default=None)


def _settings(controller: str, name: str) -> Iterator[str]:
    """What the control group and each above it say; inside a container its own group may stand at the top."""
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
    """Watches, from now on, which processes the kernel kills for memory; a context manager, or close it."""

    def __init__(self) -> None:
        self._of_group, self._of_all = _kills_of_group(), _kills_of_all()
        self._log: int | None = None
        # Elsewhere the log has other numbers for processes than we have.
        with contextlib.suppress(OSError):
            if os.readlink(ROOT / "proc/self/ns/pid") == FIRST_NAMESPACE:
                self._log = os.open(ROOT / "dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                os.lseek(self._log, 0, os.SEEK_END)

    def __enter__(self) -> MemoryKills:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Once is enough, more do no harm."""
        if self._log is not None:
            os.close(self._log)
            self._log = None

    def has_killed(self, pid: int) -> bool | None:
        """Whether a process of ours that died of SIGKILL was killed for memory; None where this system does not tell.

        By the kernel's log, which names it, where this user may read that; else by the count of our control group.
        """
        of_group = _kills_of_group()
        if of_group == self._of_group and (of_group is not None or _kills_of_all() == self._of_all):
            return False
        is_named = self._is_named(pid)
        return is_named if is_named is not None or of_group is None else True

    def _is_named(self, pid: int) -> bool | None:
        """Whether the log names it; None where the log cannot be read, or has lost what it said."""
        said = b""
        while self._log is not None:
            try:
                chunk = os.read(self._log, 1 << 16)
                is_at_end = not chunk
            except BlockingIOError:
                chunk, is_at_end = b"", not select.select([self._log], [], [], LOG_PATIENCE_S)[0]
            except OSError:
                break
            said += chunk
            if re.search(rb"Killed process %d\b" % pid, said):
                return True
            if is_at_end:
                return False
        return None


def _kills_of_group() -> int | None:
    """How many processes of this process's control group were killed for memory, by whatever limit."""
    for name in ("memory.events", "memory.oom_control"):         # of version 2, and of version 1
        for setting in _settings("memory", name):
            return _counted(setting)
    return None


def _kills_of_all() -> int | None:
    """The same of the whole machine, since it started."""
    return _counted(text("proc/vmstat") or "")


def _counted(counters: str) -> int | None:
    found = re.search(r"^oom_kill (\d+)$", counters, re.MULTILINE)
    return int(found[1]) if found else None
