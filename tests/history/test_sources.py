"""Results of other benchmark programs as histories: which number is read, and of which commit it is."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rigmark.bench.errors import UserError
from rigmark.bench.history import sources
from tests.cli.test_verdicts import Ended, command

__all__ = ["command"]

START_S = 1_700_000_000


def google(time_s: float, commit: str) -> dict[str, Any]:
    context = {"date": "2026-01-01T00:00:00+00:00", "host_name": "box", "num_cpus": 2, "executable": "./a/bench"}
    entries = [{"name": "BM_Sort", "run_name": "BM_Sort", "run_type": "iteration", "real_time": time_s * 1e6 * factor,
                "cpu_time": 1.0, "time_unit": "us"} for factor in (0.5, 1, 7)]
    return {"context": context, "benchmarks": entries}


def of_pytest(time_s: float, commit: str) -> dict[str, Any]:
    return {
        "machine_info": {"node": "box", "python_version": "3.12"}, "commit_info": {"id": commit, "dirty": False},
        "benchmarks": [{"fullname": "test_a.py::test_sort", "stats": {"median": time_s, "mean": 9.0}}],
    }


def hyperfine(time_s: float, commit: str) -> dict[str, Any]:
    return {"results": [{"command": "sort x", "median": time_s, "mean": 9.0, "exit_codes": [0, 0]}]}


def criterion(time_s: float, commit: str) -> dict[str, Any]:
    return {"median": {"point_estimate": time_s * 1e9}, "mean": {"point_estimate": 9.0}}


FORMATS: dict[str, tuple[Callable[[float, str], dict[str, Any]], str, str]] = {
    "google": (google, "{short}.json", "BM_Sort"), "pytest": (of_pytest, "0001_run.json", "test_a.py::test_sort"),
    "hyperfine": (hyperfine, "run-20261130.json", "sort x"),
    "criterion": (criterion, "criterion/sort/new/estimates.json", "sort/x"),
}
"""What writes a file, its name in a folder of a commit, and the name of its benchmark."""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A git repository with 24 commits, a minute apart, and these."""
    root = tmp_path_factory.mktemp("repository")
    lines = ["reset refs/heads/main"]
    for number in range(24):
        lines += ["commit refs/heads/main", f"committer a <a@b> {START_S + 60 * number} +0000", "data 1", "x"]
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(root)], check=True)
    subprocess.run(["git", "-C", str(root), "fast-import", "--quiet"], input="\n".join(lines) + "\n", text=True,
                   check=True)
    listed = subprocess.run(["git", "-C", str(root), "rev-list", "--reverse", "main"], capture_output=True, text=True,
                            check=True)
    return root, listed.stdout.split()


def written(root: Path, source: str, commits: list[str], factor: float = 1.0) -> Path:
    """A file of each commit, whose time changes by a factor half way."""
    write, name, _ = FORMATS[source]
    rng = np.random.default_rng(3)
    for number, commit in enumerate(commits):
        time_s = 0.01 * (factor if number >= len(commits) // 2 else 1.0) * np.exp(rng.normal(0, 0.005))
        path = root / commit[:10] / name.format(short=commit[:8])
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(write(float(time_s), commit)))
        if source == "criterion":
            path.with_name("benchmark.json").write_text('{"full_id": "sort/x"}')
            (path.parent.parent / "base").mkdir()
            (path.parent.parent / "base" / "estimates.json").write_text(json.dumps(criterion(9.0, "")))
    return root


def test_every_source_is_tested():
    assert {*sources.NAMES} == FORMATS.keys()


@pytest.mark.parametrize("source", FORMATS)
def test_the_time_and_the_commit_of_each_file_are_read(
    tmp_path: Path, repository: tuple[Path, list[str]], source: str
):
    root, commits = repository

    history = sources.read(source, written(tmp_path, source, commits), repository=root)

    (series,) = history.series
    assert ((), FORMATS[source][2], "seconds") == (history.problems, series.name, series.unit)
    assert commits == list(series.revisions)
    assert all(0.009 < time_s < 0.011 for time_s in series.values)
    assert series.direction.is_higher_better is False
    if source != "google":       # which states when it was run
        assert [START_S, START_S + 60] == list(series.dates_s[:2])
    assert ("machine" in series.facts) == (not any("state their machine" in note for note in history.notes))


