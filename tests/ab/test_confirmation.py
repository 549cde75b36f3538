"""What history nominates is measured again between the right revisions, and what pairs say of it is the answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rigmark import suites
from rigmark.bench.ab import confirmation
from rigmark.bench.ab import contest as ab
from rigmark.bench.analysis.comparison.verdicts import CaseVerdict, Method, Verdicts
from rigmark.bench.analysis.history import watch
from rigmark.bench.analysis.statistics.decision import Decision, Verdict
from rigmark.bench.analysis.statistics.estimate import Estimate
from rigmark.bench.asv import benchmark
from rigmark.bench.errors import UserError
from rigmark.bench.history.series import LESS_BY_KIND, Series
from rigmark.bench.store.store import Store
from tests.cli.test_verdicts import Ended, asv_folder, command
from tests.history.test_asv_results import commit
from tests.records import timing_records

__all__ = ["command"]            # a fixture
SWEEPS = suites.sweeps("fast")
STEP, COUNT = 30, 60


def series(name: str, case: str = "", revisions: Sequence[str] = tuple(map(commit, range(COUNT)))) -> Series:
    """Times that are longer by a tenth from the commit of STEP on."""
    noise = np.exp(np.random.default_rng(0).normal(0, 0.01, COUNT))
    return Series(
        name=name, case=case, unit="seconds", direction=LESS_BY_KIND, facts={"machine": "box"},
        values=np.where(np.arange(COUNT) < STEP, 1.0, 1.1) * noise, revisions=list(revisions),
        dates_s=np.arange(COUNT, dtype=float), environments=(),
    )


def nominated(*of: Series, **more: Any) -> confirmation.Nominated:
    worse = [(watched, step) for watched in watch(of) for step in watched.worse(COUNT)]
    assert len(of) == len(worse)
    return confirmation.nominated(worse, "fast", SWEEPS, suites=suites.NAMES, builds=["default"], **more)


def of_suite(number: int) -> Series:
    return series("fast.track_step_time", f"case={[*benchmark.named_cases(SWEEPS)][number]!r}")


def test_sides_are_surely_before_and_surely_after_the_step():
    (pair,) = nominated(series("bench.time_step")).pairs

    assert int(pair.base, 16) < STEP <= int(pair.new, 16)
    assert ({"bench.time_step"}, None) == (set(pair.series), pair.cases)


def test_series_of_the_suite_are_about_their_own_cases_and_share_a_run():
    nominated_pairs = nominated(of_suite(0), of_suite(1))
    named = [confirmation.nameless(case) for _, case in benchmark.named_cases(SWEEPS).values()]

    assert () == nominated_pairs.others
    assert [frozenset(named[:2])] == [pair.cases for pair in nominated_pairs.pairs]


def test_what_another_suite_measures_is_not_measured_again():
    pairs = nominated(series("quick.track_step_time", "case='mlp training'"), series("step_time", "no such case"))

    assert ((), 2) == (pairs.pairs, len(pairs.others))


def test_sessions_are_no_revisions():
    sessions = [f"s{number} (run{number})" for number in range(COUNT)]

    with pytest.raises(UserError, match=r"between the sessions s.*; name two builds or git revisions with --base"):
        nominated(series("bench.time_step", revisions=sessions))
    (pair,) = nominated(series("bench.time_step", revisions=sessions), sides=("old", "new")).pairs
    assert ("old", "new") == (pair.base, pair.new)


# rigmark check --confirm --------------------------------------------------------------------------------------------


def answering(verdict: Verdict, seen: list[tuple[str, str]]) -> Callable[..., Verdicts]:
    """Contests that end in this verdict at once."""
    def decided(base: str, new: str, *_: Any, **settings: Any) -> Verdicts:
        seen.append((base, new))
        decision = Decision(
            verdict=verdict, speed_up=Estimate(value=0.9, low=0.89, high=0.91, count=12), p_value=1e-4, pairs=12,
            about_more_pairs=None, visible=None,
        )
        case = CaseVerdict(label="mlp", facts={}, verdict=verdict, method=Method.TURNS, decision=decision)
        return Verdicts(base=base, new=new, cases=(case,))

    return decided


@pytest.mark.parametrize(
    ("verdict", "code"), [(Verdict.SLOWER, 1), (Verdict.SAME, 0), (Verdict.FASTER, 0), (Verdict.INCONCLUSIVE, 4)]
)
def test_pairs_decide_what_history_nominates(
    command: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verdict: Verdict, code: int
):
    asv_folder(tmp_path / "asv", factor=0.9)
    seen: list[tuple[str, str]] = []
    monkeypatch.setattr("rigmark.bench.cli.ab.decided", answering(verdict, seen))

    ended, output, _ = command("check", "--asv", "asv", "--confirm", "fast", "--json")
    told = command("check", "--asv", "asv", "--confirm", "fast", "--fail-on", "never")

    assert ended == code
    assert 2 == len(seen)
    assert verdict == json.loads(output)["confirmed"][0]["cases"][0]["verdict"]
    assert (0 if verdict is Verdict.SLOWER else code) == told[0]
    assert "Measured again: 0000" in told[1]


def test_what_did_not_get_worse_is_not_measured_again(command: Callable[..., Ended], tmp_path: Path):
    asv_folder(tmp_path / "asv", factor=1.1)

    code, output, _ = command("check", "--asv", "asv", "--confirm", "fast", "--json")

    assert (0, []) == (code, json.loads(output)["confirmed"])


def test_a_step_of_another_suite_still_fails_the_check(command: Callable[..., Ended]):
    kept = Store(Path("results")).create()
    for day in range(30):
        for record in timing_records(
            [0.01 * (1.2 if day >= 15 else 1.0) * (1 + 0.001 * (day % 3))], session=f"s{day:02}", run_id=f"r{day:02}",
            recorded_at=f"2026-01-{day + 1:02}T00:00:00+00:00",
        ):
            kept.put(replace(record))

    code, output, _ = command("check", "--confirm", "precision", "--base", "default", "--new", "default")

    assert code == 1
    assert "suite precision does not measure it" in " ".join(output.split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--base", "a", "--new", "b"), "--base and --new are the two sides that --confirm SUITE measures; give all "),
        (("--confirm", "fast", "--base", "a"), "--base and --new are the two sides that --confirm SUITE measures"),
        (("--confirm", "fats"), "no suite 'fats'; did you mean 'fast'?"),
        (("--confirm", "fast", "--budget", "soon"), "--budget takes a time such as 90s, 10m or 1h, not 'soon'"),
        (("--confirm", "fast"), "'000000"),
    ],
)
def test_what_cannot_be_confirmed_is_answered_in_a_sentence(
    command: Callable[..., Ended], tmp_path: Path, arguments: tuple[str, ...], sentence: str
):
    asv_folder(tmp_path / "asv", factor=0.9)

    code, _, errors = command("check", "--asv", "asv", *arguments)

    assert (code, errors.count("\n")) == (2, 1)
    assert sentence in errors


def test_a_contest_measures_the_cases_it_is_asked_for_only(tmp_path: Path):
    known: Mapping[str, Any] = {"suite": "fast", "command": "", "session": "1", "budget_s": 1.0, "deadline_s": 1.0}
    (pair,) = nominated(of_suite(0)).pairs
    here = ab.Side(name="here", build=ab.Build(name="nightly", interpreter="python"))

    contest = ab.Contest(Store(tmp_path), here, here, SWEEPS, only=pair.is_about, **known)

    assert 1 == len(contest.attempts)
