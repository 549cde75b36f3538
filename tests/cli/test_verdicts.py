"""compare, history and check as people and scripts meet them: exit codes, sentences, files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from rigmark.bench.analysis.comparison.verdicts import Verdicts
from rigmark.bench.builds import revisions
from rigmark.bench.cli import main
from rigmark.bench.cli.history import watched
from rigmark.bench.enums import Outcome, TrialKind
from rigmark.bench.reporting.gather import report
from rigmark.bench.store.record import Record
from rigmark.bench.store.store import Store
from rigmark.reports.junit import junit_of_series
from tests.history.test_asv_results import BENCHMARKS, folder, version_2
from tests.records import CASE, MACHINE, make_record, pair, timing_records

NIGHTLY = replace(CASE, build="nightly")
Ended = tuple[int, str, str]


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["rigmark", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            sys.exit(main())
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    return run


def store(records: Iterable[Record], name: str = "results") -> None:
    kept = Store(Path(name)).create()
    for record in records:
        kept.put(record)


def times(slowdown: float = 1.0, seed: int = 0, spread: float = 0.002, count: int = 12) -> list[float]:
    return list(0.01 * slowdown * np.exp(np.random.default_rng(seed).normal(0, spread, count)))


# compare ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("slowdown", "code"), [(1.0, 0), (0.9, 0), (1.1, 1)])
def test_builds_are_compared_by_their_names(command: Callable[..., Ended], slowdown: float, code: int):
    store([*timing_records(times()), *timing_records(times(slowdown, seed=1), case=NIGHTLY)])

    ended, output, _ = command("compare", "default", "nightly", "--json")

    assert ended == code
    (case,) = json.loads(output)["cases"]
    assert case["speed_up"]["low"] < 1 / slowdown < case["speed_up"]["high"]
    assert case["model"] == "mlp"


def test_a_comparison_that_is_too_noisy_ends_with_4(command: Callable[..., Ended]):
    store([*timing_records(times(spread=0.2)), *timing_records(times(seed=1, spread=0.2), case=NIGHTLY)])

    ended, output, _ = command("compare", "default", "nightly")

    assert ended == 4
    assert "too noisy" in output


def test_a_failed_side_ends_with_2_although_another_case_is_slower(command: Callable[..., Ended]):
    other = replace(CASE, local_batch=64)
    store([
        *timing_records(times()), *timing_records(times(1.1), case=NIGHTLY), *timing_records(times(), case=other),
        make_record(outcome=Outcome.CRASHED, case=replace(other, build="nightly")),
    ])

    assert command("compare", "default", "nightly")[0] == 2


def test_folders_and_runs_are_sides_too(command: Callable[..., Ended]):
    store([*timing_records(times(), run_id="aaaa11"), *timing_records(times(), run_id="aabb22", session="2")])
    store(timing_records(times(), machine=replace(MACHINE, cpu="Xeon")), "elsewhere")

    runs = command("compare", "results@aaaa", "@aabb")
    folders = command("compare", "results@aaaa", "elsewhere", "--across", "machine")

    assert (runs[0], folders[0]) == (4, 4)
    assert "unreplicated" in runs[1]
    assert "unreplicated" in folders[1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("default", "nightli"), "no results folder, build, framework, session, run or record 'nightli' in results"),
        (("default", "nowhere/results@x"), "no results in nowhere/results"),
        (("default", "nightly", "--across", "machin"), "no fact 'machin'; did you mean 'machine'?"),
        (("default", "nightly", "--junit", "missing/x.xml"), "cannot write missing/x.xml"),
        (("run1", "run1"), ""),
    ],
)
def test_sides_that_cannot_be_are_answered_in_a_sentence(
    command: Callable[..., Ended], arguments: tuple[str, ...], sentence: str
):
    store([*timing_records(times()), *timing_records(times(), case=NIGHTLY)])

    code, _, errors = command("compare", *arguments)

    assert code == 2
    assert sentence in errors
    assert errors.count("\n") <= 1


def test_the_verdicts_for_a_pull_request_and_for_continuous_integration(command: Callable[..., Ended]):
    store([*timing_records(times()), *timing_records(times(1.1), case=NIGHTLY)])

    code, _, _ = command(
        "compare", "default", "nightly", "--format", "markdown", "-o", "comment.md", "--junit", "verdicts.xml"
    )

    assert code == 1
    assert "| slower |" in Path("comment.md").read_text()
    assert 'failures="1"' in Path("verdicts.xml").read_text()


def test_pairs_of_git_revisions_are_found_by_what_git_calls_them(command: Callable[..., Ended], tmp_path: Path):
    def git(*arguments: str) -> str:
        line = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        return subprocess.run(line, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "old")
    git("commit", "-q", "--allow-empty", "-m", "new")
    names = [revision.name for name in ("HEAD~1", "HEAD") if (revision := revisions.find(name, tmp_path))]
    records = [
        make_record(TrialKind.PAIR, case=replace(CASE, build=names[1]), repetition=n, pair=pair([0.01], [time_s]))
        for n, time_s in enumerate(times(1.1))
    ]
    store(replace(r, identity=replace(r.identity, base={**(r.identity.base or {}), "name": names[0]})) for r in records)

    code, output, _ = command("compare", "HEAD~1", "HEAD", "--json")

    assert code == 1
    assert json.loads(output)["cases"][0]["method"] == "turns"
    assert command("compare", "HEAD~1", "HEAD", "--clock", "cpu")[0] == 1
    assert command("compare", "HEAD", "HEAD~1")[0] == 2      # the other way round was not measured
    (contests,) = (each for each in report(Store(Path("results"))).document.sections if each.id == "contests")
    assert [f"{names[0]} against {names[1]}"] == [each.title for each in contests.sections]
    assert "1 slower" in str(contests.sections[0].blocks[0])


# history and check --------------------------------------------------------------------------------------------------


def asv_folder(root: Path, *, factor: float, count: int = 60) -> Path:
    """Images per second, which change by ``factor`` half way."""
    rng = np.random.default_rng(0)
    levels = 100 * np.where(np.arange(count) < count // 2, 1.0, factor) * np.exp(rng.normal(0, 0.01, count))
    return folder(root, *(
        version_2(n, {"bench.track_images": [[float(level)], [], "1"]}) for n, level in enumerate(levels)
    ), benchmarks=BENCHMARKS)


@pytest.mark.parametrize(("factor", "code"), [(0.9, 1), (1.1, 0), (1.0, 0)])
def test_less_throughput_fails_the_check_and_more_does_not(
    command: Callable[..., Ended], tmp_path: Path, factor: float, code: int
):
    asv_folder(tmp_path / "asv", factor=factor)

    ended, output, _ = command("check", "--asv", "asv", "--fail-on", "slower", "--json")

    assert ended == code
    assert len(json.loads(output)["worse"]) == code


RATES = {
    "suite.track_fps": "unit", "suite.track_images_per_second": "unit", "suite.track_gflops": "GFLOPS",
    "suite.track_bandwidth": "GB per second", "suite.track_decode": "tokens per second", "suite.track_speed": "img/s",
    "suite.track_gpointss": "gpointss",
}


def rates(root: Path, names: Iterable[str] = tuple(RATES)) -> Path:
    """Rates that halve in the middle of 30 commits."""
    rng = np.random.default_rng(7)
    return folder(root, *(
        version_2(n, {name: [[(100 if n < 16 else 50) * rng.normal(1, 0.003)], [], "1"] for name in names})
        for n in range(1, 31)
    ), benchmarks={name: {"type": "track", "unit": RATES[name], "version": "1"} for name in names})


def test_no_rate_that_halves_is_better_whatever_its_words(command: Callable[..., Ended], tmp_path: Path):
    rates(tmp_path / "asv")

    code, output, _ = command("check", "--asv", "asv", "--json")
    content = json.loads(output)

    assert code == 1
    assert {each["name"] for each in content["worse"]} == RATES.keys() - {"suite.track_gpointss"}
    assert {each["direction_from"] for each in content["worse"]} == {"unit", "name"}
    (unknown,) = content["direction_not_known"]
    assert (unknown["name"], unknown["is_higher_better"], unknown["verdict"]) == ("suite.track_gpointss", None, None)
    _, page, _ = command("check", "--asv", "asv", "--format", "html")
    assert "more (name)" in page
    assert "not known (nothing tells)" in page


def test_a_check_as_junit_says_which_series_got_worse_and_which_way_each_is_better(
    command: Callable[..., Ended], tmp_path: Path
):
    rates(tmp_path / "asv", ["suite.track_fps", "suite.track_gpointss"])

    code, _, _ = command("check", "--asv", "asv", "--junit", "series.xml")
    suite = ElementTree.fromstring((tmp_path / "series.xml").read_text(encoding="utf-8"))
    worse, unknown = suite.iter("testcase")

    assert (code, suite.get("tests"), suite.get("failures"), suite.get("skipped")) == (1, "2", "1", "1")
    assert ("suite.track_fps", "suite.track_gpointss") == (worse.get("name"), unknown.get("name"))
    assert "−50 % between" in worse[0].get("message", "")
    assert worse[0].get("message", "").endswith("better is more (name)")
    assert "better is not known (nothing tells)" == unknown.findtext("system-out")
    assert ["failure", "skipped"] == [worse[0].tag, unknown[0].tag]


def test_what_was_measured_again_is_decided_by_its_pairs_in_junit_too(tmp_path: Path):
    rates(tmp_path / "asv", ["suite.track_fps", "suite.track_speed"])
    result = watched(tmp_path, tmp_path / "asv", None, None, None, None).series

    suite = ElementTree.fromstring(junit_of_series(
        result, name="asv", last=200, verdicts=[Verdicts(base="a", new="b", cases=())], others=["suite.track_speed"],
    ))

    assert {"suite.track_fps": "skipped", "suite.track_speed": "failure"} == {
        case.get("name"): case[0].tag for case in suite.iter("testcase")
    }


def test_a_series_that_fails_now_is_an_error_and_one_as_before_passes_in_junit(
    command: Callable[..., Ended], tmp_path: Path
):
    rng = np.random.default_rng(0)
    folder(tmp_path / "asv", *(version_2(n, {
        "s.time_broken": [[None if n > 20 else 1.0], [], "1"], "s.time_fine": [[rng.normal(1, 0.01)], [], "1"],
    }) for n in range(60)), benchmarks={name: {"type": "time", "version": "1"} for name in (
        "s.time_broken", "s.time_fine",
    )})

    command("check", "--asv", "asv", "--junit", "series.xml")
    suite = ElementTree.fromstring((tmp_path / "series.xml").read_text(encoding="utf-8"))
    ended = {case.get("name"): [each.tag for each in case] for case in suite.iter("testcase")}

    assert {"s.time_broken": ["error", "system-out"], "s.time_fine": ["system-out"]} == ended


@pytest.mark.parametrize(
    ("arguments", "expected"), [((), 3), (("--higher-is-better", "points"), 1), (("--lower-is-better", "points"), 0)]
)
def test_no_gate_rests_on_a_direction_that_nobody_told(
    command: Callable[..., Ended], tmp_path: Path, arguments: tuple[str, ...], expected: int
):
    rates(tmp_path / "asv", ["suite.track_gpointss"])

    assert command("check", "--asv", "asv", *arguments)[0] == expected
    assert command("history", "--asv", "asv", *arguments)[0] == 0


def test_what_is_no_longer_measured_does_not_fail_the_check(command: Callable[..., Ended], tmp_path: Path):
    """A benchmark that was deleted while it failed, a Python that was retired after a step, and what is left."""
    def times(python: str, first: int, levels: Iterable[float]) -> list[dict[str, Any]]:
        rng = np.random.default_rng(first)
        return [
            version_2(first + n, {"s.time_live": [[level * rng.normal(1, 0.003)], [], "1"], **(
                {"s.time_deleted": [[2.0 if n < 25 else None], [], "1"]} if python == "3.8" else {}
            )}, python=python) for n, level in enumerate(levels)
        ]

    folder(
        tmp_path / "asv", *times("3.8", 1, [1.0] * 15 + [1.3] * 15), *times("3.13", 48_000, [0.9] * 30),
        benchmarks={"s.time_live": {"type": "time", "unit": "seconds", "version": "1"}},
    )

    code, output, _ = command("check", "--asv", "asv")

    assert code == 0
    text = " ".join(output.split())
    assert "3 series: 1 as before in the last 200 points, 2 no longer measured." in text
    assert "s.time_live, python 3.8: last measured on 1970-01-02, others until 1975-06-25" in text
    assert "s.time_deleted: the benchmark was deleted; last measured on 1970-01-02" in text


def test_a_benchmark_that_is_tried_and_fails_fails_the_check_until_it_is_left_out(
    command: Callable[..., Ended], tmp_path: Path
):
    benchmarks = {name: {"type": "time", "version": "1"} for name in ("s.time_broken", "s.time_fine")}
    rng = np.random.default_rng(0)
    folder(tmp_path / "asv", *(version_2(n, {
        "s.time_broken": [[None if n > 20 else 1.0], [], "1"], "s.time_fine": [[rng.normal(1, 0.01)], [], "1"],
    }) for n in range(300)), benchmarks=benchmarks)

    assert command("check", "--asv", "asv")[0] == 2
    assert command("check", "--asv", "asv", "--bench", r"^(?!s\.time_broken)")[0] == 0


@pytest.mark.parametrize("verb", ["history", "check"])
def test_an_interruption_ends_with_130(command: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, verb: str):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rigmark.bench.history.asv_results.read", interrupted)

    assert command(verb, "--asv", "asv")[0] == 130


def test_a_check_that_never_fails_still_tells(command: Callable[..., Ended], tmp_path: Path):
    asv_folder(tmp_path / "asv", factor=0.9)

    code, output, _ = command("check", "--asv", "asv", "--fail-on", "never")

    assert code == 0
    assert "bench.track_images" in output
    assert "−" in output
    assert "--base 000000000000 --new 000000000000" in " ".join(output.split())


def test_a_truncated_file_ends_with_2_beside_what_could_be_read(command: Callable[..., Ended], tmp_path: Path):
    root = asv_folder(tmp_path / "asv", factor=1.0)
    (root / "box" / "cut.json").write_text('{"commit_hash": "ab')

    code, output, _ = command("check", "--asv", "asv")

    assert code == 2
    assert "damaged" in output


@pytest.mark.parametrize(("arguments", "expected"), [((), 2), (("--fail-on", "never"), 0)])
def test_what_crashes_now_does_not_pass_as_it_was_before(
    command: Callable[..., Ended], arguments: tuple[str, ...], expected: int
):
    store([
        make_record(
            outcome=Outcome.OK if day < 15 else Outcome.CRASHED, session=f"s{day:02}",
            recorded_at=f"2026-01-{day + 1:02}T00:00:00+00:00",
        ) for day in range(20)
    ])

    code, output, _ = command("check", *arguments)

    assert code == expected
    assert "1 series: 1 failed last." in output
    assert "failed since s15 (run1), crashed: it was crashed" in " ".join(output.split())


def test_a_check_of_too_few_points_ends_with_3(command: Callable[..., Ended], tmp_path: Path):
    asv_folder(tmp_path / "asv", factor=1.0, count=4)

    code, output, _ = command("check", "--asv", "asv")

    assert code == 3
    assert "1 series: 1 not judged with 4 points, since 12 are the fewest that show a change." in output
    assert command("history", "--asv", "asv")[0] == 3


@pytest.mark.parametrize("verb", ["history", "check"])
def test_histories_that_cannot_be_are_answered_in_a_sentence(
    command: Callable[..., Ended], tmp_path: Path, verb: str
):
    asv_folder(tmp_path / "asv", factor=1.0, count=4)
    for arguments, sentence in (
        (("--asv", "nowhere"), "no asv results in nowhere"),
        (("--asv", "asv", "--bench", "xyz"), "no series of asv matches --bench 'xyz'"),
        (("--asv", "asv", "--bench", "("), "is not a regular expression"),
        (("--results", "nowhere"), "no results in nowhere"),
    ):
        code, _, errors = command(verb, *arguments)

        assert (code, errors.count("\n")) == (2, 1)
        assert sentence in errors


@pytest.mark.parametrize("last", ["0", "-5"])
def test_a_check_of_the_last_0_points_is_refused(command: Callable[..., Ended], tmp_path: Path, last: str):
    asv_folder(tmp_path / "asv", factor=0.9)

    code, _, errors = command("check", "--asv", "asv", "--last", last)

    assert code == 2
    assert "--last" in errors


def test_history_of_the_store_as_a_page(command: Callable[..., Ended]):
    store([
        record for day in range(30) for record in timing_records(
            [0.01 * (1.2 if day >= 15 else 1.0) * (1 + 0.001 * (day % 3))], session=f"s{day:02}", run_id=f"r{day:02}",
            recorded_at=f"2026-01-{day + 1:02}T00:00:00+00:00",
        )
    ])

    code, _, errors = command("history", "-o", "history.html")
    checked, output, _ = command("check", "--json")

    assert code == 0
    assert "<svg" in Path("history.html").read_text()
    assert checked == 1
    (worse,) = json.loads(output)["worse"]
    assert worse["last_before"] == "s14 (r14)"
    assert worse["first_after"] == "s15 (r15)"
    assert errors == ""


def test_history_as_json_has_the_fields_that_are_documented(command: Callable[..., Ended], tmp_path: Path):
    asv_folder(tmp_path / "asv", factor=0.9)
    content: dict[str, Any] = json.loads(command("history", "--asv", "asv", "--json")[1])

    (series,) = content["series"]
    assert {
        "name", "case", "unit", "is_higher_better", "facts", "points", "level", "steps", "reason", "invalid_trials",
        "failed_since", "direction_from", "retired",
    } == series.keys()
    assert series["steps"][0]["verdict"] == "slower"
