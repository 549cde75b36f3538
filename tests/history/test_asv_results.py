"""Histories of other projects, as asv wrote them: two versions of its files, whole and damaged."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rigmark.bench.errors import UnknownName, UserError
from rigmark.bench.history.asv_results import History, read
from rigmark.bench.history.series import Direction, Ended, Grounds

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

    assert [series.direction.is_higher_better for series in history.series] == [True, False]
    assert [series.ended for series in history.series] == [None, None]       # it is not known what was deleted
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
        ({"type": "time", "unit": "images/s"}, "b.time_throughput", False),      # asv's own timing, whatever its words
        ({"type": "track", "unit": "unit"}, "b.track_score", None),
        ({"type": "track"}, "b.time_it", False), ({}, "b.time_throughput", False), ({}, "b.PeakMemThroughput", False),
    ],
)
def test_the_direction_of_a_figure(tmp_path: Path, described: dict[str, Any], name: str, expected: bool | None):
    history = read(folder(tmp_path, version_2(1, {name: [[5.0], []]}), benchmarks={name: described}))

    assert history.series[0].direction.is_higher_better is expected


def test_the_user_has_the_last_word_on_the_direction(tmp_path: Path):
    name = "b.track_step_time"
    root = folder(tmp_path, version_2(1, {name: [[5.0], []]}), benchmarks={name: {"type": "time", "unit": "seconds"}})

    assert read(root, higher_is_better="step").series[0].direction == Direction(
        is_higher_better=True, grounds=Grounds.OPTION
    )
    assert read(root, lower_is_better="step").series[0].direction.grounds is Grounds.OPTION
    with pytest.raises(UserError, match="not a regular expression"):
        read(root, higher_is_better="(")
    with pytest.raises(UserError, match=r"no series of .* matches 'score' of"):
        read(root, lower_is_better="score")
    with pytest.raises(UserError, match=r"b\.track_step_time matches both --higher-is-better 'step' and"):
        read(root, higher_is_better="step", lower_is_better="b")


def test_what_a_parameter_names_has_its_own_direction(tmp_path: Path):
    """Projects measure once and file each metric under a parameter."""
    benchmarks = {"b.track_metric": {"type": "track", "param_names": ["metric"], "params": [["'jit'", "'hits'"]]}}
    root = folder(
        tmp_path, version_2(1, {"b.track_metric": [[1.0, 2.0], [["'jit'", "'hits'"]]]}), benchmarks=benchmarks
    )

    series = read(root, lower_is_better="metric='jit'", higher_is_better="hits").series

    assert [each.direction.is_higher_better for each in series] == [False, True]


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


def test_another_version_of_a_benchmark_is_left_out_as_asv_does_and_counted(tmp_path: Path):
    history = read(folder(
        tmp_path, version_2(1, images(99.0, version="0")), version_2(2, images(98.0, version="0")),
        version_2(3, images(5.0)),
    ))

    assert values(history) == {"bench.track_images": [5.0]}
    assert history.notes[0] == (
        "2 results of 1 benchmark are left out, as asv does, because benchmarks.json has another version of them: "
        "bench.track_images"
    )


def test_a_benchmark_that_benchmarks_json_no_longer_has_is_retired(tmp_path: Path):
    benchmarks = {"b.time_it": {"type": "time", "params": [["1", "2"], ["x"]]}, "b.time_other": {"type": "time"}}
    rows = {
        "b.time_it": [[1.0, 2.0, 3.0], [["1", "2", "3"], ["x"]]], "b.time_other": [[1.0], [["1"]]],
        "b.time_deleted": [[1.0], []],
    }

    history = read(folder(tmp_path, version_2(1, rows), benchmarks=benchmarks))

    assert {each.label: each.ended for each in history.series} == {
        "b.time_it(1, x)": None, "b.time_it(2, x)": None, "b.time_it(3, x)": Ended.PARAMETERS,
        "b.time_other(1)": Ended.PARAMETERS, "b.time_deleted": Ended.BENCHMARK,
    }


def test_outcomes_are_points_and_failures_and_not_what_was_skipped(tmp_path: Path):
    (series,) = read(folder(tmp_path, *(
        version_2(n, images(value)) for n, value in enumerate([5.0, None, float("nan"), None, float("nan")])
    ))).series

    assert series.outcomes == [(commit(n), 3600.0 * n) for n in (0, 1, 3)]


def test_failed_and_skipped_values_are_none(tmp_path: Path):
    rows = [images(None), images(float("nan")), images(5.0), {"bench.track_images": []}]

    history = read(folder(tmp_path, *(version_2(n, row) for n, row in enumerate(rows))))

    assert values(history) == {"bench.track_images": [5.0]}


@pytest.mark.parametrize(
    ("newest", "since"), [(None, commit(2)), (float("nan"), None), (5.0, None)], ids=["null", "NaN", "a value"]
)
def test_what_failed_last_is_reported_and_what_was_skipped_is_not(tmp_path: Path, newest: Any, since: str | None):
    rows = [5.0, None, None, newest] if newest is None else [5.0, None, newest]

    (series,) = read(folder(tmp_path, *(version_2(n, images(value)) for n, value in enumerate(rows, start=1)))).series

    assert (series.failure and series.failure.since) == since


def test_a_benchmark_that_fails_as_a_whole_fails_in_every_case(tmp_path: Path):
    benchmarks = {"bench.time_step": {**BENCHMARKS["bench.time_step"], "params": [["1", "2"]]}}
    rows = [{"bench.time_step": [[0.1, 0.2], [["1", "2"]], "v"]}, {"bench.time_step": []}]

    series = read(folder(tmp_path, *(version_2(n, row) for n, row in enumerate(rows)), benchmarks=benchmarks)).series

    assert [each.failure and each.failure.since for each in series] == [commit(1), commit(1)]


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
    assert "ordered by date" in by_date.notes[0]
    assert root.is_dir()


def test_a_folder_without_results_is_reported(tmp_path: Path):
    with pytest.raises(UserError, match="no asv results in"):
        read(tmp_path)


@pytest.mark.parametrize("named", ["asv.conf.json", "asv.conf.jsonc"])
@pytest.mark.parametrize("where", ["the folder", "the file"])
def test_the_configuration_may_have_comments_and_either_name(tmp_path: Path, named: str, where: str):
    folder(tmp_path / "perf" / "all", version_2(1, images(5.0)))
    (tmp_path / named).write_text(
        '''// "results_dir": "elsewhere",
        { /* "results_dir": "elsewhere", */ "version": 1, 'project': "mine", "results_dir": "perf/all", }'''
    )

    assert len(read(tmp_path if where == "the folder" else tmp_path / named).series) == 1


@pytest.mark.parametrize("place", ["results", ".asv/results"])
def test_without_a_configuration_results_are_where_asv_keeps_them(tmp_path: Path, place: str):
    folder(tmp_path / place, version_2(1, images(5.0)))

    assert len(read(tmp_path).series) == 1


def test_two_configurations_are_refused_as_asv_does(tmp_path: Path):
    for name in ("asv.conf.json", "asv.conf.jsonc"):
        (tmp_path / name).write_text('{"results_dir": "results"}')
    folder(tmp_path / "results", version_2(1, images(5.0)))

    with pytest.raises(UserError, match="name the one to use"):
        read(tmp_path)
    assert len(read(tmp_path / "asv.conf.jsonc").series) == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"{", "as asv's configuration"), (b"[]", "as asv's configuration"), (b'{"results_dir": 3}', "configuration"),
        (b"[" * 50_000, "nested too deeply"), (b'{"results_dir": "\xff"}', "not text in UTF-8"),
        (b'{"results_dir": "a\\u0000b"}', "no asv results in"), (b" " * 300_000, "MiB"),
        (b'{"version": ' + b"9" * 5000 + b"}", "as asv's configuration"),
    ],
)
def test_a_configuration_that_is_none_is_reported_in_a_sentence(tmp_path: Path, content: bytes, sentence: str):
    (tmp_path / "asv.conf.json").write_bytes(content)

    with pytest.raises(UserError) as told:
        read(tmp_path)

    assert sentence in str(told.value)
    assert "\n" not in str(told.value)


HUGE = [[str(n) for n in range(10_000)]] * 4      # 10^16 combinations


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (json.dumps(version_2(9, {"bench.time_step": [None, HUGE, "v"]})), "1e+16 combinations"),
        (json.dumps(version_2(9, {"bench.time_step": [[1.0], HUGE, "v"]})), "1e+16 combinations"),
        (json.dumps(version_2(9, {"bench.time_step": [[1.0], [["1", "2"]], "v"]})), "1 values for 2 combinations"),
        (json.dumps(version_2(9, images(1.0, 2.0))), "2 values for 1 combinations"),
        ("[" * 100_000, "nested too deeply"), ('{"version": ' + "9" * 5000 + "}", "digits"),
        (json.dumps(version_2(9, images(7.0))).replace("7.0", "9" * 400), "digits"),
        (json.dumps(version_2(9, images(7.0), date=float("inf"))), "its date is inf"),
        (json.dumps(version_2(9, images(7.0), date=float("nan"))), "its date is nan"),
        (json.dumps(version_2(9, images(7.0), params=3)), "int"),
    ],
    ids=lambda value: value if len(value) < 40 else "",
)
def test_a_file_that_would_hang_or_break_is_a_problem_beside_the_others(tmp_path: Path, content: str, sentence: str):
    root = folder(tmp_path, version_2(1, images(5.0)))
    (root / "box" / "odd.json").write_text(content)

    history = read(root)

    (problem,) = history.problems
    assert sentence in problem
    assert values(history) == {"bench.track_images": [5.0]}


def test_what_is_no_regular_file_is_a_problem_and_is_not_waited_for(tmp_path: Path):
    root = folder(tmp_path, version_2(1, images(5.0)))
    os.mkfifo(root / "box" / "pipe.json")
    (root / "box" / "zeros.json").symlink_to("/dev/zero")
    (root / "box" / "folder.json").mkdir()
    (root / "box" / "latin.json").write_bytes('{"commit_hash": "Übung"}'.encode("latin-1"))

    history = read(root)

    assert values(history) == {"bench.track_images": [5.0]}
    for problem, sentence in zip(
        history.problems, ("it is a folder", "not text in UTF-8", "a named pipe", "a device"), strict=True
    ):
        assert sentence in problem


@pytest.mark.parametrize("content", ["[" * 100_000, '{"b": {"params": 3}}', "3", '{"b": {"params": [3]}}'])
def test_benchmarks_that_cannot_be_read_are_a_problem(tmp_path: Path, content: str):
    root = folder(tmp_path, version_2(1, images(5.0)))
    (root / "benchmarks.json").write_text(content)

    history = read(root)

    (problem,) = history.problems
    assert "benchmarks.json cannot be read" in problem
    assert len(history.series) == 1


def test_nothing_else_is_taken_for_a_number(tmp_path: Path):
    history = read(folder(tmp_path, version_2(1, {**images(True), "bench.time_step": [["fast"], [["1"]], "v"]})))

    assert np.sum([len(series.values) for series in history.series]) == 0
