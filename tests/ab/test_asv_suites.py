"""The benchmarks of an asv suite in turns: what is measured of each kind, and what becomes of those that fail."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rigmark.bench.ab.kinds import Ending, TurnFailed, TurnSkipped, _suites, asv
from rigmark.bench.ab.rounds import Rounds
from rigmark.bench.ab.turns import Unit, _judged
from rigmark.bench.analysis.statistics.decision import Verdict
from rigmark.bench.builds.build import Build
from rigmark.bench.store.record import BASE, SIDES
from tests.ab.test_commands import Ended, ab, records
from tests.builds.test_revisions import commit, git

__all__ = ["ab"]

BENCHMARKS = """
import os, signal, sys
from asv_runner.benchmarks.mark import SkipNotImplemented

print("which is no answer")

def time_calls(): CALLS.append(len(CALLS))
CALLS = []
def setup(*_): pass
time_calls.number = 3

class Params:
    params = [[1, 2, 3], ["a"]]
    skip_params = [(3, "a")]
    def setup(self, n, s):
        if n == 2:
            raise NotImplementedError
    def track_it(self, n, s): return f"{n}"

class Cached:
    def setup_cache(self):
        with open("made", "a") as made:
            made.write("x")
        return [7]
    def track_cache(self, cache): return cache[0] + 10 * os.path.getsize("made")
    def mem_list(self, cache): return [0] * 100
    def peakmem_bytes(self, cache): bytearray(10**8)

