"""AMD's GPUs behind a binding that answers as its releases do."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from rigmark.bench.telemetry.sources import Reason, Tier, Unavailable, Wanted, amd


class Refused(Exception):
    def __init__(self, code: int):
        super().__init__(f"error {code}")
        self._code = code

    def get_error_code(self) -> int:
        return self._code


def answer(value: Any) -> Any:
    """A function of the binding that says so, or raises it."""
    def function(*arguments: Any) -> Any:
        if isinstance(value, Exception):
            raise value
        return value

    return function


NEWEST: dict[str, Any] = {
    "init": None, "shut_down": None, "get_processor_handles": ["gpu"], "get_gpu_device_uuid": "ab-cd",
    "get_gpu_device_bdf": "0000:C1:00.0", "get_gpu_asic_info": {"market_name": "AMD Instinct MI300X"},
    "get_gpu_driver_info": {"driver_version": "6.10.5"},
    "get_energy_count": {"energy_accumulator": 2_000_000, "counter_resolution": 15.3, "timestamp": 7},
    "get_power_info": {"current_socket_power": 420, "average_socket_power": "N/A"},
    "get_gpu_activity": {"gfx_activity": 91, "umc_activity": 3}, "get_clock_info": {"clk": 2100},
    "get_temp_metric": 67, "get_gpu_vram_usage": {"vram_used": 1024, "vram_total": 196_608},
}
OLDER = {
    "get_energy_count": {"power": 2_000_000, "counter_resolution": 15.3, "timestamp": 7},
    "get_power_info": {"current_socket_power": 0xFFFFFFFF, "average_socket_power": 120},
    "get_clock_info": {"cur_clk": 2100},
}


def opened(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> amd.Amd:
    kinds = SimpleNamespace(GFX=0, HOTSPOT=1, CURRENT=0)
    monkeypatch.setitem(sys.modules, "amdsmi", SimpleNamespace(
        AmdSmiException=Refused, AmdSmiClkType=kinds, AmdSmiTemperatureType=kinds, AmdSmiTemperatureMetric=kinds,
        **{f"amdsmi_{name}": answer(value) for name, value in {**NEWEST, **changes}.items()},
    ))
    return amd.open_source(Wanted())


def readings(source: amd.Amd) -> dict[str, Any]:
    return {
        amd.FIELDS[reading.field].name: reading.value if reading.reason is None else reading.reason
        for tier in Tier for reading in source.read(tier)
    }


EXPECTED = {
    "energy_j": 30.6, "power_w": 420.0, "busy_ratio": 0.91, "temperature_c": 67.0, "sm_clock_hz": 2.1e9,
    "memory_used_bytes": 2**30,
}


def test_every_field_is_in_the_unit_of_its_name(monkeypatch: pytest.MonkeyPatch):
    source = opened(monkeypatch)

    assert pytest.approx(EXPECTED) == readings(source)
    (device,) = source.devices
    assert ("ab-cd", "gpu", "AMD Instinct MI300X", {}) == (device.id, device.kind, device.name, device.unknown)
    assert {"pci_bus_id": "0000:c1:00.0", "driver": "6.10.5", "memory_bytes": 192 * 2**30} == device.facts


def test_older_names_are_understood_and_an_average_is_not_taken_for_the_moment(monkeypatch: pytest.MonkeyPatch):
    assert pytest.approx({**EXPECTED, "power_w": None}) == {
        **readings(opened(monkeypatch, **OLDER)), "power_w": None
    }
    assert Reason.NOT_SUPPORTED is readings(opened(monkeypatch, **OLDER))["power_w"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [(2, Reason.NOT_SUPPORTED), (8, Reason.TIMEOUT), (10, Reason.NO_PERMISSION), (34, Reason.FAILED)],
)
def test_a_refusal_has_its_reason_and_costs_no_other_field(
    monkeypatch: pytest.MonkeyPatch, code: int, reason: Reason
):
    values = readings(opened(monkeypatch, get_energy_count=Refused(code), get_gpu_asic_info=Refused(code)))

    assert reason is values.pop("energy_j")
    assert pytest.approx({name: value for name, value in EXPECTED.items() if name != "energy_j"}) == values


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [({"init": Refused(34)}, "does not start: error 34"), ({"get_processor_handles": []}, "no GPU")],
)
def test_a_machine_without_such_a_gpu_says_so(monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], sentence: str):
    with pytest.raises(Unavailable, match=sentence):
        opened(monkeypatch, **changes)


def test_a_machine_without_the_binding_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "amdsmi", None)

    with pytest.raises(Unavailable, match="amdsmi"):
        amd.open_source(Wanted())
