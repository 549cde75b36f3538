"""Imports run one way, so that each room can be read, tested and shipped alone."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from rigmark.bench.worker import frameworks

ROOT = Path(__file__).parents[2]
PACKAGE = "rigmark"
FRAMEWORKS = {*frameworks.NAMES} - {"numpy"} | {"torch", "tensorflow", "keras", "jax", "jaxlib", "mxnet", "onnx"}
"""Packages that only the measured process imports."""

FLOORS = (
    ("bench/errors.py", "bench/version.py", "bench/enums.py", "bench/ir", "bench/worker"),
    ("bench/added.py", "bench/devices", "bench/host"),
    ("bench/telemetry", "bench/document", "bench/models", "bench/datasets"),
    ("bench/history", "bench/machine", "bench/plan"),
    ("bench/store",),
    ("bench/builds", "bench/importers", "bench/analysis"),
    ("bench/processes", "bench/buying", "reports"),
    ("bench/launch", "bench/doctor", "bench/claims", "bench/networks"),
    ("bench/trials", "bench/sections"),
    ("bench/runner",),
    ("bench/asv",),
    ("bench/ab", "suites"),
    ("bench/reporting",),
    ("bench/cli",),
)
"""The rooms of the house from the ground up. A room imports from the floors below it, and never from above."""

LOOSE_MODULES = 8            # in bench/ itself, at most


@dataclass(frozen=True)
class Import:
    """One import statement's target: "rigmark.bench.ir.graph", or "...words" as it is written where relative."""

    path: str
    line: int
    target: str
    level: int           # dots before it
    is_top: bool         # runs when the module is imported, that is, outside functions and "if TYPE_CHECKING"

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {'.' * self.level}{self.target}"


def imports(folder: str) -> Iterator[Import]:
    """Every import below a folder, or of one file."""
    result = ROOT / folder
    for path in sorted(result.rglob("*.py")) if result.is_dir() else [result]:
        yield from imports_of(path, path.relative_to(ROOT).as_posix())


@cache
def imports_of(path: Path, name: str) -> tuple[Import, ...]:
    return tuple(_imports(ast.parse(path.read_text(encoding="utf-8")), name, is_top=True))