def track_nothing(): return None
def track_skipped(): raise SkipNotImplemented("not here")
def time_raises(): raise ValueError("no good")
def time_dies(): os.kill(os.getpid(), signal.SIGSEGV)
def time_hangs(): signal.pause()
time_hangs.timeout = 0.5
time_hangs.number = 1
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A suite with the project that it measures, whose number is 3 in its first revision and 4 in its second."""
    (tmp_path / "asv.conf.json").write_text('{\n// why not\n"version": 1, "repo": "."}')
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").touch()
    (tmp_path / "benchmarks" / "many.py").write_text(BENCHMARKS)
    (tmp_path / "benchmarks" / "lost.py").write_text("import no_such_module")
    (tmp_path / "benchmarks" / "of_project.py").write_text(
        "import project\ndef track_number(): return project.NUMBER\n"
        "if project.NUMBER == 4:\n    def track_other(): return 1\n"
    )
    git(tmp_path, "init", "--quiet")
    for number in (3, 4):
        (tmp_path / "project.py").write_text(f"NUMBER = {number}\n")
        commit(tmp_path)
    return tmp_path


def test_benchmarks_are_compared_in_two_revisions(ab: Callable[..., Ended], project: Path):
    install = 'cp project.py "$VIRTUAL_ENV"/lib/python*/site-packages'

    code, output, _ = ab("--asv", ".", "--bench", "of_project", "--base", "HEAD~1", "--new", "HEAD",
                         "--build-command", install, "--json", "--budget", "1s")

    verdicts = json.loads(output)
    (case,) = verdicts["cases"]
    assert (4, "of_project.track_number") == (code, case["label"])
    assert [3.0, 4.0] == [pytest.approx(case[side]["value"]) for side in SIDES]
    assert ["of_project.track_other"] == verdicts["only_new"]
    assert any("direction" in note and case["label"] in note for note in verdicts["notes"])
    assert 1 == len(git(project, "worktree", "list").splitlines())
    (record,) = records()
    assert "tracked number" == record["quantities"]["of_project.track_number"]["name"]
    again = json.loads(ab("compare", "HEAD~1", "HEAD", "--json")[1])
    assert (case["quantity"], ["of_project.track_other"]) == (again["cases"][0]["quantity"], again["only_new"])


@pytest.mark.parametrize(("install", "reason"), [
    ("echo no compiler; exit 3", "build_broken: base: --build-command ended with exit code 3"),
    ("for packages in \"$VIRTUAL_ENV\"/lib/python3.*/site-packages; do echo '{root}' > $packages/x.pth; done",
     "build_broken: base: its benchmarks import project from"),
])
def test_a_side_without_its_revision_is_no_side(ab: Callable[..., Ended], project: Path, install: str, reason: str):
    command = install.replace("{root}", str(project))

    code, output, _ = ab("--asv", ".", "--base", "HEAD~1", "--new", "HEAD", "--build-command", command, "--json")

    assert 2 == code
    assert json.loads(output)["cases"][0]["reason"].startswith(reason)


def test_a_benchmark_that_the_budget_did_not_reach_is_listed():
    (verdict,) = _judged([Unit(name="suite.time_it")], Rounds([], session="", budget_s=1.0), lambda case: ())

    assert ("suite.time_it", Verdict.INCONCLUSIVE) == (verdict.label, verdict.verdict)
    assert "before its first pair" in str(verdict.reason)


def test_each_benchmark_gives_the_number_of_its_kind_or_a_reason(project: Path):
    side = _suites.Side(name="this", build=Build(name="this", interpreter=sys.executable))
    kind = asv.AsvContest(asv.suite(project), side, side, _suites.Settings(bench="many|lost"), print)
    numbers: dict[str, float] = {}
    endings: dict[str, str] = {}

    with kind.ready():
        for unit in kind.units():
            with kind.pair(unit):
                try:
                    turns = [kind.turn(unit, BASE) for _ in range(2)]
                    numbers[unit] = turns[-1].numbers[unit]
                except TurnFailed as failed:
                    endings[unit] = failed.outcome
                except TurnSkipped:
                    pass
        notes = " ".join(kind.notes())
        calls = kind._numbers["many.time_calls"]

    assert {"many.Params.track_it(1, 'a')": 1.0, "many.Cached.track_cache": 17.0} == {
        unit: number for unit, number in numbers.items() if "track" in unit
    }
    assert 0 < numbers["many.time_calls"] < 1
    assert 3 == calls
    assert 800 <= numbers["many.Cached.mem_list"] <= 1000
    assert 10**8 <= numbers["many.Cached.peakmem_bytes"] <= 3 * 10**8
    assert {
        "many.track_nothing": Ending.NO_NUMBER, "many.time_raises": Ending.CRASHED, "many.time_dies": Ending.CRASHED,
        "many.time_hangs": Ending.TIMEOUT, "lost (cannot be imported)": Ending.CRASHED,
    } == endings
    for skipped in ("many.Params.track_it(2, 'a')", "many.Params.track_it(3, 'a')", "many.track_skipped"):
        assert f"{skipped} ({', '.join(SIDES)})" in notes


@pytest.mark.parametrize(("configuration", "arguments", "sentence"), [
    (None, (), "there is no asv.conf.json in"),
    ("{", (), "as asv's configuration"),
    ('{"version": 1}', (), "No repo specified"),
    ('{"version": 1, "repo": ".", "benchmark_dir": "gone"}', (), "names as benchmark_dir"),
    ('{"version": 1, "repo": ".", "environment_type": "conda"}', (), "of type 'conda', which Rigmark does not make"),
    ("", ("--bench", "no_such"), "lost in base (ModuleNotFoundError"),
    ("", ("--bench", "("), "--bench '(' is no regular expression"),
    ("", ("--clock", "cpu"), "--clock means nothing for the benchmarks of --asv"),
    ("", ("fast",), "'fast' is one thing too many beside --asv"),
])
def test_a_mistake_is_answered_in_a_sentence(
    ab: Callable[..., Ended], project: Path, configuration: str | None, arguments: tuple[str, ...], sentence: str
):
    if configuration:
        (project / "asv.conf.json").write_text(configuration)
    elif configuration is None:
        (project / "asv.conf.json").unlink()

    code, _, errors = ab(*arguments, "--asv", ".", "--base", "HEAD~1", "--new", "HEAD", "--build-command", "true")

    assert 2 == code
    assert sentence in " ".join(errors.split())
