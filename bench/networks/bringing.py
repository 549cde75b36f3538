"""Brings networks into a command: each reference is imported once, checked, and kept by its content."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from rigmark.bench.builds import worker_package
from rigmark.bench.builds.build import Build
from rigmark.bench.enums import Outcome, Precision
from rigmark.bench.errors import UserError
from rigmark.bench.host import files, npz
from rigmark.bench.host.limits import writing
from rigmark.bench.host.workfolder import working_folder
from rigmark.bench.ir import weights as ir_weights
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.ops import BadGraph
from rigmark.bench.ir.reading import read
from rigmark.bench.machine import hardware
from rigmark.bench.networks import Network, Networks, forms
from rigmark.bench.networks.forms import Arrays, Imported, NotInstalled, Options
from rigmark.bench.plan import axes
from rigmark.bench.plan.case import DEFAULT_BUILD, Case
from rigmark.bench.plan.reference import short
from rigmark.bench.processes.launch import Launch
from rigmark.bench.processes.spawn import ARRAYS, run_worker
from rigmark.bench.worker import frameworks, graphs, samples

LEAST_SPREAD = 1e-6          # of outputs between samples, relative to the largest: less is rounding in fp32
ORACLE = "numpy"
SEED = 1
SAMPLES = 4                  # on which the outputs are looked at
DEADLINE_S = 600.0
AGREES = 1e-3                # relative error against another engine, in fp32; beyond it the import is wrong
TINY = 1e-7                  # a difference that fp32 functions have near 0: ONNX Runtime's sigmoid of -15 is off by 1 %
ROUNDINGS = 10               # by how many times what NumPy loses in fp32 another engine may be off on top
GRAPH, WEIGHTS = "network.json", "weights.npz"


def brought(references: Sequence[str], options: Options, builds: Mapping[str, Build], folder: Path) -> Networks:
    """The networks of these references, by their short names; they stay in ``folder``, so that none is imported twice.

    Raises UserError for two references with one name, for what cannot be imported, and for a network with outputs that
    prove nothing.
    """
    found: dict[str, Network] = {}
    for reference in references:
        name = short(reference)
        if name in found:
            raise UserError(f"two networks have the short name '{name}', by which results tell them apart; rename one")
        found[name] = _network(reference, name, options, builds, folder)
    return Networks(found)


def kept(folder: Path) -> Mapping[str, Network]:
    """All networks that stay in this folder, by their short names; of two with one name, the one that came last."""
    found = sorted(folder.glob(f"*/{GRAPH}"), key=lambda path: path.stat().st_mtime)
    networks = (_read(path.parent) for path in found)
    return {network.graph.name: network for network in networks}


def _network(
    reference: str, name: str, options: Options, builds: Mapping[str, Build], folder: Path
) -> Network:
    form = forms.of(reference)
    with working_folder() as work:
        workers = _Workers(builds, work)
        key = _key(form, reference, options, workers)
        if key is not None and (folder / key / GRAPH).exists():
            return _placed(_read(folder / key), reference)
        imported = form.bring(reference, options, workers.ask)
        try:
            plain = {**imported.plain, "name": name} if isinstance(imported.plain, dict) else imported.plain
            graph = read(_carrying(plain, reference, options.carried))
        except BadGraph as error:
            raise UserError(f"'{reference}' cannot be imported: {error}") from None
        if not graph.parameter_count:
            raise UserError(f"'{reference}' has no weights that could be trained, so that it is no network to compare")
        weights = None if imported.weights is None else _checked(imported.weights, graph, reference)
        agreement = _looked_at(form, reference, options, imported, graph, weights, workers)
        facts = {
            "graph": graph.plain(), "reference": reference, "notes": list(imported.notes), "agreement": agreement,
            "digest": None if weights is None else _digest(weights), "original": imported.original or None,
        }
        key = key or hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
        return _placed(_written(facts, weights, folder, key), reference)


def _carrying(plain: Any, reference: str, carried: Mapping[str, str]) -> Any:
    """The plain form with what the user says is carried from step to step; raises UserError for unknown names."""
    if not carried:
        return plain
    inputs, outputs = [each["name"] for each in graphs.inputs_of(plain)], graphs.output_names(plain)
    for taker, value in carried.items():
        for what, name, known in (("input", taker, inputs), ("output", value, outputs)):
            if name not in known:
                raise UserError(f"--carry {taker}={value}: '{reference}' has no {what} '{name}'; it has "
                                f"{', '.join(known)}")
    pairs = dict(graphs.carried(plain)) | dict(carried)
    return {**plain, "carried": [{"input": taker, "value": value} for taker, value in pairs.items()]}


def _placed(network: Network, reference: str) -> Network:
    """The network with the place of its original, which was perhaps another one when it was imported."""
    if network.original is None:
        return network
    return replace(network, original={**network.original, "reference": reference, "folder": os.getcwd()})


def _key(form: ModuleType, reference: str, options: Options, workers: _Workers) -> str | None:
    """The name under which an import stays, a hash of all that it depends on; None: that is not known before it."""
    content = form.content(reference, options, workers.ask)
    if content is None:
        return None
    facts = (
        short(reference), content, options.plain(), workers.versions(form.DISTRIBUTIONS),
        worker_package.importer_version(worker_package.files()), worker_package.oracle_version(),
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _written(facts: Mapping[str, Any], weights: Arrays | None, folder: Path, key: str) -> Network:
    """The network, which stays in a folder of this name; that one appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=folder, prefix=".", suffix=".tmp"))
    try:
        if weights is not None:
            with writing(beside / WEIGHTS):
                npz.write(beside / WEIGHTS, weights)
        with writing(beside / GRAPH):
            (beside / GRAPH).write_text(json.dumps(facts), encoding="utf-8")
        beside.chmod(0o755)
        if not (folder / key).exists():
            os.rename(beside, folder / key)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return _read(folder / key)


