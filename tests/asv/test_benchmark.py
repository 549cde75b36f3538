"""asv on a fresh clone with the shipped configuration: what a maintainer sees, and what stays in the result files."""

from __future__ import annotations

import importlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from rigmark import suites
from rigmark.bench import devices, models
from rigmark.bench.asv import benchmark as asv
from rigmark.bench.asv import rounds as rounds_module
from rigmark.bench.enums import Mode, Outcome
from rigmark.bench.networks import Network, Networks, exporting
from rigmark.bench.plan.sweep import Sweep
from rigmark.bench.runner.tally import Tally
from rigmark.bench.store.store import Store
from tests.analysis.results.test_telemetry_findings import block
from tests.records import CASE, as_stored, make_record

ROOT = Path(__file__).parents[2]
TINY = '''
"""A case that runs, and one that cannot."""

from rigmark import Mode, Precision, Sweep, Timing, benchmark

SWEEPS = (
    Sweep(
        models=("mlp",), frameworks=("numpy",), precisions=(Precision.FP32, Precision.BF16), modes=(Mode.INFERENCE,),
        local_batches=(4,), repetitions=3,
        timing=Timing(min_timings=3, min_time_s=0.01, max_time_s=1.0, warm_up_max_s=0.1),
    ),
)
track_step_time = benchmark(SWEEPS, __name__)
'''
FP32 = "'mlp inference numpy eager nchw fp32 cpu local_batch=4'"
BF16 = FP32.replace("fp32", "bf16")


