"""How often do pairs of a build with itself get a verdict, and how often is a slowdown detected?

First record a bank of pairs of a build with itself, and then draw from it:

    rigmark noise fast --results bank --session 1      # and 2, 3, ...: more pairs
    python -m evidence.aa_verdicts bank

A draw takes the pairs of a case in random order and gives each a random sign, as the random order of its sides would:
if nothing differs, both signs are equally likely. Sequential looks, false discovery rate and the floor are those of
bench.analysis.statistics.decision. A slowdown is simulated by multiplying the time of the new side. Beside the recorded
banks there are synthetic ones with drift, jumps and outliers.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rigmark.bench.analysis.comparison.noise import alike_records
from rigmark.bench.analysis.comparison.pairs import log_speed_up
from rigmark.bench.analysis.statistics.decision import LOOKS, Verdict, decide, decide_all
from rigmark.bench.store.store import existing

CASES = 12                   # of a suite
FALSE = (Verdict.FASTER, Verdict.SLOWER)
Bank = Sequence[float]


def made_up(rng: np.random.Generator, count: int = 200) -> dict[str, Bank]:
    """Noise that no machine should have."""
    drift = np.cumsum(rng.normal(0, 0.003, count))
    return {
        "made up: drift": list(drift + rng.normal(0, 0.005, count)),
        "made up: jumps": list(np.where(np.arange(count) % 50 < 25, 0.02, -0.02) + rng.normal(0, 0.004, count)),
        "made up: wild values": list(0.005 * rng.standard_cauchy(count)),
        "made up: 8 % spread": list(rng.normal(0, 0.08, count)),
    }


def recorded_banks(folder: Path) -> dict[str, Bank]:
    """ln(base / new) of the stored pairs of each case of a build with itself."""
    store = existing(folder)
    table = store.trials().table
    records = [store.get(identity) for identity in table[table.kind == "pair"].id]
    return {
        label: [log_speed_up(record.taken) for record in alike if record.taken is not None]
        for label, alike in alike_records(records).items() if len(alike) >= LOOKS[0]
    }


def drawn(rng: np.random.Generator, bank: Bank, slowdown: float = 1.0) -> list[float]:
    """As many pairs as the last look has; those of a small bank come more than once."""
    pairs = rng.choice(bank, LOOKS[-1], replace=len(bank) < LOOKS[-1])
    return list(pairs * rng.choice([-1.0, 1.0], LOOKS[-1]) - math.log(slowdown))


def sequential(values: Sequence[float]) -> tuple[Verdict, int]:
    """The verdict of a case that is alone, and the pairs it took."""
    for look in (8, *LOOKS):
        decision = decide(values[:look])
        if decision.is_final:
            return decision.verdict, look
    return decision.verdict, LOOKS[-1]


def suite(values: Mapping[str, Sequence[float]]) -> list[Verdict]:
    """The verdicts of a suite whose open cases go on until all are decided."""
    taken = dict.fromkeys(values, 8)
    while True:
        decisions = decide_all({case: pairs[:taken[case]] for case, pairs in values.items()})
        going_on = [case for case in values if not decisions[case].is_final and taken[case] < LOOKS[-1]]
        if not going_on:
            return [decision.verdict for decision in decisions.values()]
        for case in going_on:
            taken[case] = next(look for look in LOOKS if look > taken[case])


def main() -> None:
    parser = argparse.ArgumentParser(description="false verdicts and power by re-labelling recorded pairs")
    parser.add_argument("results", type=Path, nargs="?", help="folder with pairs of a build with itself")
    parser.add_argument("--draws", type=int, default=2000, help="of each case, and of suites")
    options = parser.parse_args()
    rng = np.random.default_rng(7)
    recorded = recorded_banks(options.results) if options.results else {}
    if options.results and not recorded:
        parser.error(f"no pairs of a build with itself in {options.results}; rigmark noise records some")
    chosen = {**recorded, **made_up(rng)}
    print(f"{options.draws} draws a row\n\n{'bank':<64} {'slowdown':>8} {'slower':>7} {'faster':>7} {'same':>7} "
          f"{'open':>7} {'noisy':>7} {'pairs':>6}")
    for name, bank in chosen.items():
        for slowdown in (1.0, 1.03, 1.05, 1.1):
            verdicts, pairs = Counter[Verdict](), []
            for _ in range(options.draws if slowdown == 1.0 else options.draws // 4):
                verdict, taken = sequential(drawn(rng, bank, slowdown))
                verdicts[verdict] += 1
                pairs.append(taken)
            shares = " ".join(
                f"{verdicts[verdict] / len(pairs):>7.2%}" for verdict in (
                    Verdict.SLOWER, Verdict.FASTER, Verdict.SAME, Verdict.INCONCLUSIVE, Verdict.TOO_NOISY
                )
            )
            print(f"{name[:64]:<64} {slowdown:>7.2f}x {shares} {np.median(pairs):>6.0f}", flush=True)
    alarms = 0
    names = list(chosen)
    for _ in range(options.draws):
        cases = {str(place): drawn(rng, chosen[names[place % len(names)]]) for place in range(CASES)}
        alarms += any(verdict in FALSE for verdict in suite(cases))
    print(f"\nsuites of {CASES} cases without a change that had a false verdict: {alarms} of {options.draws}, "
          f"{alarms / options.draws:.2%}")


if __name__ == "__main__":
    main()
