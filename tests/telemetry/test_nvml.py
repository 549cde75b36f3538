"""NVIDIA's GPUs as they answer, and as they fail: a simulated driver under NVIDIA's own binding."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rigmark.bench.telemetry.sources import Meaning, Tier, nvml
from tests.telemetry import simulator
from tests.telemetry.simulator import ENERGY, POWER, ROOT, Driver

UUIDS = [f"GPU-{0xa0000000 + index:08x}-1111-2222-3333-44445555ffff" for index in range(8)]


def played(folder: Path, *, is_old: bool = False) -> Iterator[Driver]:
    if simulator.compiler() is None:
        pytest.skip(simulator.MISSING)
    driver = Driver(folder, is_old=is_old)
    yield driver
    driver.close()


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    yield from played(tmp_path_factory.mktemp("driver"))


@pytest.fixture(scope="module")
def old_driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    yield from played(tmp_path_factory.mktemp("old_driver"), is_old=True)


# What is read ----------------------------------------------------------------------------------------------------


def test_a_sound_gpu_with_a_new_driver_tells_everything(driver: Driver):
    look = driver.play("gpus 8\nprocess * own 1073741824", processes=[driver.pid])

    assert [{}] * 8 == [look.unknown(device) for device in range(8)]
    assert [{}] * 8 == [device["unknown"] for device in look.devices]
    assert UUIDS == [device["id"] for device in look.devices]


def test_numbers_are_in_the_units_of_their_names(driver: Driver):
    look = driver.play("process 0 own 1073741824\nprocess 0 1 5", at=[10.0], processes=[driver.pid])

    expected = {
        "energy_j": 1000, "power_w": 100, "busy_ratio": 0.5, "memory_busy_ratio": 0.25, "temperature_c": 50,
        "memory_temperature_c": 60, "sm_clock_hz": 1.41e9, "memory_clock_hz": 1.215e9, "memory_used_bytes": 2 * 1024**3,
        "performance_state": 0, "power_limit_w": 400, "pcie_link_generation": 4, "pcie_link_width": 16,
        "pcie_sent_bytes": 1e10, "pcie_received_bytes": 2e10, "pcie_replays": 3, "nvlink_sent_bytes": 1.024e10,
        "nvlink_received_bytes": 2.048e10, "fan_ratio": 0.3, "process_memory_bytes": 1024**3, "other_processes": 1,
        "clock_events": 0, "throttled_power_s": 0, "throttled_thermal_s": 0, "ecc_corrected_errors": 0,
        "ecc_uncorrected_errors": 0, "row_remap_pending": 0,
    }
    assert expected == {field.name: pytest.approx(look[0, field.name][0]) for field in nvml.FIELDS}


def test_facts_say_what_the_card_is_and_may(driver: Driver):
    facts = driver.play("gpus 2").devices[1]["facts"]

    assert ("550.54.15", "12.4", "8.0", "ampere") == tuple(
        facts[name] for name in ("driver", "cuda", "compute_capability", "architecture")
    )
    assert ("00000000:11:00.0", 1) == (facts["pci_bus_id"], facts["index"])
    assert (400, 400, 100, 400) == tuple(
        pytest.approx(facts[f"power_limit_{name}w"]) for name in ("", "default_", "min_", "max_")
    )
    assert (80 * 1024**3, 1024**3 / 2) == (facts["memory_bytes"], facts["memory_reserved_bytes"])
    assert ("default", True, False) == tuple(facts[name] for name in ("compute_mode", "ecc", "mig"))


CURVES = {
    "constant 250": lambda t: 250,
    "sine 200 50 1.7": lambda t: 200 + 50 * math.sin(2 * math.pi * t / 1.7),
    "square 80 300 0.9 0.6": lambda t: 300 if t / 0.9 % 1 >= 0.4 else 80,
    "training 70 300 0.237": lambda t: 70 if t / 0.237 % 1 < 0.15 else 254 if t / 0.237 % 1 < 0.45 else 300,
}


@pytest.mark.parametrize("curve", CURVES)
def test_the_simulated_counter_is_the_integral_of_power_up_to_its_last_tick(driver: Driver, curve: str):
    energy = driver.play(f"set 0 power_w {curve}\ncounter 0 0.1", at=[4.25, 4.29, 4.3], tiers=["fast"])[0, ENERGY]

    def integral(end: float, parts: int = 200_000) -> float:
        return math.fsum(CURVES[curve]((part + 0.5) * end / parts) for part in range(parts)) * end / parts

    assert pytest.approx([integral(4.2)] * 2 + [integral(4.3)], abs=0.02) == energy


def test_power_is_of_the_moment_where_a_card_has_that_and_says_so_else(driver: Driver):
    moving = "set 0 power_w square 100 300 4 0.5\nsensor 0 power_w 0.1 1.0\n"      # 300 W from second 2 on
    lacking = "fault 0 field:186 0 99 error 3\n"
    instant = driver.play(moving, at=[2.5])
    average = driver.play(moving + lacking + "fault 0 field:186:1 0 99 error 3\ncapability 0 8 6", at=[2.5])
    older = driver.play(lacking + "capability 0 7 5")
    module = driver.play(lacking + "fault 0 GetPowerUsage 0 99 error 3")

    assert [300] == pytest.approx(instant[0, POWER])
    assert [200] == pytest.approx(average[0, POWER])
    assert [100] == pytest.approx(module[0, POWER])
    assert [(0.0, "gpu"), (1.0, "gpu"), (0.0, "gpu"), (0.0, "module")] == [
        (look.devices[0]["facts"]["power_average_s"], look.devices[0]["facts"]["power_scope"])
        for look in (instant, average, older, module)
    ]


def test_used_memory_is_the_same_whether_the_driver_counts_what_it_reserves_or_not(driver: Driver):
    includes, excludes = (driver.play(f"memory 0 {way}")[0, "memory_used_bytes"] for way in ("includes", "excludes"))

    assert [2 * 1024**3] == includes == excludes


def test_each_clock_event_has_its_bit_and_the_time_it_held_the_clocks_down(driver: Driver):
    look = driver.play("event 0 0x4 1 2\nevent 0 0x40 1.5 4\nevent 0 0x800 3 4", at=[0.5, 1.75, 3.5])

    assert [0, 0x44, 0x840] == look[0, "clock_events"]
    assert [0, 0.75, 1] == pytest.approx(look[0, "throttled_power_s"])
    assert [0, 0.25, 2] == pytest.approx(look[0, "throttled_thermal_s"])
    flags = next(field.flags for field in nvml.FIELDS if field.meaning is Meaning.BITS)
    assert ("power_cap", "hw_thermal") == (flags[2], flags[6])


def test_nvlink_traffic_is_that_of_all_links(driver: Driver):
    assert [1.024e9] == pytest.approx(driver.play(at=[1.0])[0, "nvlink_sent_bytes"], rel=1e-6)     # one has a twelfth


# Whose GPU, and whose processes ----------------------------------------------------------------------------------


def test_gpus_are_found_by_uuid_or_pci_address_in_the_order_asked(driver: Driver):
    look = driver.play("gpus 8", gpus=[UUIDS[5], "0000:12:00.0", UUIDS[0].upper()])

    assert [UUIDS[5], UUIDS[2], UUIDS[0]] == [device["id"] for device in look.devices]


def test_a_gpu_that_is_not_there_is_unknown_and_the_others_are_read(driver: Driver):
    look = driver.play("gpus 2", gpus=["GPU-gone", UUIDS[1]])

    assert ["not_found"] == look[0, POWER]
    assert [100] == pytest.approx(look[1, POWER])


def test_a_part_of_a_gpu_has_its_own_memory_and_the_power_of_the_board(driver: Driver):
    divided = "gpus 2\nmig 0 3\nset 0 power_w constant 300"
    board = driver.play(divided).devices[0]["facts"]
    part = driver.play(divided, gpus=[board["mig_instances"][1]])

    assert 3 == len(board["mig_instances"])
    assert [2 * 1024**3 / 8] == part[0, "memory_used_bytes"]
    assert [300] == pytest.approx(part[0, POWER])
    assert UUIDS[0] == part.devices[0]["facts"]["board"]
    assert {POWER, ENERGY} <= set(part.devices[0]["facts"]["board_fields"])
    assert ["not_supported"] == part[0, "busy_ratio"]      # the driver has none for a divided GPU


def test_other_processes_are_counted_only_where_the_list_shows_the_trial(driver: Driver):
    listed = "process 0 own 5\nprocess 0 1 7"

    assert [1] == driver.play(listed, processes=[driver.pid])[0, "other_processes"]
    assert [1] == driver.play(listed, processes=[os.getpid()])[0, "other_processes"]      # its parent is the trial's
    assert ["not_found"] == driver.play("process 0 1 7", processes=[driver.pid])[0, "other_processes"]


def test_what_is_dear_is_asked_once_a_second_only(driver: Driver):
    fast = driver.play(at=[1.0, 1.05, 1.1], tiers=["fast"]).calls
    medium = driver.play(at=[1.0], tiers=["medium"]).calls
    at_marks = driver.play(at=[1.0], tiers=["fast", "events"]).calls

    assert {"GetFieldValues", "GetUtilizationRates"} == set(fast)
    assert 6 == len(fast)
    assert ["GetFieldValues"] * 2 == [call for call in at_marks if call != "GetUtilizationRates"]
    assert not {"GetComputeRunningProcesses", "GetFanSpeed"} & {*fast, *medium}


# What fails ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "says"), [
    (9, "not loaded"), (18, "different versions"), (4, "permission"), (12, "no NVIDIA driver"), (999, "cannot be used"),
])
def test_a_driver_that_does_not_start_is_a_sentence(driver: Driver, code: int, says: str):
    assert says in str(driver.play(f"init {code}").unavailable)


def test_no_gpu_is_a_sentence_and_many_are_all_read(driver: Driver):
    assert "no GPU" in str(driver.play("gpus 0").unavailable)
    assert 64 == len(driver.play("gpus 64", tiers=["fast"]).devices)


def test_a_machine_without_the_library_is_a_sentence():
    code = "from rigmark.bench.telemetry.sources import Wanted, nvml; nvml.open_source(Wanted())"
    variables = {"PATH": os.defpath, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False)

    assert "Unavailable: no NVIDIA driver" in ended.stderr or ended.returncode == 0      # where there is a real one


def test_what_a_card_lacks_is_unknown_with_its_reason_and_never_zero(driver: Driver):
    no_counter = "fault 0 field:83 0 99 error 3\nfault 0 GetTotalEnergyConsumption 0 99 error 3\n"
    no_power = "fault 0 field:186 0 99 error 3\nfault 0 field:186:1 0 99 error 3\nfault 0 GetPowerUsage 0 99 error 3\n"
    one, both = driver.play(no_counter), driver.play(no_counter + no_power)

    assert ["not_supported"] == one[0, ENERGY]
    assert [100] == pytest.approx(one[0, POWER])
    assert ["not_supported"] * 2 == [both.unknown(0)[name] for name in (ENERGY, POWER)]
    assert "power_average_s" not in both.devices[0]["facts"]


@pytest.mark.parametrize("limit_w", [0, 4e6])
def test_a_limit_that_cannot_be_is_no_fact(driver: Driver, limit_w: float):
    device = driver.play(f"lie 0 power_limit_w 0 99 {limit_w}").devices[0]

    assert "implausible" == device["unknown"]["power_limit_w"]
    assert "power_limit_w" not in device["facts"]


def test_two_gpus_that_tell_one_uuid_are_known_by_their_places(driver: Driver):
    look = driver.play("gpus 3\nuuid 1 0\nset 1 power_w constant 200")

    assert ["00000000:10:00.0", "00000000:11:00.0", UUIDS[2]] == [device["id"] for device in look.devices]
    assert ([100], [200]) == (pytest.approx(look[0, POWER]), pytest.approx(look[1, POWER]))


def test_refused_facts_are_unknown_each_for_itself(driver: Driver):
    device = driver.play("fault 0 GetVbiosVersion 0 99 error 4\nfault 0 GetUUID 0 99 error 4").devices[0]

    assert {"vbios": "no_permission", "id": "no_permission"} == device["unknown"]
    assert "00000000:10:00.0" == device["id"]


def test_a_lost_gpu_is_lost_from_then_on_and_the_others_go_on(driver: Driver):
    look = driver.play("gpus 3\nfault 1 * 2 99 error 15", at=[1.0, 2.0, 3.0])

    assert [100, "lost", "lost"] == [look[1, POWER][0], *look[1, POWER][1:]]
    assert ["lost"] * 2 == look[1, "fan_ratio"][1:]
    assert [100] * 3 == pytest.approx(look[2, POWER])


def test_a_lost_gpu_is_asked_once_a_tier_not_for_every_field(driver: Driver):
    assert len(Tier) == len(driver.play("fault 0 * 2 99 error 15", at=[3.0]).calls)


def test_a_gpu_lost_before_the_start_is_listed_as_such(driver: Driver):
    look = driver.play("gpus 2\nfault 0 * 0 99 error 15")

    assert ["gpu-0", UUIDS[1]] == [device["id"] for device in look.devices]
    assert ["lost"] == look[0, ENERGY]
    assert [100] == pytest.approx(look[1, POWER])


def test_a_call_that_times_out_now_and_then_costs_those_readings_only(driver: Driver):
    look = driver.play("fault 0 GetUtilizationRates 1 99 every 3 10", at=[1, 2, 3, 4, 5, 6], tiers=["fast"])

    assert [0.5, 0.5, "timeout"] * 2 == look[0, "busy_ratio"]
    assert "timeout" not in look[0, POWER]


def test_a_field_that_answers_late_is_read_when_it_does(driver: Driver):
    look = driver.play("fault 0 field:83 0 2 error 10\nfault 0 GetTotalEnergyConsumption 0 2 error 10", at=[1.0, 3.0])

    assert ["timeout", pytest.approx(300)] == look[0, ENERGY]


def test_a_frozen_sensor_and_a_counter_that_begins_anew_are_handed_on_as_they_are(driver: Driver):
    frozen = driver.play("set 0 power_w sine 200 50 3\nfault 0 field:186 1 99 frozen", at=[1.0, 2.0, 2.5])
    reset = driver.play("reset 0 2", at=[1.0, 2.5])

    assert 1 == len(set(frozen[0, POWER]))
    assert [100, 50] == pytest.approx(reset[0, ENERGY])


def test_an_old_driver_is_read_by_its_older_functions(old_driver: Driver):
    look = old_driver.play("event 0 0x4 0 99\nprocess 0 own 5", processes=[old_driver.pid])

    assert {
        "energy_j", "memory_temperature_c", "pcie_sent_bytes", "pcie_received_bytes", "nvlink_sent_bytes",
        "nvlink_received_bytes",
    } == set(look.unknown(0))
    assert {"not_found"} == set(look.unknown(0).values())
    assert [4] == look[0, "clock_events"]
    assert [50] == look[0, "temperature_c"]
    assert [2.5 * 1024**3] == look[0, "memory_used_bytes"]     # what the driver reserves cannot be taken off
    assert {"memory_reserved_bytes", "nvlinks"} == set(look.devices[0]["unknown"])


def test_every_reading_of_a_field_is_in_the_tier_of_that_field(driver: Driver):
    for tier in Tier:
        names = {name for _, name in driver.play(tiers=[tier]).values}
        assert {field.name for field in nvml.FIELDS if field.tier is tier} == names


@pytest.mark.parametrize("call", ["GetUUID", "GetFieldValues"])
def test_a_gpu_that_hangs_as_it_is_opened_is_told_to_and_the_others_are_read(tmp_path: Path, call: str):
    for driver in played(tmp_path):
        look = driver.play(f"gpus 3\nset * power_w constant 200\nfault 1 {call} 0 1e9 hang", silent_s=1.0)

    assert [200, "timeout", 200] == [look[device, POWER][0] for device in range(3)]
    assert (UUIDS[0], UUIDS[2]) == (look.devices[0]["id"], look.devices[2]["id"])
