"""Steps of series in their direction, with where they happened, and which of them still hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rigmark import reports
from rigmark.bench.analysis.history import Watched, document, labels, series_of, summary, watch
from rigmark.bench.analysis.statistics.decision import Verdict
from rigmark.bench.document.document import Curves
from rigmark.bench.enums import Outcome
from rigmark.bench.history.series import LESS_BY_KIND, Direction, Ended, Failure, Grounds, Series
from rigmark.bench.store.record import Record
from rigmark.reports import svg
from tests.records import CASE, MACHINE, build_facts, make_record, overheated, timing_records, trials_of

OK, CRASHED = Outcome.OK, Outcome.CRASHED
DAY_S = 86_400.0
PLUS = "\\+"                 # as Markdown has it


def series(
    *levels: float, points: int = 40, seed: int = 0, spread: float = 0.01, higher: bool | None = False,
    name: str = "step", start: int = 0, **facts: Any,
) -> Series:
    """``points`` commits a day apart at each level, the first of them on day ``start``."""
    count = points * len(levels)
    values = np.repeat(levels, points) * np.exp(np.random.default_rng(seed).normal(0, spread, count))
    return Series(**{
        "name": name, "case": "", "unit": "", "facts": {"machine": "box"},
        "direction": Direction(
            is_higher_better=higher, grounds=Grounds.CONTRADICTION if higher is None else Grounds.UNIT
        ), "values": values,
        "revisions": [f"{start + n:040x}" for n in range(count)], "dates_s": DAY_S * (start + np.arange(count)),
        **facts,
    })


def only(result: Sequence[Watched]) -> Watched:
    (watched,) = result
    return watched


@pytest.mark.parametrize(
    ("after", "higher", "expected"),
    [(1.1, False, Verdict.SLOWER), (1 / 1.1, False, Verdict.FASTER), (1.1, True, Verdict.FASTER),
     (1 / 1.1, True, Verdict.SLOWER)],
)
def test_more_throughput_is_good_and_more_time_is_bad(after: float, higher: bool, expected: Verdict):
    (step,) = only(watch([series(1.0, after, higher=higher)])).steps

    assert step.verdict is expected
    assert int(step.earliest, 16) <= 40 <= int(step.latest, 16)
    assert int(step.last_before, 16) + 1 == int(step.first_after, 16)
    assert step.date.startswith("1970-02")


@pytest.mark.parametrize("after", [1.1, 1 / 1.1])
def test_where_it_is_not_known_which_way_is_better_a_change_is_reported_and_is_no_verdict(after: float):
    watched = watch([series(1.0, after, higher=None)])
    finding = only(watched)

    assert [step.verdict for step in finding.steps] == [None]
    assert (len(finding.changed(200)), finding.worse(200), finding.better(200)) == (1, (), ())
    assert not finding.is_told(200)
    assert finding.is_told(last=20)            # flat in those, whichever way is better
    assert summary(watched, 200) == "1 series: 1 changed, and it is not known which way is better"
    text = reports.render("markdown", document(watched, title="History", last=200))
    assert "| not known (unit and name contradict each other) |" in text
    assert "--lower-is-better" in text
    assert "undone later" in reports.render(
        "markdown", document(watch([series(1.0, after, 1.0, higher=None)]), title="History", last=200)
    )


def test_every_verdict_says_which_way_is_better():
    document_of = document(watch([series(1.0, 1.1, higher=True, unit="images/s")]), title="History", last=200)
    (figure,) = (block for block in document_of.sections[0].blocks if isinstance(block, Curves))

    assert "| more (unit) |" in reports.render("markdown", document_of)
    assert "more (unit)" in reports.render("terminal", document_of)
    assert figure.y_title == "images/s; better is more (unit)"


@pytest.mark.parametrize(
    ("after", "expected"),
    [(0.0019 / 0.675, "0.00281x"), (355.0, "355x"), (1 / 9, "−89 %"), (1e-4, "0.000100x"), (9.0, "+800 %"),
     (0.9, "−10 %")],
)
def test_no_change_that_is_not_total_is_a_hundred_per_cent(after: float, expected: str):
    text = reports.render("markdown", document(watch([series(1.0, after, spread=1e-9)]), title="History", last=200))

    assert f"| {expected.replace('+', PLUS)} |" in text


def test_an_axis_of_commits_names_them():
    commits = [f"{n:08x}".ljust(40, "a") for n in range(80)]
    (figure,) = (
        block for block in document(watch([series(1.0, 1.1, revisions=commits)]), title="t", last=9).sections[0].blocks
        if isinstance(block, Curves)
    )

    assert (figure.x_title, list(figure.x_names)) == ("commit", [commit[:8] for commit in commits])
    shown = [str(node.text) for node in svg.curves(figure).iter("text")]
    assert ["00000000", "commit", "00000013", "0000003b", "0000004f"] == [
        text for text in shown if text == "commit" or text in figure.x_names
    ]


def test_what_got_worse_is_drawn_although_much_else_changed_before():
    older = [series(1.0, 1.1, 1.1, name=f"older{n}", seed=n) for n in range(25)]
    watched = watch([*older, series(1.1, 1.1, 1.0, name="better"), series(1.0, 1.0, 1.1, name="worse")])

    (section,) = document(watched, title="t", last=50).sections
    figures = [block for block in section.blocks if isinstance(block, Curves)]

    assert [figure.title for figure in figures[:3]] == ["worse", "better", "older0"]
    assert len(figures) == 20


def test_an_axis_of_sessions_has_numbers():
    revisions = [f"s{n} (run{n})" for n in range(80)]
    (figure,) = (
        block for block in document(watch([series(1.0, 1.1, revisions=revisions)]), title="t", last=9)
        .sections[0].blocks if isinstance(block, Curves)
    )

    assert (figure.x_title, figure.x_names) == ("point", ())


def test_a_step_that_was_undone_is_no_news():
    finding = only(watch([series(1.0, 1.1, 1.0)]))

    assert [step.is_undone for step in finding.steps] == [True, False]
    assert finding.worse(last=200) == ()


def test_half_of_a_step_undone_is_still_worse():
    finding = only(watch([series(1.0, 1.2, 1.1)]))

    assert [step.verdict for step in finding.steps] == [Verdict.SLOWER, Verdict.FASTER]
    assert not any(step.is_undone for step in finding.steps)
    assert len(finding.worse(last=200)) == 1


def test_an_old_step_is_no_news():
    finding = only(watch([series(1.0, 1.1, points=100)]))

    assert len(finding.worse(last=200)) == 1
    assert finding.worse(last=50) == ()


def test_among_many_series_the_doubtful_ones_are_dropped():
    """Each alone has a false step once in a hundred; a thousand would have ten."""
    many = [series(1.0, points=80, seed=seed, spread=0.05) for seed in range(400)]

    assert any(watch([each])[0].steps for each in many)
    assert not any(each.steps for each in watch(many))
    assert watch([*many, series(1.0, 1.1)])[-1].steps


def test_what_cannot_be_judged_says_why():
    short, zero = watch([series(1.0, points=5, start=35), series(0.0, points=40)])

    assert (short.steps, short.reason) == ((), "5 points; 12 are the fewest that show a change")
    assert "not positive" in str(zero.reason)


def test_a_step_beside_a_change_of_the_environment_says_so():
    environments = ["torch 2.12"] * 40 + ["torch 2.13"] * 40

    (step,) = only(watch([series(1.0, 1.1, environments=environments)])).steps

    assert step.environment == "torch 2.12 to torch 2.13"


def test_a_point_is_a_session_of_the_store(tmp_path: Path):
    records = [
        record for day in range(3) for record in timing_records(
            [0.01 * (1 + day), 0.01 * (1 + day)], session=f"s{day}", run_id=f"run{day}",
            recorded_at=f"2026-01-0{day + 1}T00:00:00+00:00",
        )
    ]

    (result,) = series_of(trials_of(tmp_path, records))

    assert list(result.values) == pytest.approx([0.01, 0.02, 0.03])
    assert list(result.revisions) == ["s0 (run0)", "s1 (run1)", "s2 (run2)"]
    assert np.diff(result.dates_s) == pytest.approx([DAY_S, DAY_S])
    assert result.direction == LESS_BY_KIND


def test_an_upgrade_starts_another_series_unless_it_is_the_question(tmp_path: Path):
    records = [
        *timing_records([0.01], session="1"), *timing_records([0.02], session="2", build=build_facts(torch="2.14.0")),
    ]
    trials = trials_of(tmp_path, records)

    assert len(series_of(trials)) == 2
    (joined,) = series_of(trials, ("framework_version", "packages"))
    assert "framework_version 2.14.0" in joined.environments[1]


def test_unlike_trials_of_one_session_are_points_of_their_own(tmp_path: Path):
    records = [
        *timing_records([0.01] * 6), *timing_records(
            [0.02] * 6, build=build_facts(torch="2.14.0"), run_id="run2", recorded_at="2026-01-01T01:00:00+00:00",
        ),
    ]

    (result,) = series_of(trials_of(tmp_path, records), ("framework_version", "packages"))

    assert list(result.values) == pytest.approx([0.01, 0.02])
    assert list(result.revisions) == ["1 (run1)", "1 (run2)"]
    assert ["framework_version 2.14.0" in words for words in result.environments] == [False, True]


def sessions(*outcomes: Outcome, first: int = 0, **facts: Any) -> list[Record]:
    """A trial in each session, a day apart."""
    return [
        make_record(outcome=outcome, session=f"s{day}", recorded_at=f"2026-01-{day + 1:02}T00:00:00+00:00", **facts)
        for day, outcome in enumerate(outcomes, first)
    ]


def test_failed_trials_make_no_points_and_are_reported_where_nothing_newer_went_well(tmp_path: Path):
    (result,) = series_of(trials_of(tmp_path, sessions(OK, CRASHED, OK, CRASHED, CRASHED)))

    assert (list(result.revisions), result.dates_s.shape) == (["s0 (run1)", "s2 (run1)"], (2,))
    assert result.failure is not None
    assert (result.failure.since, result.failure.reason) == ("s3 (run1)", "crashed: it was crashed")


@pytest.mark.parametrize("outcomes", [(CRASHED, OK), (OK, Outcome.UNSUPPORTED), (OK, Outcome.NOT_INSTALLED)])
def test_what_went_well_again_or_was_a_planned_gap_is_no_failure(tmp_path: Path, outcomes: tuple[Outcome, ...]):
    (result,) = series_of(trials_of(tmp_path, sessions(*outcomes)))

    assert result.failure is None


def test_a_session_of_which_some_trials_went_well_is_a_point(tmp_path: Path):
    (result,) = series_of(trials_of(tmp_path, [make_record(), make_record(outcome=CRASHED, repetition=1)]))

    assert (len(result.values), result.failure) == (1, None)


def test_an_upgrade_after_which_all_crashes_is_a_failure_until_the_next_one_works(tmp_path: Path):
    broken = [*sessions(OK, OK), *sessions(CRASHED, first=2, build=build_facts(torch="2.14.0"))]
    mended = [*broken, *sessions(OK, first=3, build=build_facts(torch="2.14.1"))]

    told, over = (watch(series_of(trials_of(tmp_path / name, records)))
                  for name, records in (("broken", broken), ("mended", mended)))

    assert [each.plain()["failed_since"] for each in told] == [None, "s2 (run1)"]
    assert [each.plain()["failed_since"] for each in over] == [None, None]


def test_what_got_worse_or_failed_and_is_measured_no_more_is_no_news():
    old = series(1.0, 1.3, points=15, name="old")
    broken = series(1.0, points=15, name="broken", failure=Failure(since="c", latest_s=15 * DAY_S, reason="null"))
    deleted = series(1.0, 1.3, name="deleted", ended=Ended.BENCHMARK)
    watched = watch([old, broken, deleted, series(1.0, 1.0, points=50, name="now")])

    assert [(bool(each.retirement), each.worse(200), each.failure) for each in watched] == [
        (True, (), None), (True, (), None), (True, (), None), (False, (), None),
    ]
    assert [len(each.steps) for each in watched] == [1, 0, 1, 0]     # history still shows them
    assert [each.plain()["retired"] for each in watched] == [
        "last measured on 1970-01-30, others until 1970-04-10",
        "last measured on 1970-01-15, others until 1970-04-10; its last run failed",
        "the benchmark was deleted; last measured on 1970-03-21, others until 1970-04-10", None,
    ]
    assert summary(watched, 200) == "4 series: 1 as before in the last 200 points, 3 no longer measured"
    page = reports.render("markdown", document(watched, title="History", last=200))
    assert "3 series that are no longer measured" in page


def test_what_crashes_in_every_session_is_measured_still_and_a_planned_gap_is_not(tmp_path: Path):
    def measured(outcome: Outcome, batch: int) -> list[Record]:
        return sessions(OK, OK, *[outcome] * 20, case=replace(CASE, local_batch=batch))

    trials = trials_of(tmp_path, [
        *measured(OK, 1), *measured(CRASHED, 2), *measured(Outcome.UNSUPPORTED, 3),
    ])
    watched = {each.series.case.partition("batch ")[2][:1]: each for each in watch(series_of(trials))}

    assert [bool(watched[batch].retirement) for batch in "123"] == [False, False, True]
    assert [bool(watched[batch].failure) for batch in "123"] == [False, True, False]


def test_series_of_the_past_do_not_decide_what_is_said_of_those_that_are_measured():
    """A thousand clear steps of long ago would let doubtful ones of today pass."""
    past = [series(1.0, 2.0, points=40, seed=seed) for seed in range(400)]
    today = [series(1.0, points=80, seed=seed, spread=0.05, start=400) for seed in range(400)]

    watched = watch([*past, *today])

    assert all(each.retirement and each.steps for each in watched[:400])
    assert not any(each.steps for each in watched[400:])


def test_a_session_of_invalid_trials_is_no_point(tmp_path: Path):
    """A GPU that was too hot for a week is no regression."""
    on_gpu = replace(CASE, device="cuda:0")
    records = [
        replace(overheated(record) if day >= 7 else record, recorded_at=f"2026-01-{day + 1:02}T00:00:00+00:00")
        for day in range(14)
        for record in timing_records([0.02 if day >= 7 else 0.01] * 2, case=on_gpu, session=f"s{day:02}")
    ]

    (result,) = series_of(trials_of(tmp_path, records))

    assert result.values == pytest.approx([0.01] * 7)
    assert result.invalid_trials == 14
    assert "14 invalid trials" in repr(document(watch([result]), title="t", last=200))


def test_series_of_one_case_are_distinguished_by_what_varies():
    twins = [series(1.0, facts={"machine": machine, "python": "3.11"}) for machine in ("box", MACHINE.id)]

    assert labels(twins) == ["step, machine box", f"step, machine {MACHINE.id}"]


def test_the_words(tmp_path: Path):
    flat, short = series(1.0, name="flat", seed=1, points=80), series(1.0, name="short", points=3, start=77)
    watched = watch([series(1.0, 1.1), flat, short])

    text = reports.render("markdown", document(watched, title="History", last=200))

    assert summary(watched, 200) == (
        "3 series: 1 got worse, 1 as before in the last 200 points, 1 not judged with 3 points, since 12 are the "
        "fewest that show a change"
    )
    assert "Got worse, and still is" in text
    assert "00000027..00000028" not in text      # a full hash is cut to its first letters, not its last
    assert "short: 3 points" in text