def _read(place: Path) -> Network:
    facts = files.read_json(place / GRAPH)
    try:
        graph, digest = read(facts["graph"]), facts["digest"]
        return Network(
            graph=graph, reference=str(facts["reference"]), digest=digest, notes=tuple(map(str, facts["notes"])),
            given=None if digest is None else place / WEIGHTS, agreement=facts["agreement"],
            original=facts.get("original"),
        )
    except (BadGraph, KeyError, TypeError) as error:
        raise UserError(f"{place} does not hold a network ({error}); delete it, and it is imported again") from None


def _checked(weights: Arrays, graph: Graph, reference: str) -> Arrays:
    """The weights as float32; raises UserError unless they are exactly those of the graph."""
    for key, parameter in graph.parameters.items():
        if key not in weights:
            raise UserError(f"'{reference}' has no weights '{key}', which its graph needs")
        found = np.asarray(weights[key])
        if found.shape != parameter.shape or found.dtype.kind not in "fiub":
            raise UserError(f"'{reference}' has weights '{key}' of {found.shape} and {found.dtype}, but its graph "
                            f"needs numbers of {parameter.shape}")
        if not np.all(np.isfinite(found)):
            raise UserError(f"'{reference}' has weights '{key}' that are not finite; nothing can be computed with them")
    if unknown := sorted(weights.keys() - graph.parameters.keys()):
        raise UserError(f"'{reference}' has weights '{unknown[0]}', which its graph does not have")
    return {key: np.asarray(weights[key], np.float32) for key in graph.parameters}


