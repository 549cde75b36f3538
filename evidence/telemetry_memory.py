"""Claim: a sampler's memory does not grow with the number of readings, so that a trial may take 24 hours.

The sampler that serves real trials reads this machine's host at the highest rate, in one trial and then in many short
ones, and is observed from outside. It makes as many reads as in an hour at its usual rate.

Run: .venv/bin/python evidence/telemetry_memory.py [--minutes 6] [--rate 100]
Prints its resident and private memory, threads and open files over time, and ends with exit code 1 if memory grew by
more than 1 MiB after the first tenth, or if the number of files or threads grew.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent))

from rigmark.bench.telemetry.recorder import FILE, Recorder

USUAL_HZ = 10.0
GROWTH_BYTES = 1 << 20
LINES = 10
SHORT_TRIALS = 50


class Size(NamedTuple):
    resident_bytes: int
    private_bytes: int           # its own pages, without libraries' that others share
    threads: int
    files: int


def size(process: psutil.Process) -> Size:
    memory = process.memory_full_info()
    return Size(memory.rss, memory.uss, process.num_threads(), process.num_fds())


def shown(at_s: float, what: str, held: Size) -> None:
    print(
        f"{at_s:7.1f} s {what:28} resident {held.resident_bytes / 2**20:6.2f} MiB, private "
        f"{held.private_bytes / 2**20:6.2f} MiB, {held.threads} threads, {held.files} files", flush=True,
    )


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--minutes", type=float, default=6.0)
    options.add_argument("--rate", type=float, default=100.0)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        recorder = Recorder(Path(name), rate_hz=asked.rate)
        recorder.begin(cpus=())
        recorder.started(os.getpid())
        time.sleep(1.0)              # until all files are open
        (process,) = psutil.Process().children()
        started = time.monotonic()
        sizes = []
        for line in range(1, LINES + 1):
            time.sleep(max(0.0, started + 60 * asked.minutes * line / LINES - time.monotonic()))
            sizes.append(size(process))
            shown(time.monotonic() - started, "one trial", sizes[-1])
        written_bytes = next(Path(name).glob(f"*/{FILE}")).stat().st_size
        recording = recorder.end({})
        for _ in range(SHORT_TRIALS):
            recorder.begin(cpus=())
            recorder.started(os.getpid())
            time.sleep(0.1)
            recorder.end({})
        sizes.append(size(process))
        shown(time.monotonic() - started, f"after {SHORT_TRIALS} short trials", sizes[-1])
        recorder.close()
    own = recording.block["sampler"]
    hours = own["samples"] / USUAL_HZ / 3600
    print(
        f"{own['samples']} reads of the host (as in {hours:.1f} h at {USUAL_HZ:g} Hz), {own['overruns']} left out, "
        f"{written_bytes / own['samples'] * USUAL_HZ * 86400 / 2**20:.0f} MiB of file in 24 h at {USUAL_HZ:g} Hz"
    )
    growth_bytes = max(held.private_bytes for held in sizes) - sizes[0].private_bytes
    is_steady = len({(held.threads, held.files) for held in sizes[:-1]}) == 1
    print(f"private memory grew by {growth_bytes / 2**10:.0f} KiB after the first tenth (claim: at most 1 MiB)")
    return 0 if growth_bytes <= GROWTH_BYTES and is_steady and recording.block["problem"] is None else 1


if __name__ == "__main__":
    sys.exit(main())
