"""What a worker tells of the process and the system it ran in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rigmark.bench.worker import host


def test_the_allocator_is_the_library_that_was_preloaded(tmp_path: Path):
    maps = tmp_path / "maps"
    maps.write_text("7f0 r-xp 08:01 1 /usr/lib/libc.so.6\n7f1 r-xp 08:01 2 /lib/libtcmalloc_minimal.so.4\n7f2 [heap]\n")

    assert "libtcmalloc_minimal.so.4" == host.allocator(str(maps))
    assert "system" == host.allocator(os.devnull)
    assert host.allocator(str(tmp_path / "gone")) is None


def test_numa_nodes_are_those_of_the_cores_that_the_process_is_held_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for node, cores in (("node0", "0-3,8\n"), ("node1", "4-7\n"), ("node2", "\n")):
        (tmp_path / node).mkdir()
        (tmp_path / node / "cpulist").write_text(cores)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {5, 8}, raising=False)

    assert [0, 1] == host.numa_nodes(str(tmp_path))
    assert host.numa_nodes(str(tmp_path / "gone")) is None


def test_huge_pages_are_as_the_system_is_set(tmp_path: Path):
    setting = tmp_path / "enabled"
    setting.write_text("always [madvise] never\n")

    assert "madvise" == host.huge_pages(str(setting))
    assert host.huge_pages(str(tmp_path / "gone")) is None