def _imports(node: ast.AST, path: str, *, is_top: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(path, child.lineno, alias.name, 0, is_top) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            for alias in child.names:
                # "from rigmark.bench import enums" and "from rigmark.bench.enums import Mode" both mean bench.enums.
                target = ".".join(filter(None, [child.module, alias.name]))
                yield Import(path, child.lineno, target, child.level, is_top)
        elif not isinstance(child, ast.expr):        # which contains no statement
            waits = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or (
                isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            )
            yield from _imports(child, path, is_top=is_top and not waits)


def is_within(target: str, packages: set[str] | tuple[str, ...]) -> bool:
    return any(target == package or target.startswith(f"{package}.") for package in packages)


def room_of(path: str) -> str:
    """The room of a file: "bench/plan", "bench/enums.py", "reports"."""
    parts = path.split("/")
    return parts[0] if parts[0] != "bench" else "/".join(parts[:2])


def room_named(target: str) -> str | None:
    """The room that an absolute import leads to; None where it is none of ours, or the package itself."""
    parts = target.split(".")
    if parts[0] != PACKAGE or len(parts) == 1:
        return None
    if parts[1] != "bench":
        return parts[1]
    if len(parts) == 2:
        return None
    return f"bench/{parts[2]}" if (ROOT / "bench" / parts[2]).is_dir() else f"bench/{parts[2]}.py"


FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
PARENT = [folder for folder in FLOOR_OF if folder != "bench/worker"]


def test_every_room_stands_on_a_floor():
    of_bench = {
        room_of(path.relative_to(ROOT).as_posix()) for path in (ROOT / "bench").rglob("*.py")
        if path.parent != ROOT / "bench" or not path.stem.startswith("__")
    }

    assert {*of_bench, "reports", "suites"} == FLOOR_OF.keys()


@pytest.mark.parametrize("room", FLOOR_OF)
def test_a_room_imports_from_the_floors_below_it(room: str):
    upward = [
        str(i) for i in imports(room)
        if i.level == 0 and (to := room_named(i.target)) is not None and to != room
        and to in FLOOR_OF and FLOOR_OF[to] >= FLOOR_OF[room]
    ]

    assert upward == []


def test_few_modules_lie_loose_in_bench():
    assert len(list((ROOT / "bench").glob("*.py"))) <= LOOSE_MODULES


def test_no_room_holds_a_fifth_of_the_house():
    """Each folder of the worker package has a subject of its own, and counts by itself."""
    of_worker = [path.relative_to(ROOT).as_posix() for path in (ROOT / WORKER).iterdir() if path.stem != "__pycache__"]
    lines = dict.fromkeys([*PARENT, *of_worker], 0)
    for room in lines:
        result = ROOT / room
        for path in result.rglob("*.py") if result.is_dir() else [result]:
            lines[room] += len(path.read_text(encoding="utf-8").splitlines())

    assert {room: count for room, count in lines.items() if count > 0.2 * sum(lines.values())} == {}


def test_the_parts_are_imported_as_parts_of_the_package():
    """A project may have packages of its own called bench, reports or suites."""
    loose = [
        i for folder in ("bench", "reports", "suites", "tests", "evidence") for i in imports(folder)
        if i.level == 0 and is_within(i.target, {"bench", "reports", "suites"})
    ]

    assert [str(i) for i in loose] == []


@pytest.mark.parametrize("part", ["bench/runner", "bench/trials", "bench/launch", "bench/processes"])
def test_what_measures_knows_nothing_of_analysis_and_reports(part: str):
    above = ("rigmark.bench.analysis", "rigmark.bench.sections", "rigmark.bench.cli", "rigmark.reports")

    assert [str(i) for i in imports(part) if is_within(i.target, above)] == []


def test_what_asv_sees_of_a_suite_loads_no_analysis_before_a_trial_has_ended():
    above = ("rigmark.bench.analysis", "rigmark.bench.cli", "rigmark.reports")

    assert [str(i) for i in imports("bench/asv") if i.is_top and is_within(i.target, above)] == []


# The worker package ---------------------------------------------------------------------------------------------------

WORKER = "bench/worker"

WHEN_ASKED = tuple(
    f"{WORKER}/{folder}" for folder in ("frameworks", "strategies", "tracing", "onnx", "torch_import", "keras_import"))
"""What imports a framework when asked."""

DECODERS = {"PIL"}
"""What micro-benchmarks go through beside frameworks."""

PARTS_OF = {
    "tensorflow": ("keras",), "jax": ("jaxlib",), "onnxruntime": ("onnx",), "openvino": ("onnx",),
}
"""Packages that come with a framework, or that it needs."""


def test_the_worker_package_stands_alone():
    """It is shipped to interpreters that have neither the parent's package nor its libraries."""
    strange = [
        str(i) for i in imports(WORKER)
        if i.level == 0 and not is_within(i.target, (*sys.stdlib_module_names, "numpy"))
        and not (i.path.startswith(WHEN_ASKED) and not i.is_top and is_within(
            i.target, {*frameworks.NAMES, *FRAMEWORKS, *DECODERS}))
        # Distribution metadata before Python 3.8.
        and not (i.target == "pkg_resources" and not i.is_top)
    ]
    beyond = [str(i) for i in imports(WORKER) if i.level > len(Path(i.path).relative_to(WORKER).parts)]

    assert strange == []
    assert beyond == []


def test_tracing_and_measuring_know_no_framework_by_name():
    named = {*frameworks.NAMES}
    met = [
        i for i in imports(WORKER)
        if i.level and not i.path.startswith((f"{WORKER}/frameworks/", f"{WORKER}/strategies/"))
        and set(i.target.split(".")) & named
    ]

    assert [str(i) for i in met] == []


@pytest.mark.parametrize("name", frameworks.NAMES)
def test_a_file_of_a_framework_imports_its_own_and_only_when_asked(name: str):
    """The parent reads an adapter's constants; it would load every framework with them."""
    folder = ROOT / WORKER / "frameworks" / name
    for path in sorted(folder.rglob("*.py")):
        met = [i for i in imports(path.relative_to(ROOT).as_posix()) if i.level == 0 and is_within(
            i.target, FRAMEWORKS)]

        assert [str(i) for i in met if i.is_top] == []
        assert [str(i) for i in met if is_within(i.target, FRAMEWORKS - {name, *PARTS_OF.get(name, ())})] == []


def test_the_parent_imports_no_framework():
    parent = [i for folder in PARENT for i in imports(folder)]

    assert [str(i) for i in parent if i.level == 0 and is_within(i.target, FRAMEWORKS)] == []


def test_the_parent_imports_absolutely():
    assert [str(i) for folder in PARENT for i in imports(folder) if i.level] == []


# What is loaded -------------------------------------------------------------------------------------------------------


def modules_after(statement: str) -> set[str]:
    """Top-level packages that a fresh interpreter holds after a statement."""
    return {name.partition(".")[0] for name in all_after(statement)}


def all_after(statement: str) -> set[str]:
    """Modules that a fresh interpreter holds after a statement."""
    code = f"import sys; {statement}; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True,
                              cwd=ROOT).stdout.splitlines()[-1].split())


