"""Reads the source nvml as told on stdin, one request a line: see tests.telemetry.simulator.Driver."""

from __future__ import annotations

import json
import struct
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest import mock

from rigmark.bench.telemetry import sources
from rigmark.bench.telemetry.sampler import Reader
from rigmark.bench.telemetry.series import Writer
from rigmark.bench.telemetry.sources import Source, Tier, Unavailable, Wanted, nvml


def answer(request: dict[str, Any]) -> dict[str, Any]:
    def set_clock(seconds: float) -> None:
        with Path(request["clock"]).open("r+b") as file:       # the library has mapped it, so it must not be replaced
            file.write(struct.pack("d", seconds))

    def read(source: Source) -> list[list[Any]]:
        readings = []
        for seconds in request["at"]:
            set_clock(seconds)
            readings.append([
                (reading.device, nvml.FIELDS[reading.field].name, reading.value, reading.reason)
                for tier in request["tiers"] for reading in source.read(Tier(tier))
            ])
        return readings

    def record(source: Source, trial: dict[str, Any]) -> None:
        """As the sampler reads in a trial: at its rate, and at the marks; the clock stands still in between."""
        writer = Writer(Path(trial["file"]))
        with mock.patch("time.perf_counter_ns", return_value=0) as clock:
            readers = [
                Reader("", part, rate_hz=nvml.RATE_HZ, number=1, position=position)
                for position, part in enumerate(sources.parts(source))
            ]
            for reader in readers:
                reader.begin(writer)
            ticks = [(number / nvml.RATE_HZ, False) for number in range(int(trial["end_s"] * nvml.RATE_HZ))]
            # A mark is heard a little after it was made.
            for at_s, is_mark in sorted(ticks + [(mark_s + trial["mark_s"], True) for mark_s in trial["marks_s"]]):
                set_clock(at_s)
                clock.return_value = round(at_s * 1e9)
                for reader in readers:
                    (reader.mark if is_mark else reader.tick)()
        writer.close()

    nvml.SILENT_S = request["silent_s"]
    set_clock(request["opened_at"])
    try:
        source = nvml.open_source(Wanted(gpus=tuple(request["gpus"]), processes=tuple(request["processes"])))
    except Unavailable as error:
        return {"unavailable": str(error)}
    readings = read(source)
    if request["trial"] is not None:
        record(source, request["trial"])
    devices = [asdict(device) for device in source.devices]
    source.close()
    return {"devices": devices, "readings": readings}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
