"""Frameworks in environments of their own, made from their recipes, against the oracle.

Each graph of the table with which all frameworks are tested goes through each compile mode: output, loss, gradients,
and the losses of three steps. What a framework lacks is counted as refused. An environment that is missing is created
first, below the data folder of the user; without an interpreter for it the framework is skipped, with that reason.

    python -m evidence.legacy [--framework mxnet] > evidence/records/legacy.txt
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from rigmark.bench.builds import build as builds
from rigmark.bench.builds import environments, worker_package
from rigmark.bench.builds.build import Build
from rigmark.bench.builds.variables import environment
from rigmark.bench.cli.builds import prove
from rigmark.bench.errors import UserError
from rigmark.bench.host.workfolder import working_folder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.weights import initial_weights, perturbed, synthetic_batch
from rigmark.bench.worker import proof, samples
from rigmark.bench.worker.frameworks.numpy import adapter as oracle

SAMPLES = 6
OUTPUT, GRADIENTS = 1e-5, 1e-4           # relative L2 errors that fp32 explains, as in the tests of conformance
CHILD = Path(__file__).with_name("legacy_worker.py")
SETTINGS = {"mode": "training", "precision": "fp64", "compile_mode": "eager", "layout": "nchw", "device": "cpu",
            "threads": 1, "seed": 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--framework", default=",".join(builds.recipes()), help="separated by commas")
    asked = parser.parse_args()
    names, ran, is_wrong = asked.framework.split(","), 0, False
    for name in names:
        try:
            build = made(name)
        except UserError as refusal:
            print(f"{name} skipped: {refusal}")
            continue
        told, ran = conformance(name, build), ran + 1
        print(f"{name} {told['facts']['version']}, Python {told['python']}, {told['graphs']} graphs, "
              f"{told['seconds']} s")
        for mode, met in told["compile_modes"].items():
            print(f"  {mode}: {met['right']} right, {len(met['wrong'])} wrong, {len(met['refused'])} refused")
            for what in ("wrong", "refused"):
                for case, reason in met[what].items():
                    print(f"    {what}: {case}: {reason}")
            is_wrong = is_wrong or bool(met["wrong"])
    print(f"{ran} of {len(names)} frameworks ran")
    sys.exit(1 if is_wrong else 0)


def made(name: str) -> Build:
    """The build of a framework's recipe, created where there is none; raises UserError if that is not possible."""
    build = builds.described(builds.user_file(), name, {"recipe": name})
    if not environments.is_finished(build):
        started = time.monotonic()
        environments.create(build, lambda line: None, prove)
        print(f"{name}: environment created and mlp proven in {time.monotonic() - started:.0f} s")
    return build


def conformance(name: str, build: Build) -> dict[str, Any]:
    """How the answers of a framework in its environment agree with the oracle's, by compile mode."""
    from tests.worker.frameworks.cases import cases

    started = time.monotonic()
    graphs = {case: graph for case, graph in cases().items() if not graph.objectives}
    with working_folder() as folder:
        package = worker_package.write(folder)
        expected = {case: ask(folder, case, graph) for case, graph in graphs.items()}
        done = subprocess.run(
            [build.interpreter, str(CHILD), str(package), str(folder), name], env=environment(build, threads=1),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
        )
        if done.returncode:
            raise SystemExit(f"{name} ended with exit code {done.returncode}: {done.stderr[-1000:]}")
        answers = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
        modes = {
            mode: judged(folder, mode, told, expected) for mode, told in answers.pop("compile_modes").items()
        }
    return {**answers, "graphs": len(graphs), "compile_modes": modes, "seconds": round(time.monotonic() - started, 1)}


def ask(folder: Path, case: str, graph: Graph) -> dict[str, Any]:
    """The answers of the oracle; the question is left in the folder."""
    plain, weights = graph.plain(), perturbed(graph, initial_weights(graph, seed=1), seed=1)
    x, y = synthetic_batch(graph, SAMPLES, 2)
    (folder / f"{case}.json").write_text(json.dumps(plain), encoding="utf-8")
    np.savez(folder / f"{case}.weights.npz", **weights)
    np.savez(folder / f"{case}.inputs.npz", y=y, **dict(zip(samples.keys(plain), samples.unpacked(x), strict=True)))
    answers: dict[str, Any] = proof.answer(oracle.prepare(plain, weights, SETTINGS), plain, x, y, 3)
    return answers


def judged(folder: Path, mode: str, told: dict[str, Any], expected: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """{"right": number, "refused": {graph: reason}, "wrong": {graph: in what}}"""
    wrong = dict(told["failed"])
    for case in told["answered"]:
        with np.load(folder / f"{case}.{mode}.npz") as answered:
            if off := differences({key: answered[key] for key in answered.files}, expected[case]):
                wrong[case] = off
    return {"right": len(told["answered"]) + len(told["failed"]) - len(wrong), "refused": told["refused"],
            "wrong": wrong}


def differences(got: dict[str, Any], expected: dict[str, Any]) -> str:
    """The answers that are off by more than fp32 explains, in words; empty: none is."""
    off = sorted(set(got) ^ set(expected))
    scale = np.sqrt(sum(np.square(each).sum() for key, each in expected.items() if key.startswith("gradient")))
    for key in set(got) & set(expected):
        if got[key].shape != expected[key].shape:
            off.append(f"{key} has shape {got[key].shape}")
            continue
        if key == "losses":          # the fourth is not judged, since rounding makes them diverge
            error = np.abs(got[key] - expected[key])[:3].max() / np.abs(expected[key][:3]).max()
        else:
            norm = scale if key.startswith("gradient") else np.linalg.norm(expected[key])
            difference = np.linalg.norm(np.asarray(got[key], np.float64) - expected[key])
            error = difference / norm if norm else difference
        if not error <= (OUTPUT if key.startswith("output") else GRADIENTS):
            off.append(f"{key} by {error:.1e}")
    return ", ".join(off)


if __name__ == "__main__":
    main()