def _digest(weights: Arrays) -> str:
    digest = hashlib.sha256()
    for key, array in weights.items():
        digest.update(f"{key} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def _looked_at(
    form: ModuleType, reference: str, options: Options, imported: Imported, graph: Graph, weights: Arrays | None,
    workers: _Workers,
) -> str | None:
    """How the outputs agree with those of the original, in a sentence; None where a form has no other engine.

    Raises UserError where they do not agree, and where they are the same for all samples, so that they prove nothing.
    """
    inputs, of_weights = workers.folder / "inputs.npz", workers.folder / "weights.npz"
    npz.write(inputs, _samples(graph))
    npz.write(of_weights, ir_weights.initial_weights(graph, SEED) if weights is None else weights)
    facts, arrays = workers.ask({
        "kind": "oracle", "framework": ORACLE, "graph": graph.plain(), "inputs": str(inputs),
        "weights": str(of_weights), "settings": workers.settings(),
    })
    output = arrays["output"]
    _refuse_constant(output, reference)
    if not hasattr(form, "outputs"):
        return None
    found = form.outputs(reference, options, imported, inputs, workers.ask)
    if isinstance(found, str):
        return found
    engine, original = found[0], found[1]["output"]
    if original.size != output.size:
        raise UserError(f"'{reference}' gives outputs of {original.shape} in {engine}, but of {output.shape} as it was "
                        "imported; this is a fault of the import, please report it")
    difference = original.reshape(output.shape) - output
    error = float(np.linalg.norm(difference) / np.linalg.norm(output))
    rounding = facts["output_rounding"] / float(np.sqrt(np.mean(np.square(output))))
    absolute = float(np.sqrt(np.mean(np.square(difference))))
    if not (error <= AGREES + ROUNDINGS * rounding or absolute <= TINY):
        raise UserError(f"'{reference}' as it was imported differs from {engine} by {error:.1g} of its output, so it "
                        "is not measured; this is a fault of the import, please report it")
    explained = f", which is {absolute:.1g} in absolute terms and no more than fp32 rounds" if error > AGREES else ""
    return f"output differs from {engine} by {error:.1g}{explained}"


def _samples(graph: Graph) -> Arrays:
    """Inputs and targets as files of samples have them."""
    x, y = ir_weights.synthetic_batch(graph, SAMPLES, SEED)
    return {**dict(zip(samples.keys(graph.plain(), "x"), samples.unpacked(x), strict=True)), "y": y}


def _refuse_constant(output: Any, reference: str) -> None:
    if not np.all(np.isfinite(output)):
        raise UserError(f"'{reference}' gives outputs that are not finite on random input, so that nothing could be "
                        "proven; is its input of another range?")
    spread = np.ptp(output.reshape(len(output), -1), axis=0).max(initial=0.0)
    if not spread > LEAST_SPREAD * np.abs(output).max(initial=0.0):
        what = "zero" if not np.any(output) else "the same"
        raise UserError(f"'{reference}' gives outputs that are {what} for all inputs, so that nothing could be proven "
                        "about it; bring it with weights that were trained or drawn at random")


class _Workers:
    """Runs jobs in the first build that has what they need."""

    def __init__(self, builds: Mapping[str, Build], folder: Path):
        self.folder = folder
        self._builds = sorted(builds.values(), key=lambda build: build.name != DEFAULT_BUILD)
        self._package = worker_package.write(folder)
        self._versions: dict[str, Any] = {}

    def settings(self) -> dict[str, Any]:
        """Those of the oracle."""
        adapter = frameworks.load(ORACLE)
        case = Case(
            model="", framework=ORACLE, compile_mode=adapter.COMPILE_MODES[0], layout=adapter.LAYOUTS[0],
            precision=Precision.FP64, local_batch=SAMPLES, threads=len(hardware.usable_cpus()),
        )
        return {**axes.sent(case), "seed": SEED, "shards": 1}

    def versions(self, distributions: Sequence[str]) -> dict[str, Any]:
        if not distributions:
            return {}
        facts, _ = self.ask({"kind": "probe", "distributions": sorted(distributions)})
        found: dict[str, Any] = facts["packages"]
        return found

    def ask(self, job: Mapping[str, Any]) -> tuple[dict[str, Any], Arrays]:
        """The facts and arrays of a worker's answer. The next build is asked where one lacks a package."""
        reasons = []
        for build in self._builds:
            directory = Path(tempfile.mkdtemp(dir=self.folder))
            cpus = hardware.usable_cpus()
            launch = Launch.of(build, self._package, cpus=cpus, threads=len(cpus), deadline_s=DEADLINE_S)
            answer = run_worker(launch, job, directory)
            if answer.outcome is Outcome.OK:
                arrays: Arrays = {}
                if (path := directory / ARRAYS).exists():
                    with np.load(path) as stored:
                        arrays = dict(stored)
                return answer.result, arrays
            reasons.append(answer.reason or str(answer.outcome))
            if answer.outcome is not Outcome.NOT_INSTALLED:
                break
        is_lacking = answer.outcome is Outcome.NOT_INSTALLED
        raise (NotInstalled if is_lacking else UserError)("; ".join(reasons))

