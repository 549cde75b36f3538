"""The name of the device on which a trial ran, from the facts in its record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rigmark.bench.devices import Device, recorded
from rigmark.bench.telemetry import cuda
from rigmark.bench.telemetry.sources import Device as Seen

if TYPE_CHECKING:
    import pandas as pd


def names(trials: pd.DataFrame) -> list[str | None]:
    """The device name of each row of the table of trials, whose column ``device_name`` holds the processor; None is
    not known.

    If a record does not state it, the name is taken from trials with the same device number, variables and machine,
    provided that they agree: it was the same device.
    """
    import pandas as pd

    device_names: list[str | None] = list(trials.device_name)
    places: dict[tuple[Any, ...], list[int]] = {}
    columns = [trials[name] for name in (
        "machine", "device", "world_size", "nodes", "machine_facts", "build_facts", "telemetry",
    )]
    for row, (machine, device, world_size, nodes, *texts) in enumerate(zip(*columns, strict=True)):
        if recorded(device).is_host:
            continue
        facts, build, telemetry = (json.loads(text) if isinstance(text, str) else None for text in texts)
        variables = (build or {}).get("variables") or {}
        devices = 1 if pd.isna(world_size) else int(world_size // (1 if pd.isna(nodes) else nodes))
        device_names[row] = device_name(recorded(device), devices, facts or {}, variables, telemetry)
        places.setdefault((machine, device, devices, json.dumps(variables, sort_keys=True)), []).append(row)
    for rows in places.values():
        if len(names := {name for row in rows if (name := device_names[row]) is not None}) == 1:
            for row in rows:
                device_names[row], = names
    return device_names


def device_name(
    device: Device, devices: int, machine: Mapping[str, Any], variables: Mapping[str, str],
    telemetry: Mapping[str, Any] | None,
) -> str | None:
    """The name of the processor for "cpu"; for "cuda:N" the name of the GPU to which CUDA gives the number N.

    For several ``devices`` from N on it is the name that all share, or all names, each once. A part of a divided GPU
    (MIG) has a name of its own. ``machine`` are the facts of a record, ``variables`` those that its worker started
    with, ``telemetry`` its block, or None if telemetry was off. None if the name is not known: several kinds of GPU
    without an order, or a driver without files.
    """
    if device.is_host:
        return machine.get("cpu")
    first = device.first
    there: Sequence[str] = machine.get("gpus") or ()
    seen = [each for each in (telemetry or {}).get("devices") or () if each["kind"] == "gpu"]
    names = (
        _common(there, first + devices)
        # In a container /proc may show every GPU of the host; telemetry sees those that may be used.
        or [str(each["name"]) for each in seen if each.get("used")]
        or _common([str(each["name"]) for each in seen], first + devices)
        or _numbered(there, variables, first, devices)
    )
    is_part = variables.get("CUDA_VISIBLE_DEVICES", "").startswith("MIG-") or any(
        (each.get("facts") or {}).get("mig") for each in seen if each.get("used") is not False
    )
    return ", ".join(dict.fromkeys(f"{name} (MIG)" if is_part else name for name in names)) or None


def _common(names: Sequence[str], fewest: int) -> Sequence[str]:
    """The name that all GPUs share, so that it holds whichever was used; () if fewer than ``fewest`` are known."""
    return names[:1] if len(set(names)) == 1 and len(names) >= fewest else ()


def _numbered(names: Sequence[str], variables: Mapping[str, str], first: int, devices: int) -> Sequence[str]:
    """The names of the GPUs with these numbers, from ``names`` in the order of the bus; () if that is ambiguous.

    Variables that list UUIDs are ambiguous, since the facts of a machine hold only names.
    """
    gpus = [Seen(id=str(place), kind="gpu", name=name, facts={"pci_bus_id": f"{place:08x}"})
            for place, name in enumerate(names)]
    visible = (cuda.visible_gpus(variables, gpus) or ())[first:first + devices]
    return [names[int(place)] for place in visible] if len(visible) == devices else []
