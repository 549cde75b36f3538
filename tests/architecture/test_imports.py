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
                # "from bench import words" and "from bench.enums import Mode" both mean bench.enums.
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
    "bench/enums.py": (),
    "bench/files.py": ("rigmark.bench.enums",),
    "bench/ir": ("rigmark.bench.ir",),
    "bench/models": ("rigmark.bench.models", "rigmark.bench.ir", "rigmark.bench.enums"),
    "bench/data": ("rigmark.bench.datasets", "rigmark.bench.ir", "rigmark.bench.enums"),
    "bench/trials/layers.py": ("rigmark.bench.ir", "rigmark.bench.enums"),
    "bench/machine/hardware.py": ("rigmark.bench.enums",),
    "bench/machine/system.py": ("bench.__version__", "rigmark.bench.machine.hardware"),
    "bench/doctor/compatibility.py": (),
    "bench/doctor": (
        "rigmark.bench.builds.build", "rigmark.bench.doctor.compatibility", "rigmark.bench.doctor", "rigmark.bench.builds.environments", "rigmark.bench.worker.frameworks",
        "rigmark.bench.machine.hardware", "rigmark.bench.machine.isa", "rigmark.bench.processes.probe", "rigmark.bench.machine.system", "rigmark.bench.telemetry.sources", "rigmark.bench.builds.variables",
    ),
    "bench/telemetry": ("rigmark.bench.telemetry", "rigmark.bench.enums"),
    "bench/trials/parity.py": ("rigmark.bench.enums",),
    "bench/store/record.py": ("rigmark.bench.enums",),
    "bench/machine/devices.py": ("rigmark.bench.telemetry.cuda", "rigmark.bench.telemetry.sources"),
    "bench/store/store.py": ("rigmark.bench.machine.devices", "rigmark.bench.files", "rigmark.bench.store.quoted", "rigmark.bench.store.record", "rigmark.bench.enums"),
    "bench/store/quoted.py": (),
    "bench/importers": ("rigmark.bench.history.asv_results", "rigmark.bench.files", "rigmark.bench.importers", "rigmark.bench.store.quoted", "rigmark.bench.enums"),
    "bench/claims/load.py": ("rigmark.bench.analysis", "rigmark.bench.files", "rigmark.bench.ir", "rigmark.bench.models", "rigmark.bench.enums"),
    "bench/isa": (),
    "bench/launch/agents.py": (
        "rigmark.bench.builds.worker_package", "rigmark.bench.builds.build", "rigmark.bench.machine.hardware", "rigmark.bench.processes.spawn", "rigmark.bench.plan.sweep", "rigmark.bench.enums",
        "rigmark.bench.processes.workfolder", "rigmark.bench.launch.ranks",
    ),
    "bench/processes/workfolder.py": (),
    "bench/launch/ranks.py": ("rigmark.bench.processes.spawn", "rigmark.bench.plan.sweep", "rigmark.bench.worker.strategies", "rigmark.bench.enums"),
    "bench/trials/instruction_sets.py": ("rigmark.bench.ir", "rigmark.bench.machine.isa"),
    "bench/plan/sweep.py": (
        "rigmark.bench.datasets", "rigmark.bench.worker.frameworks", "rigmark.bench.machine.isa", "rigmark.bench.worker.microbenchmarks", "rigmark.bench.models", "rigmark.bench.worker.strategies",
        "rigmark.bench.enums",
    ),
    "bench/plan/schedule.py": ("rigmark.bench.enums", "rigmark.bench.worker.frameworks", "rigmark.bench.plan.sweep", "rigmark.bench.worker.strategies"),
    "bench/trials/inputs.py": ("rigmark.bench.datasets", "rigmark.bench.ir", "rigmark.bench.models", "rigmark.bench.plan.schedule", "rigmark.bench.plan.sweep"),
    "bench/trials/oracle.py": (
        "rigmark.bench.builds.worker_package", "rigmark.bench.worker.frameworks", "rigmark.bench.trials.inputs", "rigmark.bench.trials.parity", "rigmark.bench.processes.spawn", "rigmark.bench.plan.sweep",
        "rigmark.bench.store.store", "rigmark.bench.worker.strategies", "rigmark.bench.enums",
    ),
    "bench/trials/jobs.py": (
        "rigmark.bench.datasets", "rigmark.bench.trials.inputs", "rigmark.bench.trials.oracle", "rigmark.bench.plan.schedule", "rigmark.bench.processes.spawn", "rigmark.bench.plan.sweep",
    ),
    "bench/plan/sessions.py": (),
    "bench/builds/build.py": ("rigmark.bench.files", "rigmark.bench.enums", "rigmark.bench.machine.isa", "rigmark.bench.plan.sweep"),
    "bench/builds/environments.py": ("rigmark.bench.files", "rigmark.bench.enums", "rigmark.bench.builds.build"),
    "bench/processes/probe.py": (
        "rigmark.bench.enums", "rigmark.bench.builds.worker_package", "rigmark.bench.builds.build", "rigmark.bench.worker.frameworks", "rigmark.bench.machine.hardware", "rigmark.bench.worker.microbenchmarks",
        "rigmark.bench.processes.spawn", "rigmark.bench.processes.workfolder",
    ),
    "bench/builds/worker_package.py": (),
    "bench/builds/variables.py": ("rigmark.bench.enums", "rigmark.bench.builds.build"),
    "bench/processes/spawn.py": ("rigmark.bench.enums", "rigmark.bench.builds.build", "rigmark.bench.builds.variables"),
    "bench/processes/forkserver.py": ("rigmark.bench.builds.build", "rigmark.bench.processes.spawn", "rigmark.bench.builds.variables"),
    "bench/processes/persistent.py": ("rigmark.bench.enums", "rigmark.bench.builds.build", "rigmark.bench.processes.spawn", "rigmark.bench.builds.variables"),
    "bench/trials/pair.py": ("rigmark.bench.enums", "rigmark.bench.processes.persistent", "rigmark.bench.processes.spawn"),
    "bench/builds/revisions.py": (
        "rigmark.bench.builds.worker_package", "rigmark.bench.builds.build", "rigmark.bench.builds.environments", "rigmark.bench.files", "rigmark.bench.builds.variables", "rigmark.bench.enums",
    ),
    "bench/runner/tally.py": ("rigmark.bench.plan.schedule", "rigmark.bench.store.record"),
    "bench/history/series.py": (),
    "bench/history/asv_results.py": ("rigmark.bench.history.directions", "rigmark.bench.files", "rigmark.bench.history.series", "rigmark.bench.enums"),
    "bench/history/directions.py": ("rigmark.bench.history.series",),
    "bench/reporting/gather.py": ("rigmark.bench.analysis", "rigmark.bench.claims.load", "rigmark.bench.store.store", "rigmark.bench.telemetry.series"),
    "bench/reporting/notebook.py": ("rigmark.bench.analysis", "rigmark.bench.reporting.gather", "rigmark.bench.store.store", "reports"),
    "bench/reporting/server.py": ("rigmark.bench.enums",),
    "bench/offers": ("rigmark.bench.files", "rigmark.bench.buying.offers", "rigmark.bench.enums"),
    "bench/analysis": ("rigmark.bench.analysis", "rigmark.bench.files", "rigmark.bench.machine.isa", "rigmark.bench.buying.offers", "rigmark.bench.history.series", "rigmark.bench.enums"),
    "reports": ("reports", "rigmark.bench.analysis", "rigmark.bench.enums"),
    "suites": ("suites", "rigmark.bench.asv.benchmark", "rigmark.bench.machine.isa", "rigmark.bench.plan.sweep", "rigmark.bench.enums"),
}
"""Of our own packages, what each part may import, lazily or not; the command line alone may import everything."""


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_imports_run_one_way(part: str):
    strange = [str(i) for i in imports(part) if ours(i.target) and not is_within(i.target, MAY_IMPORT[part])]

    assert strange == []


