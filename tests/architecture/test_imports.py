"""Imports run one way, so that each part can be read, tested and lent alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FRAMEWORKS = {path.stem for path in (ROOT / "bench/frameworks").glob("*.py")} - {"__init__", "numpy"} | {
    "torch", "tensorflow", "keras", "jax", "jaxlib", "mxnet",
}


@dataclass(frozen=True)
class Import:
    """One import statement's target: "bench.ir.graph", or "...words" as it is written where relative."""

    path: str
    line: int
    target: str
    level: int           # dots before it
    is_top: bool         # runs when the module is imported, that is, outside functions and "if TYPE_CHECKING"

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {'.' * self.level}{self.target}"


def imports(folder: str) -> Iterator[Import]:
    """Every import below a folder, or of one file."""
    found = ROOT / folder
    for path in sorted(found.rglob("*.py")) if found.is_dir() else [found]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        name = path.relative_to(ROOT).as_posix()
        yield from _imports(tree, name, is_top=True)


def _imports(node: ast.AST, path: str, *, is_top: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(path, child.lineno, alias.name, 0, is_top) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            for alias in child.names:
                # "from bench import words" and "from bench.words import Mode" both mean bench.words.
                target = ".".join(filter(None, [child.module, alias.name]))
                yield Import(path, child.lineno, target, child.level, is_top)
        else:
            waits = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or (
                isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            )
            yield from _imports(child, path, is_top=is_top and not waits)


def is_within(target: str, packages: set[str] | tuple[str, ...]) -> bool:
    return any(target == package or target.startswith(f"{package}.") for package in packages)


def ours(target: str) -> bool:
    return is_within(target, ("bench", "reports", "suites", "tests", "evidence"))


MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "bench/words.py": (),
    "bench/files.py": ("bench.words",),
    "bench/ir": ("bench.ir",),
    "bench/models": ("bench.models", "bench.ir", "bench.words"),
    "bench/data": ("bench.data", "bench.ir", "bench.words"),
    "bench/layers.py": ("bench.ir", "bench.words"),
    "bench/hardware.py": ("bench.words",),
    "bench/system.py": ("bench.__version__", "bench.hardware"),
    "bench/compatibility.py": (),
    "bench/doctor": (
        "bench.builds", "bench.compatibility", "bench.doctor", "bench.environments", "bench.frameworks",
        "bench.hardware", "bench.isa", "bench.probe", "bench.system", "bench.telemetry.sources", "bench.variables",
    ),
    "bench/telemetry": ("bench.telemetry", "bench.words"),
    "bench/parity.py": ("bench.words",),
    "bench/record.py": ("bench.words",),
    "bench/devices.py": ("bench.telemetry.cuda", "bench.telemetry.sources"),
    "bench/store.py": ("bench.devices", "bench.files", "bench.quoted", "bench.record", "bench.words"),
    "bench/quoted.py": (),
    "bench/importers": ("bench.asv_results", "bench.files", "bench.importers", "bench.quoted", "bench.words"),
    "bench/claims.py": ("bench.analysis", "bench.files", "bench.ir", "bench.models", "bench.words"),
    "bench/isa": (),
    "bench/agents.py": (
        "bench.archive", "bench.builds", "bench.hardware", "bench.process", "bench.spec", "bench.words",
        "bench.workfolder", "bench.world",
    ),
    "bench/workfolder.py": (),
    "bench/world.py": ("bench.process", "bench.spec", "bench.strategies", "bench.words"),
    "bench/dispatch.py": ("bench.ir", "bench.isa"),
    "bench/spec.py": (
        "bench.data", "bench.frameworks", "bench.isa", "bench.limits", "bench.models", "bench.strategies",
        "bench.words",
    ),
    "bench/plan.py": ("bench.words", "bench.frameworks", "bench.spec", "bench.strategies"),
    "bench/inputs.py": ("bench.data", "bench.ir", "bench.models", "bench.plan", "bench.spec"),
    "bench/oracle.py": (
        "bench.archive", "bench.frameworks", "bench.inputs", "bench.parity", "bench.process", "bench.spec",
        "bench.store", "bench.strategies", "bench.words",
    ),
    "bench/jobs.py": (
        "bench.data", "bench.inputs", "bench.oracle", "bench.plan", "bench.process", "bench.spec",
    ),
    "bench/sessions.py": (),
    "bench/builds.py": ("bench.files", "bench.words", "bench.isa", "bench.spec"),
    "bench/environments.py": ("bench.files", "bench.words", "bench.builds"),
    "bench/probe.py": (
        "bench.words", "bench.archive", "bench.builds", "bench.frameworks", "bench.hardware", "bench.limits",
        "bench.process", "bench.workfolder",
    ),
    "bench/archive.py": (),
    "bench/variables.py": ("bench.words", "bench.builds"),
    "bench/process.py": ("bench.words", "bench.builds", "bench.variables"),
    "bench/forkserver.py": ("bench.builds", "bench.process", "bench.variables"),
    "bench/liveworker.py": ("bench.words", "bench.builds", "bench.process", "bench.variables"),
    "bench/pairs.py": ("bench.words", "bench.liveworker", "bench.process"),
    "bench/revisions.py": (
        "bench.archive", "bench.builds", "bench.environments", "bench.files", "bench.variables", "bench.words",
    ),
    "bench/tally.py": ("bench.plan", "bench.record"),
    "bench/series.py": (),
    "bench/asv_results.py": ("bench.directions", "bench.files", "bench.series", "bench.words"),
    "bench/directions.py": ("bench.series",),
    "bench/reporting.py": ("bench.analysis", "bench.claims", "bench.store", "bench.telemetry.series"),
    "bench/notebook.py": ("bench.analysis", "bench.reporting", "bench.store", "reports"),
    "bench/live.py": ("bench.words",),
    "bench/offers": ("bench.files", "bench.offers", "bench.words"),
    "bench/analysis": ("bench.analysis", "bench.files", "bench.isa", "bench.offers", "bench.series", "bench.words"),
    "reports": ("reports", "bench.analysis", "bench.words"),
    "suites": ("suites", "bench.asv", "bench.isa", "bench.spec", "bench.words"),
}
"""Of our own packages, what each part may import, lazily or not; the command line alone may import everything."""


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_imports_run_one_way(part: str):
    strange = [str(i) for i in imports(part) if ours(i.target) and not is_within(i.target, MAY_IMPORT[part])]

    assert strange == []


