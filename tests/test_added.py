"""A mistake in a file that a user added ends in one sentence that names the file and the line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rigmark import reports, suites
from rigmark.bench import added, datasets, importers, models
from rigmark.bench.errors import UserError
from rigmark.bench.plan.sweep import Sweep
from rigmark.bench.worker import frameworks
from rigmark.reports import media

Add = Callable[[str], None]


@pytest.fixture
def add(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """A file in a package, as if a user had put it there."""
    def put(package: Any, source: str) -> None:
        (tmp_path / "mine.py").write_text(source)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
        known = reports if package is media else package
        monkeypatch.setattr(known, "NAMES", (*known.NAMES, "mine"))
        monkeypatch.delitem(sys.modules, f"{package.__name__}.mine", raising=False)

    yield put
    for name in [name for name in sys.modules if name.endswith(".mine")]:
        del sys.modules[name]


MODEL = """
from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.training import Sgd

def build():
    net = Builder("mine", (1, 28, 28))
    {line}
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.01))
"""


@pytest.mark.parametrize(("source", "where", "said"), [
    ("import nothing_of_that_name\n", ":1", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
    ("def build(:\n", ":1", "SyntaxError: invalid syntax"),
    ("x = 1\n", "", "AttributeError: module 'rigmark.bench.models.mine' has no attribute 'build'"),
    ("def build():\n    return None\n", "", "TypeError: build() returns a NoneType, not a Graph"),
    ("import sys\nsys.exit('now')\n", ":2", "SystemExit: now"),
    (MODEL.format(line='net.dense("classes")'), ":7", "TypeError"),
    (MODEL.format(line='net.lstm("classes", 10)'), ":7", "BadGraph"),
    (MODEL.format(line='net.dens("classes", 10)'), ":7", "AttributeError: 'Builder' object has no attribute 'dens'"),
])
def test_a_mistake_in_a_model_names_its_line(add: Callable[..., None], source: str, where: str, said: str):
    add(models, source)

    with pytest.raises(UserError) as told:
        models.build("mine")

    assert str(told.value).startswith("model 'mine' cannot be used: ")
    assert f"mine.py{where}: {said}" in str(told.value)


@pytest.mark.parametrize(("package", "use"), [
    (suites, lambda: suites.sweeps("mine")),
    (datasets, lambda: datasets.load("mine", models.build("mlp"))),
    (importers, lambda: importers.importer("mine")),
    (media, lambda: reports.medium("mine")),
])
def test_so_does_one_in_any_other_file_that_is_found_by_its_name(add: Callable[..., None], package: Any, use: Any):
    add(package, "first = 1\nsecond = frist\n")

    with pytest.raises(UserError, match=r"'mine' cannot be used: .*mine\.py:2: NameError: name 'frist' is not defined"):
        use()


def test_one_that_an_importer_makes_while_it_reads_is_no_fault_of_the_file(add: Callable[..., None], tmp_path: Path):
    add(importers, 'TITLE = "a table"\n\ndef read(path):\n    return nothing\n')
    (tmp_path / "table.txt").write_text("1 2 3\n")

    with pytest.raises(UserError, match=r"format 'mine' cannot be used: .*mine\.py:4: NameError"):
        importers.read("mine", tmp_path / "table.txt")


def test_one_in_a_framework_is_told_before_anything_is_planned(add: Callable[..., None]):
    add(frameworks, "import nothing_of_that_name\n")

    with pytest.raises(UserError, match=r"framework 'mine' cannot be used: .*mine\.py:1: ModuleNotFoundError"):
        tuple(Sweep(models=("mlp",), frameworks=("mine",)).cases(1))


def test_a_suite_without_sweeps_says_what_it_needs(add: Callable[..., None]):
    add(suites, "SWEEPS = 3\n")

    with pytest.raises(UserError, match=r"declares nothing: suites/mine\.py needs SWEEPS = \(Sweep\(\.\.\.\),\)"):
        suites.sweeps("mine")


def test_what_a_user_is_told_is_passed_on_as_it_is():
    with pytest.raises(UserError, match=r"^one sentence$"), added.mistakes_in("rigmark.bench.models", "mlp", "model"):
        raise UserError("one sentence")
