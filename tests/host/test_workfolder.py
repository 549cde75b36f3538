"""Working folders: removed when their maker has ended, and never before, whoever sees them."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rigmark.bench.host import workfolder
from rigmark.bench.host.workfolder import working_folder

MAKER = """
import sys

from rigmark.bench.host.workfolder import working_folder

with working_folder() as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""
OTHER_NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc")


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder that only the processes of a test see."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield tmp_path
    tempfile.tempdir = None


@pytest.fixture
def maker() -> Iterator[subprocess.Popen[str]]:
    """A process that has made a folder, whose name is the first line of what it says, and lives until it is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", MAKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def folder_of(process: subprocess.Popen[str]) -> Path:
    assert process.stdout is not None
    return Path(process.stdout.readline().strip())


def sweep_elsewhere(*before: str) -> None:
    """Another sweep begins and ends."""
    subprocess.run([*before, sys.executable, "-c", MAKER], check=True, capture_output=True, stdin=subprocess.DEVNULL)


def has_namespaces() -> bool:
    try:
        return subprocess.run([*OTHER_NAMESPACE, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def test_a_folder_goes_with_its_block(temporary: Path):
    with working_folder() as folder:
        (folder / "file").touch()

    assert [] == list(temporary.iterdir())


@pytest.mark.parametrize("before", [(), OTHER_NAMESPACE], ids=["beside it", "in another namespace of processes"])
def test_a_live_folder_stays_and_a_killed_makers_goes(maker: subprocess.Popen[str], before: tuple[str, ...]):
    if before and not has_namespaces():
        pytest.skip("this user may make no namespace of processes")
    folder = folder_of(maker)

    sweep_elsewhere(*before)
    assert folder.is_dir()

    maker.kill()
    maker.wait()
    sweep_elsewhere(*before)
    assert not folder.exists()


def test_two_folders_of_one_process_leave_each_other_alone():
    with working_folder() as first, working_folder() as second:
        assert first.is_dir()
        assert second.is_dir()


def test_a_folder_of_another_machine_stays(
    maker: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    folder = folder_of(maker)
    maker.kill()
    maker.wait()
    (tmp_path / "boot_id").write_text("another\n")
    monkeypatch.setattr(workfolder, "BOOT_ID", tmp_path / "boot_id")

    with working_folder():
        assert folder.is_dir()


def test_a_folder_that_says_nothing_of_its_maker_stays(temporary: Path):
    (temporary / "rigmark-123-x").mkdir()

    sweep_elsewhere()

    assert (temporary / "rigmark-123-x").is_dir()


def test_a_file_system_without_locks_will_do(monkeypatch: pytest.MonkeyPatch):
    def refuse(file: object, how: int) -> None:
        raise OSError("No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)

    with working_folder() as folder:
        assert folder.is_dir()
        assert not (folder / workfolder.LOCK).exists()
        with working_folder():
            assert folder.is_dir()
