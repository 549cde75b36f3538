"""The benchmarks of a pytest-benchmark suite in turns: what is measured, and what of tests that fail or skip."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rigmark.bench.ab.kinds import TurnFailed, TurnSkipped, _suites
from rigmark.bench.ab.kinds import pytest as kind
from rigmark.bench.builds.build import Build
from rigmark.bench.store.record import BASE, SIDES
from tests.ab.test_commands import Ended, ab, records
from tests.builds.test_revisions import commit, git

__all__ = ["ab"]

pytest.importorskip("pytest_benchmark")

CLOCK = """
NOW_S = [0.0]

def clock():
    NOW_S[0] += 1e-9
    return NOW_S[0]

def work(time_s):
    NOW_S[0] += time_s
    return time_s
"""

BENCHMARKS = """
import pytest
from tests.clock import clock, work

pytestmark = pytest.mark.benchmark(timer=clock)
SETUPS = []

@pytest.mark.parametrize("n", [1e-6])
def test_many(benchmark, n): assert benchmark(work, n) == n

def test_pedantic(benchmark):
    state = []
    def setup(): SETUPS.append(len(state))
    benchmark.pedantic(lambda: state.append(1) or work(len(state)), setup=setup, rounds=3)
    assert state == [1, 1, 1]
    assert SETUPS[-3:] == [0, 1, 2]

def test_wrong_result(benchmark): assert benchmark(work, 1.0) == 2.0
def test_raises(benchmark): benchmark(lambda: 1 / 0)
def test_skipped(benchmark): pytest.skip("not here")
def test_no_benchmark(): assert False
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A suite beside the project that it measures, whose function takes twice as long in its second revision."""
    monkeypatch.chdir(tmp_path)
    bench = tmp_path / "tests" / "bench"
    bench.mkdir(parents=True)
    for folder in (bench.parent, bench):
        (folder / "__init__.py").touch()         # so pytest imports from the root, where the project is
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --benchmark-skip --benchmark-autosave\n")
    (bench.parent / "clock.py").write_text(CLOCK)
    (bench / "test_many.py").write_text(BENCHMARKS)
    (bench / "test_lost.py").write_text("import no_such_module")
    git(tmp_path, "init", "--quiet")
    for number in (1, 2):
        (bench / "test_of_project.py").write_text(
            f"# {number}\nimport project, pytest\nfrom tests.clock import clock\n"
            "@pytest.mark.benchmark(timer=clock)\ndef test_work(benchmark): benchmark(project.work)\n"
        )
        (tmp_path / "project.py").write_text(f"from tests.clock import NOW_S\ndef work(): NOW_S[0] += {number}\n")
        commit(tmp_path)
    return tmp_path


def test_benchmarks_are_compared_in_two_revisions(ab: Callable[..., Ended], project: Path):
    before = {path for path in project.rglob("*") if "__pycache__" not in path.parts and ".git" not in path.parts}

    code, output, _ = ab("--pytest", "tests/bench", "--bench", "of_project", "--base", "HEAD~1", "--new", "HEAD",
                         "--build-command", "true", "--format", "markdown", "--budget", "1s")

    said = " ".join(output.split())
    assert 4 == code             # one pair is no verdict
    assert "other files of the benchmarks than this checkout, whose files were used in both sides: test_of_" in said
    (record,) = records()
    assert ("pytest", "time per call") == (record["kind"], record["quantity"]["name"])
    pair = record["pairs"][-1]
    assert [1.0, 2.0] == [pytest.approx(pair[side][0]["numbers"][pair["unit"]]) for side in SIDES]
    assert "tests/bench/test_of_project.py::test_work" == pair["unit"]
    after = {path for path in project.rglob("*") if "__pycache__" not in path.parts and ".git" not in path.parts}
    assert {"results"} == {path.relative_to(project).parts[0] for path in after - before}


def test_each_benchmark_gives_a_number_or_a_reason(project: Path):
    side = _suites.Side(name="this", build=Build(name="this", interpreter=sys.executable))
    contest = kind.PytestContest(
        kind.suite(project / "tests" / "bench"), side, side, _suites.Settings(bench="many|lost"), print
    )
    numbers: dict[str, list[float]] = {}
    failures: dict[str, str] = {}

    with contest.ready():
        for unit in contest.units():
            name = unit.rpartition("::")[2] or unit
            try:
                with contest.pair(unit):
                    taken = [contest.turn(unit, BASE).numbers[unit] for _ in range(2)]
                numbers[name] = taken
            except TurnFailed as failed:
                failures[name] = f"{failed} {failed.last_words}"
            except TurnSkipped:
                pass
        notes = " ".join(contest.notes())
        calls, rounds = contest._numbers["tests/bench/test_many.py::test_many[1e-06]"]

    assert {"test_many[1e-06]", "test_pedantic"} == numbers.keys(), failures
    assert [pytest.approx(1e-6, rel=0.01)] * 2 == numbers["test_many[1e-06]"]
    assert [pytest.approx(2.0)] * 2 == numbers["test_pedantic"]
    assert calls * rounds * 1e-6 >= 0.009
    for name, reason in (
        ("test_wrong_result", "failed in base after the benchmark assert 1.0 == 2.0"),
        ("test_raises", "ZeroDivisionError"), ("(cannot be imported)", "no_such_module"),
    ):
        assert any(each.endswith(name) and reason in failures[each] for each in failures), (name, failures)
    assert f"test_skipped ({', '.join(SIDES)})" in notes
    assert not any("no_benchmark" in name for name in (*numbers, *failures))


@pytest.mark.parametrize(("arguments", "sentence"), [
    (("--pytest", "gone"), "there is no gone; --pytest takes the file or folder of benchmarks"),
    (("--pytest", "."), "is all of the repository"),
    (("--pytest", "tests", "--asv", "."), "'pytest' is one thing too many beside --asv"),
])
def test_a_mistake_is_answered_in_a_sentence(
    ab: Callable[..., Ended], project: Path, arguments: tuple[str, ...], sentence: str
):
    code, _, errors = ab(*arguments, "--base", "HEAD~1", "--new", "HEAD", "--build-command", "true")

    assert 2 == code
    assert sentence in " ".join(errors.split())
