"""NVIDIA's GPUs, through NVML and NVIDIA's own binding of it (nvidia-ml-py).

Every field and fact may be unknown, each for its own reason: what can be read depends on GPU, driver and permissions.
If NVML has several functions for a field, the newest comes first, and the first that a GPU supports is used.
Device ids are UUIDs: NVML's index may change at a reboot and differs from CUDA's.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

import psutil
import pynvml

from rigmark.bench.telemetry import cuda
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
    Source,
    Tier,
    Unavailable,
    Wanted,
)

# Bits of nvmlDeviceGetCurrentClocksEventReasons, lowest first. Idle and application_clocks are no problem; the last two
# exist only under the older name of that function.
CLOCK_EVENTS = (
    "idle", "application_clocks", "power_cap", "hw_slowdown", "sync_boost", "thermal", "hw_thermal", "power_brake",
    "display_clock", "board_limit", "reliability",
)

RATE_HZ = 20.0                   # twice the rate of most sensors: see bench.telemetry.energy
AVERAGE_S = 1.0                  # window of nvmlDeviceGetPowerUsage, if it averages, by its documentation
ALL_LINKS = 0xFFFFFFFF           # scope of NVLink counters; the default, 0, is only the first link
PSTATE_UNKNOWN = 32
SILENT_S = 10.0                  # without a further answer: the remaining GPUs hang. A driver wakes
                                 # sleeping GPUs one after another, which takes some seconds each.

T = TypeVar("T")

_REASONS = {
    pynvml.NVML_ERROR_NOT_SUPPORTED: Reason.NOT_SUPPORTED,
    pynvml.NVML_ERROR_NO_PERMISSION: Reason.NO_PERMISSION,
    pynvml.NVML_ERROR_NOT_FOUND: Reason.NOT_FOUND,
    pynvml.NVML_ERROR_TIMEOUT: Reason.TIMEOUT,
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: Reason.NOT_FOUND,
    pynvml.NVML_ERROR_GPU_IS_LOST: Reason.LOST,
    pynvml.NVML_ERROR_RESET_REQUIRED: Reason.LOST,       # nothing can run on it before a reset
    25: Reason.NOT_FOUND,        # NVML_ERROR_ARGUMENT_VERSION_MISMATCH; older bindings have no name for it
    26: Reason.NOT_FOUND,        # NVML_ERROR_DEPRECATED
    28: Reason.LOST,             # NVML_ERROR_GPU_NOT_FOUND
}
# Permanent reasons: a function with one of these answers need not be called again.
_FOR_GOOD = (Reason.NOT_SUPPORTED, Reason.NOT_FOUND)

_NOT_STARTED = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:
        "no NVIDIA driver (libnvidia-ml.so.1 is not found): install it; in a container give access to it (--gpus all)",
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED:
        "the NVIDIA driver is installed but not loaded: run 'modprobe nvidia' as root, or reinstall the driver",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        "the NVIDIA driver's library and its kernel module are of different versions, as after an update: reboot",
    pynvml.NVML_ERROR_NO_PERMISSION:
        "no permission to use the NVIDIA driver: give this user access to /dev/nvidia* (often by the group video)",
}


class _Value(NamedTuple):
    """An entry of nvmlDeviceGetFieldValues. One call reads many entries, and each has an error code of its own."""

    id: int
    scale: float = 1.0           # factor to the unit of our field
    scope: int = 0


class _Gpu:
    """The handles with which the functions below are called."""

    def __init__(self, board: Any, watched: list[int], instance: Any = None) -> None:
        self.board = board
        self.instance = instance             # of MIG
        self.handle = board if instance is None else instance
        self.watched = watched               # ids of the trial's processes; a list that the board changes


# Returns a number, or a tuple with one entry per field: a number, or the Reason why it is unknown.
_Call = Callable[[_Gpu], Any]
_Way = _Value | _Call


@dataclass(frozen=True)
class _Item:
    """Fields that are read together, and the ways to read them, best first."""

    fields: tuple[Field, ...]
    ways: tuple[_Way, ...]


def _item(
    tier: Tier, meaning: Meaning, names: str, *ways: _Way, within: Range | None = None, flags: tuple[str, ...] = ()
) -> _Item:
    fields = tuple(
        Field(name=name, meaning=meaning, tier=tier, flags=flags, plausible=within) for name in names.split()
    )
    return _Item(fields, ways)


def _power(gpu: _Gpu) -> float:
    return float(pynvml.nvmlDeviceGetPowerUsage(gpu.board)) * 1e-3


def _busy(gpu: _Gpu) -> tuple[float, float]:
    rates = pynvml.nvmlDeviceGetUtilizationRates(gpu.board)
    return rates.gpu / 100, rates.memory / 100


def _memory(gpu: _Gpu) -> int:
    memory = pynvml.nvmlDeviceGetMemoryInfo(gpu.handle, version=pynvml.nvmlMemory_v2)
    return used_by_processes(memory.total, memory.reserved, memory.free, memory.used)


def used_by_processes(total: int, reserved: int, free: int, used: int) -> int:
    """Bytes in use without those that the driver reserves, from the numbers of nvmlDeviceGetMemoryInfo_v2.

    The documented meaning of "used" changed between releases of NVML, and GPUs have been seen with either; the sum that
    equals the total decides.
    """
    holds_reserved = abs(total - free - used) < abs(total - free - used - reserved)
    return used - reserved if holds_reserved else used


def _performance_state(gpu: _Gpu) -> tuple[int | Reason]:
    state = int(pynvml.nvmlDeviceGetPerformanceState(gpu.board))
    return (Reason.NOT_SUPPORTED,) if state == PSTATE_UNKNOWN else (state,)


def _processes(function: str) -> _Call:
    def read(gpu: _Gpu) -> tuple[int | Reason, int | Reason]:
        listed = getattr(pynvml, function)(gpu.handle)
        ours = [process for process in listed if _is_within(process.pid, gpu.watched)]
        # In a container the driver may list process ids of the host, or hide those of others, so the list is trusted
        # only if it contains the trial.
        if not ours:
            return Reason.NOT_FOUND, Reason.NOT_FOUND
        used = [process.usedGpuMemory for process in ours]
        known = Reason.NOT_SUPPORTED if None in used else sum(used)      # None on Windows with WDDM
        return len({process.pid for process in listed} - {process.pid for process in ours}), known

    return read


def _is_within(pid: int, watched: Sequence[int]) -> bool:
    """Whether a process is one of the watched processes, or a descendant of one."""
    try:
        process: psutil.Process | None = psutil.Process(pid)
        while process is not None and process.pid not in watched:
            process = process.parent()
    except psutil.Error:
        return pid in watched
    return process is not None


def _clock(kind: str) -> _Call:
    return lambda gpu: pynvml.nvmlDeviceGetClockInfo(gpu.board, getattr(pynvml, kind)) * 1e6


def _throttled(policy: int) -> _Call:
    return lambda gpu: pynvml.nvmlDeviceGetViolationStatus(gpu.board, policy).violationTime * 1e-9


def _ecc_errors(kind: str) -> _Call:
    return lambda gpu: pynvml.nvmlDeviceGetTotalEccErrors(gpu.board, getattr(pynvml, kind), pynvml.NVML_VOLATILE_ECC)


# Tiers follow the cost of a call, as others measured it: momentary power 3 us, utilisation 2.5 us, memory 12 us, fan
# 137 us, byte counters of PCIe 0.3 ms, list of processes 4.5 ms. nvmlDeviceGetPcieThroughput blocks for 20 ms and is
# not used.
#
# A value beyond the limits of the GPU is not a reading. But momentary power exceeds the limit, which holds for its
# mean, a clock may be raised by hand, and a chip becomes a little hotter than its threshold before it is shut down.
_POWER = Range(low=POWER_W.low, high=POWER_W.high, of="power_limit_max_w", times=2.0)
_TEMPERATURE = Range(low=TEMPERATURE_C.low, high=TEMPERATURE_C.high, of="temperature_shutdown_c", times=1.15)
_OWN_BYTES = Range(high=BYTES.high, of="memory_bytes")
_LINK_BYTES_PER_S = Range(high=1e13)
_SECONDS_PER_S = Range(high=1.1)

_ITEMS = (
    _item(Tier.FAST, Meaning.COUNTER, "energy_j",
          _Value(83, 1e-3),
          lambda gpu: pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu.board) * 1e-3, within=_POWER),
    # Scope 1 is the module; Grace Hopper answers for no other scope.
    _item(Tier.FAST, Meaning.GAUGE, "power_w", _Value(186, 1e-3), _power, _Value(186, 1e-3, 1),
          within=_POWER),
    _item(Tier.FAST, Meaning.GAUGE, "busy_ratio memory_busy_ratio", _busy, within=RATIO),
    _item(Tier.MEDIUM, Meaning.GAUGE, "temperature_c",
          lambda gpu: pynvml.nvmlDeviceGetTemperatureV(gpu.board, pynvml.NVML_TEMPERATURE_GPU),
          lambda gpu: pynvml.nvmlDeviceGetTemperature(gpu.board, pynvml.NVML_TEMPERATURE_GPU), within=_TEMPERATURE),
    _item(Tier.MEDIUM, Meaning.GAUGE, "memory_temperature_c", _Value(82), within=TEMPERATURE_C),
    _item(Tier.MEDIUM, Meaning.GAUGE, "sm_clock_hz", _clock("NVML_CLOCK_SM"),
          within=Range(low=CLOCK_HZ.low, high=CLOCK_HZ.high, of="sm_clock_max_hz", times=1.25)),
    _item(Tier.MEDIUM, Meaning.GAUGE, "memory_clock_hz", _clock("NVML_CLOCK_MEM"),
          within=Range(low=CLOCK_HZ.low, high=CLOCK_HZ.high, of="memory_clock_max_hz", times=1.25)),
    _item(Tier.MEDIUM, Meaning.BITS, "clock_events",
          lambda gpu: pynvml.nvmlDeviceGetCurrentClocksEventReasons(gpu.board),
          lambda gpu: pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu.board), flags=CLOCK_EVENTS),
    _item(Tier.MEDIUM, Meaning.GAUGE, "memory_used_bytes",
          _memory, lambda gpu: pynvml.nvmlDeviceGetMemoryInfo(gpu.handle).used, within=_OWN_BYTES),
    _item(Tier.MEDIUM, Meaning.GAUGE, "performance_state", _performance_state, within=Range(high=15)),
    _item(Tier.SLOW, Meaning.GAUGE, "power_limit_w",
          lambda gpu: pynvml.nvmlDeviceGetEnforcedPowerLimit(gpu.board) * 1e-3, within=_POWER),
    # An idle link may slow down, so these two mean something only under load.
    _item(Tier.SLOW, Meaning.GAUGE, "pcie_link_generation",
          lambda gpu: pynvml.nvmlDeviceGetCurrPcieLinkGeneration(gpu.board), within=Range(low=1, high=8)),
    _item(Tier.SLOW, Meaning.GAUGE, "pcie_link_width",
          lambda gpu: pynvml.nvmlDeviceGetCurrPcieLinkWidth(gpu.board), within=Range(low=1, high=32)),
    _item(Tier.SLOW, Meaning.COUNTER, "pcie_sent_bytes", _Value(197), within=_LINK_BYTES_PER_S),
    _item(Tier.SLOW, Meaning.COUNTER, "pcie_received_bytes", _Value(198), within=_LINK_BYTES_PER_S),
    _item(Tier.SLOW, Meaning.COUNTER, "pcie_replays", lambda gpu: pynvml.nvmlDeviceGetPcieReplayCounter(gpu.board)),
    _item(Tier.SLOW, Meaning.COUNTER, "nvlink_sent_bytes", _Value(138, 1024, ALL_LINKS), within=_LINK_BYTES_PER_S),
    _item(Tier.SLOW, Meaning.COUNTER, "nvlink_received_bytes", _Value(139, 1024, ALL_LINKS), within=_LINK_BYTES_PER_S),
    # Detects events that are too short for clock_events. Finer counters (hardware thermal, power brake) changed their
    # numbers between releases of NVML, from 251..253 to 269..271, so an older driver would return another counter.
    _item(Tier.EVENTS, Meaning.COUNTER, "throttled_power_s", _Value(74, 1e-9), _throttled(0), within=_SECONDS_PER_S),
    _item(Tier.EVENTS, Meaning.COUNTER, "throttled_thermal_s", _Value(75, 1e-9), _throttled(1), within=_SECONDS_PER_S),
    _item(Tier.EVENTS, Meaning.COUNTER, "ecc_corrected_errors",
          _Value(3), _ecc_errors("NVML_MEMORY_ERROR_TYPE_CORRECTED")),
    _item(Tier.EVENTS, Meaning.COUNTER, "ecc_uncorrected_errors",
          _Value(4), _ecc_errors("NVML_MEMORY_ERROR_TYPE_UNCORRECTED")),
    _item(Tier.EVENTS, Meaning.GAUGE, "row_remap_pending",
          _Value(144), lambda gpu: pynvml.nvmlDeviceGetRemappedRows(gpu.board)[2], within=RATIO),
    # According to its documentation it may exceed 100 %, which is the speed that the noise limit allows.
    _item(Tier.SLOW, Meaning.GAUGE, "fan_ratio", lambda gpu: pynvml.nvmlDeviceGetFanSpeed(gpu.board) / 100,
          within=Range(high=2.0)),
    _item(Tier.SLOW, Meaning.GAUGE, "other_processes process_memory_bytes",
          _processes("nvmlDeviceGetComputeRunningProcesses_v3"), _processes("nvmlDeviceGetComputeRunningProcesses_v2"),
          within=_OWN_BYTES),
)
FIELDS = tuple(field for item in _ITEMS for field in item.fields)
_NUMBERS = {field.name: number for number, field in enumerate(FIELDS)}
# Fields that NVML has for a part of a GPU (MIG); all others belong to the whole board.
_OF_INSTANCE = ("memory_used_bytes", "other_processes", "process_memory_bytes")


def _mode(function: str) -> _Call:
    return lambda gpu: bool(getattr(pynvml, function)(gpu.board)[0])


def _named(function: str, prefix: str) -> _Call:
    """The name in the binding of the constant that a function returns, in lower case."""
    def read(gpu: _Gpu) -> str:
        number = getattr(pynvml, function)(gpu.board)
        names = [name for name, value in vars(pynvml).items() if name.startswith(prefix) and value == number]
        return names[0].removeprefix(prefix).lower() if names else str(number)

    return read


def _threshold(name: str) -> _Call:
    return lambda gpu: pynvml.nvmlDeviceGetTemperatureThreshold(gpu.board, getattr(pynvml, name))


def _limit(end: int) -> _Call:
    return lambda gpu: pynvml.nvmlDeviceGetPowerManagementLimitConstraints(gpu.board)[end] * 1e-3


def _fastest(kind: str) -> _Call:
    return lambda gpu: pynvml.nvmlDeviceGetMaxClockInfo(gpu.board, getattr(pynvml, kind)) * 1e6


def _power_average(gpu: _Gpu) -> float:
    # Documentation of nvmlDeviceGetPowerUsage: an average on Ampere except GA100 (8.0), and on newer GPUs.
    return AVERAGE_S if pynvml.nvmlDeviceGetCudaComputeCapability(gpu.board) > (8, 0) else 0.0


def _cuda(_: _Gpu) -> str:
    version = pynvml.nvmlSystemGetCudaDriverVersion_v2()         # 12040 is 12.4
    return f"{version // 1000}.{version % 1000 // 10}"


_FACTS: dict[str, _Way] = {
    "driver": lambda _: pynvml.nvmlSystemGetDriverVersion(),
    "cuda": _cuda,                                    # the newest that the driver supports, not the installed one
    "nvml": lambda _: pynvml.nvmlSystemGetNVMLVersion(),
    "index": lambda gpu: pynvml.nvmlDeviceGetIndex(gpu.board),
    "pci_bus_id": lambda gpu: cuda.pci_bus_id(pynvml.nvmlDeviceGetPciInfo(gpu.board).busId),
    "vbios": lambda gpu: pynvml.nvmlDeviceGetVbiosVersion(gpu.board),
    "architecture": _named("nvmlDeviceGetArchitecture", "NVML_DEVICE_ARCH_"),
    "compute_capability": lambda gpu: "{}.{}".format(*pynvml.nvmlDeviceGetCudaComputeCapability(gpu.board)),
    "cores": lambda gpu: pynvml.nvmlDeviceGetNumGpuCores(gpu.board),
    "memory_bytes": lambda gpu: pynvml.nvmlDeviceGetMemoryInfo(gpu.handle).total,
    "memory_reserved_bytes":
        lambda gpu: pynvml.nvmlDeviceGetMemoryInfo(gpu.handle, version=pynvml.nvmlMemory_v2).reserved,
    "memory_bus_bits": lambda gpu: pynvml.nvmlDeviceGetMemoryBusWidth(gpu.board),
    "power_limit_w": lambda gpu: pynvml.nvmlDeviceGetEnforcedPowerLimit(gpu.board) * 1e-3,
    "power_limit_default_w": lambda gpu: pynvml.nvmlDeviceGetPowerManagementDefaultLimit(gpu.board) * 1e-3,
    "power_limit_min_w": _limit(0),
    "power_limit_max_w": _limit(1),
    "sm_clock_max_hz": _fastest("NVML_CLOCK_SM"),
    "memory_clock_max_hz": _fastest("NVML_CLOCK_MEM"),
    "temperature_slowdown_c": _threshold("NVML_TEMPERATURE_THRESHOLD_SLOWDOWN"),
    "temperature_shutdown_c": _threshold("NVML_TEMPERATURE_THRESHOLD_SHUTDOWN"),
    # Read when opened: an idle link may be slower, so use the fields with these names under load.
    "pcie_link_generation": lambda gpu: pynvml.nvmlDeviceGetCurrPcieLinkGeneration(gpu.board),
    "pcie_link_width": lambda gpu: pynvml.nvmlDeviceGetCurrPcieLinkWidth(gpu.board),
    # The maximum of card and slot together.
    "pcie_link_generation_max": lambda gpu: pynvml.nvmlDeviceGetMaxPcieLinkGeneration(gpu.board),
    "pcie_link_width_max": lambda gpu: pynvml.nvmlDeviceGetMaxPcieLinkWidth(gpu.board),
    "nvlinks": _Value(91),
    "numa_node": lambda gpu: pynvml.nvmlDeviceGetNumaNodeId(gpu.board),
    "ecc": _mode("nvmlDeviceGetEccMode"),
    "persistence": lambda gpu: bool(pynvml.nvmlDeviceGetPersistenceMode(gpu.board)),
    "compute_mode": _named("nvmlDeviceGetComputeMode", "NVML_COMPUTEMODE_"),
    "mig": _mode("nvmlDeviceGetMigMode"),
}


_PLAUSIBLE: dict[str, Range] = {
    **dict.fromkeys(("power_limit_w", "power_limit_default_w", "power_limit_max_w"), POWER_W),
    **dict.fromkeys(("sm_clock_max_hz", "memory_clock_max_hz"), CLOCK_HZ),
    **dict.fromkeys(("temperature_slowdown_c", "temperature_shutdown_c"), TEMPERATURE_C),
    "memory_bytes": Range(low=1.0, high=BYTES.high),
}
"""Facts that are limits for readings and for the bounds of energy; an implausible limit counts as unknown."""

_MEMBERS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")      # by NVML's number of the value's type


def _answer(way: _Way, gpu: _Gpu) -> Any:
    """The answer of NVML, or the Reason why there is none."""
    return _batch([way], gpu)[0] if isinstance(way, _Value) else _guarded(way, gpu)


def _guarded(call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except pynvml.NVMLError as error:
        return _REASONS.get(error.value, Reason.FAILED)
    except AttributeError:                   # the binding is older than the function
        return Reason.NOT_FOUND
    except UnicodeDecodeError:               # a name that is not text
        return Reason.FAILED


def _batch(values: Sequence[_Value], gpu: _Gpu) -> list[Any]:
    """The answers of one call of nvmlDeviceGetFieldValues: numbers in our units, or Reasons."""
    entries = _guarded(pynvml.nvmlDeviceGetFieldValues, gpu.board, [(value.id, value.scope) for value in values])
    if isinstance(entries, Reason):
        return [entries] * len(values)
    return [_decoded(entry, value.scale) for entry, value in zip(entries, values, strict=True)]


def _decoded(entry: Any, scale: float) -> float | Reason:
    if entry.nvmlReturn != pynvml.NVML_SUCCESS:
        return _REASONS.get(entry.nvmlReturn, Reason.FAILED)
    if entry.valueType >= len(_MEMBERS):
        return Reason.FAILED
    number = getattr(entry.value, _MEMBERS[entry.valueType], None)       # older bindings lack the last two
    return Reason.NOT_FOUND if number is None else float(number) * scale


def _reason(field: Field, answer: Any) -> Reason | None:
    """Why there is no answer, or why it is implausible; None if it is good. Another function may have a good one."""
    if isinstance(answer, Reason):
        return answer
    within = field.plausible if field.meaning is Meaning.GAUGE else None
    return None if within is None or within.holds(answer) else Reason.IMPLAUSIBLE


def _best_way(ways: Sequence[_Way], number: int, gpu: _Gpu) -> _Way | Reason:
    """The first function with an answer, else the first that may have one later, else why there is none."""
    hopeful: list[_Way] = []
    reason: Reason | None = Reason.NOT_SUPPORTED
    for way in ways:
        answer = _answer(way, gpu)
        if isinstance(answer, tuple):        # the function works, whatever its single answers are
            return way
        reason = _reason(FIELDS[number], answer)
        if reason is None:
            return way
        if reason not in _FOR_GOOD:
            hopeful.append(way)
    return hopeful[0] if hopeful else reason or Reason.NOT_SUPPORTED


_Read = tuple[tuple[int, ...], Callable[[], Sequence[Any]]]      # numbers of fields, and a function that reads them


def _plan(gpu: _Gpu) -> tuple[dict[Tier, list[_Read]], dict[str, _Way]]:
    """How each field of a GPU is read, found by one attempt: (reads per tier, function in use by name of field)."""
    reads: dict[Tier, list[_Read]] = {tier: [] for tier in Tier}
    batches: dict[Tier, list[tuple[int, _Value]]] = {tier: [] for tier in Tier}
    ways: dict[str, _Way] = {}
    for item in _ITEMS:
        numbers = tuple(_NUMBERS[field.name] for field in item.fields)
        way = _best_way(item.ways, numbers[0], gpu)
        tier = item.fields[0].tier
        if isinstance(way, Reason):
            reads[tier].append((numbers, partial(_repeated, way, len(numbers))))
            continue
        ways[item.fields[0].name] = way
        if isinstance(way, _Value):
            batches[tier].append((numbers[0], way))
        else:
            reads[tier].append((numbers, partial(_call, way, gpu, len(numbers))))
    for tier, batch in batches.items():
        if batch:
            numbers, values = zip(*batch, strict=True)
            reads[tier].insert(0, (numbers, partial(_batch, values, gpu)))
    return reads, ways


def _repeated(answer: Any, count: int) -> tuple[Any, ...]:
    return answer if isinstance(answer, tuple) else (answer,) * count


def _call(way: _Call, gpu: _Gpu, count: int) -> tuple[Any, ...]:
    return _repeated(_guarded(way, gpu), count)


@dataclass(frozen=True, kw_only=True)
class _Probed:
    """A GPU, or a part of one, that NVML lists."""

    device: Device
    gpu: _Gpu | None                 # None if it cannot be accessed, for ``reason``
    reason: Reason = Reason.LOST


def _boards(processes: Sequence[int]) -> list[_Probed]:
    count = range(pynvml.nvmlDeviceGetCount())
    boards = _all_at_once([partial(_board, index, list(processes)) for index in count])
    return [
        _unreachable(f"gpu-{index}", Reason.TIMEOUT, index=index) if board is None else board
        for index, board in zip(count, boards, strict=True)
    ]


def _board(index: int, watched: list[int]) -> _Probed:
    handle = _guarded(pynvml.nvmlDeviceGetHandleByIndex, index)
    if isinstance(handle, Reason):
        return _unreachable(f"gpu-{index}", handle, index=index)
    gpu = _Gpu(handle, watched)
    return _Probed(device=_described(gpu, fallback=f"gpu-{index}"), gpu=gpu)


def _all_at_once(calls: Sequence[Callable[[], T]]) -> list[T | None]:
    """The results of calls into the driver, each in its own thread; None for those that hang. Raises as they do."""
    answers: list[T | None] = [None] * len(calls)
    errors: list[Exception] = []
    ended = threading.Semaphore(0)

    def run(number: int) -> None:
        try:
            answers[number] = calls[number]()
        except Exception as error:
            errors.append(error)
        ended.release()

    for number in range(len(calls)):
        threading.Thread(target=run, args=(number,), daemon=True).start()
    all(ended.acquire(timeout=SILENT_S) for _ in calls)      # gives up at the first timeout
    if errors:
        raise errors[0]
    return list(answers)         # a copy: a thread may still write to it


def _unreachable(id: str, reason: Reason, **facts: Any) -> _Probed:
    unknown = {"id": reason, **({"pci_bus_id": reason} if reason is Reason.TIMEOUT else {})}
    device = Device(id=id, kind="gpu", name="unknown GPU", facts=facts, unknown=unknown)
    return _Probed(device=device, gpu=None, reason=reason)


def _parts(board: _Probed) -> Iterator[_Probed]:
    """The instances of a GPU that is divided by MIG."""
    if board.gpu is None or not board.device.facts.get("mig"):
        return
    for handle in _instances(board.gpu):
        gpu = _Gpu(board.gpu.board, board.gpu.watched, instance=handle)
        yield _Probed(device=_described(gpu, fallback=board.device.id), gpu=gpu)


def _instances(gpu: _Gpu) -> Iterator[Any]:
    count = _guarded(pynvml.nvmlDeviceGetMaxMigDeviceCount, gpu.board)
    for number in range(0 if isinstance(count, Reason) else count):
        handle = _guarded(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, gpu.board, number)
        if not isinstance(handle, Reason):           # otherwise the slot is not in use
            yield handle


def _described(gpu: _Gpu, fallback: str) -> Device:
    facts, unknown = _facts(gpu)
    uuid = _guarded(pynvml.nvmlDeviceGetUUID, gpu.handle)
    name = _guarded(pynvml.nvmlDeviceGetName, gpu.handle)
    if isinstance(uuid, Reason):
        unknown["id"] = uuid
    return Device(
        id=str(facts.get("pci_bus_id", fallback)) if isinstance(uuid, Reason) else uuid, kind="gpu",
        name="unknown GPU" if isinstance(name, Reason) else name, facts=facts, unknown=unknown,
    )


def _facts(gpu: _Gpu) -> tuple[dict[str, Any], dict[str, Reason]]:
    answers = {name: _answer(way, gpu) for name, way in _FACTS.items()}
    if gpu.instance is not None:
        answers["board"] = _guarded(pynvml.nvmlDeviceGetUUID, gpu.board)
        answers["gpu_instance"] = _guarded(pynvml.nvmlDeviceGetGpuInstanceId, gpu.instance)
        answers["compute_instance"] = _guarded(pynvml.nvmlDeviceGetComputeInstanceId, gpu.instance)
        answers["board_fields"] = [field.name for field in FIELDS if field.name not in _OF_INSTANCE]
    elif answers["mig"] is True:
        uuids = [_guarded(pynvml.nvmlDeviceGetUUID, handle) for handle in _instances(gpu)]
        answers["mig_instances"] = [uuid for uuid in uuids if not isinstance(uuid, Reason)]
    for name, within in _PLAUSIBLE.items():
        if not isinstance(answers[name], Reason) and not within.holds(answers[name]):
            answers[name] = Reason.IMPLAUSIBLE
    facts = {name: answer for name, answer in answers.items() if not isinstance(answer, Reason)}
    return facts, {name: answer for name, answer in answers.items() if isinstance(answer, Reason)}


class _Board:
    """One wanted GPU, and how each of its fields is read. It is a Source of its own, because it may hang alone."""

    def __init__(self, position: int, probed: _Probed) -> None:
        self.devices: Sequence[Device] = (probed.device,)
        self._position = position            # position among the devices of the whole source
        self._watched = [] if probed.gpu is None else probed.gpu.watched
        self._reads = _nothing(probed.reason)
        if probed.gpu is not None:
            self._reads, ways = _plan(probed.gpu)
            _say_of_power(ways.get("power_w"), probed.gpu, probed.device)

    def read(self, tier: Tier) -> Iterator[Reading]:
        """Every field of that tier, now."""
        is_lost = False
        for numbers, ask in self._reads[tier]:
            begin = time.perf_counter_ns()
            # Calls to a lost GPU are slow, and delay those to other GPUs.
            answers = (Reason.LOST,) * len(numbers) if is_lost else ask()
            end = time.perf_counter_ns()
            is_lost = is_lost or Reason.LOST in answers
            for number, answer in zip(numbers, answers, strict=True):
                if isinstance(answer, Reason):
                    yield Reading(self._position, number, begin, end, None, answer)
                else:
                    yield Reading(self._position, number, begin, end, float(answer), None)

    def watch(self, processes: Sequence[int]) -> None:
        self._watched[:] = processes

    def close(self) -> None:
        pass


class Nvml:
    """The Source of this file: the wanted GPUs."""

    def __init__(self, wanted: Wanted) -> None:
        probed = _told_apart(_boards(wanted.processes))
        if not probed:
            raise Unavailable("the NVIDIA driver is loaded but sees no GPU; see what 'nvidia-smi' and 'dmesg' say")
        if wanted.gpus:
            probed = [_select(name, probed) for name in wanted.gpus]
        boards = _all_at_once([partial(_Board, position, one) for position, one in enumerate(probed)])
        self.parts: Sequence[Source] = [
            board or _Board(position, _Probed(device=one.device, gpu=None, reason=Reason.TIMEOUT))
            for position, (board, one) in enumerate(zip(boards, probed, strict=True))
        ]
        self.devices: Sequence[Device] = [one.device for one in probed]

    def read(self, tier: Tier) -> Iterator[Reading]:
        """Reads every field of that tier of every GPU now."""
        for part in self.parts:
            yield from part.read(tier)

    def watch(self, processes: Sequence[int]) -> None:
        """Sets the processes of the trial."""
        for part in self.parts:
            part.watch(processes)

    def close(self) -> None:
        _guarded(pynvml.nvmlShutdown)


def _told_apart(probed: Sequence[_Probed]) -> list[_Probed]:
    """The GPUs with unique ids: those that share a UUID, like clones and engineering samples, get their bus address."""
    times = Counter(one.device.id for one in probed)
    return [
        one if times[one.device.id] == 1 else replace(one, device=replace(
            one.device, id=str(one.device.facts.get("pci_bus_id", f"gpu-{number}")),
            unknown={**one.device.unknown, "id": Reason.IMPLAUSIBLE},
        ))
        for number, one in enumerate(probed)
    ]


def _select(name: str, boards: Sequence[_Probed]) -> _Probed:
    for one in itertools.chain(boards, itertools.chain.from_iterable(map(_parts, boards))):
        if name.lower() == one.device.id.lower() or cuda.pci_bus_id(name) == one.device.facts.get("pci_bus_id"):
            return one
    return _unreachable(name, Reason.NOT_FOUND)


def _nothing(reason: Reason) -> dict[Tier, list[_Read]]:
    numbers = {tier: tuple(number for number, field in enumerate(FIELDS) if field.tier is tier) for tier in Tier}
    return {tier: [(numbers[tier], partial(_repeated, reason, len(numbers[tier])))] for tier in Tier}


def _say_of_power(way: _Way | None, gpu: _Gpu, device: Device) -> None:
    """Adds to the facts the window in s over which power is averaged (0: momentary), and what the power includes."""
    if way is None:
        return
    average = 0.0 if isinstance(way, _Value) else _guarded(_power_average, gpu)
    if isinstance(average, Reason):
        device.unknown["power_average_s"] = average
    else:
        device.facts["power_average_s"] = average
    device.facts["power_scope"] = "module" if isinstance(way, _Value) and way.scope else "gpu"


visible_gpus = cuda.visible_gpus


def open_source(wanted: Wanted) -> Source:
    """Starts NVML; raises Unavailable without driver, GPU or permission."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise Unavailable(_NOT_STARTED.get(error.value, f"the NVIDIA driver cannot be used: {error}")) from error
    try:
        return Nvml(wanted)
    except pynvml.NVMLError as error:
        _guarded(pynvml.nvmlShutdown)
        raise Unavailable(f"the NVIDIA driver cannot list its GPUs: {error}") from error
    except Unavailable:
        _guarded(pynvml.nvmlShutdown)
        raise