class Checkout:
    """A clone in a folder of its own, whose asv knows nothing of this user."""

    def __init__(self, folder: Path):
        self.root = folder / "rigmark"
        self._home = folder
        for name in ("rigmark", "bench", "reports", "suites"):
            shutil.copytree(
                ROOT / name, self.root / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
            )
        for name in ("asv.conf.json", "builds.toml", "pyproject.toml", ".gitignore"):
            shutil.copy(ROOT / name, self.root)
        (self.root / "suites" / "tiny.py").write_text(TINY)
        self.append("builds.toml", '\n[build.gone]\ninterpreter = "/nowhere/python"\n')
        self.git("init", "--quiet")

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", "-c", "user.name=me", "-c", "user.email=me@here", *arguments],
            cwd=self.root, check=True, text=True, capture_output=True,
        ).stdout.strip()

    def commit(self) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--no-gpg-sign", "--message", "state")
        return self.git("rev-parse", "HEAD")

    def append(self, path: str, text: str) -> None:
        with open(self.root / path, "a", encoding="utf-8") as file:
            file.write(text)

    def asv(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ASV", "RIGMARK"))}
        return subprocess.run(
            [sys.executable, "-m", "asv", *arguments], cwd=self.root, env=kept | {"HOME": str(self._home)} | variables,
            text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )

    def result(self, revision: str = "HEAD", build: str = "default") -> dict[str, Any]:
        """asv's result file of a commit and a build."""
        commit = self.git("rev-parse", revision)
        [path] = (self.root / ".asv" / "results").glob(f"*/{commit[:8]}-*RIGMARK_BUILD{build}.json")
        result: dict[str, Any] = json.loads(path.read_text())
        return result

    def records(self, folder: str = ".asv/rigmark-results", build: str = "default") -> list[dict[str, Any]]:
        """Timing records of a build, first repetitions first."""
        records = [json.loads(path.read_text()) for path in (self.root / folder / "records").glob("*.json")]
        timings = [
            record for record in records
            if record["identity"]["kind"] == "timing" and record["identity"]["case"]["build"] == build
        ]
        return sorted(timings, key=lambda record: record["identity"]["repetition"])


def values(result: dict[str, Any], column: str = "result") -> dict[str, Any]:
    """A column of asv's file by case."""
    row = dict(zip(result["result_columns"], result["results"]["tiny.track_step_time"], strict=False))
    return dict(zip(row["params"][0], row[column] or [None] * len(row["params"][0]), strict=True))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    checkout = Checkout(tmp_path_factory.mktemp("asv"))
    for state in ("of the commit before", "of the commit"):
        checkout.append("bench/builds/worker_package.py", f"\n\ndef code_version(*of):\n    return '{state}'\n")
        checkout.commit()
    checkout.append("bench/builds/worker_package.py", "\n\ndef code_version(*of):\n    return 'of the working tree'\n")
    assert 0 == checkout.asv("machine", "--yes").returncode
    return checkout


@pytest.fixture(scope="module")
def quick(checkout: Checkout) -> subprocess.CompletedProcess[str]:
    return checkout.asv("run", "--quick", "--show-stderr", "--bench", "^tiny")


def test_asv_finds_no_problem_in_the_suites(checkout: Checkout):
    checked = checkout.asv("check")

    assert 0 == checked.returncode, checked.stdout
    assert "No problems found" in checked.stdout


def test_a_quick_run_stores_seconds_per_step_under_the_current_commit(
    checkout: Checkout, quick: subprocess.CompletedProcess[str]
):
    assert 0 == quick.returncode, quick.stdout
    result = checkout.result()
    [record] = [r for r in checkout.records() if r["outcome"] == "ok"]
    benchmark = json.loads((checkout.root / ".asv/results/benchmarks.json").read_text())["tiny.track_step_time"]

    assert checkout.git("rev-parse", "HEAD") == result["commit_hash"]
    assert "seconds" == benchmark["unit"]
    assert math.isclose(median(record["measurement"]["timings_s"]), values(result)[FP32])
    assert 1 == values(result, "stats_repeat")[FP32]


def test_each_instruction_set_of_the_matrix_has_results_of_its_own(
    checkout: Checkout, quick: subprocess.CompletedProcess[str]
):
    [native], [held] = (
        [record for record in checkout.records(build=name) if record["outcome"] == "ok"] for name in ("default", "avx2")
    )

    assert ("native", "avx2") == (native["identity"]["case"]["isa"], held["identity"]["case"]["isa"])
    assert "Haswell" == held["identity"]["build"]["variables"]["OPENBLAS_CORETYPE"]
    assert math.isclose(median(held["measurement"]["timings_s"]), values(checkout.result(build="avx2"))[FP32])


def test_what_cannot_run_is_not_available_and_says_why(checkout: Checkout, quick: subprocess.CompletedProcess[str]):
    result = checkout.result()

    assert math.isnan(values(result)[BF16])
    assert re.search(r"bf16 .* n/a", quick.stdout)
    assert "rigmark: unsupported: " in quick.stdout


def test_the_commit_is_measured_and_not_the_working_tree(
    checkout: Checkout, quick: subprocess.CompletedProcess[str]
):
    before = checkout.asv("run", "--quick", "HEAD~1^!", "--bench", "^tiny.*fp32", RIGMARK_RESULTS="before")

    assert 0 == before.returncode, before.stdout
    assert {"of the commit"} == {record["identity"]["code_version"] for record in checkout.records()}
    assert {"of the commit before"} == {record["identity"]["code_version"] for record in checkout.records("before")}
    assert values(checkout.result("HEAD~1"))[FP32] > 0


def test_each_round_is_a_repetition_in_a_session_of_this_run(
    checkout: Checkout, quick: subprocess.CompletedProcess[str]
):
    only = ("-a", "rounds=2", "--bench", "^tiny.*fp32")
    run = checkout.asv("run", "--record-samples", *only, RIGMARK_RESULTS="elsewhere")
    records = checkout.records("elsewhere")
    result = checkout.result()

    assert 0 == run.returncode, run.stdout
    assert [0, 1] == [record["identity"]["repetition"] for record in records]
    assert 1 == len({record["identity"]["session"] for record in records})
    assert {r["identity"]["session"] for r in checkout.records()}.isdisjoint(r["identity"]["session"] for r in records)
    assert 2 == len(values(result, "samples")[FP32])


def test_a_failed_trial_fails_the_run_with_its_reason(checkout: Checkout, quick: subprocess.CompletedProcess[str]):
    configuration = checkout.root / "asv.conf.json"
    shipped = configuration.read_text()
    configuration.write_text(shipped.replace('["default", "avx2"]', '["gone"]'))
    failed = checkout.asv("run", "--quick", "--bench", "^tiny.*fp32")
    configuration.write_text(shipped)
    result = checkout.result(build="gone")

    assert 2 == failed.returncode
    assert "rigmark: build_broken: build 'gone' cannot start /nowhere/python" in failed.stdout
    assert values(result)[FP32] is None


def test_the_site_has_the_history_of_the_cases(checkout: Checkout, quick: subprocess.CompletedProcess[str]):
    published = checkout.asv("publish")
    html = checkout.root / ".asv" / "html"

    assert 0 == published.returncode, published.stdout
    assert (html / "index.html").exists()
    [graph] = html.glob("graphs/**/summary/tiny.track_step_time.json")
    assert json.loads(graph.read_text())


# What a suite shows to asv ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", suites.NAMES)
def test_every_suite_is_a_benchmark_of_asv(suite: str):
    module = importlib.import_module(f"rigmark.suites.{suite}")

    assert max(sweep.repetitions for sweep in module.SWEEPS) == module.track_step_time.rounds


def test_the_example_of_the_guide_is_a_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    guide = (ROOT / "docs/add-input-and-more.md").read_text(encoding="utf-8")
    example, = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    (tmp_path / "suite_of_the_guide.py").write_text(example, encoding="utf-8")
    monkeypatch.setattr(suites, "__path__", [*suites.__path__, str(tmp_path)])
    monkeypatch.setattr(suites, "NAMES", (*suites.NAMES, "suite_of_the_guide"))

    sweep, = suites.sweeps("suite_of_the_guide")

    assert 8 == len(list(sweep.cases(cores=1)))      # 2 frameworks, modes and batches
    assert 8 == len(sys.modules["rigmark.suites.suite_of_the_guide"].track_step_time.params[0])


def test_asv_is_not_imported_with_a_suite():
    code = "import sys, rigmark.suites.quick; sys.exit(bool({'asv', 'asv_runner'} & set(sys.modules)))"

    assert 0 == subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode


SWEEP = Sweep(models=("mlp",), frameworks=("numpy",))
LOST = {"part": {"unknown": {"power_w": "lost"}}}
CONTENDED = {"gpu": {"other_processes": {"mean": 1.0, "max": 1.0}}}


@pytest.mark.parametrize(
    ("rounds", "said"),
    [
        ([{}], [0.01]), ([CONTENDED], [0.01]), ([LOST], math.nan), ([{}, LOST], []), ([LOST, LOST], math.nan),
        ([LOST, {}], [0.01]),
    ],
)
def test_an_invalid_trial_is_no_sample_and_says_why_while_a_suspect_one_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rounds: list[dict[str, Any]], said: Any
):
    case = replace(CASE, device=devices.parsed("cuda:0"))
    records = [
        as_stored(make_record(case=case, repetition=i, telemetry=block(**cause))) for i, cause in enumerate(rounds)
    ]
    monkeypatch.setattr(rounds_module, "_rounds", lambda *_, **__: records)

    given = rounds_module.measured(SWEEP, case, suite="quick", name="a case", home=Path())

    assert (given["samples"] if isinstance(given, dict) else given) == pytest.approx(said, nan_ok=True)
    assert ("the driver lost contact with" in capsys.readouterr().err) == (rounds[-1] is LOST)


