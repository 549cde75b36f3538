"""Claim: every operation is off by no more than its format explains, in compilers and narrow formats too.

Takes the graphs of the conformance tests, which meet every operation, through proofs in the ways that are too slow, or
too many, for the tests: torch.compile, XLA in TensorFlow, and mixed and pure narrow formats in torch and JAX. Prints
one row per way, and one for each graph that is beyond its tolerance, fails, or is refused.

Run: .venv/bin/python -m evidence.operations [--way torch-compiled-fp32,jax-xla-bf16] [--record FILE]
Ends with exit code 1 if something that ran is beyond its tolerance or failed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import multiprocessing
import sys
import time
from pathlib import Path
from typing import Any

WAYS = (
    "tensorflow-xla-fp32", "jax-xla-bf16", "jax-xla-fp16", "torch-eager-bf16", "torch-eager-bf16_pure",
    "torch-compiled-fp32",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--way", default=",".join(WAYS))
    parser.add_argument("--only", default="", help="graphs whose name contains this")
    parser.add_argument("--minutes", type=float, default=60.0, help="for each way")
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    lines, failed = [], False
    for way in options.way.split(","):
        here, there = multiprocessing.get_context("spawn").Pipe(duplex=False)
        process = multiprocessing.get_context("spawn").Process(
            target=proven, args=(way, options.only, time.time() + 60 * options.minutes, there))
        process.start()
        there.close()
        found: dict[str, str] = {}
        try:
            while (answer := here.recv()) is not None:
                found[answer[0]] = answer[1]
                if answer[1] != "agrees":
                    lines.append(f"    {answer[0]:<40} {answer[1]}")
                    print(lines[-1], flush=True)
        except EOFError:
            found["(process)"] = "failed: it crashed"
        process.join()
        kinds = [said.partition(":")[0] for said in found.values()]
        failed |= any(kind in ("beyond", "failed") for kind in kinds)
        counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(sorted(kinds)))
        lines.append(f"{way}: {len(found)} graphs, {counts}")
        print(lines[-1], flush=True)
        if options.record is not None:
            names = ("torch", "jax", "tensorflow-cpu", "numpy")
            versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
            options.record.write_text("\n".join((*lines, "", versions)) + "\n", encoding="utf-8")
    return int(failed)


def proven(way: str, only: str, until: float, pipe: Any) -> None:
    from rigmark.bench.worker.frameworks import Unsupported
    from tests.worker.frameworks import test_precisions as checks

    framework, compile_mode, precision = way.split("-")
    asked = checks.Way(framework, compile_mode, precision)
    for name, graph in checks.CASES.items():
        if only not in name:
            continue
        if time.time() > until:
            pipe.send((name, "not run: the time was over"))
            continue
        checks.NETWORKS[name] = lambda graph=graph: graph
        try:
            failures = checks.compared(asked, name).failures()
            said = "agrees" if not failures else f"beyond: {'; '.join(map(str, failures))[:300]}"
        except Unsupported as error:
            said = f"unsupported: {error}"
        except Exception as error:
            said = f"failed: {type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
        checks.kept.cache_clear()
        pipe.send((name, said))
    pipe.send(None)


if __name__ == "__main__":
    sys.exit(main())
