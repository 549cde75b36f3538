"""Claim: every framework computes the same network, in each compile mode and memory layout.

Proves the networks named in every framework, mode and layout of the suite ``frameworks``, without timing anything, and
prints one line each: the relative errors of output, loss, gradients and the losses after one and two updates, and the
tolerances. Records stay in the results folder and are not measured again.

Run: .venv/bin/python -m evidence.parity_table [--model alexnet,resnet50] [--results parity-results]
Ends with exit code 1 if a proof failed; what a framework does not have is listed as unsupported.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from rigmark import suites
from rigmark.bench import models
from rigmark.bench.builds import build
from rigmark.bench.enums import PLANNED_GAPS, Mode, Outcome, TrialKind
from rigmark.bench.machine import hardware
from rigmark.bench.plan.schedule import plan
from rigmark.bench.runner.runner import Runner
from rigmark.bench.store.store import Store
from rigmark.bench.store.stored import StoredRecord

ERRORS = ("output", "loss", "gradient", "second_loss", "third_loss")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=",".join(models.NAMES))
    parser.add_argument("--results", type=Path, default=Path("parity-results"))
    options = parser.parse_args()
    store = Store(options.results).create()
    print(f"{'model':<18} {'framework':<11} {'compiled':<9} {'layout':<14} {'outcome':<14} "
          + " ".join(f"{name:>11}" for name in ERRORS) + "   gradient allowed")
    failed = False
    with Runner(store, build.load(), suite="parity", command="python -m evidence.parity_table") as runner:
        for model in options.model.split(","):
            sweeps = [replace(s, models=(model,), modes=(Mode.TRAINING,)) for s in suites.sweeps("frameworks")
                      if model in s.models]
            proofs = [t for t in plan(sweeps, cores=len(hardware.usable_cpus()), seed=1) if t.kind == TrialKind.PROOF]
            tally = runner.run(proofs)
            for record in [*tally.already_there, *(store.get(record.key) for record in tally.stored)]:
                print(line(record), flush=True)
                failed |= record.outcome is not Outcome.OK and record.outcome not in PLANNED_GAPS
    return int(failed)


def line(record: StoredRecord) -> str:
    case, parity = record.identity.case, record.parity
    name = f"{case.model:<18} {case.framework:<11} {case.compile_mode:<9} {case.layout:<14} {record.outcome:<14} "
    if parity is None:
        return name + str(record.reason)[:120]
    figures = " ".join(f"{getattr(parity, f'{error}_error'):11.1e}" for error in ERRORS)
    return name + figures + f"   {parity.tolerance.gradient:.1e}"


if __name__ == "__main__":
    sys.exit(main())
