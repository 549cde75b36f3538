"""Claim: files of others that are imported compute in every framework what the oracle and ONNX Runtime compute.

Imports the ONNX files that ship inside packages of the Python package index, each content once, and prints one row per
file: layers and parameters, the difference of the output from ONNX Runtime on the original file, and, for the weights
as given and perturbed, the largest relative errors in fp32 of output and gradients against the float64 oracle, in each
framework (of large networks against PyTorch in float64, since the oracle would take too long; the import compares the
oracle's output with ONNX Runtime all the same); or the sentence with which a file or a framework refuses it.
What was not run within its time is said so, and counts as not agreeing. Where a framework disagrees in fp32 and agrees
in fp64, the row says that it differs by rounding. Files of the package onnx whose weights are all one number get random
ones, since they compute the same for every input; ONNX Runtime then runs the file with these.

Run: pip download --no-deps -d WHEELS rapidocr-onnxruntime silero-vad magika ...    (into a folder beside the project)
     .venv/bin/python -m evidence.imported_files WHEELS WORK [--framework torch,jax] [--text RECORD.txt]
In the folder WORK stays what was imported, computed and compiled: what none of its code, weights and versions has
changed for is not computed again. Ends with exit code 1 if something that ran did not agree.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import importlib.metadata
import json
import multiprocessing
import os
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from rigmark.bench.builds import build, worker_package
from rigmark.bench.errors import UserError
from rigmark.bench.ir import weights as ir_weights
from rigmark.bench.networks import Network
from rigmark.bench.networks.bringing import TINY, brought
from rigmark.bench.networks.forms import Options
from rigmark.bench.trials import parity
from rigmark.bench.worker import frameworks, proof

OUTPUT, GRADIENT = 1e-4, 1e-3       # largest relative error that agrees, in fp32
IN_FP64 = 1e-5                      # the same of both in fp64; constants of a graph are float32
BY_ROUNDING = "differs by rounding:"    # an activation close to a kink, say: in fp64 the same program agrees
SAMPLES, SEED = 2, 1
ORACLE = "numpy"
EXACT = "float64 of "               # begins the name of a process that computes a reference
FRAMEWORKS = ("torch", "jax", "tensorflow", "onnxruntime")
AT_A_TIME = 3                       # processes that compute
MOST_FLOPS = 10**9                  # of a sample, for which the oracle of NumPy is waited for
IN_FLOAT64 = "torch"                # gives the reference of larger networks
LEAST_BYTES = 10_000
LEAST_VARIANCE = 1e-5               # of a channel that is 0 everywhere
LARGEST, LEAST_SPREAD = 0.9, 1e-3   # of the probabilities that drawn weights give, and their change from input to input
QUANTISED = ("quantised", "DynamicQuantize")
IMAGE = (1, 3, 64, 64)
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "ch_PP-OCRv4_det_infer": {"x": IMAGE}, "PP-OCRv6_det_small": {"x": IMAGE},
    "ch_PP-OCRv4_rec_infer": {"x": (1, 3, 48, 96)}, "PP-OCRv6_rec_small": {"x": (1, 3, 48, 96)},
    "ch_ppocr_mobile_v2.0_cls_infer": {"x": (1, 3, 48, 192)}, "ch_ppocr_mobile_v2.0_cls_mobile": {"x": (1, 3, 48, 192)},
    "ddddocr/common": {"input1": (1, 1, 64, 96)}, "ddddocr/common_old": {"input1": (1, 1, 64, 96)},
    "ddddocr/common_det": {},
    "pnet": {"input_1": (1, 48, 48, 3)},
    "nsnet2-20ms-baseline": {"input": (1, 8, 161)}, "nsnet2-20ms-48k-baseline": {"input": (1, 8, 513)},
    "plcmos_v2": {"degraded_audio": (1, 1, 64, 257)}, "swift_f0/model": {"audio": (1, 4096)},
    "aecmos_models/": {"input": (1, 3, 32, 160)}, "silero_vad_v6": {"input": (4, 576)},
    "silero_vad_16k_sequence": {"input": (4, 576)}, "silero_vad": {"input": (1, 576)},
    "encoder": {"src": (1, 12), "src_mask": (1, 12)},
    "decoder": {"prefix": (1, 6), "memory": (1, 12, 256), "src_mask": (1, 12)},
    "rawi": {"input": (1, 32)}, "bilstm": {"input_ids": (1, 32)},
}
"""Sizes of open axes, by the end of a file's path without ".onnx", or else by a part of it."""
PINS: dict[str, dict[str, float]] = {
    "silero_vad_v6": {}, "silero_vad_16k_sequence": {}, "silero_vad": {"sr": 16000.0},
    "swift_f0/model": {"fmin": 46.875, "fmax": 2093.75},
}
DRAWN = "onnx/backend/test/data/light/"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheels", type=Path)
    parser.add_argument("work", type=Path, help="folder for what is imported, computed and compiled")
    parser.add_argument("--framework", default=",".join(FRAMEWORKS))
    parser.add_argument("--only", default="", help="files whose path contains this")
    parser.add_argument("--minutes", type=float, default=60.0, help="after which nothing more is started")
    parser.add_argument("--each-s", type=float, default=600.0, help="after which a framework is stopped")
    parser.add_argument("--text", type=Path, help="where to write what is printed")
    options = parser.parse_args()
    table = Table(options.work, options.framework.split(","), options.each_s, 60 * options.minutes)
    found = sorted(files(options.wheels, options.work), key=lambda each: each[1].stat().st_size)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        rows = list(pool.map(table.row, [each for each in found if options.only in str(each[1])]))
        for _ in pool.map(table.answered, sorted((row for row in rows if "network" in row), key=flops)):
            write(options.text, rows)
    table.stop()
    write(options.text, rows)
    print(text_of(rows))
    return int(any("disagrees" in each for row in rows for each in row["frameworks"].values()))