def test_help_waits_for_nothing_that_it_does_not_show():
    """Each of our modules costs a millisecond or more, so a new one in this list is a decision."""
    loaded = all_after("from rigmark.bench.cli import app; app(['--help'], standalone_mode=False)")

    assert {name.partition(".")[0] for name in loaded} & {
        "numpy", "pandas", "scipy", "duckdb", "psutil", "asv", "jinja2", "matplotlib", "msgspec", *FRAMEWORKS
    } == set()
    ours = [name.removeprefix("rigmark.bench.") for name in loaded if name.startswith("rigmark.bench.")]
    assert {name for name in ours if not re.match(r"(__main__|cli|host)\b", name)} == {
        "added", "datasets", "devices", "document", "document.language", "enums", "errors", "version", "worker",
        "worker.devices", "worker.registry", "worker.strategies",
    }


def test_a_verb_loads_no_other_verb():
    loaded = all_after("from rigmark.bench.cli import app; app(['top', '--help'], standalone_mode=False)")

    assert {name for name in loaded if name.startswith("rigmark.bench.cli.")} == {"rigmark.bench.cli.top"}


def test_the_face_loads_nothing_until_it_is_used():
    heavy = {"numpy", "pandas", "scipy", "duckdb", "psutil", "asv", "jinja2", "typer", "rich", *FRAMEWORKS}

    assert modules_after("import rigmark; dir(rigmark)") & heavy == set()


def test_the_runner_loads_no_framework_and_no_tables():
    loaded = modules_after("import rigmark.bench.runner.runner")

    assert loaded & {"pandas", "scipy", "duckdb", *FRAMEWORKS} == set()


def test_a_sampler_starts_without_what_only_its_parent_needs():
    heavy = {"numpy", "pandas", "duckdb", "scipy", "rich", "typer", *FRAMEWORKS}
    loaded = modules_after("import rigmark.bench.telemetry.sampler, rigmark.bench.telemetry.sources.host")

    assert loaded & heavy == set()


def test_the_rules_see_an_import_wherever_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The test above is worth what its eyes are worth."""
    (tmp_path / "sample.py").write_text(
        "from rigmark.bench.runner import runner\n"
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import pandas as pd\n"
        "try:\n    import torch.nn\nexcept ImportError:\n    pass\n"
        "class A:\n    def f(self):\n        from ..worker import proof\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)

    seen = [(i.target, i.level, i.is_top) for i in imports("sample.py")]

    assert seen == [
        ("rigmark.bench.runner.runner", 0, True), ("typing.TYPE_CHECKING", 0, True), ("pandas", 0, False),
        ("torch.nn", 0, True), ("worker.proof", 2, False),
    ]


def test_a_strategy_names_its_framework_without_importing_it():
    """The parent reads its constants too."""
    statement = "from rigmark.bench.worker import strategies; [strategies.load(name) for name in strategies.NAMES]"

    assert modules_after(statement) & (FRAMEWORKS - {"numpy"}) == set()