@pytest.mark.parametrize("part", ["bench/runner.py", "bench/workers.py", "bench/pairs.py", "bench/progress.py"])
def test_what_measures_knows_nothing_of_analysis_and_reports(part: str):
    above = ("bench.analysis", "bench.cli", "reports")

    assert [str(i) for i in imports(part) if is_within(i.target, above)] == []


def test_what_asv_sees_of_a_suite_loads_no_analysis_before_a_trial_has_ended():
    above = ("bench.analysis", "bench.cli", "reports")

    assert [str(i) for i in imports("bench/asv.py") if i.is_top and is_within(i.target, above)] == []


CHILDS_HALF: dict[str, tuple[str, ...]] = {
    "bench/tracing": (),
    "bench/lowerings": (),
    "bench/frameworks": ("lowerings", "tracing"),
    "bench/limits": ("frameworks", "lowerings"),
    "bench/strategies": ("frameworks", "lowerings"),
    "bench/worker": ("frameworks", "limits", "strategies", "tracing"),
}
"""What of the other parts of the child's half each may import."""

OF_FRAMEWORKS = ("bench/frameworks", "bench/limits", "bench/lowerings")
"""One file a framework, which imports it when asked."""

WHEN_ASKED = (*OF_FRAMEWORKS, "bench/strategies", "bench/tracing")
"""What imports a framework when asked."""

DECODERS = {"PIL"}
"""What limits are measured through beside frameworks."""