def text_of(rows: list[dict[str, Any]]) -> str:
    heading = (f"CPU, {SAMPLES} samples; fp32 against a reference in float64. An output agrees within {OUTPUT:.0e}, a "
               f"gradient within {GRADIENT:.0e} of the norm of all.")
    return "\n".join([heading, "", *map(line, rows), "", *summary(rows), ""])


def write(record: Path | None, rows: list[dict[str, Any]]) -> None:
    if record is not None:
        record.write_text(text_of(rows), encoding="utf-8")


def files(wheels: Path, work: Path) -> Iterator[tuple[str, Path]]:
    """(packages with their versions, path) of each ONNX file in the archives of a folder; equal files are one."""
    found: dict[str, tuple[str, Path]] = {}
    for archive in sorted(wheels.iterdir()):
        package = "-".join(archive.name.split("-")[:2]).removesuffix(".tar.gz")
        inside = work / "files" / package
        if archive.name.endswith(".tar.gz"):
            package = archive.name.removesuffix(".tar.gz")
            with tarfile.open(archive) as packed:
                packed.extractall(inside, [each for each in packed if each.name.endswith(".onnx")], filter="data")
        elif archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as opened:
                opened.extractall(inside, [each for each in opened.namelist() if each.endswith(".onnx")])
        for path in sorted(inside.rglob("*.onnx")):
            if path.stat().st_size >= LEAST_BYTES:
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                packages, first = found.get(digest, ("", path))
                names = dict.fromkeys([*filter(None, packages.split(", ")), package])
                found[digest] = ", ".join(names), first
    yield from found.values()