@pytest.mark.parametrize(("source", "factor", "code"), [("criterion", 1.1, 1), ("hyperfine", 0.9, 0), ("google", 1, 0)])
def test_a_step_for_the_worse_fails_the_check(
    command: Callable[..., Ended], tmp_path: Path, repository: tuple[Path, list[str]], source: str, factor: float,
    code: int,
):
    root, commits = repository
    written(tmp_path / "kept", source, commits, factor)

    ended, output, _ = command("check", f"--{source}", "kept", "--repo", str(root), "--json")

    told = json.loads(output)
    assert code == ended
    assert [commits[12]] * code == [each["first_after"] for each in told["worse"]]


@pytest.mark.parametrize(("name", "text", "reason"), [
    ("{commit}.json", "[]", "it is no JSON object"), ("{commit}.json", "{", "it is not valid JSON"),
    ("{commit}.json", '{"results": [{"command": "x"}]}', "it has no 'median'"), ("{commit}.json", "{}", "no 'results'"),
    ("{commit}.json", '{"results": [{"command": "x", "median": "1"}]}', "'1' stands where a number is expected"),
    ("{commit}.json", '{"results": [{"command": "x", "median": 0}]}', "x took 0.0 s"),
    ("20261130.json", None, "nor that of a folder around it, states its commit"),
    ("0123456abc.json", None, "is not in a git repository around"),
])
def test_a_bad_file_is_told_and_left_out(
    tmp_path: Path, repository: tuple[Path, list[str]], name: str, text: str | None, reason: str
):
    root, commits = repository
    bad = tmp_path / name.format(commit=commits[0])
    bad.write_text(json.dumps(hyperfine(0.01, "")) if text is None else text)
    written(tmp_path, "hyperfine", commits[1:3])

    history = sources.read("hyperfine", tmp_path, repository=root)

    (problem,) = history.problems
    assert reason in problem
    assert os.fspath(bad) in problem
    assert [commits[1:3]] == [list(series.revisions) for series in history.series]


def test_a_benchmark_that_failed_is_a_failure_and_no_number(tmp_path: Path, repository: tuple[Path, list[str]]):
    root, commits = repository
    written(tmp_path, "hyperfine", commits[:2])
    failed = hyperfine(0.01, "")
    failed["results"][0]["exit_codes"] = [0, 3]
    (tmp_path / f"{commits[2]}.json").write_text(json.dumps(failed))

    (series,) = sources.read("hyperfine", tmp_path, repository=root).series

    assert series.failure is not None
    assert (2, commits[2]) == (len(series.values), series.failure.since)
    assert "exit code" in series.failure.reason


@pytest.mark.parametrize(("arguments", "sentence"), [
    (("--google", "gone"), "there is no folder gone; --google takes a folder of files of many commits"),
    (("--google", "."), "no file below . has a name like *.json"),
    (("--google", ".", "--asv", "."), "--asv and --google read different folders"),
    (("--repo", "."), "--repo is about files of other programs"),
])
def test_a_mistake_is_answered_in_a_sentence(
    command: Callable[..., Ended], arguments: tuple[str, ...], sentence: str
):
    code, _, errors = command("history", *arguments)

    assert 2 == code
    assert sentence in " ".join(errors.split())


def test_two_commits_that_a_name_could_mean_are_told(tmp_path: Path, repository: tuple[Path, list[str]]):
    root, commits = repository
    path = tmp_path / commits[0] / f"{commits[1]}.json"
    path.parent.mkdir()
    path.write_text(json.dumps(hyperfine(0.01, "")))

    (problem,) = sources.read("hyperfine", tmp_path, repository=root).problems

    assert "several commits" in problem


def test_a_folder_without_files_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="as a result of criterion has"):
        sources.read("criterion", tmp_path)
