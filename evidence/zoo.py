"""Claim: every network that Rigmark defines is the same in PyTorch, TensorFlow and JAX, and learns.

Takes each network as the suite `introductions` has it, or at a batch of 1, through the proof of its training step and
one timed trial in each framework, and prints one line each: the largest relative errors of output and gradients against
the float64 oracle, the gradient error that is allowed, whether the timed trial still agreed at its end, parameters, and
FLOPs per sample. Speeds are not listed: the machine need not be quiet. Records
stay in the results folder and are not measured again.

Run: .venv/bin/python -m evidence.zoo [--model lenet5,llama] [--results zoo-results] [--text RECORD.txt]
In the record only the networks that are run are replaced. Ends with exit code 1 if something that ran failed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rigmark import suites
from rigmark.bench import models
from rigmark.bench.builds import build
from rigmark.bench.enums import PLANNED_GAPS, Mode, Outcome, TrialKind
from rigmark.bench.machine import hardware
from rigmark.bench.plan.schedule import plan
from rigmark.bench.plan.sweep import Sweep
from rigmark.bench.runner.runner import Runner
from rigmark.bench.store.store import Store
from rigmark.bench.store.stored import StoredRecord

SUITE = "introductions"
HEADING = (f"{'model':<20} {'framework':<11} {'outcome':<14} {'output':>8} {'gradient':>8} {'allowed':>8} "
           f"{'timed':<14} {'parameters':>12} {'FLOPs/sample':>12}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=",".join(models.NAMES))
    parser.add_argument("--results", type=Path, default=Path("zoo-results"))
    parser.add_argument("--text", type=Path, help="where to write what is printed")
    options = parser.parse_args()
    store = Store(options.results).create()
    kept = [] if options.text is None or not options.text.exists() else options.text.read_text().splitlines()[1:]
    failed = False
    with Runner(store, build.load(), suite="zoo", command="python -m evidence.zoo") as runner:
        for model in options.model.split(","):
            tally = runner.run(plan([sweep_of(model)], cores=len(hardware.usable_cpus()), seed=1))
            records = [*tally.already_there, *(store.get(record.key) for record in tally.stored)]
            failed |= any(x.outcome is not Outcome.OK and x.outcome not in PLANNED_GAPS for x in records)
            lines = list(rows(model, records))
            print("\n".join(lines), flush=True)
            kept = sorted([*(line for line in kept if line.split()[0] != model), *lines])
            if options.text is not None:
                options.text.write_text("\n".join([HEADING, *kept]) + "\n")
    return int(failed)


def sweep_of(model: str) -> Sweep:
    found = [sweep for sweep in suites.sweeps(SUITE) if model in sweep.models]
    sweep = found[0] if found else replace(suites.sweeps(SUITE)[0], local_batches=(1,))
    return replace(sweep, models=(model,), modes=(Mode.TRAINING,), data=("synthetic",))


def rows(model: str, records: list[StoredRecord]) -> Iterator[str]:
    graph = models.build(model)
    flops = graph.flops_per_sample(training=False)
    for framework in dict.fromkeys(record.identity.case.framework for record in records):
        of = {record.identity.kind: record for record in records if record.identity.case.framework == framework}
        proof, timed = of.get(TrialKind.PROOF), of.get(TrialKind.TIMING)
        if proof is None or proof.parity is None:
            yield f"{model:<20} {framework:<11} {proof.outcome if proof else 'not run'}: {proof and proof.reason}"
            continue
        parity = proof.parity
        yield (f"{model:<20} {framework:<11} {proof.outcome:<14} {parity.output_error:8.1e} "
               f"{parity.gradient_error or 0:8.1e} {parity.tolerance.gradient:8.1e} "
               f"{timed.outcome if timed else 'not run':<14} {graph.parameter_count:>12,} {flops:>12.4g}")


if __name__ == "__main__":
    sys.exit(main())