class Replacing:
    """Takes the place of a Runner, for a trial that failed in a results folder where a record was damaged."""

    failed = make_record(outcome=Outcome.CRASHED)
    networks = Networks()

    def __init__(self, *_: Any, networks: Networks, **__: Any):
        Replacing.networks = networks

    def __enter__(self) -> Replacing:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def key(self, trial: object) -> str:
        return self.failed.key

    def run(self, trials: object) -> Tally:
        return Tally(damaged=["record a.json is damaged"])


@pytest.fixture
def replacing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Replacing]:
    Store(tmp_path / ".asv/rigmark-results").create().put(Replacing.failed)
    monkeypatch.setattr(rounds_module, "Runner", Replacing)
    return Replacing


def test_a_record_that_was_replaced_is_reported(
    tmp_path: Path, replacing: type[Replacing], capsys: pytest.CaptureFixture[str]
):
    rounds_module._rounds(SWEEP, CASE, suite="quick", name="a case", home=tmp_path)

    assert "rigmark: record a.json is damaged; it was measured again\n" == capsys.readouterr().err


def test_a_network_of_the_user_lies_beside_the_configuration(tmp_path: Path, replacing: type[Replacing]):
    """asv calls a benchmark in a folder of its own."""
    exporting.graph(Network(graph=models.build("mlp")), tmp_path / "own.json")
    sweep = Sweep(models=("mlp", "own.json"), frameworks=("numpy",), modes=(Mode.INFERENCE,), local_batches=(4,))
    _, (name, (sweep, case)) = asv.named_cases([sweep]).items()

    rounds_module._rounds(sweep, case, suite="quick", name=name, home=tmp_path)

    assert "own.json inference numpy eager nchw fp32 cpu local_batch=4" == name
    assert models.build("mlp").fingerprint == replacing.networks.of(case).graph.fingerprint


def test_names_of_cases_tell_them_apart():
    sweeps = [
        replace(SWEEP, models=("mlp", "mnist_cnn"), local_batches=(1, 8), data=("synthetic", "digits")),
        replace(SWEEP, threads=(1, 2), steps_per_timing=10),
    ]
    named = asv.named_cases(sweeps)

    assert len(named) == len({case for _, case in named.values()}) == 16 + 4
    assert "mlp training numpy eager nchw fp32 cpu local_batch=32 threads=2 steps_per_timing=10" in named


def test_names_of_cases_are_the_same_on_every_machine_and_in_every_build(monkeypatch: pytest.MonkeyPatch):
    here = list(asv.named_cases([SWEEP]))
    monkeypatch.setattr("rigmark.bench.machine.hardware.usable_cpus", lambda: tuple(range(64)))
    monkeypatch.setenv("RIGMARK_BUILD", "avx2")
    there = asv.named_cases([SWEEP])

    assert here == list(there)
    assert {("avx2", "avx2", 64)} == {(case.build, case.isa, case.threads) for _, case in there.values()}
