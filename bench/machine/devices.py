"""Which device a trial ran on, by name, from what its record tells."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rigmark.bench.telemetry import cuda
from rigmark.bench.telemetry.sources import Device

if TYPE_CHECKING:
    import pandas as pd


def names(trials: pd.DataFrame) -> list[str | None]:
    """Of each row of the table of trials as ``device_name``; its column of that name holds their processors.

    A trial that does not tell has the name that all trials alike tell: with the same number and variables on the same
    machine it was the same device.
    """
    import pandas as pd

    found: list[str | None] = list(trials.device_name)
    places: dict[tuple[Any, ...], list[int]] = {}
    columns = [trials[name] for name in (
        "machine", "device", "world_size", "nodes", "machine_facts", "build_facts", "telemetry",
    )]
    for row, (machine, device, world_size, nodes, *texts) in enumerate(zip(*columns, strict=True)):
        if str(device).startswith("cpu"):
            continue
        facts, build, telemetry = (json.loads(text) if isinstance(text, str) else None for text in texts)
        variables = (build or {}).get("variables") or {}
        devices = 1 if pd.isna(world_size) else int(world_size // (1 if pd.isna(nodes) else nodes))
        found[row] = device_name(str(device), devices, facts or {}, variables, telemetry)
        places.setdefault((machine, device, devices, json.dumps(variables, sort_keys=True)), []).append(row)
    for rows in places.values():
        if len(told := {name for row in rows if (name := found[row]) is not None}) == 1:
            for row in rows:
                found[row], = told
    return found


def device_name(
    device: str, devices: int, machine: Mapping[str, Any], variables: Mapping[str, str],
    telemetry: Mapping[str, Any] | None,
) -> str | None:
    """Name of the processor for "cpu"; for "cuda:N" the name of the GPU that CUDA numbers N.

    Of the ``devices`` from N on, the name that all have, or each name once; a part of a divided GPU (MIG) is named as
    one. ``machine`` are the facts of a record, ``variables`` those that its worker started with, ``telemetry`` its
    block, None where it was off. None where they do not tell: GPUs of several kinds without an order, or a driver that
    shows no files.
    """
    if device.startswith("cpu"):
        return machine.get("cpu")
    number = device.partition(":")[2] or "0"
    if not number.isdecimal():
        return None
    first = int(number)
    there: Sequence[str] = machine.get("gpus") or ()
    seen = [each for each in (telemetry or {}).get("devices") or () if each["kind"] == "gpu"]
    names = (
        _common(there, first + devices)
        # What a container shows of /proc may be every GPU; telemetry saw those that it may use.
        or [str(each["name"]) for each in seen if each.get("used")]
        or _common([str(each["name"]) for each in seen], first + devices)
        or _numbered(there, variables, first, devices)
    )
    is_part = variables.get("CUDA_VISIBLE_DEVICES", "").startswith("MIG-") or any(
        (each.get("facts") or {}).get("mig") for each in seen if each.get("used") is not False
    )
    return ", ".join(dict.fromkeys(f"{name} (MIG)" if is_part else name for name in names)) or None


def _common(names: Sequence[str], fewest: int) -> Sequence[str]:
    """The name of GPUs that are all of one kind, whichever was used; none where fewer are known than must be there."""
    return names[:1] if len(set(names)) == 1 and len(names) >= fewest else ()


def _numbered(names: Sequence[str], variables: Mapping[str, str], first: int, devices: int) -> Sequence[str]:
    """Names of the GPUs with these numbers, of all in the order of their places on the bus; none where it is not clear.

    A list of UUIDs is not clear, since the facts of a machine hold names alone.
    """
    gpus = [Device(id=str(place), kind="gpu", name=name, facts={"pci_bus_id": f"{place:08x}"})
            for place, name in enumerate(names)]
    visible = (cuda.visible_gpus(variables, gpus) or ())[first:first + devices]
    return [names[int(place)] for place in visible] if len(visible) == devices else []