@pytest.mark.parametrize("part", ["bench/runner/runner.py", "bench/runner/workers.py", "bench/trials/pair.py", "bench/runner/progress.py"])
def test_what_measures_knows_nothing_of_analysis_and_reports(part: str):
    above = ("rigmark.bench.analysis", "rigmark.bench.cli", "reports")

    assert [str(i) for i in imports(part) if is_within(i.target, above)] == []


def test_what_asv_sees_of_a_suite_loads_no_analysis_before_a_trial_has_ended():
    above = ("rigmark.bench.analysis", "rigmark.bench.cli", "reports")

    assert [str(i) for i in imports("bench/asv/benchmark.py") if i.is_top and is_within(i.target, above)] == []


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

    assert modules_after("import rigmark.bench.cli") & heavy == set()


def test_the_runner_loads_no_framework_and_no_tables():
    assert modules_after("import rigmark.bench.runner.runner") & {"pandas", "scipy", "duckdb", *FRAMEWORKS} == set()


def test_a_sampler_starts_without_what_only_its_parent_needs():
    heavy = {"numpy", "pandas", "duckdb", "scipy", "rich", "typer", *FRAMEWORKS}

    assert modules_after("import rigmark.bench.telemetry.sampler, rigmark.bench.telemetry.sources.host") & heavy == set()


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
        ("rigmark.bench.runner.runner", 0, True), ("typing.TYPE_CHECKING", 0, True), ("pandas", 0, False), ("torch.nn", 0, True),
        ("worker.proof", 2, False),
    ]


def test_a_strategy_names_its_framework_without_importing_it():
    """The parent reads its constants too."""
    assert modules_after("from bench import strategies; [strategies.load(name) for name in strategies.NAMES]") & (
        FRAMEWORKS - {"numpy"}) == set()
