"""What a contest of commands costs and finds: overhead of a turn, false verdicts, time to find a slowdown.

Run: python -m evidence.command_turns [--seconds 60]

- Overhead: the time of a turn of ``true`` that is not the command's own; at most 5 ms are claimed.
- A command against itself: its pairs are recorded once, and then drawn 5,000 times, each with the sign of a coin. The
  share of draws that get a verdict of faster or slower is printed with its exact 95 % interval; at most 1 % is allowed.
- Slowdowns: a command that computes 3, 5 and 10 % more. Printed are the verdict, its interval, and the seconds it took.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from rigmark.bench.ab.kinds.command import CommandContest, Settings, Side
from rigmark.bench.ab.turns import Turns
from rigmark.bench.analysis.comparison.numbers import Numbers, Quantity, log_speed_ups
from rigmark.bench.analysis.comparison.verdicts import Verdicts, change_of
from rigmark.bench.analysis.statistics.decision import LOOKS, Verdict, decide
from rigmark.bench.machine import hardware
from rigmark.bench.processes.commands import Commands, found

WORK = "x = 0\nfor i in range({}): x += i * i"
STEPS = 400_000
DRAWS = 5_000


def contest(slowdown: float, budget_s: float, seed: str = "1") -> tuple[Verdicts, list[Numbers], float]:
    """A computation against one that computes more; its verdict, its pairs, and the seconds that it took."""
    sides = [
        Side(name=name, argv=(sys.executable, "-I", "-S", "-c", WORK.format(round(STEPS * factor))))
        for name, factor in (("base", 1.0), ("new", 1 + slowdown))
    ]
    settings = Settings(cpus=hardware.usable_cpus()[:1])
    kept: list[dict[str, Any]] = []
    started = time.monotonic()
    kind = CommandContest(sides[0], sides[1], settings, Path.cwd(), print)
    verdicts = Turns(
        kind, names=("base", "new"), seed=seed, budget_s=budget_s, warm_ups=1, store=kept.append,
    ).run()
    pairs = json.loads(json.dumps(kept[-1]["pairs"]))
    return verdicts, [
        Numbers(**{side: tuple(turn["numbers"][kind.label] for turn in pair[side]) for side in ("base", "new")})
        for pair in pairs if not pair["is_warm_up"]
    ], time.monotonic() - started


def overhead_s(count: int = 200) -> float:
    """Seconds of a turn of ``true`` that are not those of the command."""
    beside = []
    with Commands(hardware.usable_cpus()) as commands:
        command = found(("true",), Path.cwd(), os.environ)
        for _ in range(count):
            started = time.perf_counter()
            ran = commands.run(command, timeout_s=60.0)
            beside.append(time.perf_counter() - started - ran.wall_time_s)
    return statistics.median(beside)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="budget of each contest")
    options = parser.parse_args()
    print(f"beside the command a turn takes {1000 * overhead_s():.2f} ms", flush=True)
    bank: list[float] = []
    quantity = Quantity(name="wall time", unit="s")
    for seed in range(4):
        _, pairs, _ = contest(0.0, options.seconds, str(seed))
        bank += log_speed_ups(quantity, pairs)
    rng = np.random.default_rng(0)
    false = 0
    for _ in range(DRAWS):
        drawn = rng.choice(bank, LOOKS[-1]) * rng.choice([-1.0, 1.0], LOOKS[-1])
        false += decide(list(drawn)).verdict in (Verdict.FASTER, Verdict.SLOWER)
    interval = stats.binomtest(false, DRAWS).proportion_ci(0.95, "exact")
    print(f"against itself: {false} verdicts in {DRAWS} draws of {len(bank)} recorded pairs, "
          f"{interval.low:.2%} to {interval.high:.2%}", flush=True)
    for slowdown in (0.0, 0.03, 0.05, 0.10):
        verdicts, pairs, seconds = contest(slowdown, options.seconds)
        (case,) = verdicts.cases
        print(f"{slowdown:.0%} more: {case.verdict}, {change_of(case)}, {len(pairs)} pairs, {seconds:.0f} s",
              flush=True)


if __name__ == "__main__":
    main()
