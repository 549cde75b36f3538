"""Two sets of trials held against each other: like with like, or a sentence that says what is unlike."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rigmark.bench.analysis.comparison.sides import (
    PROCESSES,
    SESSIONS,
    across,
    case_label,
    compare_sessions,
    compare_sides,
)
from rigmark.bench.analysis.comparison.verdicts import CaseVerdict, Method, Verdicts, basis, document, outlook, summary
from rigmark.bench.analysis.statistics.decision import Verdict
from rigmark.bench.enums import Outcome, Precision
from rigmark.bench.errors import UnknownName, UserError
from rigmark.bench.plan import axes
from rigmark.bench.store.record import Record
from rigmark.reports.junit import junit
from tests.records import (
    CASE,
    MACHINE,
    build_facts,
    make_record,
    measurement,
    overheated,
    timing_records,
    trials_of,
    with_measurement,
)

NIGHTLY = replace(CASE, build="nightly")
OTHER_MACHINE = replace(MACHINE, cpu="Intel Xeon")


def times(slowdown: float = 1.0, count: int = 12, seed: int = 0) -> list[float]:
    return list(0.01 * slowdown * np.exp(np.random.default_rng(seed).normal(0, 0.002, count)))


def compared(
    folder: Path, base: Iterable[Record], new: Iterable[Record], *may_differ: str
) -> Verdicts:
    sides = [trials_of(folder / name, records) for name, records in (("a", base), ("b", new))]
    return compare_sides(
        sides[0].assign(results="here"), sides[1].assign(results="here"), names=("old", "new"),
        may_differ=across(may_differ),
    )


def only(verdicts: Verdicts) -> CaseVerdict:
    (case,) = verdicts.cases
    return case


def sessions(
    slowdown: float, *, count: int = SESSIONS, processes: int = PROCESSES, seed: int = 0, **facts: Any
) -> list[Record]:
    """Sittings that differ from each other more than the processes within them do."""
    rng = np.random.default_rng(seed)
    return [
        record for session in range(count)
        for record in timing_records(
            list(0.01 * slowdown * math.exp(rng.normal(0, 0.005)) * np.exp(rng.normal(0, 0.001, processes))),
            session=f"s{session}", run_id=f"run{facts.get('machine', MACHINE).id}{session}", **facts,
        )
    ]


# Verdicts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slowdown", "expected"), [(1.0, Verdict.SAME), (1.05, Verdict.SLOWER), (0.95, Verdict.FASTER)]
)
def test_repetitions_of_one_run_are_pairs(tmp_path: Path, slowdown: float, expected: Verdict):
    case = only(compared(
        tmp_path, timing_records(times()), timing_records(times(slowdown, seed=1), case=NIGHTLY), "build"
    ))

    assert (case.verdict, case.method) == (expected, Method.REPETITIONS)
    assert case.change == pytest.approx(slowdown - 1, abs=0.004)
    assert basis(case) == "12 repetitions of one run"


def test_two_runs_are_two_blocks_of_time_and_give_no_verdict(tmp_path: Path):
    """However many processes: drift between the runs passes for a difference."""
    case = only(compared(
        tmp_path, timing_records(times(count=30)), timing_records(times(1.05, count=30), run_id="run2", session="2"),
    ))

    assert (case.verdict, case.method) == (Verdict.INCONCLUSIVE, Method.UNREPLICATED)
    assert case.decision is not None
    assert case.decision.speed_up is not None
    assert case.decision.speed_up.low is None
    assert "unreplicated" in outlook(case)
    assert "rigmark ab" in outlook(case)


def test_machines_are_compared_by_their_sessions(tmp_path: Path):
    case = only(compared(tmp_path, sessions(1.0), sessions(1.2, seed=1, machine=OTHER_MACHINE), "machine"))

    assert (case.verdict, case.method) == (Verdict.SLOWER, Method.SESSIONS)
    assert case.decision is not None
    assert case.decision.speed_up is not None
    assert case.decision.speed_up.low < 1 / 1.2 < case.decision.speed_up.high
    assert any(fact.startswith("machine:") for fact in case.differs)


def test_too_few_sessions_of_a_machine_are_unreplicated(tmp_path: Path):
    case = only(compared(
        tmp_path, sessions(1.0, count=4), sessions(1.5, seed=1, machine=OTHER_MACHINE), "machine"
    ))

    assert (case.verdict, case.method) == (Verdict.INCONCLUSIVE, Method.UNREPLICATED)
    assert "4 against 5 sessions" in outlook(case)
    assert "rigmark ab" not in outlook(case)         # two machines take no turns


def test_sessions_of_few_processes_do_not_count(tmp_path: Path):
    few = sessions(1.5, processes=PROCESSES - 1, seed=1, machine=OTHER_MACHINE)

    case = only(compared(tmp_path, sessions(1.0), few, "machine"))

    assert case.method is Method.UNREPLICATED
    assert "5 against 0 sessions" in outlook(case)


def test_one_trial_each_is_no_evidence(tmp_path: Path):
    case = only(compared(tmp_path, timing_records([0.01]), timing_records([0.02], case=NIGHTLY), "build"))

    assert case.verdict is Verdict.INCONCLUSIVE
    assert case.change == pytest.approx(1.0)
    assert "more repetitions" in outlook(case)


def test_the_false_discovery_rate_is_over_all_cases(tmp_path: Path):
    """Ten signs alike have a chance of 1 in 512: enough for one case, not for the clearest of twelve."""
    def records(slowdown: float, build: str) -> list[Record]:
        return [
            record for batch in range(1, 13) for record in timing_records(
                times(slowdown if batch == 1 else 1.0, count=10, seed=batch + 100 * (build == "nightly")),
                case=replace(CASE, build=build, local_batch=batch),
            )
        ]

    verdicts = compared(tmp_path, records(1.0, "default"), records(1.05, "nightly"), "build")

    assert not verdicts.having(Verdict.SLOWER, Verdict.FASTER)
    (open_case,) = verdicts.having(Verdict.INCONCLUSIVE)
    assert open_case.change == pytest.approx(0.05, abs=0.01)


def test_session_means_that_never_vary_are_no_sample():
    assert compare_sessions([[1.0] * 4] * 5, [[2.0] * 4] * 5) is None


# Unlike things ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fact", "facts"),
    [
        ("graph_fingerprint", {"graph_fingerprint": "beef" * 4}),
        ("machine", {"machine": OTHER_MACHINE}),
        ("code_version", {"code_version": "new"}),
        ("framework_version", {"build": build_facts(torch="2.14.0")}),
        ("variables", {"build": build_facts(ONEDNN_MAX_CPU_ISA="AVX2")}),
    ],
)
def test_unlike_things_are_refused_unless_that_is_the_question(tmp_path: Path, fact: str, facts: dict[str, Any]):
    records = (timing_records(times()), timing_records(times(), run_id="run2", **facts))

    refused = only(compared(tmp_path / "refused", *records))
    asked = only(compared(tmp_path / "asked", *records, fact))

    assert (refused.verdict, refused.has_failed) == (None, True)
    assert fact in outlook(refused)
    assert "--across" in outlook(refused)
    assert any(words.startswith(f"{fact}:") for words in refused.differs)
    assert (asked.verdict, asked.has_failed) == (Verdict.INCONCLUSIVE, False)
    assert any(words.startswith(f"{fact}:") for words in asked.differs)


def in_state(records: Iterable[Record], **frequency: Any) -> list[Record]:
    facts = {"operating_system": {"kernel": "6.1"}, "frequency": frequency, "limits": {"cpu_quota_cores": None}}
    return [replace(record, system={"fingerprint": str(facts), "facts": facts, "volatile": {}}) for record in records]


def test_another_state_of_the_machine_is_refused_unless_that_is_the_question(tmp_path: Path):
    sides = (
        in_state(sessions(1.0), turbo=True),
        in_state(sessions(1.2, seed=1, case=NIGHTLY), turbo=False),
    )

    refused = only(compared(tmp_path / "refused", *sides, "build"))
    asked = only(compared(tmp_path / "asked", *sides, "build", "system"))

    assert (refused.verdict, refused.has_failed) == (None, True)
    assert "pass --across system" in outlook(refused)
    assert asked.verdict is Verdict.SLOWER
    for case in (refused, asked):
        assert "system: frequency.turbo true against false" in case.differs     # and the kernel is not named


def test_what_a_system_does_not_tell_is_no_difference(tmp_path: Path):
    turbo_on, untold, nothing = (
        in_state(sessions(1.0), turbo=True), in_state(sessions(1.2, case=NIGHTLY), turbo=None),
        sessions(1.2, case=NIGHTLY),
    )

    for name, new in (("untold", untold), ("nothing", nothing)):
        assert only(compared(tmp_path / name, turbo_on, new, "build")).verdict is Verdict.SLOWER


def test_a_cpu_quota_differs_from_none(tmp_path: Path):
    def limited(records: Iterable[Record], cores: float | None) -> list[Record]:
        facts = {"limits": {"cpu_quota_cores": cores}}
        return [replace(each, system={"fingerprint": "", "facts": facts, "volatile": {}}) for each in records]

    case = only(compared(tmp_path, limited(sessions(1.0), None), limited(sessions(1.2, case=NIGHTLY), 1.5), "build"))

    assert ("system: limits.cpu_quota_cores none against 1.5",) == case.differs


def test_machines_are_compared_whatever_state_they_are_in(tmp_path: Path):
    other = in_state(sessions(1.2, seed=1, machine=OTHER_MACHINE), turbo=False)

    assert only(compared(tmp_path, in_state(sessions(1.0), turbo=True), other, "machine")).verdict is Verdict.SLOWER


def test_what_differs_is_told_in_its_own_words(tmp_path: Path):
    case = only(compared(
        tmp_path, timing_records(times()), timing_records(times(), build=build_facts(torch="2.14.0")),
        "framework_version",
    ))

    assert set(case.differs) == {"framework_version: 2.13.0 against 2.14.0", "packages: torch 2.13.0 against 2.14.0"}


def test_another_precision_is_another_case(tmp_path: Path):
    records = timing_records(times()), timing_records(times(), case=replace(CASE, precision=Precision.BF16))

    with pytest.raises(UserError, match=r"precision is fp32 against bf16; pass --across precision"):
        compared(tmp_path / "refused", *records)

    assert only(compared(tmp_path / "asked", *records, "precision")).verdict is Verdict.SAME


def test_nothing_in_common_is_reported(tmp_path: Path):
    with pytest.raises(UserError, match="model is mlp against lstm"):
        compared(tmp_path, timing_records(times()), timing_records(times(), case=replace(CASE, model="lstm")))
    with pytest.raises(UserError, match="new has no timing trials"):
        compared(tmp_path / "empty", timing_records(times()), [])


def test_a_side_that_holds_a_case_twice_is_ambiguous(tmp_path: Path):
    twice = [*timing_records(times()), *timing_records(times(), build=build_facts(torch="2.14.0"))]

    case = only(compared(tmp_path, twice, timing_records(times(), case=NIGHTLY), "build"))

    assert (case.verdict, case.has_failed) == (None, True)
    assert "framework_version" in outlook(case)


def test_the_same_trials_are_not_compared_with_themselves(tmp_path: Path):
    case = only(compared(tmp_path, timing_records(times()), timing_records(times())))

    assert case.has_failed
    assert "same trials" in outlook(case)


def test_alike_machines_measured_trials_of_their_own_whatever_their_ids(tmp_path: Path):
    one, other = timing_records(times(), run_id="here"), timing_records(times(1.2), run_id="there")
    assert [record.id for record in one] == [record.id for record in other]

    case = only(compared(tmp_path, one, other))

    assert (case.method, case.has_failed) == (Method.UNREPLICATED, False)


def test_an_unknown_fact_is_answered_with_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'machine'"):
        across(["machin"])


# What failed --------------------------------------------------------------------------------------------------------


def failed(count: int = 10, outcome: Outcome = Outcome.CRASHED, **facts: Any) -> list[Record]:
    return [make_record(outcome=outcome, repetition=repetition, **facts) for repetition in range(count)]


def test_a_side_that_failed_altogether_fails_the_comparison(tmp_path: Path):
    case = only(compared(tmp_path, timing_records(times()), failed(case=NIGHTLY), "build"))

    assert (case.verdict, case.has_failed) == (None, True)
    assert outlook(case) == "new crashed: it was crashed"


def test_what_neither_side_can_do_fails_nothing(tmp_path: Path):
    gaps = [failed(outcome=Outcome.UNSUPPORTED, case=case) for case in (CASE, NIGHTLY)]

    assert not compared(tmp_path, *gaps, "build").has_failed


def test_some_failed_trials_leave_a_verdict_and_fail_the_comparison(tmp_path: Path):
    records = timing_records(times(1.05, count=11), case=NIGHTLY)
    broken = make_record(outcome=Outcome.TIMEOUT, case=NIGHTLY, repetition=11)

    case = only(compared(tmp_path, timing_records(times()), [*records, broken], "build"))

    assert (case.verdict, case.has_failed) == (Verdict.SLOWER, True)
    assert case.doubts == ("new has failed trials, timeout: it was timeout",)


# What is not to be believed -----------------------------------------------------------------------------------------

ON_GPU = replace(CASE, device="cuda:0")


def test_invalid_trials_have_no_say_and_are_said_to_be_left_out(tmp_path: Path):
    new = timing_records(times(seed=1), case=replace(ON_GPU, build="nightly"))
    hot = [overheated(with_measurement(record, **measurement(0.02))) for record in new[:4]]

    case = only(compared(tmp_path, timing_records(times(), case=ON_GPU), [*hot, *new[4:]], "build"))

    assert (case.verdict, case.has_failed) == (Verdict.SAME, False)
    assert case.decision is not None
    assert case.decision.pairs == 8
    assert case.doubts[0].startswith("new: 4 of 12 trials are invalid and left out of the figures (clocks of NVIDIA")


def test_a_side_of_invalid_trials_alone_has_no_verdict_but_a_reason(tmp_path: Path):
    hot = [overheated(record) for record in timing_records(times(), case=replace(ON_GPU, build="nightly"))]

    case = only(compared(tmp_path, timing_records(times(), case=ON_GPU), hot, "build"))

    assert (case.verdict, case.has_failed, case.new_step_time_s) == (None, True, None)
    assert outlook(case).startswith("new has no valid trial: all 12 that ended well are invalid (clocks of NVIDIA H100")


def test_suspect_trials_count_and_their_verdict_is_doubted(tmp_path: Path):
    busy = [
        with_measurement(record, other_cpu_time_s=1.0)
        for record in timing_records(times(1.05, seed=1), case=NIGHTLY)
    ]

    case = only(compared(tmp_path, timing_records(times()), busy, "build"))

    assert (case.verdict, case.has_failed) == (Verdict.SLOWER, False)
    (doubt,) = case.doubts
    assert doubt.startswith("new: in 12 of 12 trials, at worst: other processes kept ")


# In words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", axes.NAMES)
def test_two_cases_never_bear_one_name(name: str):
    """It is the id of a case in tables and histories."""
    facts = {**axes.whole(CASE.plain()), "world_size": 4, "strategy": "replicas"}
    other = {"implementation": "as_written", "oversubscribed": True}.get(name, 7 if name in axes.NUMBERS else "other")

    assert case_label(facts) != case_label({**facts, name: other})


def two_cases(folder: Path) -> Verdicts:
    other = replace(CASE, local_batch=64)
    return compared(
        folder, [*timing_records(times()), *timing_records(times(), case=other)],
        [
            *timing_records(times(1.05, seed=1), case=NIGHTLY),
            *timing_records(times(seed=1), case=replace(other, build="nightly")),
        ], "build",
    )


def test_what_changed_is_shown_and_what_did_not_is_folded(tmp_path: Path):
    from rigmark import reports

    text = reports.render("markdown", document(two_cases(tmp_path)))

    assert "2 cases: 1 slower, 1 same." in text
    assert text.index("batch 32") < text.index("<details>") < text.index("batch 64")
    assert "+5" in text


def test_junit_has_a_failure_for_what_is_slower(tmp_path: Path):
    from xml.etree import ElementTree

    suite = ElementTree.fromstring(junit(two_cases(tmp_path)))

    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "0")
    (failure,) = suite.iter("failure")
    assert str(failure.get("message")).startswith("slower: +")


def test_a_summary_of_nothing():
    assert summary(Verdicts(base="a", new="b", cases=())) == "0 cases: nothing to compare"
