"""Claim: networks of torchvision and transformers that are imported compute what the module itself computes.

Imports each network of ``evidence.modules_of_others`` as a user would bring it, and compares, in fp32, the output and
all gradients of each framework with the float64 oracle, and the oracle with the module itself in float64. By what the
module itself in fp32 differs is computed too, since batch normalisation over few numbers makes much of rounding. One
row per network: largest relative errors (of a gradient: its difference over the norm of all), or the sentence with
which it is refused. What was not run within its time is said so, and does not count as agreeing. Rows are kept in a
file, so that another run adds those that it lacks. With --here a network is imported in the process that compares, by
the function that a worker runs, which is quicker.

Run: python -m evidence.imported_modules ROWS [--only resnet18,bert] [--framework torch,jax] [--record FILE]
     (in an environment with torchvision and transformers, beside the project's; no compiled operators are needed)
Ends with exit code 1 if something that ran did not agree.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import json
import math
import multiprocessing
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from evidence.imported_files import BY_ROUNDING, prepared
from rigmark.bench.builds import build
from rigmark.bench.errors import UserError
from rigmark.bench.ir import weights as ir_weights
from rigmark.bench.ir.ops import BadGraph
from rigmark.bench.ir.reading import read
from rigmark.bench.networks import Network
from rigmark.bench.networks.bringing import brought
from rigmark.bench.networks.forms import Options
from rigmark.bench.trials import parity
from rigmark.bench.worker import frameworks, proof

OUTPUT, GRADIENT = 1e-4, 1e-3           # largest relative error that agrees, in fp32
EXACT = 1e-5                            # of the oracle and the module in float64; constants of a graph are float32
ROUNDING = 2.0                          # errors of that many times those of the module itself in fp32 agree too
SAMPLES, SEED = 4, 1
FRAMEWORKS = ("torch", "jax", "tensorflow", "onnxruntime")
MODULE, MODULE_FP32 = "module", "module fp32"
FACTORIES = "evidence.modules_of_others"
PACKAGES = ("numpy", "torch", "torchvision", "transformers", "jax", "tensorflow-cpu", "onnxruntime")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--framework", default=",".join(FRAMEWORKS))
    parser.add_argument("--only", default="")
    parser.add_argument("--each-s", type=float, default=300.0, help="after which one framework is stopped")
    parser.add_argument("--here", action="store_true")
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.rows.read_text().splitlines()] if options.rows.exists() else []
    server = Server()
    for name in names() if options.only == "" else options.only.split(","):
        if name and name not in {row["network"] for row in rows}:
            row = row_of(name, options.framework.split(","), options.each_s, server, is_here=options.here)
            rows.append(row)
            with options.rows.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(line_of(row), flush=True)
    server.end()
    if options.record is not None:
        text = table(rows).replace(f"{sysconfig.get_path('purelib')}/", "")      # wherever they are installed
        options.record.write_text(text + "\n", encoding="utf-8")
    print(summary(rows))
    return int(any("disagrees" in said for row in rows for said in row["frameworks"].values()))


def names() -> list[str]:
    from evidence.modules_of_others import NETWORKS

    return list(NETWORKS)


def row_of(name: str, wanted: list[str], each_s: float, server: Server, *, is_here: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"network": name, "frameworks": {}, "here": is_here}
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        reference = f"{FACTORIES}:{name}"
        try:
            if is_here:
                network = taken(name, Path(folder), server)
            else:
                (network,) = brought([reference], Options(), build.load(), Path(folder)).brought.values()
        except UserError as error:
            return {**row, "refused": str(error)}
        row |= {
            "layers": len(network.graph.layers), "parameters": network.graph.parameter_count,
            "import_s": round(time.monotonic() - start), "notes": list(network.notes),
        }
        exact = Path(folder) / "exact.npz"
        for each in (MODULE, MODULE_FP32, *wanted):
            row["frameworks"][each] = server.ask(each_s, each, name, network, exact)
            if not exact.exists():
                reason = f"not run: oracle: {row['frameworks'][each]}"
                row["frameworks"] = dict.fromkeys((MODULE, MODULE_FP32, *wanted), reason)
                break
    return row


def taken(name: str, folder: Path, server: Server) -> Network:
    """The network as it is imported beside the comparison; raises UserError with the refusal."""
    refused = server.ask(600.0, "import", name, None, folder)
    if refused:
        raise UserError(refused)
    return Network(graph=read(json.loads((folder / "graph.json").read_text())), given=folder / "weights.npz", digest="")


class Server:
    """A process that answers one question after another, so that it imports each framework once."""

    def __init__(self) -> None:
        self._process: Any = None

    def ask(self, limit_s: float, *question: Any) -> str:
        """What it says within so many seconds; it is ended and started again where it does not, or crashes."""
        if self._process is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, there = context.Pipe()
            self._process = context.Process(target=serve, args=(there,), daemon=True)
            self._process.start()
            there.close()
        try:
            self._pipe.send(question)
            if self._pipe.poll(limit_s):
                return str(self._pipe.recv())
            said = f"not run: no answer within {limit_s:g} s"
        except (EOFError, OSError):
            said = "disagrees: the process crashed"
        self.end()
        return said

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def serve(pipe: Any) -> None:
    while True:
        framework, name, network, exact = pipe.recv()
        try:
            pipe.send(answer(framework, name, network, exact))
        except frameworks.Unsupported as error:
            pipe.send(f"unsupported: {error}")
        except Exception as error:
            pipe.send(f"disagrees: {type(error).__name__}: {str(error).splitlines()[0][:150] if str(error) else ''}")


def answer(framework: str, name: str, network: Any, exact: Path) -> str:
    if framework == "import":
        return import_into(exact, name)
    if framework == MODULE:
        arrays = answers("numpy", network, "fp64")
        np.savez(exact, **arrays)
        return said(errors(of_module(name, network, "float64"), arrays), EXACT, EXACT)
    with np.load(exact) as stored:
        reference = dict(stored)
    own = exact.with_name("rounding.json")
    if framework == MODULE_FP32:
        rounding = errors(of_module(name, network, "float32"), reference)
        own.write_text(json.dumps(rounding))
        return said(rounding, math.inf, math.inf).replace("agrees", "differs")
    output, gradient = json.loads(own.read_text()) if own.exists() else (0.0, 0.0)
    in_fp32 = said(errors(answers(framework, network, "fp32"), reference), max(OUTPUT, ROUNDING * output),
                   max(GRADIENT, ROUNDING * (gradient or 0.0)))
    if in_fp32.startswith("agrees") or "fp64" not in frameworks.load(framework).PRECISIONS:
        return in_fp32
    in_fp64 = said(errors(answers(framework, network, "fp64"), reference), EXACT, EXACT)
    if in_fp64.startswith("disagrees"):
        return in_fp32
    return f"{BY_ROUNDING}{in_fp32.partition(':')[2]} in fp32;{in_fp64.partition(':')[2]} in fp64"


def import_into(folder: Path, name: str) -> str:
    """Writes the network there; a sentence where it cannot be imported."""
    from rigmark.bench.worker.torch_import import Refused

    try:
        plain, weights, _, _ = imported_once(name)
        graph = read(plain)
    except (Refused, BadGraph) as refused:
        return str(refused)
    if not all(np.isfinite(each).all() for each in weights.values()):
        return "it has weights that are not finite"
    (folder / "graph.json").write_text(json.dumps(graph.plain()))
    np.savez(folder / "weights.npz", **weights)
    return ""


@functools.cache
def imported_once(name: str) -> Any:
    from rigmark.bench.worker.torch_import import imported
    from rigmark.bench.worker.user_code import made

    job = {"source": FACTORIES, "factory": name, "folder": str(Path.cwd()), "name": name}
    return imported(job, *made(job["source"], job["factory"], job["folder"]))


def answers(framework: str, network: Network, precision: str) -> dict[str, Any]:
    """The output, and the gradients by key where the framework trains."""
    x, y = ir_weights.synthetic_batch(network.graph, SAMPLES, SEED)
    is_training = "training" in frameworks.modes(framework)
    made = prepared(framework, network, network.weights(SEED), "training" if is_training else "inference", precision)
    output = made.forward(x)
    arrays = {"output": np.asarray(output[0] if isinstance(output, tuple | list) else output)}
    if is_training and made.can_train:
        masks = proof.dropout_masks(network.graph.plain(), SAMPLES, SEED)
        arrays |= {f"gradient:{key}": np.asarray(each) for key, each in made.gradients(x, y, masks)[1].items()}
    return arrays


def of_module(name: str, network: Network, dtype: str) -> dict[str, Any]:
    """The same of the module itself in this dtype; raises ValueError where the graph does not train what it trains."""
    import torch

    from rigmark.bench.worker.torch_import import original
    from rigmark.bench.worker.user_code import made

    plain, _, told, _ = imported_once(name)
    if [layer["name"] for layer in plain["layers"]] != [layer.name for layer in network.graph.layers]:
        raise ValueError("a second import gives other layers")
    x, y = ir_weights.synthetic_batch(network.graph, SAMPLES, SEED)
    inputs = [torch.tensor(each, dtype=getattr(torch, dtype) if each.dtype.kind == "f" else None)
              for each in (x if isinstance(x, tuple) else (x,))]
    module, example = made(told["source"], told["factory"], told["folder"])
    original.without_padding_rows(module)
    own = original.wrapped(told, module, example).to(getattr(torch, dtype))
    with torch.no_grad():
        arrays = {"output": own.eval()(*inputs).numpy()}
    masks = proof.dropout_masks(network.graph.plain(), SAMPLES, SEED)
    with original.decided([(batch, masks.get(layer)) if layer in masks else None for layer, batch in told["dropouts"]]):
        output = own.train()(*inputs)
    if network.graph.loss == "mean_squared_error":
        loss = torch.nn.functional.mse_loss(output, torch.tensor(y, dtype=getattr(torch, dtype)))
    else:
        loss = torch.nn.functional.cross_entropy(output.flatten(0, -2), torch.tensor(y).flatten())
    loss.backward()
    trained, met = original.tensors(told, module), set()
    for key, parameter in network.graph.parameters.items():
        if parameter.is_trainable and trained.get(key) and trained[key][0].grad is not None:
            arrays[f"gradient:{key}"] = trained[key][0].grad.numpy().reshape(parameter.shape)
            met.update(map(id, trained[key]))
    lost = [own_name for own_name, each in module.named_parameters()
            if id(each) not in met and each.grad is not None and bool(each.grad.any())]
    if lost:
        raise ValueError(f"the graph does not train {', '.join(lost)}")
    return arrays


def errors(computed: dict[str, Any], reference: dict[str, Any]) -> tuple[float, float | None]:
    """Relative errors of the output and of all gradients, None where there are none."""
    output = float(parity.relative_error(computed["output"], reference["output"]))
    keys = [key for key in reference if key.startswith("gradient:") and key in computed]
    if not keys:
        return output, None
    norm = np.sqrt(sum(np.square(reference[key]).sum() for key in keys))
    return output, float(max(np.linalg.norm(computed[key] - reference[key]) for key in keys) / norm)


def said(found: tuple[float, float | None], most_of_output: float, most_of_gradient: float) -> str:
    output, gradient = found
    agrees = output <= most_of_output and (gradient is None or gradient <= most_of_gradient)
    return f"{'agrees' if agrees else 'disagrees'}: output {output:.0e}" + (
        "" if gradient is None else f", gradient {gradient:.0e}")


def line_of(row: dict[str, Any]) -> str:
    head = f"{row['network']:<26}"
    if "refused" in row:
        return head + "refused: " + row["refused"]
    way = "here" if row.get("here") else "by a worker"
    head += f"{row['layers']} layers, {row['parameters']:,} parameters, imported {way} in {row['import_s']} s"
    return head + "".join(f"\n    {name:<12} {what}" for name, what in row["frameworks"].items())


def summary(rows: list[dict[str, Any]]) -> str:
    taken = [row for row in rows if "refused" not in row]
    columns = list(dict.fromkeys(name for row in taken for name in row["frameworks"]))
    counts = {name: [row["frameworks"].get(name, "not run") for row in taken] for name in columns}
    return "\n".join((
        f"{len(rows)} networks; {len(rows) - len(taken)} refused ({(len(rows) - len(taken)) / max(1, len(rows)):.0%}); "
        f"of the other {len(taken)}:",
        *(f"    {name:<12} {sum(each.startswith('agrees') for each in all_said)} agree, "
          f"{sum(each.startswith(BY_ROUNDING) for each in all_said)} differ by rounding in fp32 and agree in fp64, "
          f"{sum(each.startswith('disagrees') for each in all_said)} disagree, "
          f"{sum(each.startswith(('not run', 'unsupported')) for each in all_said)} not run or not supported"
          for name, all_said in counts.items() if name != MODULE_FP32),
    ))


def table(rows: list[dict[str, Any]]) -> str:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return "\n".join((
        f"CPU, {versions}.",
        f"{SAMPLES} samples. 'module' is the float64 oracle against the module itself; the others are fp32 against the "
        f"oracle. An output agrees within {OUTPUT:.0e}, a gradient within {GRADIENT:.0e}, or within {ROUNDING:g} times "
        f"what the module itself in fp32 differs by ('module fp32'); of the module both within {EXACT:.0e}.", "",
        *map(line_of, rows), "", summary(rows)))


if __name__ == "__main__":
    sys.exit(main())
