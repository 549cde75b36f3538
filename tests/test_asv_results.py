"""Histories of other projects, as asv wrote them: two versions of its files, whole and damaged."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.asv_results import History, read
from bench.words import UnknownName, UserError

HOUR_MS = 3_600_000
COLUMNS = ["result", "params", "version", "started_at", "duration", "stats_ci_99_a"]
BENCHMARKS: dict[str, Any] = {
    "bench.time_step": {"unit": "seconds", "type": "time", "version": "v", "param_names": ["n"]},
    "bench.track_images": {"unit": "images/s", "type": "track", "version": "1"},
    "version": 2,
}


def images(*values: Any, version: str = "1") -> dict[str, Any]:
    return {"bench.track_images": [list(values), [], version]}


def commit(number: int) -> str:
    return f"{number:040x}"


def version_2(number: int, results: dict[str, Any], **facts: Any) -> dict[str, Any]:
    return {
        "commit_hash": commit(number), "env_name": "py3.11", "date": number * HOUR_MS, "python": "3.11",
        "params": {"machine": "box", "cpu": "EPYC"}, "requirements": {"numpy": "2.0"}, "env_vars": {},
        "result_columns": COLUMNS, "results": results, "durations": {}, "version": 2, **facts,
    }


def version_1(number: int, results: dict[str, Any], **facts: Any) -> dict[str, Any]:
    return {
        "commit_hash": commit(number), "date": number * HOUR_MS, "python": "3.11", "version": 1,
        "params": {"machine": "box", "cpu": "EPYC"}, "requirements": {"numpy": "2.0"}, "results": results,
        "benchmark_version": {"bench.time_step": "v"}, **facts,
    }


def folder(root: Path, *results: dict[str, Any], benchmarks: dict[str, Any] | None = None) -> Path:
    (root / "box").mkdir(parents=True)
    (root / "benchmarks.json").write_text(json.dumps(benchmarks or BENCHMARKS))
    (root / "box" / "machine.json").write_text('{"machine": "box", "version": 1}')
    for index, result in enumerate(results):
        (root / "box" / f"{result['commit_hash'][-8:]}-{index}.json").write_text(json.dumps(result))
    return root


def values(history: History) -> dict[str, list[float]]:
    return {series.label: list(series.values) for series in history.series}


def test_version_2_is_read_by_its_columns(tmp_path: Path):
    results = [
        version_2(n, {"bench.time_step": [[0.1 * n, 0.2 * n], [["1", "2"]], "v"], **images(5.0)})
        for n in (1, 2)
    ]

    history = read(folder(tmp_path, *results))

    assert values(history) == {
        "bench.time_step(n=1)": [0.1, 0.2], "bench.time_step(n=2)": [0.2, 0.4], "bench.track_images": [5.0, 5.0],
    }
    assert history.problems == ()
    assert history.series[0].unit == "seconds"
    assert list(history.series[0].dates_s) == [3600.0, 7200.0]


def test_version_1_is_read_in_all_its_shapes(tmp_path: Path):
    history = read(folder(
        tmp_path, version_1(1, {"bench.track_images": 7.0}),
        version_1(2, {"bench.track_images": {"result": [8.0], "params": []}}),
        version_1(3, {"bench.time_step": {"result": [0.1, None], "params": [["1", "2"]], "stats": [None, None]}}),
    ))

    assert values(history) == {
        "bench.track_images": [7.0, 8.0], "bench.time_step(n=1)": [0.1], "bench.time_step(n=2)": [],
    }
    assert history.problems == ()


def test_both_versions_make_one_series(tmp_path: Path):
    history = read(folder(
        tmp_path, version_1(1, {"bench.track_images": 7.0}, benchmark_version={"bench.track_images": "1"}),
        version_2(2, images(8.0)),
    ))

    assert values(history) == {"bench.track_images": [7.0, 8.0]}


def test_a_truncated_file_is_a_problem_and_not_an_end(tmp_path: Path):
    root = folder(tmp_path, *(version_2(n, images(5.0)) for n in (1, 2, 3)))
    whole = next(iter(sorted((root / "box").glob("*-1.json"))))
    whole.write_text(whole.read_text()[:-40])

    history = read(root)

    assert values(history) == {"bench.track_images": [5.0, 5.0]}
    (problem,) = history.problems
    assert "is damaged and was left out" in problem


@pytest.mark.parametrize(
    "content", ["", "[]", "null", '{"version": 9}', '{"results": {}}', '{"results": 3, "version": 2}']
)
def test_files_that_are_no_results_are_problems(tmp_path: Path, content: str):
    root = folder(tmp_path, version_2(1, images(5.0)))
    (root / "box" / "odd.json").write_text(content)

    assert len(read(root).problems) == 1


def test_without_benchmarks_directions_are_from_names(tmp_path: Path):
    root = folder(tmp_path, version_2(1, {"b.track_throughput": [[5.0], []], "b.track_loss": [[5.0], []]}))
    (root / "benchmarks.json").write_text('{"bench.time')

    history = read(root)

    assert [series.is_higher_better for series in history.series] == [True, False]
    assert len(history.problems) == 1


@pytest.mark.parametrize(
    ("described", "name", "expected"),
    [
        ({"type": "time", "unit": "seconds"}, "b.time_step", False),
        ({"type": "track", "unit": "images/s"}, "b.track_speed", True),
        ({"type": "track", "unit": "GFLOP/s"}, "b.track_gemm", True),
        ({"type": "track", "unit": "seconds/step"}, "b.track_step", False),
        ({"type": "track", "unit": "J/image"}, "b.track_energy", False),
        ({"type": "track", "unit": "unit", "higher_is_better": True}, "b.track_score", True),
        ({"type": "track", "unit": "images/s", "higher_is_better": False}, "b.track_speed", False),
        ({"type": "peakmemory", "unit": "bytes"}, "b.peakmem_step", False),
        ({"type": "time", "unit": "seconds"}, "throughput.Suite.time_step", False),
    ],
)
def test_the_direction_of_a_figure(tmp_path: Path, described: dict[str, Any], name: str, expected: bool):
    history = read(folder(tmp_path, version_2(1, {name: [[5.0], []]}), benchmarks={name: described}))

    assert history.series[0].is_higher_better is expected


def test_the_user_has_the_last_word_on_the_direction(tmp_path: Path):
    root = folder(tmp_path, version_2(1, {"b.track_score": [[5.0], []]}), benchmarks={"b.track_score": {}})

    assert read(root, higher_is_better="score").series[0].is_higher_better
    with pytest.raises(UserError, match="no regular expression"):
        read(root, higher_is_better="(")


@pytest.mark.parametrize(
    "facts",
    [
        {"params": {"machine": "box", "cpu": "Xeon"}}, {"requirements": {"numpy": "2.1"}}, {"python": "3.12"},
        {"env_vars": {"OMP_NUM_THREADS": "1"}},
    ],
)
def test_a_series_crosses_no_machine_and_no_version(tmp_path: Path, facts: dict[str, Any]):
    row = images(5.0)

    assert len(read(folder(tmp_path, version_2(1, row), version_2(2, row, **facts))).series) == 2


def test_a_series_crosses_what_is_the_question(tmp_path: Path):
    row = images(5.0)
    root = folder(tmp_path, version_2(1, row), version_2(2, row, requirements={"numpy": "2.1"}))

    (series,) = read(root, may_differ=["numpy"]).series

    assert list(series.environments) == ["numpy 2.0", "numpy 2.1"]
    with pytest.raises(UnknownName, match="no fact 'numpi'; did you mean 'numpy'"):
        read(root, may_differ=["numpi"])


def test_another_version_of_a_benchmark_is_left_out_as_asv_does(tmp_path: Path):
    history = read(folder(
        tmp_path, version_2(1, images(99.0, version="0")), version_2(2, images(5.0))
    ))

    assert values(history) == {"bench.track_images": [5.0]}


def test_failed_and_skipped_values_are_none(tmp_path: Path):
    rows = [images(None), images(float("nan")), images(5.0), {"bench.track_images": []}]

    history = read(folder(tmp_path, *(version_2(n, row) for n, row in enumerate(rows))))

    assert values(history) == {"bench.track_images": [5.0]}


@pytest.mark.parametrize(
    ("newest", "since"), [(None, commit(2)), (float("nan"), None), (5.0, None)], ids=["null", "NaN", "a value"]
)
def test_what_failed_last_is_told_and_what_was_skipped_is_not(tmp_path: Path, newest: Any, since: str | None):
    rows = [5.0, None, None, newest] if newest is None else [5.0, None, newest]

    (found,) = read(folder(tmp_path, *(version_2(n, images(value)) for n, value in enumerate(rows, start=1)))).series

    assert (found.failure and found.failure.since) == since


def test_a_benchmark_that_fails_as_a_whole_fails_in_every_case(tmp_path: Path):
    benchmarks = {"bench.time_step": {**BENCHMARKS["bench.time_step"], "params": [["1", "2"]]}}
    rows = [{"bench.time_step": [[0.1, 0.2], [["1", "2"]], "v"]}, {"bench.time_step": []}]

    found = read(folder(tmp_path, *(version_2(n, row) for n, row in enumerate(rows)), benchmarks=benchmarks)).series

    assert [each.failure and each.failure.since for each in found] == [commit(1), commit(1)]


def test_points_follow_the_commits_where_git_knows_them(tmp_path: Path):
    """Dates may be stepped: here the later commit has the earlier date."""
    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=tmp_path, check=True,
            capture_output=True, text=True,
        ).stdout.strip()

    git("init", "-q")
    commits = []
    for number in (1, 2):
        git("commit", "-q", "--allow-empty", "-m", str(number))
        commits.append(git("rev-parse", "HEAD"))
    results = [
        version_2(9 - number, images(float(number))) | {"commit_hash": sha}
        for number, sha in enumerate(commits, start=1)
    ]
    root = folder(tmp_path / ".asv" / "results", *results)

    by_commit = read(tmp_path)
    by_date = read(folder(tmp_path / "elsewhere", version_2(5, images(5.0))))

    assert list(by_commit.series[0].values) == [1.0, 2.0]
    assert by_commit.notes == ()
    assert "order of their dates" in by_date.notes[0]
    assert root.is_dir()


def test_a_folder_without_results_is_told(tmp_path: Path):
    with pytest.raises(UserError, match="no asv results in"):
        read(tmp_path)


def test_nothing_else_is_taken_for_a_number(tmp_path: Path):
    history = read(folder(tmp_path, version_2(1, {**images(True), "bench.time_step": [["fast"], [["1"]], "v"]})))

    assert np.sum([len(series.values) for series in history.series]) == 0
