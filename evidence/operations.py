"""Claim: every operation is off by no more than its format explains, in any shape, in compilers and narrow formats too.

Takes the graphs of the conformance tests, which meet every operation, and graphs of each operation whose shapes and
settings are drawn, through proofs in ways that are too slow, or too many, for the tests: torch.compile, XLA in
TensorFlow, and mixed and pure narrow formats in torch and JAX. Prints how many graphs of each way agree, and a row for
each graph that is beyond its tolerance, fails, is refused, or was not run.

Run: .venv/bin/python -m evidence.operations [--way torch-compiled-fp32,jax-xla-bf16] [--text RECORD.txt]
In the record only the ways that are run are replaced. Ends with exit code 1 if something that ran is beyond its
tolerance or failed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import multiprocessing
import sys
import time
from itertools import chain
from pathlib import Path
from typing import Any

WAYS = {
    "torch-eager-fp32": 40, "tensorflow-eager-fp32": 10, "jax-xla-fp32": 2, "onnxruntime-eager-fp32": 40,
    "torch-eager-bf16": 10, "torch-eager-bf16_pure": 10, "jax-xla-bf16": 0, "jax-xla-fp16": 0,
    "tensorflow-xla-fp32": 0, "torch-compiled-fp32": 0,
}
"""How many graphs are drawn of each operation."""
BEGUN, NOT_RUN = "begun", "not run: the time was over"
REALISATIONS = 24        # of the oracle's rounding: with few numbers, the largest error of three says too little


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--way", default=",".join(WAYS))
    parser.add_argument("--only", default="", help="graphs whose name contains one of these")
    parser.add_argument("--draws", type=int, help="of each operation")
    parser.add_argument("--minutes", type=float, default=60.0, help="for each way")
    parser.add_argument("--text", type=Path, help="where to write what is printed")
    options = parser.parse_args()
    found: dict[str, list[str]] = {}
    if options.text is not None and options.text.exists():
        found = sections(options.text.read_text(encoding="utf-8"))
    failed = False
    for way in options.way.split(","):
        draws = WAYS.get(way, 1) if options.draws is None else options.draws
        said = answers(way, options.only, draws, 60 * options.minutes)
        kinds = [each.partition(":")[0] for each in said.values()]
        failed |= any(kind in ("beyond", "failed") for kind in kinds)
        counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(sorted(kinds)))
        found[way] = [f"{way}: {len(said)} graphs, {draws} drawn of each operation: {counts}", *rows(said)]
        print("\n".join(found[way]), flush=True)
        if options.text is not None:
            options.text.write_text("\n".join((*chain(*found.values()), "", versions())) + "\n", encoding="utf-8")
    return int(failed)


def rows(said: dict[str, str]) -> list[str]:
    """What does not agree; draws of an operation of which the same is said stand in one row."""
    names: dict[tuple[str, str], list[str]] = {}
    for name, each in said.items():
        kind, _, draw = name.partition(", draw ")
        if each != "agrees":
            names.setdefault((kind, each), []).append(draw)
    return [f"    {kind + which(draws):<40} {each}" for (kind, each), draws in names.items()]


def which(draws: list[str]) -> str:
    drawn = [draw for draw in draws if draw]
    if not drawn:
        return ""
    return (", and drawn " if "" in draws else ", drawn ") + (
        " ".join(drawn) if len(drawn) < 5 else f"{len(drawn)} times")


def sections(text: str) -> dict[str, list[str]]:
    """The lines of a record by the way that they are of."""
    found: dict[str, list[str]] = {}
    for line in text.partition("\n\n")[0].splitlines():
        if not line.startswith(" "):
            found[line.partition(":")[0]] = []
        found[list(found)[-1]].append(line)
    return found


def versions() -> str:
    names = ("torch", "jax", "tensorflow-cpu", "onnxruntime", "numpy")
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def answers(way: str, only: str, draws: int, limit_s: float) -> dict[str, str]:
    """What is said of each graph by its name, in a process of its own; after a crash another goes on."""
    until, found = time.time() + limit_s, dict[str, str]()
    while True:
        here, there = multiprocessing.get_context("spawn").Pipe(duplex=False)
        process = multiprocessing.get_context("spawn").Process(
            target=proven, args=(way, only, draws, until, frozenset(found), there))
        process.start()
        there.close()
        try:
            while (answer := here.recv()) is not None:
                found[answer[0]] = answer[1]
            return found
        except EOFError:
            begun = next((name for name, said in found.items() if said == BEGUN), None)
            if begun is None:
                raise
            found[begun] = "failed: the process crashed"
        finally:
            process.join()


def proven(way: str, only: str, draws: int, until: float, done: frozenset[str], pipe: Any) -> None:
    from rigmark.bench.ir.ops import OPS
    from rigmark.bench.trials import parity
    from tests.worker.frameworks import test_precisions as checks
    from tests.worker.frameworks.drawn import drawn

    parity.REALISATIONS = REALISATIONS
    asked = checks.Way(*way.split("-"))
    graphs = {**checks.CASES, **{f"{kind}, draw {seed}": drawn(kind, seed) for kind in OPS for seed in range(draws)}}
    for name, graph in graphs.items():
        if any(part in name for part in only.split(",")) and name not in done:
            pipe.send((name, BEGUN))
            checks.NETWORKS[name] = lambda graph=graph: graph
            pipe.send((name, NOT_RUN if time.time() > until else of_graph(asked, name)))
            checks.kept.cache_clear()
    pipe.send(None)


def of_graph(asked: Any, name: str) -> str:
    from rigmark.bench.worker.frameworks import Unsupported
    from tests.worker.frameworks import test_precisions as checks

    try:
        failures = checks.compared(asked, name).failures()
    except Unsupported as error:
        return f"unsupported: {error}"
    except Exception as error:
        return f"failed: {type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
    return "agrees" if not failures else f"beyond: {'; '.join(map(str, failures))[:300]}"


if __name__ == "__main__":
    sys.exit(main())
