"""Which GPUs CUDA gives to a program, and in which order: what its environment variables mean."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence

from rigmark.bench.telemetry.sources import Device

_ADDRESS = re.compile(r"(?:([0-9a-f]{1,8}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2}\.[0-9a-f])")


def pci_bus_id(text: str) -> str:
    """The one spelling of a PCI address, "00000000:3b:00.0"; any other text in lower case, as it is.

    Drivers and tools write four or eight digits of domain or none, in either case.
    """
    text = text.strip().lower()
    address = _ADDRESS.fullmatch(text)
    if address is None:
        return text
    domain, bus, device = address.groups()
    return f"{int(domain or '0', 16):08x}:{bus:0>2}:{device:0>4}"


def visible_gpus(variables: Mapping[str, str], gpus: Sequence[Device]) -> tuple[str, ...] | None:
    """Ids of the GPUs that CUDA would number 0, 1, ... under those environment variables, of all GPUs of the machine.

    None where it cannot be told from outside: CUDA's own order, fastest first, is a guess of the driver's (set
    CUDA_DEVICE_ORDER=PCI_BUS_ID), and so is which part of a divided GPU (MIG) is used when none is named.

    The rules are those of CUDA_VISIBLE_DEVICES in the CUDA programming guide, and for what that leaves open those of
    torch.cuda: an invalid entry hides those that follow, a double one hides all; the first entry decides whether the
    list is of numbers, GPU UUIDs or MIG UUIDs; a UUID may be shortened while it is the only one that begins so.
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
    gpus = [gpu for gpu in gpus if "pci_bus_id" in gpu.facts]        # CUDA has no number for one that cannot be reached
    if len(gpus) > 1 and variables.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        return None
    ordered = sorted(gpus, key=lambda gpu: str(gpu.facts["pci_bus_id"]))
    return tuple(ordered[number].id for number in itertools.takewhile(lambda number: number < len(ordered), wanted))


def _named_devices(entries: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    found: list[str] = []
    for entry in entries:
        matching = [name for name in known if name.lower().startswith(entry.lower())]
        if len(matching) != 1 or not entry.startswith(entries[0][:4]):
            break
        found += matching
    return tuple(found) if len(set(found)) == len(found) else ()


def _ordinals(entries: Sequence[str]) -> Sequence[int]:
    found: list[int] = []
    for entry in entries:
        number = re.match(r"\+?\d+", entry)      # as C's strtoul reads it: "1x" is 1
        if number is None:
            break
        found.append(int(number.group()))
    return found if len(set(found)) == len(found) else ()
