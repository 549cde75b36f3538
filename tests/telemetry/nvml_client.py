"""Reads the source nvml as told on stdin, one request a line: see tests.telemetry.simulator.Driver."""

from __future__ import annotations

import json
import struct
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rigmark.bench.telemetry.sources import Tier, Unavailable, Wanted, nvml


def answer(request: dict[str, Any]) -> dict[str, Any]:
    def set_clock(seconds: float) -> None:
        with Path(request["clock"]).open("r+b") as file:       # the library has mapped it, so it must not be replaced
            file.write(struct.pack("d", seconds))

    nvml.SILENT_S = request["silent_s"]
    set_clock(request["opened_at"])
    try:
        source = nvml.open_source(Wanted(gpus=tuple(request["gpus"]), processes=tuple(request["processes"])))
    except Unavailable as error:
        return {"unavailable": str(error)}
    readings = []
    for seconds in request["at"]:
        set_clock(seconds)
        readings.append([
            (reading.device, nvml.FIELDS[reading.field].name, reading.value, reading.reason)
            for tier in request["tiers"] for reading in source.read(Tier(tier))
        ])
    devices = [asdict(device) for device in source.devices]
    source.close()
    return {"devices": devices, "readings": readings}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
