"""Writes networks with their weights as files that other programs read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from rigmark.bench.builds import worker_package
from rigmark.bench.builds.build import Build
from rigmark.bench.enums import Outcome
from rigmark.bench.errors import UserError
from rigmark.bench.host import npz
from rigmark.bench.host.limits import writing
from rigmark.bench.host.workfolder import working_folder
from rigmark.bench.machine import hardware
from rigmark.bench.networks import Network
from rigmark.bench.processes.launch import Launch
from rigmark.bench.processes.spawn import run_worker

SEED = 1                     # of weights that are drawn, as those of trials
DEADLINE_S = 600.0


def graph(network: Network, path: Path) -> list[Path]:
    """Writes the graph in its plain form to PATH, and its weights to a .npz beside it; both files."""
    if path.suffix.lower() != ".json":
        raise UserError(f"the format graph is written to a file that ends in .json, not to {path}")
    with working_folder() as folder:
        made = [folder / path.name, folder / path.with_suffix(".npz").name]
        with writing(folder):
            made[0].write_text(json.dumps(network.graph.plain(), indent=1) + "\n", encoding="utf-8")
            npz.write(made[1], network.weights(SEED))
        return _placed(made, path)


def onnx(network: Network, path: Path, build: Build) -> list[Path]:
    """Writes an ONNX file to PATH by a worker in a build that has the package onnx; all files that were written.

    Raises UserError with the reason where the build cannot, or where ONNX does not have an operation.
    """
    if path.suffix.lower() != ".onnx":
        raise UserError(f"the format onnx is written to a file that ends in .onnx, not to {path}")
    with working_folder() as folder:
        weights, directory = folder / "weights.npz", folder / "job"
        with writing(folder):
            directory.mkdir()
            npz.write(weights, network.weights(SEED))
            package = worker_package.write(folder)
        cpus = hardware.usable_cpus()
        launch = Launch.of(build, package, cpus=cpus, threads=len(cpus), deadline_s=DEADLINE_S)
        answer = run_worker(launch, {
            "kind": "export_onnx", "graph": network.graph.plain(), "weights": str(weights), "file": path.name,
        }, directory)
        if answer.outcome is not Outcome.OK:
            raise UserError(f"{network.graph.name} cannot be written as ONNX: {answer.reason or answer.outcome}")
        return _placed([directory / name for name in answer.result["files"]], path)


def _placed(made: Sequence[Path], path: Path) -> list[Path]:
    """Moves finished files to where PATH lies; raises UserError if that fails."""
    try:
        return [Path(shutil.move(file, path.parent / file.name)) for file in made]
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; choose another --output") from None


FORMATS = {"graph": ".json", "onnx": ".onnx"}
"""The endings of the files of each format."""
