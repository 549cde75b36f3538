"""Which machine this is: the same for every user and at every start, another beside every other."""

from __future__ import annotations

from pathlib import Path

import pytest

from rigmark.bench.errors import UserError
from rigmark.bench.host import kernel
from rigmark.bench.machine import hardware
from rigmark.bench.machine.node import node


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kernel, "ROOT", tmp_path)
    monkeypatch.setattr(hardware, "NVIDIA", tmp_path / "nvidia")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_node_is_its_machine_id_under_a_salt_and_its_boot_another_at_each_start(root: Path):
    write(root / "etc/machine-id", "3d1219c7c4c5404a\n")
    boot = write(root / "proc/sys/kernel/random/boot_id", "1\n")
    first = node("salt")
    boot.write_text("2\n")

    assert first.id == node("salt").id != node("pepper").id
    assert first.boot != node("salt").boot
    assert "3d1219c7" not in first.id


def test_gpus_and_a_serial_that_all_may_read_tell_clones_apart(root: Path):
    write(root / "etc/machine-id", "3d1219c7c4c5404a")
    bare = node("salt").id
    serial = write(root / "sys/class/dmi/id/board_serial", "XY-1")
    with_serial = node("salt").id
    serial.chmod(0o400)
    assert bare == node("salt").id != with_serial
    write(root / "nvidia/gpus/0/information", "Model: H100\nGPU UUID: GPU-1234\n")
    assert bare != node("salt").id


def test_a_machine_without_an_id_keeps_a_random_one(root: Path):
    first = node("salt")

    assert first.boot is None
    assert first.id == node("salt").id
    (root / "state/rigmark/node").unlink()
    assert first.id != node("salt").id


def test_where_nothing_can_be_kept_that_is_stated(root: Path):
    write(root / "state", "a file where a folder should be")

    with pytest.raises(UserError, match=r"cannot identify this machine among identical ones.*systemd-machine-id-setup"):
        node("salt")
