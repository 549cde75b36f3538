"""The verdicts of ``rigmark ab`` on known slowdowns of 0, 3, 5 and 10 %, and the seconds that each takes.

    .venv/bin/python -m evidence.ab_power --framework torch,tensorflow,jax --budget 120

The slowdown is real work: the new build does each 33rd, 20th or 10th step twice (evidence/extra_work), and a timing
has that many steps, so each has exactly 1/33, 1/20 or 1/10 more of them. Both builds are the same installation.
"spread" is the standard deviation of the pairs' log ratios, by wall clock and by CPU time: it determines how many
pairs are needed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from rigmark.bench.ab.contest import Contest, Side
from rigmark.bench.analysis.comparison.pairs import contention, idle_share, log_speed_up
from rigmark.bench.analysis.comparison.verdicts import SAID, change
from rigmark.bench.analysis.statistics.decision import spread_of_pairs
from rigmark.bench.builds.build import Build
from rigmark.bench.enums import Clock, Mode
from rigmark.bench.machine.hardware import load_average
from rigmark.bench.plan.case import Timing
from rigmark.bench.plan.sweep import Sweep
from rigmark.bench.runner.progress import BudgetProgress
from rigmark.bench.store.store import Store
from rigmark.bench.trials.kinds import pair as pairs

EXTRA_WORK = Path(__file__).parent / "extra_work"
EVERY = {0: 33, 3: 33, 5: 20, 10: 10}        # per cent of slowdown: steps of a timing
NEVER = 10**9
TIMING = Timing(min_timings=20, min_time_s=0.5, max_time_s=5.0, warm_up_max_s=1.0)


def arguments(about: str | None) -> argparse.ArgumentParser:
    """The case and its slowdowns."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--framework", default="numpy,torch,tensorflow,jax")
    parser.add_argument("--model", default="mlp")
    parser.add_argument("--mode", default="inference")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--slowdown", default="0,3,5,10", help="per cent, of 0, 3, 5 and 10")
    return parser


def case_of(framework: str, per_cent: int, options: argparse.Namespace, repetitions: int = 1) -> Sweep:
    """The one case that is slowed."""
    return Sweep(
        models=(options.model,), frameworks=(framework,), modes=(Mode(options.mode),), local_batches=(options.batch,),
        threads=(options.threads,), steps_per_timing=EVERY[per_cent], repetitions=repetitions, timing=TIMING,
    )


def true(per_cent: int) -> str:
    """How much more work the new side does."""
    return f"+{100 / EVERY[per_cent]:.1f} %" if per_cent else "none"


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--budget", type=float, default=120.0, help="seconds for each")
    parser.add_argument("--sessions", type=int, default=1, help="how often, each time with new pairs")
    parser.add_argument("--results", type=Path, default=Path("ab-power-results"))
    options = parser.parse_args()
    print(f"{'framework':<11} {'true':<7} {'verdict':<13} {'measured':<26} {'by CPU time':<26} {'pairs':>5} {'s':>5} "
          f"{'spread':>7} {'CPU':>7} {'wall/CPU':>8} {'idle':>7} {'load':>5}")
    for session in range(options.sessions):
        for framework in options.framework.split(","):
            for per_cent in map(int, options.slowdown.split(",")):
                row(framework, per_cent, f"{session}", options)
    return 0


def side(name: str, every: int) -> Side:
    """Both sides are slowed by the same code, and only its number differs: loading it alone moves memory about."""
    variables = {"PYTHONPATH": str(EXTRA_WORK), "RIGMARK_EXTRA_EVERY": str(every)}
    return Side(name=name, build=Build(name=name, interpreter=sys.executable, variables=variables))


def row(framework: str, per_cent: int, session: str, options: argparse.Namespace) -> None:
    """Measure and print one line."""
    every = EVERY[per_cent] if per_cent else NEVER
    base, new = (side(name, when) for name, when in (("unchanged", NEVER), (f"slower-{per_cent}", every)))
    store = Store(options.results).create()
    contest = Contest(
        store, base, new, [case_of(framework, per_cent, options)], suite="ab_power",
        command="python -m evidence.ab_power", session=session, budget_s=options.budget, deadline_s=120.0,
    )
    load, started = load_average(), time.monotonic()
    with BudgetProgress(options.budget) as progress:
        (case,) = contest.run(progress).cases
    seconds = time.monotonic() - started
    if case.decision is None or case.decision.speed_up is None:
        print(f"{framework:<11} {true(per_cent):<7} {SAID[case.verdict]:<13} {case.reason}", flush=True)
        return
    (attempt,) = contest.attempts
    wall, cpu = ([log_speed_up(pair, clock) for pair in attempt.pairs] for clock in Clock)
    spreads = [spread_of_pairs(values) for values in (wall, cpu)]
    (twin,) = contest.decisions(options.budget, Clock.CPU)
    by_cpu = f"{SAID[twin.verdict]} {change(twin.speed_up)}" if twin.speed_up else ""
    idle = idle_share(attempt.pairs, pairs.BASE, pairs.NEW)
    print(
        f"{framework:<11} {true(per_cent):<7} {SAID[case.verdict]:<13} {change(case.decision.speed_up):<26} "
        f"{by_cpu:<26} {len(attempt.pairs):>5} {seconds:>5.0f} "
        f"{' '.join('      ?' if s is None else f'{s:>7.2%}' for s in spreads)} {contention(attempt.pairs) or 0:>8.2f} "
        f"{idle or 0:>7.2%} {load or 0:>5.1f}", flush=True,
    )
    with open(options.results / "rows.jsonl", "a", encoding="utf-8") as rows:
        rows.write(json.dumps({
            "framework": framework, "true": per_cent and 1 / EVERY[per_cent], "session": session, "seconds": seconds,
            "load_before": load, **case.plain(), "log_speed_ups": wall, "cpu_log_speed_ups": cpu,
        }) + "\n")


if __name__ == "__main__":
    sys.exit(main())
