"""What a trial's record says of GPUs that fail: the simulated driver, sampler and recorder together, in real time."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from rigmark.bench.telemetry import recorder, series
from tests.telemetry import simulator
from tests.telemetry.trial import NO_COUNTER, NO_POWER, Trial, recorded

pytestmark = pytest.mark.skipif(simulator.compiler() is None, reason=simulator.MISSING)

LOST, HOT, FROZEN, RESET, NO_TICKS, DUMB, FALTERING, SOUND = range(8)
FAULTS = (
    f"gpus 8\nset * power_w constant 200\n"
    f"fault {LOST} * 1.6 1e9 error 15\n"
    f"event {HOT} 0x40 1.5 1e9\n"
    f"set {FROZEN} power_w sine 200 50 3\nfault {FROZEN} field:186 0.5 1e9 frozen\n"
    f"reset {RESET} 1.8\n"
    + NO_COUNTER.format(NO_TICKS) + NO_COUNTER.format(DUMB) + NO_POWER.format(DUMB)
    + f"fault {FALTERING} GetUtilizationRates 0 1e9 every 3 10\nfault {FALTERING} field:83 0 1e9 every 3 10\n"
)


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    return recorded(FAULTS, tmp_path_factory.mktemp("faults"))


def is_right(trial: Trial, number: int) -> bool:
    """Whether the energy of a GPU is within its bound of the truth."""
    gpu = trial.gpu(number)
    return bool(abs(gpu["energy_j"] - trial.true_energy_j[number]) <= gpu["energy_bound_j"])


def test_a_sound_gpu_has_its_energy_by_the_ticks_of_its_counter(faults: Trial):
    gpu = faults.gpu(SOUND)

    assert faults.recording.block["problem"] is None
    assert "counter_ticks" == gpu["energy_method"]
    assert is_right(faults, SOUND)
    assert gpu["coverage"] > 0.9


def test_a_gpu_lost_mid_trial_is_cut_and_said_to_be_while_the_others_go_on(faults: Trial):
    lost, sound = faults.gpu(LOST), faults.gpu(SOUND)

    assert "lost" in lost["unknown"].values()
    assert lost["energy_j"] is None
    assert lost["coverage"] < 0.7 < sound["coverage"]
    assert faults.gpu(LOST, "warm_up")["energy_j"] is not None


def test_only_the_region_in_which_a_gpu_was_held_down_says_so(faults: Trial):
    assert "hw_thermal" not in faults.gpu(HOT, "warm_up")["event_shares"]
    assert faults.gpu(HOT)["event_shares"]["hw_thermal"] > 0.5
    assert {} == faults.gpu(SOUND)["event_shares"]


def test_a_sensor_that_stands_still_is_seen_to(faults: Trial):
    power = faults.gpu(FROZEN)["values"]["power_w"]

    assert power["min"] == power["max"]


def test_a_counter_that_begins_anew_gives_no_energy_below_zero(faults: Trial):
    assert "power_integral_instant" == faults.gpu(RESET)["energy_method"]
    assert is_right(faults, RESET)


def test_without_a_counter_power_is_integrated_and_without_either_energy_is_unknown(faults: Trial):
    integrated, dumb = faults.gpu(NO_TICKS), faults.gpu(DUMB)

    assert "power_integral_instant" == integrated["energy_method"]
    assert is_right(faults, NO_TICKS)
    assert "not_supported" == integrated["unknown"]["energy_j"]
    assert (None, None, None) == tuple(dumb[name] for name in ("energy_j", "energy_method", "energy_bound_j"))
    assert "not_supported" == dumb["unknown"]["power_w"]


def test_a_call_that_times_out_now_and_then_leaves_an_energy(faults: Trial):
    assert faults.gpu(FALTERING)["energy_method"].startswith("counter")
    assert is_right(faults, FALTERING)


def test_the_trial_waits_for_no_driver_that_hangs(tmp_path: Path):
    hang_end_s = 60.0
    trial = recorded(f"fault 0 GetFieldValues 1.1 {hang_end_s} hang", tmp_path)

    assert "nvml no longer answered" in trial.recording.block["problem"]
    assert trial.marks["timed"] - trial.marks["warm_up"] + trial.end_s < hang_end_s
    assert trial.gpu(0, "warm_up")["energy_j"] is not None
    assert trial.gpu(0)["energy_j"] is None
    block = trial.recording.block
    host = next(i for i, device in enumerate(block["devices"]) if device["kind"] == "host")
    assert block["regions"][1]["devices"][host]["coverage"] > 0.8        # another source is not held up


def test_the_trial_waits_for_no_driver_that_opens_slowly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recorder, "OPEN_S", 0.5)
    block = recorded("opens 600", tmp_path).recording.block

    assert "was still being opened at the end of the trial" in block["unavailable"]["nvml"]
    assert (None, None) == (block["problem"], block["sampler"]["open_s"]["nvml"])
    assert {"host", "process"} >= {device["kind"] for device in block["devices"]} != set()


def test_a_gpu_that_hangs_holds_up_no_other(tmp_path: Path):
    trial = recorded("gpus 3\nset * power_w constant 200\nfault 1 GetFieldValues 1.1 60 hang", tmp_path)

    hanging = trial.recording.block["devices"][-2]["id"]
    assert f"nvml of {hanging} no longer answered at the end of the trial" == trial.recording.block["problem"]
    assert trial.gpu(1)["energy_j"] is None
    assert all(is_right(trial, number) and trial.gpu(number)["coverage"] > 0.9 for number in (0, 2))


def test_what_a_sensor_says_that_cannot_be_is_in_no_figure_of_the_record_and_not_in_its_series(tmp_path: Path):
    trial = recorded("lie 0 temperature_c 0 1e9 255", tmp_path)

    recording, gpu = trial.recording, trial.gpu(0)
    told = series.table(recording.readings, recording.sources)
    temperatures = told[(told.field == "temperature_c") & (told.begin_ns > trial.marks["warm_up"] * 1e9)]
    assert ("implausible", 255.0) == (gpu["unknown"]["temperature_c"], gpu["implausible"]["temperature_c"]["said"])
    assert temperatures.value.isna().all()
    assert {"implausible"} == set(temperatures.reason)


def test_a_trial_on_a_part_of_a_gpu_may_not_claim_the_whole_nor_disown_it(tmp_path: Path):
    """A board that is lost takes its parts with it, and its energy is that of all of them."""
    part = "MIG-a0000000-1111-2222-3333-444455550001"
    block = recorded("gpus 2\nmig 0 2", tmp_path, timed_s=0.3, CUDA_VISIBLE_DEVICES=part).recording.block

    assert {0: None, 1: False} == {
        device["facts"]["index"]: device["used"] for device in block["devices"] if device["kind"] == "gpu"
    }


def test_a_sampler_that_is_killed_mid_trial_leaves_what_it_had_read(tmp_path: Path):
    def kill() -> None:
        for child in psutil.Process().children():
            if "rigmark.bench.telemetry.sampler" in child.cmdline():
                child.kill()

    trial = recorded("set 0 power_w constant 200", tmp_path, meanwhile=kill)

    assert "the sampler ended" in trial.recording.block["problem"]
    assert trial.gpu(0, "warm_up")["energy_j"] is not None
    assert trial.gpu(0)["energy_j"] is None


@pytest.mark.parametrize(("scenario", "says"), [("init 18", "different versions"), ("gpus 0", "no GPU")])
def test_without_gpus_the_rest_is_recorded_and_the_reason_is_stated(scenario: str, says: str, tmp_path: Path):
    block = recorded(scenario, tmp_path).recording.block

    assert says in block["unavailable"]["nvml"]
    assert {"host", "process"} >= {device["kind"] for device in block["devices"]} != set()