def with_drawn_weights(path: Path, work: Path) -> Path:
    """A copy of a file whose weights are random instead of one number, so large that its output follows its input."""
    import onnx

    target = work / "files" / "drawn" / path.name
    if not target.exists():
        models = (_drawn(path, gain) for gain in (1.0, 0.6, 0.8, 1.5, 2.0, 3.0))
        model = next((each for each in models if _follows_its_input(each.SerializeToString())), None)
        if model is None:
            raise UserError(f"no weights were drawn with which '{path.name}' gives different outputs")
        target.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(model, target.with_suffix(".tmp"))
        target.with_suffix(".tmp").rename(target)
    return target


def _drawn(path: Path, gain: float) -> Any:
    import onnx
    from onnx import numpy_helper

    model, rng = onnx.load(path), np.random.default_rng(SEED)
    arrays = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    makers = {each.output[0]: each for each in model.graph.node if each.op_type == "ConstantOfShape"}
    around_one = {name for each in model.graph.node if each.op_type == "BatchNormalization"
                  for name in (each.input[1], each.input[4])}       # scales and variances
    for name, node in makers.items():
        shape = arrays[node.input[0]].astype(int)
        drawn = rng.uniform(0.5, 1.5, shape) if name in around_one else (
            rng.normal(0, gain * np.sqrt(2.0 / np.prod(shape[1:])) if len(shape) > 1 else 0.1, shape))
        model.graph.initializer.append(numpy_helper.from_array(drawn.astype(np.float32), name))
        model.graph.node.remove(node)
    if around_one:
        _give_statistics(model, rng)
    return model


def _give_statistics(model: Any, rng: Any) -> None:
    """Makes means and variances of batch normalisation those of an image; others would shrink what differs."""
    import onnx
    from onnx import helper, numpy_helper

    measured, names = onnx.ModelProto.FromString(model.SerializeToString()), list[str]()
    del measured.graph.node[:]
    for node in model.graph.node:
        if node.op_type != "BatchNormalization":
            measured.graph.node.append(node)
            continue
        x, scale, shift, mean, variance = node.input
        names += [mean, variance]
        place, axes = node.output[0], [0, 2, 3]
        measured.graph.node.extend((
            helper.make_node("ReduceMean", [x], [f"{place}/mean"], axes=axes),
            helper.make_node("Sub", [x, f"{place}/mean"], [f"{place}/centred"]),
            helper.make_node("Mul", [f"{place}/centred"] * 2, [f"{place}/square"]),
            helper.make_node("ReduceMean", [f"{place}/square"], [f"{place}/variance"], axes=axes),
            helper.make_node("Constant", [], [f"{place}/least"], value_floats=[LEAST_VARIANCE]),
            helper.make_node("Max", [f"{place}/variance", f"{place}/least"], [f"{place}/more"]),
            helper.make_node("Sqrt", [f"{place}/more"], [f"{place}/deviation"]),
            helper.make_node("Div", [f"{place}/centred", f"{place}/deviation"], [f"{place}/normal"]),
            *(helper.make_node("Unsqueeze", [name], [f"{place}/{name}"], axes=axes) for name in (scale, shift)),
            helper.make_node("Mul", [f"{place}/normal", f"{place}/{scale}"], [f"{place}/scaled"]),
            helper.make_node("Add", [f"{place}/scaled", f"{place}/{shift}"], [place]),
        ))
        measured.graph.output.extend(
            helper.make_empty_tensor_value_info(f"{place}/{what}") for what in ("mean", "variance"))
    kept = [each for each in model.graph.initializer if each.name not in names]
    for graph in (model.graph, measured.graph):
        del graph.initializer[:]
        graph.initializer.extend(kept)
    for place in [each for each in measured.graph.input if each.name in names]:
        measured.graph.input.remove(place)
    found = _run(measured.SerializeToString(), rng)[1:]
    model.graph.initializer.extend(numpy_helper.from_array(each.ravel(), name)
                                   for name, each in zip(names, found, strict=True))


def _follows_its_input(model: bytes) -> bool:
    rng = np.random.default_rng(SEED)
    one, other = (_run(model, rng)[0] for _ in range(2))
    return bool(one.max() < LARGEST and np.abs(one - other).max() > LEAST_SPREAD * one.max())