@pytest.mark.parametrize("part", CHILDS_HALF)
def test_the_childs_half_stands_alone(part: str):
    """It is lent to interpreters that have neither the parent's package nor its libraries."""
    own = {path.stem for path in (ROOT / "bench/frameworks").glob("*.py")}
    strange = [
        str(i) for i in imports(part)
        if i.level == 0 and not is_within(i.target, (*sys.stdlib_module_names, "numpy"))
        and not (part in WHEN_ASKED and not i.is_top and is_within(i.target, {*own, *FRAMEWORKS, *DECODERS}))
        # Distribution metadata before Python 3.8.
        and not (i.target == "pkg_resources" and not i.is_top)
    ]
    beyond = [str(i) for i in imports(part) if i.level > 2 or (i.level == 2 and not is_within(
        i.target, CHILDS_HALF[part]))]

    assert strange == []
    assert beyond == []


PARTS_OF = {"tensorflow": ("keras",), "jax": ("jaxlib",)}
"""Packages that come with a framework."""


@pytest.mark.parametrize("folder", OF_FRAMEWORKS)
def test_a_file_of_a_framework_imports_its_own_and_only_when_asked(folder: str):
    """The parent reads an adapter's constants; it would load every framework with them."""
    for path in sorted((ROOT / folder).glob("*.py")):
        met = [i for i in imports(path.relative_to(ROOT).as_posix()) if is_within(i.target, FRAMEWORKS)]

        assert [str(i) for i in met if i.is_top] == []
        others = FRAMEWORKS - {path.stem, *PARTS_OF.get(path.stem, ())}
        assert [str(i) for i in met if is_within(i.target, others)] == []


def test_the_parent_imports_no_framework():
    parent = [i for folder in ("bench", "reports", "suites") for i in imports(folder)
              if not i.path.startswith(tuple(f"{part}/" for part in CHILDS_HALF))]

    assert [str(i) for i in parent if i.level == 0 and is_within(i.target, FRAMEWORKS)] == []


def test_the_parent_imports_absolutely():
    parent = [i for folder in ("bench", "reports", "suites") for i in imports(folder)
              if not i.path.startswith(tuple(f"{part}/" for part in CHILDS_HALF))]

    assert [str(i) for i in parent if i.level] == []


def modules_after(statement: str) -> set[str]:
    """Top-level packages that a fresh interpreter holds after a statement."""
    code = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True,
                              cwd=ROOT).stdout.split())


def test_help_waits_for_nothing_heavy():
    heavy = {"numpy", "pandas", "scipy", "duckdb", "psutil", "asv", "jinja2", "matplotlib", *FRAMEWORKS}

    assert modules_after("import bench.cli") & heavy == set()


def test_the_runner_loads_no_framework_and_no_tables():
    assert modules_after("import bench.runner") & {"pandas", "scipy", "duckdb", *FRAMEWORKS} == set()


def test_a_sampler_starts_without_what_only_its_parent_needs():
    heavy = {"numpy", "pandas", "duckdb", "scipy", "rich", "typer", *FRAMEWORKS}

    assert modules_after("import bench.telemetry.sampler, bench.telemetry.sources.host") & heavy == set()


def test_the_rules_see_an_import_wherever_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The test above is worth what its eyes are worth."""
    (tmp_path / "sample.py").write_text(
        "from bench import runner\n"
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import pandas as pd\n"
        "try:\n    import torch.nn\nexcept ImportError:\n    pass\n"
        "class A:\n    def f(self):\n        from ..worker import proof\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)

    seen = [(i.target, i.level, i.is_top) for i in imports("sample.py")]

    assert seen == [
        ("bench.runner", 0, True), ("typing.TYPE_CHECKING", 0, True), ("pandas", 0, False), ("torch.nn", 0, True),
        ("worker.proof", 2, False),
    ]


def test_a_strategy_names_its_framework_without_importing_it():
    """The parent reads its constants too."""
    assert modules_after("from bench import strategies; [strategies.load(name) for name in strategies.NAMES]") & (
        FRAMEWORKS - {"numpy"}) == set()
