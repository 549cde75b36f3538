"""AMD's GPUs, through AMD SMI and its own binding (amdsmi, which comes with ROCm).

Written from its documentation and from the sources of ROCm 5.7 to 7.0, whose names and units differ; it has not been
run on such a GPU yet. Only momentary power is read; older GPUs state just a mean over an unknown time.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rigmark.bench.telemetry.sources import (
    BYTES,
    CLOCK_HZ,
    POWER_W,
    RATIO,
    TEMPERATURE_C,
    Device,
    Field,
    Meaning,
    Range,
    Reading,
    Reason,
    Tier,
    Unavailable,
    Wanted,
)

RATE_HZ = 20.0
NOT_KNOWN = {"N/A", 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF}      # the library's values for what a GPU lacks
REASONS = {2: Reason.NOT_SUPPORTED, 3: Reason.NOT_SUPPORTED, 8: Reason.TIMEOUT, 10: Reason.NO_PERMISSION}
"""Reasons by amdsmi_status_t: NOT_SUPPORTED, NOT_YET_IMPLEMENTED, TIMEOUT, NO_PERM."""

Look = Callable[[Any, Any], float]               # reads a value, given the binding and the handle of a GPU


def _first(values: Mapping[str, Any], *names: str) -> float:
    """The first of these entries that exists, since releases name them differently; raises LookupError if none does."""
    for name in names:
        if values.get(name, "N/A") not in NOT_KNOWN:
            return float(values[name])
    raise LookupError(names)


def _energy_j(smi: Any, gpu: Any) -> float:
    counter = smi.amdsmi_get_energy_count(gpu)     # resolution in microjoules
    return _first(counter, "energy_accumulator", "power") * _first(counter, "counter_resolution") * 1e-6


def _clock_hz(smi: Any, gpu: Any) -> float:
    return 1e6 * _first(smi.amdsmi_get_clock_info(gpu, smi.AmdSmiClkType.GFX), "clk", "cur_clk")


def _temperature_c(smi: Any, gpu: Any) -> float:
    kind, metric = smi.AmdSmiTemperatureType.HOTSPOT, smi.AmdSmiTemperatureMetric.CURRENT
    return _first({"temperature": smi.amdsmi_get_temp_metric(gpu, kind, metric)}, "temperature")


def _field(name: str, tier: Tier, within: Range, meaning: Meaning = Meaning.GAUGE) -> Field:
    return Field(name=name, meaning=meaning, tier=tier, plausible=within)


LOOKS: tuple[tuple[Field, Look], ...] = (
    (_field("energy_j", Tier.FAST, POWER_W, Meaning.COUNTER), _energy_j),
    (_field("power_w", Tier.FAST, POWER_W),
     lambda smi, gpu: _first(smi.amdsmi_get_power_info(gpu), "current_socket_power")),
    (_field("busy_ratio", Tier.FAST, RATIO),
     lambda smi, gpu: _first(smi.amdsmi_get_gpu_activity(gpu), "gfx_activity") / 100),
    (_field("temperature_c", Tier.MEDIUM, TEMPERATURE_C), _temperature_c),
    (_field("sm_clock_hz", Tier.MEDIUM, CLOCK_HZ), _clock_hz),
    (_field("memory_used_bytes", Tier.MEDIUM, Range(high=BYTES.high, of="memory_bytes")),
     lambda smi, gpu: 2**20 * _first(smi.amdsmi_get_gpu_vram_usage(gpu), "vram_used")),
)
FIELDS = tuple(field for field, _ in LOOKS)


class Amd:
    """The GPUs of this machine."""

    def __init__(self, smi: Any, gpus: Sequence[Any]):
        self._smi, self._gpus = smi, gpus
        self.devices = tuple(_device(smi, gpu) for gpu in gpus)

    def read(self, tier: Tier) -> Iterator[Reading]:
        for position, gpu in enumerate(self._gpus):
            for number, (field, look) in enumerate(LOOKS):
                if field.tier is tier:
                    begin_ns = time.perf_counter_ns()
                    value, reason = self._looked(look, gpu)
                    yield Reading(position, number, begin_ns, time.perf_counter_ns(), value, reason)

    def _looked(self, look: Look, gpu: Any) -> tuple[float | None, Reason | None]:
        try:
            return look(self._smi, gpu), None
        except self._smi.AmdSmiException as error:
            return None, _reason(error)
        except LookupError:                      # the answer lacks the entry
            return None, Reason.NOT_SUPPORTED
        except (AttributeError, TypeError, ValueError):      # the answer of an unknown release
            return None, Reason.NOT_FOUND

    def watch(self, processes: Sequence[int]) -> None:
        pass                     # the processes of a GPU are not read

    def close(self) -> None:
        self._smi.amdsmi_shut_down()


def _reason(error: Any) -> Reason:
    ask: Callable[[], int] | None = getattr(error, "get_error_code", None)
    return Reason.FAILED if ask is None else REASONS.get(ask(), Reason.FAILED)


def _device(smi: Any, gpu: Any) -> Device:
    facts: dict[str, Any] = {}
    unknown: dict[str, Reason] = {}
    asks: tuple[tuple[str, Callable[[], Any]], ...] = (
        ("pci_bus_id", lambda: smi.amdsmi_get_gpu_device_bdf(gpu).lower()),
        ("driver", lambda: smi.amdsmi_get_gpu_driver_info(gpu)["driver_version"]),
        ("memory_bytes", lambda: 2**20 * smi.amdsmi_get_gpu_vram_usage(gpu)["vram_total"]),
        ("name", lambda: smi.amdsmi_get_gpu_asic_info(gpu)["market_name"]),
    )
    for name, ask in asks:
        try:
            facts[name] = ask()
        except (smi.AmdSmiException, LookupError, AttributeError, TypeError) as error:
            unknown[name] = _reason(error)
    return Device(
        id=smi.amdsmi_get_gpu_device_uuid(gpu), kind="gpu", name=facts.pop("name", "AMD GPU"), facts=facts,
        unknown=unknown,
    )


def open_source(wanted: Wanted) -> Amd:
    """All AMD GPUs, or the wanted ones; raises Unavailable if there is no GPU or no library."""
    try:
        amdsmi: Any = importlib.import_module("amdsmi")
    except Exception:            # without ROCm's library it raises an error of its own
        raise Unavailable("the tools of AMD's driver are missing (cannot import amdsmi of ROCm)") from None
    try:
        amdsmi.amdsmi_init()
        gpus = [
            gpu for gpu in amdsmi.amdsmi_get_processor_handles()
            if not wanted.gpus or amdsmi.amdsmi_get_gpu_device_uuid(gpu) in wanted.gpus
        ]
    except amdsmi.AmdSmiException as error:
        raise Unavailable(f"AMD SMI does not start: {error}") from None
    if not gpus:
        raise Unavailable("AMD SMI sees no GPU")
    return Amd(amdsmi, gpus)