def _run(model: bytes, rng: Any) -> list[Any]:
    """All outputs for an input that is drawn."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options)
    place = session.get_inputs()[0]
    found: list[Any] = session.run(None, {place.name: rng.normal(size=place.shape).astype(np.float32)})
    return found


def flops(row: dict[str, Any]) -> int:
    return int(row["network"].graph.flops_per_sample(training=False))


def of_file(table: dict[str, Any], path: Path) -> Any:
    whole = path.as_posix().removesuffix(".onnx")
    exact = [key for key in table if whole.endswith(f"/{key}")]
    return table[exact[0]] if exact else next((table[key] for key in table if key in whole), {})


class Table:
    """Fills the rows, with one process per framework at a time, which goes on with the next file."""

    def __init__(self, work: Path, names: list[str], each_s: float, all_s: float):
        (work / "answers").mkdir(parents=True, exist_ok=True)
        os.environ |= {
            "JAX_COMPILATION_CACHE_DIR": str(work.absolute() / "compiled"), "TF_CPP_MIN_LOG_LEVEL": "3",
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
        }
        self._work, self._names, self._until = work, names, time.monotonic() + all_s
        self._processes = {name: Process(name, each_s) for name in (EXACT + ORACLE, EXACT + IN_FLOAT64, *names)}

    def stop(self) -> None:
        for process in self._processes.values():
            process.stop()

    def row(self, found: tuple[str, Path]) -> dict[str, Any]:
        package, path = found
        row: dict[str, Any] = {"package": package, "file": path.name, "frameworks": {}}
        options = Options(pins=of_file(PINS, path), shapes=of_file(SHAPES, path))
        if DRAWN in path.as_posix():
            row["file"] += " (weights drawn)"
        try:
            if DRAWN in path.as_posix():
                path = with_drawn_weights(path, self._work)
            network = self._brought(path, options)
        except UserError as error:
            row["refused"] = str(error).replace(str(path), path.name)
            print(line(row), file=sys.stderr, flush=True)
        else:
            row |= {"layers": len(network.graph.layers), "parameters": network.graph.parameter_count,
                    "original": network.agreement, "network": network}
        return row

    def answered(self, row: dict[str, Any]) -> Path:
        """Fills in what the frameworks say; where the reference is, if there is one."""
        network: Network = row["network"]
        row["reference"] = ORACLE if flops(row) <= MOST_FLOPS else IN_FLOAT64
        exact = self._exact(network, row["reference"])
        row["frameworks"] = self._answers(network, row["reference"], exact)
        print(line(row), file=sys.stderr, flush=True)
        return exact

    def _brought(self, path: Path, options: Options) -> Network:
        try:
            return brought([str(path)], options, build.load(), self._work / "networks")[path.name]
        except UserError as error:                       # some files of a package lack the input that others have
            if "has no input 'sr'" not in str(error):
                raise
            return self._brought(path, dataclasses.replace(options, pins={}))

    def _exact(self, network: Network, reference: str) -> Path:
        code = worker_package.adapter_version(worker_package.files(), reference, "replicas")
        kept = hashlib.sha256(f"{network.graph.fingerprint} {network.digest} {SAMPLES}".encode()).hexdigest()[:16]
        return self._work / "answers" / f"{kept}-{reference}-{code}.npz"

    def _answers(self, network: Network, reference: str, exact: Path) -> dict[str, str]:
        if not exact.exists():
            outcome = self._within(EXACT + reference, network, exact)
            if not exact.exists():
                return dict.fromkeys(self._names, f"not run: its reference: {outcome}")
        answers = {}
        for name in self._names:
            code = worker_package.adapter_version(worker_package.files(), name, "replicas")
            told = exact.with_suffix(f".{name}-{code}-{versions()}.json")
            if not told.exists():
                outcome = self._within(name, network, exact)
                if outcome.startswith("not run"):
                    answers[name] = outcome
                    continue
                told.write_text(json.dumps(outcome), encoding="utf-8")
            answers[name] = json.loads(told.read_text(encoding="utf-8"))
        return answers

    def _within(self, name: str, network: Network, exact: Path) -> str:
        return "not run: the time was over" if time.monotonic() > self._until else (
            self._processes[name].ask(network, exact))


class Process:
    """Asks a process that stays for what it says within so many seconds; one that does not answer is started again."""

    def __init__(self, framework: str, each_s: float):
        self._framework, self._each_s = framework, each_s
        self._process: Any = None
        self._lock = threading.Lock()

    def ask(self, network: Network, exact: Path) -> str:
        with self._lock:
            if self._process is None:
                self._start()
            try:
                self._pipe.send((network, exact))
                if self._pipe.poll(self._each_s):
                    return str(self._pipe.recv())
                self.stop()
                return f"not run: no answer within {self._each_s:g} s"
            except (EOFError, OSError):
                self.stop()
                return "disagrees: the process crashed"

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=answering, args=(self._framework, there), daemon=True)
        self._process.start()
        there.close()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def answering(framework: str, pipe: Any) -> None:
    while True:
        try:
            network, exact = pipe.recv()
        except EOFError:
            return
        pipe.send(answer(framework, network, exact))


def answer(framework: str, network: Network, exact: Path) -> str:
    try:
        if framework.startswith(EXACT):
            return reference(framework.removeprefix(EXACT), network, exact)
        return compared(framework, network, exact)
    except frameworks.Unsupported as error:
        return f"refused: {error}"
    except Exception as error:
        return f"disagrees: {type(error).__name__}: {str(error).splitlines()[0][:150] if str(error) else ''}"


def both(network: Network) -> dict[str, dict[str, Any]]:
    given = network.weights(SEED)
    return {"given": given, "perturbed": ir_weights.perturbed(network.graph, given, SEED)}


def prepared(framework: str, network: Network, weights: dict[str, Any], mode: str, precision: str) -> Any:
    adapter = frameworks.load(framework)
    settings = {
        "mode": mode, "precision": precision, "compile_mode": adapter.COMPILE_MODES[0], "layout": adapter.LAYOUTS[0],
        "device": "cpu", "threads": 2, "seed": SEED, "shards": 1,
    }
    return adapter.prepare(network.graph.plain(), weights, settings)


def answers(framework: str, network: Network, precision: str) -> dict[str, Any]:
    """Outputs and gradients with both sets of weights."""
    plain, modes = network.graph.plain(), frameworks.modes(framework)
    x, y = ir_weights.synthetic_batch(network.graph, SAMPLES, SEED)
    arrays = {}
    for name, weights in both(network).items():
        made = prepared(framework, network, weights, "training" if "training" in modes else "inference", precision)
        output = made.forward(x)
        arrays[f"{name}/output"] = np.asarray(output[0] if isinstance(output, tuple | list) else output)
        if made.can_train and "training" in modes:
            masks = proof.dropout_masks(plain, SAMPLES, SEED)
            for key, gradient in made.gradients(x, y, masks)[1].items():
                arrays[f"{name}/gradient:{key}"] = np.asarray(gradient)
    return arrays


def reference(framework: str, network: Network, exact: Path) -> str:
    beside = exact.with_suffix(".tmp.npz")
    np.savez(beside, **answers(framework, network, "fp64"))
    beside.rename(exact)
    return "ok"


def compared(framework: str, network: Network, exact: Path) -> str:
    """What agrees in fp32; where it does not, what agrees in fp64, or in absolute terms where there is no fp64."""
    with np.load(exact) as stored:
        reference = dict(stored)
    found = answers(framework, network, "fp32")
    in_fp32 = said(errors(found, reference), OUTPUT, GRADIENT)
    if in_fp32.startswith("agrees"):
        return in_fp32
    if "fp64" not in frameworks.load(framework).PRECISIONS:
        keys = [f"{name}/output" for name in ("given", "perturbed")]
        absolute = max(float(np.sqrt(np.mean(np.square(found[key] - reference[key])))) for key in keys)
        return in_fp32 if absolute > TINY or len(found) > len(keys) else (
            f"{BY_ROUNDING}{in_fp32.partition(':')[2]} in fp32, which is {absolute:.1e} in absolute terms")
    in_fp64 = said(errors(answers(framework, network, "fp64"), reference), IN_FP64, IN_FP64)
    if in_fp64.startswith("disagrees"):
        return in_fp32
    return f"{BY_ROUNDING}{in_fp32.partition(':')[2]} in fp32;{in_fp64.partition(':')[2]} in fp64"


def errors(computed: dict[str, Any], reference: dict[str, Any]) -> tuple[float, float | None]:
    """Largest relative errors of the output and of a gradient, whose difference is divided by the norm of all.

    None of gradients where there are none to compare.
    """
    output, gradient = 0.0, None
    for name in ("given", "perturbed"):
        output = max(output, parity.relative_error(computed[f"{name}/output"], reference[f"{name}/output"]))
        keys = [key for key in reference if key.startswith(f"{name}/gradient:")]
        norm = np.sqrt(sum(np.square(reference[key]).sum() for key in keys))
        if keys and keys[0] in computed:
            worst = max(float(np.linalg.norm(computed[key] - reference[key]) / norm) for key in keys)
            gradient = max(gradient or 0.0, worst)
    return output, gradient


def said(found: tuple[float, float | None], most_of_output: float, most_of_gradient: float) -> str:
    output, gradient = found
    agrees = output <= most_of_output and (gradient is None or gradient <= most_of_gradient)
    return f"{'agrees' if agrees else 'disagrees'}: output {output:.1e}" + (
        "" if gradient is None else f", gradient {gradient:.1e}")


def line(row: dict[str, Any]) -> str:
    head = f"{row['package']:<30} {row['file']:<34} "
    if "refused" in row:
        return f"{head}refused: {row['refused']}"
    body = f"{row['layers']} layers, {row['parameters']:,} parameters; {row['original']}"
    if row.get("reference") == IN_FLOAT64:
        body += f"; the reference is {IN_FLOAT64} in float64"
    return head + body + "".join(f"\n    {name:<12} {said}" for name, said in row["frameworks"].items())


def summary(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Counts, with what was not run among what does not agree."""
    read = [row for row in rows if "refused" not in row]
    refused = len(rows) - len(read)
    waiting = dict.fromkeys((name for row in read for name in row["frameworks"]), "not run")
    packages = {name for row in rows for name in row["package"].split(", ")}
    quantised = sum(any(word in row.get("refused", "") for word in QUANTISED) for row in rows)
    yield (f"{len(rows)} files of {len(packages)} packages; refused: {refused} ({refused / max(1, len(rows)):.0%}), "
           f"of which {quantised} are quantised")
    for name in waiting:
        kinds = [{**waiting, **row["frameworks"]}[name].partition(":")[0] for row in read]
        counts = ", ".join(f"{kinds.count(each)} {each}" for each in (
            "differs by rounding", "disagrees", "refused", "not run"))
        agree = kinds.count("agrees")
        yield f"{name}: {agree} of {len(read)} agree ({agree / len(read):.0%}); {counts}"
    yield versions(", ")


def versions(between: str = "_") -> str:
    """The packages that compute, with their versions."""
    found = []
    for name in ("numpy", "torch", "jax", "tensorflow", "tensorflow-cpu", "onnx", "onnxruntime"):
        try:
            found.append(f"{name}-{importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return between.join(found)


if __name__ == "__main__":
    sys.exit(main())
