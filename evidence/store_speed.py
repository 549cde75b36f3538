"""Claim: a results folder with 10,000 records is listed in less than 2 s.

Writes that many records of 100 cases, each with 50 timings, into a temporary folder, and times how long it takes to
read them all into the table of trials, three times.

Run: .venv/bin/python evidence/store_speed.py [--records 10000]
Prints the times, and ends with exit code 1 if the fastest is above 2 s.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from rigmark.bench.store.store import Store
from tests.fakes import make_record

LIMIT_S = 2.0
CASES, TIMINGS = 100, 50


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000)
    number = parser.parse_args().records
    timings = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder)).create()
        start = time.perf_counter()
        for index in range(number):
            times_s = [timings.lognormvariate(-6, 0.1) for _ in range(TIMINGS)]
            record = make_record(repetition=index // CASES, local_batch=1 + index % CASES, timings_s=times_s)
            store.put(replace(record, recorded_at=f"2026-01-01T00:00:{index % 60:02}+00:00"))
        written_s = time.perf_counter() - start
        sizes = [path.stat().st_size for path in Path(folder).glob("records/*.json")]
        print(f"{number} records of {sum(sizes) / number / 1e3:.1f} kB: {written_s / number * 1e3:.2f} ms to write one")
        listed_s = [_time_to_list(store, number) for _ in range(3)]
    print(f"listed in {', '.join(f'{seconds:.2f}' for seconds in listed_s)} s (claim: below {LIMIT_S:g} s)")
    return 0 if min(listed_s) < LIMIT_S else 1


def _time_to_list(store: Store, number: int) -> float:
    start = time.perf_counter()
    trials = store.trials()
    seconds = time.perf_counter() - start
    assert number == len(trials.table), "not all records were listed"
    assert not trials.problems
    return seconds


if __name__ == "__main__":
    sys.exit(main())
