"""Each doubt about a trial fires on what telemetry saw, and else stays silent; what is invalid leaves the figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rigmark.bench.analysis.comparison.compare import Comparisons, by_repetition
from rigmark.bench.analysis.results import telemetry_findings
from rigmark.bench.analysis.results.findings import FindingKind
from rigmark.bench.analysis.results.summary import results
from rigmark.bench.analysis.results.telemetry_findings import RULES, TrialFinding
from rigmark.bench.analysis.results.validity import Validity, energy, judge, of_case, without_invalid
from rigmark.bench.sections import environment
from rigmark.bench.sections.groups import groups
from rigmark.bench.sections.verdicts import verdict
from rigmark.bench.store.record import Record
from rigmark.bench.telemetry import sources
from tests.records import CASE, make_record, measurement, timing_records, trials_of

STEADY = [0.010] * 20
STEP_TIMES_S = [0.0100, 0.0101, 0.0099, 0.0102, 0.0098, 0.0100, 0.0101, 0.0099]
GPU_FACTS = {
    "power_limit_w": 400.0, "power_limit_default_w": 400.0, "pcie_link_generation_max": 4, "pcie_link_width_max": 16,
}
GPU_VALUES = {
    "power_w": {"mean": 380.0, "max": 401.0}, "sm_clock_hz": {"mean": 1.40e9, "max": 1.41e9},
    "busy_ratio": {"mean": 0.98, "max": 1.0}, "pcie_link_generation": {"mean": 4, "max": 4},
    "pcie_link_width": {"mean": 16, "max": 16}, "ecc_corrected_errors": {"difference": 0.0},
    "ecc_uncorrected_errors": {"difference": 0.0}, "other_processes": {"mean": 0.0, "max": 0.0},
    "row_remap_pending": {"mean": 0.0, "max": 0.0}, "throttled_thermal_s": {"difference": 0.0},
}
HOST_VALUES = {
    "cpu_steal_s": {"difference": 0.0}, "cpu_pressure_s": {"difference": 0.0}, "swap_in_bytes": {"difference": 0.0},
    "swap_out_bytes": {"difference": 0.0}, "cgroup_throttled_s": {"difference": 0.0},
    "cpu_clock_hz": {"mean": 3.0e9, "max": 3.0e9}, "cpu_thermal_throttles": {"difference": 0.0},
}
TRIAL_VALUES = {
    "cpu_time_s": {"difference": 10.0}, "run_queue_wait_s": {"difference": 0.1}, "major_faults": {"difference": 0.0},
}


def block(
    *, gpu: dict[str, Any] | None = None, host: dict[str, Any] | None = None, trial: dict[str, Any] | None = None,
    facts: dict[str, Any] | None = None, part: dict[str, Any] | None = None, duration_s: float = 10.0,
    used: bool | None = True, **changes: Any,
) -> dict[str, Any]:
    """Telemetry of an undisturbed trial of ten seconds on a host with 4 cores and a GPU, but for the changes.

    ``gpu``, ``host`` and ``trial`` change values of those devices; ``facts`` and ``part`` the GPU's facts and figures.
    """
    devices = [
        {"source": "host", "id": "host", "kind": "host", "name": "node1", "used": True,
         "facts": {"logical_cores": 4}, "unknown": {}},
        {"source": "host", "id": "trial", "kind": "process", "name": "processes of the trial", "used": True,
         "facts": {}, "unknown": {}},
        {"source": "nvml", "id": "GPU-1", "kind": "gpu", "name": "NVIDIA A100", "used": used,
         "facts": {**GPU_FACTS, **(facts or {})}, "unknown": {}},
    ]
    nothing = {
        "unknown": {}, "energy_j": None, "energy_method": None, "energy_bound_j": None, "event_shares": {},
        "coverage": 1.0,
    }
    energy = {"energy_j": 3800.0, "energy_method": "counter_ticks", "energy_bound_j": 20.0}
    seen = [
        {"device": 0, "values": {**HOST_VALUES, **(host or {})}, **nothing},
        {"device": 1, "values": {**TRIAL_VALUES, **(trial or {})}, **nothing},
        {"device": 2, "values": {**GPU_VALUES, **(gpu or {})}, **nothing, **energy, **(part or {})},
    ]
    return {
        "rate_hz": 20.0, "series": None, "problem": None, "unavailable": {},
        "sampler": {"cpu_time_s": 0.1, "samples": 200, "overruns": 0, "late_p95_s": 0.001}, "devices": devices,
        "regions": [
            {"name": "warm_up", "duration_s": 1.0, "devices": []},
            {"name": "timed", "duration_s": duration_s, "devices": seen},
        ],
        **changes,
    }


def row(seen: dict[str, Any] | None, *, device: str = "cuda:0", **changes: Any) -> dict[str, Any]:
    """A row of the table of trials."""
    return {
        "id": "a" * 16, "repetition": 0, "device": device, "timings_s": STEADY, "host_times_s": STEADY,
        "other_cpu_time_s": 0.0, "local_batch": 32, "steps_per_timing": 1,
        "telemetry": None if seen is None else json.dumps(seen), "system": None, **changes,
    }


def only(seen: dict[str, Any], **changes: Any) -> TrialFinding:
    judged = judge(row(seen, **changes))
    finding, = (*judged.findings, *judged.of_timings)
    return finding


def ids(seen: dict[str, Any] | None, **changes: Any) -> list[str]:
    judged = judge(row(seen, **changes))
    return [finding.id for finding in (*judged.findings, *judged.of_timings)]


# One trial ----------------------------------------------------------------------------------------------------------


def test_an_undisturbed_trial_is_valid():
    assert ids(block()) == []
    assert ids(block(), device="cpu") == []
    assert judge(row(block())).validity is Validity.VALID


def test_without_telemetry_nothing_is_said_of_the_machine():
    assert ids(None) == []
    assert ids(None, telemetry=float("nan")) == []
    assert ids(block(regions=[])) == []


LIE = {"said": 255.0, "low": 1.0, "high": 105.8, "reads": 3, "of": 30, "per_second": False}
SUSPECT, INVALID, VALID = Validity.SUSPECT, Validity.INVALID, Validity.VALID
CAUSES: list[tuple[str, Validity, dict[str, Any], str]] = [
    ("throttled", SUSPECT, {"part": {"event_shares": {"thermal": 0.42}}}, "for 42% of the timed steps by heat"),
    ("throttled", SUSPECT, {"part": {"event_shares": {"thermal": 0.9}}}, "90%"),
    ("throttled", INVALID, {"part": {"event_shares": {"power_brake": 0.6}}}, "the figure is that of its cooling"),
    ("throttled", SUSPECT, {"gpu": {"throttled_thermal_s": {"difference": 2.0}}}, "20% of the timed steps by heat"),
    ("power_capped", VALID, {"part": {"event_shares": {"power_cap": 0.8}}}, "at its power limit of 400 W for 80%"),
    ("power_limit_lowered", VALID, {"facts": {"power_limit_w": 300.0}}, "300 W, below its own 400 W"),
    ("clock_drop", SUSPECT, {"gpu": {"sm_clock_hz": {"mean": 1.2e9, "max": 1.41e9}}}, "1200 MHz in the mean"),
    ("contended", SUSPECT, {"gpu": {"other_processes": {"mean": 0.5, "max": 2.0}}}, "2 other processes were on NVIDIA"),
    ("contended", SUSPECT, {"host": {"cpu_steal_s": {"difference": 0.8}}}, "gave 2.0% of the cores' time to others"),
    ("contended", SUSPECT, {"host": {"cpu_pressure_s": {"difference": 3.0}}}, "waited for a core 30% of the time"),
    ("contended", SUSPECT, {"trial": {"run_queue_wait_s": {"difference": 1.0}}}, "waited 10% as long as they ran"),
    ("cgroup_limit", SUSPECT, {"host": {"cgroup_throttled_s": {"difference": 1.0}}}, "stopped its processes for 10%"),
    ("swap", SUSPECT, {"host": {"swap_in_bytes": {"difference": 3 * 2.0**20}}}, "3.0 MiB went to or from swap"),
    ("major_faults", SUSPECT, {"trial": {"major_faults": {"difference": 50.0}}}, "5 times a second"),
    ("ecc_corrected", VALID, {"gpu": {"ecc_corrected_errors": {"difference": 3.0}}}, "3 memory errors"),
    ("ecc_uncorrected", INVALID, {"gpu": {"ecc_uncorrected_errors": {"difference": 1.0}}}, "is in doubt"),
    ("row_remap_pending", VALID, {"gpu": {"row_remap_pending": {"mean": 1.0, "max": 1.0}}}, "faulty row"),
    ("link_below_maximum", VALID, {"gpu": {"pcie_link_width": {"mean": 8, "max": 8}}}, "width 8 of 16"),
    ("gpu_lost", INVALID, {"part": {"unknown": {"power_w": "lost"}}}, "lost contact with"),    # an older record
    ("gpu_lost", INVALID, {"part": {"lost_s": 9.9, "unknown": {}}}, "while steps were timed; look for Xid"),
    ("implausible_sensor", VALID, {"part": {"implausible": {"temperature_c": LIE}}},
     "temperature_c of NVIDIA A100 was read as 255 in 3 of 30 reads, and can be 1 to 105.8"),
    ("implausible_sensor", VALID, {"part": {"implausible": {"energy_j": {**LIE, "per_second": True}}}},
     "growth of energy_j in a second of NVIDIA A100"),
    ("power_of_module", VALID, {"facts": {"power_scope": "module"}}, "for its whole module alone (380 W"),
    ("energy_uncertain", VALID, {"part": {"energy_bound_j": 1000.0}}, "known to 26% only"),
    ("frozen_sensor", VALID, {"gpu": {"power_w": {"mean": 380.0, "max": 380.0}}}, "said 380.0 W for 10 s"),
    ("sampler_late", VALID, {"sampler": {"samples": 100, "overruns": 30, "late_p95_s": 0.2}}, "30% of its readings"),
    ("telemetry_gap", VALID, {"problem": "the sampler was killed by SIGKILL"}, "killed by SIGKILL"),
    ("telemetry_gap", VALID, {"part": {"coverage": 0.5}}, "covers 50%"),
]


@pytest.mark.parametrize(("name", "validity", "cause", "words"), CAUSES, ids=lambda of: str(of)[:20])
def test_a_cause_is_told_by_its_name_with_its_evidence(
    name: str, validity: Validity, cause: dict[str, Any], words: str
):
    finding = only(block(**cause))

    assert finding.id == name
    assert words in finding.text
    assert judge(row(block(**cause))).validity is validity


def test_every_rule_has_a_cause_that_it_fires_on():
    fired = {finding.id for _, _, cause, _ in CAUSES for finding in judge(row(block(**cause))).findings}
    of_the_system = {"governor", "on_battery", "energy_disagrees"}
    known = {"cgroup_limit" if rule is telemetry_findings.quota else rule.__name__ for rule in RULES} - {"ecc"}

    assert known - of_the_system <= fired


def test_what_little_disturbs_is_not_reported():
    calm = block(
        host={"cpu_steal_s": {"difference": 0.3}, "cpu_pressure_s": {"difference": 0.9}},
        trial={"run_queue_wait_s": {"difference": 0.4}, "major_faults": {"difference": 9.0}},
        gpu={"sm_clock_hz": {"mean": 1.35e9, "max": 1.41e9}}, part={"event_shares": {"thermal": 0.04, "idle": 0.9}},
    )

    assert ids(calm) == []


def test_a_host_that_hardly_works_beside_a_gpu_may_wait():
    waiting = {"cpu_time_s": {"difference": 0.05}, "run_queue_wait_s": {"difference": 0.09}}

    assert ids(block(trial=waiting)) == []


def test_a_tick_of_the_kernels_clock_is_no_steal():
    tick = {"host": {"cpu_steal_s": {"difference": 0.01}}, "trial": {}}

    assert ids(block(**tick, duration_s=0.1)) == []


def test_what_is_not_known_is_no_doubt():
    nothing: dict[str, Any] = {name: {"mean": None} for name in (*GPU_VALUES, *HOST_VALUES, *TRIAL_VALUES)}

    assert ids(block(gpu=nothing, host=nothing, trial=nothing, part={"energy_j": None, "energy_bound_j": None})) == []


def test_a_gpu_that_idles_beside_a_trial_on_the_cpu_has_no_say():
    hot = block(part={
        "event_shares": {"hw_thermal": 1.0}, "unknown": {"power_w": "lost"}, "coverage": 0.1, "energy_bound_j": 3e3,
    })

    assert ids(hot, device="cpu") == []
    assert ids({**hot, "devices": [{**device, "used": False} for device in hot["devices"]]}) == []


def test_a_link_that_idles_may_be_slow():
    idle = {"pcie_link_generation": {"mean": 1, "max": 1}, "busy_ratio": {"mean": 0.0, "max": 0.0}}

    assert ids(block(gpu=idle)) == []


def test_causes_of_contention_are_one_doubt():
    both = block(host={"cpu_steal_s": {"difference": 4.0}, "cpu_pressure_s": {"difference": 5.0}})

    finding = only(both)

    assert "10.0% of the cores' time" in finding.text
    assert "50% of the time" in finding.text


def test_two_methods_for_energy_may_disagree_within_their_bounds_only():
    check = {"energy_j": 3850.0, "energy_method": "power_integral", "energy_bound_j": 40.0}

    assert ids(block(part={"energy_check": check})) == []
    assert only(block(part={"energy_check": {**check, "energy_j": 3900.0}})).id == "energy_disagrees"


def test_a_gpu_that_was_lost_in_the_warm_up_alone_is_said_to_have_been():
    seen = block(part={"lost_s": None, "unknown": {"fan_ratio": "lost"}})
    seen["regions"][0]["devices"] = [{**seen["regions"][1]["devices"][2], "lost_s": 0.5}]

    finding = only(seen)

    assert finding.text.startswith("the driver lost contact with NVIDIA A100 during the warm-up, and had it again")
    assert judge(row(seen)).validity is Validity.SUSPECT


def test_power_of_a_module_makes_no_energy_of_a_gpu():
    by_power = {"energy_method": "power_integral_instant", "energy_j": 9000.0, "energy_bound_j": 10.0}
    check = {**by_power, "energy_j": 9000.0}
    of_module = judge(row(block(facts={"power_scope": "module"}, part=by_power)))
    by_counter = judge(row(block(facts={"power_scope": "module"}, part={"energy_check": check})))
    of_itself = judge(row(block(part=by_power)))

    assert [None, 380.0, 900.0] == [energy([each])["power_w"] for each in (of_module, by_counter, of_itself)]
    assert ["power_of_module"] == [finding.id for finding in by_counter.findings]        # and not that they disagree


def test_power_that_is_stuck_makes_no_energy():
    stuck = {"gpu": {"power_w": {"mean": 380.0, "max": 380.0}}}
    by_power, by_counter = (
        judge(row(block(part={"energy_method": method}, **stuck)))
        for method in ("power_integral_instant", "counter_ticks")
    )

    assert (None, 380.0) == (energy([by_power])["power_w"], energy([by_counter])["power_w"])


def test_the_governor_and_the_battery_are_told_by_the_system_of_the_record():
    now = {"governors": ["powersave"], "on_battery": True, "battery_ratio": 0.63}
    judged = judge(row(block(), system=json.dumps({"fingerprint": "1", "facts": {}, "volatile": now}), device="cpu"))

    assert ["governor", "on_battery"] == [finding.id for finding in judged.findings]
    assert judged.findings[1].text.startswith("measured on battery at 63 % of its charge: ")
    assert ids(block(), system=json.dumps({"fingerprint": "1", "facts": {}, "volatile": {"on_battery": None}})) == []


def test_a_trial_is_suspect_by_its_own_timings_too():
    assert ids(None, other_cpu_time_s=0.1) == ["contended"]
    assert ids(None, timings_s=[0.010] * 10 + [0.012] * 10) == ["drifting"]


def test_the_names_that_rules_read_are_those_of_the_sources():
    fields = {field.name for name in sources.NAMES for field in sources.load(name).FIELDS}

    assert {*GPU_VALUES, *HOST_VALUES, *TRIAL_VALUES} <= fields
    flags = {flag for name in sources.NAMES for field in sources.load(name).FIELDS for flag in field.flags}
    assert {*telemetry_findings.FAULTS, "power_cap"} <= flags


# Many trials --------------------------------------------------------------------------------------------------------


def case(*causes: dict[str, Any], **changes: Any) -> list[tuple[str, FindingKind]]:
    return [(f.id, f.kind) for f in of_case([judge(row(block(**cause), **changes)) for cause in causes])]


HOT: dict[str, Any] = {"part": {"event_shares": {"thermal": 0.4}}}
LOST: dict[str, Any] = {"part": {"unknown": {"power_w": "lost"}}}


def test_what_most_trials_show_weakens_the_case_and_what_one_shows_is_noted():
    assert case(*[HOT] * 3, *[{}] * 5) == [("throttled", FindingKind.WARNING)]
    assert case(HOT, *[{}] * 7) == [("throttled", FindingKind.NOTE)]


def test_the_worst_of_many_trials_is_reported_with_their_number():
    hotter = {"part": {"event_shares": {"thermal": 0.45}}}

    finding, = of_case([judge(row(block(**cause))) for cause in (HOT, hotter, {}, {})])

    assert finding.text.startswith("in 2 of 4 trials, at worst: clocks of NVIDIA A100 were reduced for 45%")


def test_a_rate_that_falls_from_trial_to_trial_is_reported():
    def times(*step_times_s: float) -> list[str]:
        judged = [judge(row(None, timings_s=[s] * 9, host_times_s=[s] * 9)) for s in step_times_s]
        return [finding.id for finding in of_case(judged)]

    assert times(1.0, 1.0, 1.0, 1.2, 1.2, 1.2) == ["rate_falling"]
    assert times(1.2, 1.2, 1.2, 1.0, 1.0, 1.0) == []
    assert times(1.0, 1.2) == []


def test_a_method_that_a_record_does_not_tell_is_none_and_no_word():
    used = energy([judge(row(block(part={"energy_method": None})))])

    assert used["power_w"] == pytest.approx(380.0)
    assert used["energy_method"] is None


def test_a_system_that_changed_between_trials_is_reported_with_what_changed():
    def on(kernel: str) -> Any:
        facts = {"operating_system": {"kernel": kernel, "name": "Debian"}}
        return judge(row(None, system=json.dumps({"fingerprint": kernel, "facts": facts, "volatile": {}})))

    finding, = of_case([on("6.1"), on("6.1"), on("6.2")])

    assert (finding.id, finding.kind) == ("system_changed", FindingKind.WARNING)
    assert "(operating_system.kernel)" in finding.text
    assert of_case([on("6.1"), on("6.1")]) == ()


# Rows ---------------------------------------------------------------------------------------------------------------

Summarise = Callable[[Iterable[Record]], dict[str, Any]]


@pytest.fixture
def trials(tmp_path: Path) -> Callable[[Iterable[Record]], pd.DataFrame]:
    return lambda records: trials_of(tmp_path, records)


def on_gpu(step_times_s: Iterable[float], *causes: dict[str, Any]) -> list[Record]:
    gpu_case = replace(CASE, device="cuda:0")
    return [
        make_record(case=gpu_case, repetition=i, measurement=measurement(time_s), telemetry=block(**cause))
        for i, (time_s, cause) in enumerate(zip(step_times_s, causes, strict=True))
    ]


def test_invalid_trials_leave_the_figures_and_are_said_to(trials: Any):
    table = trials(on_gpu([*STEP_TIMES_S[:7], 0.5], *[{}] * 7, LOST))

    figures, = results(table).to_dict("records")

    assert max(figures["trial_step_times_s"]) < 0.011
    assert (figures["trials"], figures["invalid_trials"], figures["suspect_trials"]) == (7, 1, 0)
    assert (figures["validity"], figures["outcome"]) == ("suspect", "ok")
    assert "1 of 8 trials is invalid and left out of the figures (the driver lost" in figures["finding_texts"]
    told, = json.loads(figures["trial_findings"])
    assert (told["repetition"], told["validity"], told["findings"][0]["id"]) == (7, "invalid", "gpu_lost")
    assert len(without_invalid(table)) == 7


def test_suspect_trials_count(trials: Any):
    figures, = results(trials(on_gpu(STEP_TIMES_S, *[HOT] * 8))).to_dict("records")

    assert (figures["trials"], figures["suspect_trials"], figures["validity"]) == (8, 8, "suspect")
    assert figures["findings"] == "throttled"


def test_contention_that_several_witnesses_saw_is_one_finding(trials: Any):
    records = [
        make_record(repetition=i, measurement={**measurement(s), "other_cpu_time_s": 1.0}, telemetry=block(
            host={"cpu_steal_s": {"difference": 4.0}})) for i, s in enumerate(STEP_TIMES_S)
    ]

    figures, = results(trials(records)).to_dict("records")

    assert figures["findings"] == "contended"
    text, = json.loads(figures["finding_texts"])
    assert "other processes kept 5.0 cores busy" in text
    assert "the hypervisor gave 10.0% of the cores' time to others" in text


def test_where_all_trials_are_invalid_the_row_stays_and_is_labelled_and_wins_nothing(trials: Any):
    table = trials([*on_gpu(STEP_TIMES_S, *[LOST] * 8)])
    rows = results(table)

    figures, = rows.to_dict("records")
    group, = groups(rows, table, Comparisons(by_repetition(table)))

    assert (figures["outcome"], figures["validity"], figures["trials"]) == ("ok", "invalid", 8)
    assert figures["step_time_s"] == pytest.approx(0.01, rel=0.01)
    assert "all 8 trials are invalid" in figures["finding_texts"]
    assert group.measured == ()
    assert "Invalid, and so not compared: torch (see the findings)." in verdict(group).sentences


def test_energy_is_that_of_the_devices_that_did_the_work(trials: Any):
    figures, = results(trials(on_gpu(STEP_TIMES_S, *[{}] * 8))).to_dict("records")

    assert figures["power_w"] == pytest.approx(380.0)
    assert figures["energy_per_sample_j"] == pytest.approx(3800.0 / (20 * 32))
    assert figures["energy_method"] == "counter_ticks"


def test_energy_is_unknown_on_a_processor_that_does_not_tell_it(trials: Any):
    figures, = results(trials(timing_records(STEP_TIMES_S, telemetry=block()))).to_dict("records")

    assert (figures["power_w"], figures["energy_per_sample_j"], figures["energy_method"]) == (None, None, None)


def test_energy_is_unknown_where_the_gpus_of_a_trial_cannot_be_told(trials: Any):
    figures, = results(trials(on_gpu(STEP_TIMES_S, *[{"used": None}] * 8))).to_dict("records")

    assert figures["energy_per_sample_j"] is None


def test_energy_of_one_machine_is_not_that_of_a_world_on_several(trials: Any):
    records = [replace(each, world={"nodes": 2, "processes": 2}) for each in on_gpu(STEP_TIMES_S, *[{}] * 8)]
    figures, = results(trials(records)).to_dict("records")

    assert (figures["power_w"], figures["energy_per_sample_j"]) == (None, None)


def test_a_report_says_what_system_it_was_measured_on(trials: Any):
    facts = {"operating_system": {"kernel": "6.1.0-18", "container": None}, "frequency": {"turbo": False}}
    system = {"fingerprint": "0" * 12, "facts": facts, "volatile": {"load": 0.1}}

    shown = environment.section(trials(timing_records(STEP_TIMES_S, system=system)))

    rows = {row.cells[0].text: row.cells[1].text for row in shown.blocks[0].rows}      # type: ignore[union-attr]
    assert (rows["kernel"], rows["turbo"], rows.get("container")) == ("6.1.0-18", "False", None)
