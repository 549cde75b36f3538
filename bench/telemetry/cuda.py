"""Which GPUs a CUDA program sees, and in which order, according to its environment variables."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence

from rigmark.bench.telemetry.sources import Device

_ADDRESS = re.compile(r"(?:([0-9a-f]{1,8}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2}\.[0-9a-f])")


def pci_bus_id(text: str) -> str:
    """The normal form of a PCI address, "00000000:3b:00.0"; any other text only in lower case.

    Drivers and tools write the domain with four or eight digits or not at all, in upper or lower case.
    """
    text = text.strip().lower()
    address = _ADDRESS.fullmatch(text)
    if address is None:
        return text
    domain, bus, device = address.groups()
    return f"{int(domain or '0', 16):08x}:{bus:0>2}:{device:0>4}"


def visible_gpus(variables: Mapping[str, str], gpus: Sequence[Device]) -> tuple[str, ...] | None:
    """The ids of the GPUs to which CUDA would give the numbers 0, 1, ... with these environment variables.

    None if that cannot be known from outside: CUDA's own order, fastest first, is decided by the driver (set
    CUDA_DEVICE_ORDER=PCI_BUS_ID), and so is the part of a divided GPU (MIG) that is used if none is named.

    The rules are those of CUDA_VISIBLE_DEVICES in the CUDA programming guide and, where these leave something open, of
    torch.cuda: an invalid entry hides those that follow it, a repeated one hides all; the first entry decides whether
    the list has numbers, GPU UUIDs or MIG UUIDs; a UUID may be abbreviated as long as it is unique.
    """
    text = variables.get("CUDA_VISIBLE_DEVICES")
    entries = [entry.strip() for entry in (text or "").split(",")]
    if entries[0].startswith("MIG-"):
        return _named_devices(entries, [name for gpu in gpus for name in gpu.facts.get("mig_instances", ())])
    if entries[0].startswith("GPU-"):
        return _named_devices(entries, [gpu.id for gpu in gpus])
    wanted = range(len(gpus)) if text is None else _ordinals(entries)
    if not wanted:
        return ()
    if any(gpu.facts.get("mig") or "pci_bus_id" in gpu.unknown for gpu in gpus):
        return None
    gpus = [gpu for gpu in gpus if "pci_bus_id" in gpu.facts]        # CUDA has no number for unreachable GPUs
    if len(gpus) > 1 and variables.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        return None
    ordered = sorted(gpus, key=lambda gpu: str(gpu.facts["pci_bus_id"]))
    return tuple(ordered[number].id for number in itertools.takewhile(lambda number: number < len(ordered), wanted))


def _named_devices(entries: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    matched: list[str] = []
    for entry in entries:
        matching = [name for name in known if name.lower().startswith(entry.lower())]
        if len(matching) != 1 or not entry.startswith(entries[0][:4]):
            break
        matched += matching
    return tuple(matched) if len(set(matched)) == len(matched) else ()


def _ordinals(entries: Sequence[str]) -> Sequence[int]:
    ordinals: list[int] = []
    for entry in entries:
        number = re.match(r"\+?\d+", entry)      # read as by strtoul in C: "1x" is 1
        if number is None:
            break
        ordinals.append(int(number.group()))
    return ordinals if len(set(ordinals)) == len(ordinals) else ()
