"""A trial is another one where the code that it runs is another, and nowhere else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rigmark.bench.builds import worker_package
from rigmark.bench.builds.worker_package import adapter_version, code_version, files
from rigmark.bench.worker import frameworks, strategies

TRIALS = [(name, "single") for name in frameworks.NAMES] + [
    (framework, strategy) for strategy in strategies.NAMES for framework in strategies.load(strategy).FRAMEWORKS
]


def versions(content: worker_package.Files) -> dict[tuple[str, str], tuple[str, str]]:
    return {trial: (code_version(content), adapter_version(content, *trial)) for trial in TRIALS}


def with_line(name: str) -> dict[str, bytes]:
    """The package with one more statement in a file."""
    content = dict(files())
    content[name] += b"\nANOTHER = 1\n"
    return content


def changed_by(content: worker_package.Files) -> set[tuple[str, str]]:
    before, after = versions(files()), versions(content)
    return {trial for trial in TRIALS if before[trial] != after[trial]}


@pytest.mark.parametrize("added", [
    {"frameworks/chainer.py": b"from . import Prepared\n"},
    {"frameworks/chainer/__init__.py": b"", "frameworks/chainer/adapter.py": b"from .. import Prepared\n"},
    {"strategies/horovod.py": b"from . import EACH\n"},
])
def test_a_new_framework_or_strategy_leaves_all_others_what_they_were(added: dict[str, bytes]):
    assert changed_by({**files(), **added}) == set()


def test_a_framework_is_another_with_other_code_of_its_own():
    assert changed_by(with_line("frameworks/torch/lowerings/products.py")) == {
        trial for trial in TRIALS if trial[0] == "torch"
    }


def test_engines_are_others_with_another_rule_by_which_their_file_is_written():
    rules = [name for name in files() if name.startswith("onnx/nodes/")]

    assert {name: {("onnxruntime", "single"), ("openvino", "single")} for name in rules} == {
        name: changed_by(with_line(name)) for name in rules}


def test_frameworks_stay_comparable_where_only_an_adapter_is_another():
    assert code_version(with_line("frameworks/torch/lowerings/products.py")) == code_version(files())


def test_a_strategy_is_another_with_the_code_that_it_builds_upon():
    assert changed_by(with_line("strategies/mirrored.py")) == {
        ("tensorflow", "mirrored"), ("tensorflow", "multiworker"),
    }


@pytest.mark.parametrize("name", [
    "measure.py", "frameworks/__init__.py", "frameworks/numpy/adapter.py", "jobs/timing.py", "jobs/_steps.py",
])
def test_all_trials_are_others_with_another_measuring_loop_contract_or_oracle(name: str):
    assert changed_by(with_line(name)) == set(TRIALS)


@pytest.mark.parametrize(("name", "asks_again"), [
    ("frameworks/numpy/adapter.py", True), ("proof.py", True), ("jobs/oracle.py", True), ("jobs/proof.py", True),
    ("jobs/_common.py", True), ("jobs/timing.py", False), ("jobs/_steps.py", False), ("measure.py", False),
    ("frameworks/torch/adapter.py", False),
])
def test_the_oracle_is_asked_again_where_the_code_that_answers_is_another(
    monkeypatch: pytest.MonkeyPatch, name: str, asks_again: bool
):
    before, content = worker_package.oracle_version(), with_line(name)
    monkeypatch.setattr(worker_package, "files", lambda: content)

    assert (worker_package.oracle_version.__wrapped__() != before) is asks_again


def test_a_file_that_moves_makes_no_other_trial():
    content = dict(files())
    content["tracing/clock_of_host.py"] = content.pop("tracing/timeline.py")
    for name, source in content.items():
        content[name] = source.replace(b"tracing.timeline import", b"tracing.clock_of_host import")

    assert content != files()
    assert changed_by(content) == set()


def test_another_draw_of_weights_makes_other_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    before = versions(files())
    (tmp_path / "weights.py").write_bytes(worker_package.WEIGHTS.read_bytes() + b"\nANOTHER = 1\n")
    monkeypatch.setattr(worker_package, "WEIGHTS", tmp_path / "weights.py")

    assert all(after != before[trial] for trial, after in versions(files()).items())


def test_a_framework_that_is_a_folder_is_shipped_and_found(tmp_path: Path):
    content = {
        **files(), "frameworks/new/__init__.py": b"", "frameworks/new/adapter.py": b"IMPORTS = 'of the folder'\n",
        "frameworks/_helper.py": b"", "frameworks/small.py": b"IMPORTS = 'of the file'\n",
    }
    archive = worker_package.write(tmp_path, content)
    code = (
        f"import sys; sys.path.insert(0, {str(archive)!r}); from {worker_package.NAME} import frameworks as f; "
        "print(*f.NAMES); print(f.load('new').IMPORTS, f.load('small').IMPORTS, f.part('small', 'lowerings'))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()

    assert told[0].split() == sorted([*frameworks.NAMES, "new", "small"])
    assert told[1] == "of the folder of the file None"


def test_the_archive_holds_every_file_and_is_the_same_each_time(tmp_path: Path):
    one, two = (worker_package.write(tmp_path / name) for name in map(_made(tmp_path), "ab"))

    with zipfile.ZipFile(one) as archive:
        assert {f"{worker_package.NAME}/{name}" for name in files()} < {*archive.namelist()}
    assert one.read_bytes() == two.read_bytes()


def _made(folder: Path):
    def make(name: str) -> str:
        (folder / name).mkdir()
        return name
    return make
