"""``rigmark model``: what a network is, and which frameworks could run it, before anything is measured."""

from __future__ import annotations

import json as json_format
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rigmark.bench.cli import _networks
from rigmark.bench.cli import _options as options
from rigmark.bench.enums import Mode, Precision
from rigmark.bench.errors import UserError, unknown

if TYPE_CHECKING:
    from rigmark.bench.ir.graph import Graph
    from rigmark.bench.networks import Network

NEEDS_ARGUMENTS = True
MOST_OPERATIONS = 12         # that are listed; --json has all
UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def command(
    model: Annotated[str, typer.Argument(
        help="Name of a network; a file: net.onnx, net.keras, or net.json as exported; or a factory: net.py:make."
    )],
    pin: _networks.Pin = None,
    shape: _networks.Shape = None,
    carry: _networks.Carry = None,
    results: Annotated[
        Path, typer.Option(help="Results folder, in which imported networks stay if there is one.")
    ] = Path("results"),
    mode: Annotated[str, typer.Option(help="Modes whose memory is estimated: inference, training, decode.")] = (
        "inference,training"),
    batch: Annotated[int, typer.Option(min=1, help="Samples per step, for the memory.")] = 1,
    precision: Annotated[str, typer.Option(help="Precision of the numbers, for the memory.")] = "fp32",
    prompt_length: Annotated[int, typer.Option(min=1, help="Tokens of each prompt, of mode decode.")] = 128,
    generated_length: Annotated[int, typer.Option(min=1, help="Tokens after each prompt, of mode decode.")] = 32,
    capacity_gb: Annotated[
        float | None, typer.Option(help="Memory of a device in GB of 2**30 bytes: does the batch fit, and which does?")
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="A line for each layer: what it gives, holds and costs.")] = (
        False),
    json: Annotated[bool, typer.Option("--json", help="All facts as JSON, for scripts.")] = False,
) -> None:
    """Describe a network: inputs, layers, parameters, FLOPs, and which frameworks could run it or what they lack.

    Nothing is measured. A file is imported, and compared with ONNX Runtime if that is installed. Exit code: 2 if the
    file cannot be imported.

    Examples:

    rigmark model resnet50 --layers

    rigmark model gpt2 --mode training --batch 8 --precision bf16 --capacity-gb 24

    rigmark model gpt2 --mode decode --batch 16 --prompt-length 512 --generated-length 256 --capacity-gb 24

    rigmark model detector.onnx --shape x=1,3,320,320

    rigmark model voice.onnx --pin sr=16000 --json
    """
    from rigmark.bench.builds import build as builds
    from rigmark.bench.cli import tell, write_data
    from rigmark.bench.machine.gpu_specifications import GIB
    from rigmark.bench.networks.description import described, each_layer
    from rigmark.bench.plan.reference import names
    from rigmark.bench.store.store import Store

    asked, modes = _chosen(precision, Precision, "precision"), [_chosen(each, Mode, "mode") for each in
                                                                options.listed("--mode", mode)]
    capacity = None if capacity_gb is None else options.above("--capacity-gb", capacity_gb, "GB") * GIB
    store = Store(results)
    folder = store.networks if store.records_folder.is_dir() else None
    with _networks.bringing([model], pin, shape, builds.load(), folder, carry) as networks:
        network = networks[names([model])[0]]
        lengths = prompt_length, generated_length
        memory = [_memory(network.graph, each, batch, lengths, asked, capacity) for each in modes]
        facts = {**described(network), "memory": memory}
        if layers:
            facts["each_layer"] = each_layer(network.graph)
    if json:
        write_data(json_format.dumps(facts, indent=1) + "\n", None)
        return
    for line in _lines(network, facts):
        tell(line)


def _lines(network: Network, facts: Mapping[str, Any]) -> Iterator[str]:
    graph = network.graph
    source = f", from {network.reference}" if network.reference is not None else ""
    yield f"{graph.name}{source}"
    for each in graph.inputs:
        drawn = f"tokens below {each.vocabulary:,}" if each.draw == "tokens" else each.draw
        yield f"  input     {each.name}: {_sizes(each.shape)} {each.dtype}, drawn as {drawn}"
    for name, value in graph.output_values.items():
        yield f"  output    {name}: {_sizes(value.sample)}"
    yield f"  layers    {facts['layers']:,}: {_operations(facts['operations'])}"
    given = "" if network.digest is None else f"; its weights came with it ({network.digest})"
    yield f"  weights   {graph.parameter_count:,} trainable parameters{given}"
    flops = facts["flops_per_sample"]
    forward, training = (short(flops[mode]) for mode in ("inference", "training"))
    yield f"  work      {forward}FLOP per sample forward, {training}FLOP in training"
    if not graph.objectives:
        yield f"  training  {graph.loss}, {graph.optimizer.kind}"
    for each in facts["objectives"]:
        yield (f"  objective {each['name']}: trains {each['parameters']:,} parameters by {each['optimizer']['kind']}, "
               f"{short(each['flops_per_sample'])}FLOP per sample")
    for pair in graph.carried:
        yield f"  carried   {pair.input} is what {pair.value} was in the step before"
    for copy in graph.copies:
        yield f"  copies    {copy.target} becomes {copy.source} after every {copy.every:,} steps"
    for each in facts["memory"]:
        yield from _lines_of_memory(each)
    if network.agreement is not None:
        yield f"  check     {network.agreement}"
    for name, each in facts["frameworks"].items():
        yield f"  {name:<11} {support(each)}"
    yield from _lines_of_layers(facts.get("each_layer", []))
    for note in network.notes:
        yield f"note: {note}"
    yield "No framework was started; rigmark doctor shows which are installed."


def _lines_of_layers(layers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    width = max((len(each["layer"]) for each in layers), default=0)
    for each in layers:
        yield (f"  {each['layer']:<{width}} {each['operation']:<20} {_sizes(each['output_shape']):>17} "
               f"{each['parameters']:>12,} parameters {short(each['flops_per_sample']):>8}FLOP  "
               f"of {', '.join(each['inputs']) or 'nothing'}")


def _chosen(text: str, kind: type[Any], what: str) -> Any:
    known = {str(each): each for each in kind}
    if text not in known:
        raise unknown(what, text, known)
    return known[text]


def _memory(
    graph: Graph, mode: Mode, batch: int, lengths: tuple[int, int], precision: Precision, capacity: float | None
) -> dict[str, Any]:
    """The estimate of the memory of a step as plain data; bytes. In decode a step reads the whole prompt."""
    from dataclasses import asdict

    from rigmark.bench.buying import fitting
    from rigmark.bench.ir import memory

    is_training, cached = mode is Mode.TRAINING, 0
    if mode is Mode.DECODE:
        graph, cached = _of_text(graph, *lengths)
    sizes = fitting.formats(precision)
    peak = memory.peak(graph, batch=batch, training=is_training, formats=sizes, cached=cached)
    facts = {"mode": str(mode), "precision": str(precision), "batch": batch, **asdict(peak), "total": peak.total,
             "may_be_needed": [factor * peak.total for factor in fitting.ESTIMATE_RANGE]}
    if capacity is None:
        return facts
    estimate = fitting.estimate(graph, is_training=is_training, precision=precision, cached=cached)
    fit = fitting.fit(estimate, capacity, context_bytes=fitting.CONTEXT_BYTES, batch=batch)
    return {**facts, "capacity": capacity, "answer": fit.answer, "largest_batch": fit.largest_batch}


def _of_text(graph: Graph, prompt: int, generated: int) -> tuple[Graph, int]:
    """What reads a prompt, and the numbers in the cache at the end of a text."""
    from rigmark.bench.ir.decoding import decoding
    from rigmark.bench.ir.ops import BadGraph

    try:
        decoder = decoding(graph)
        decoder.refuse(prompt, generated)
    except BadGraph as error:
        raise UserError(str(error)) from None
    return decoder.of_prompt(prompt), decoder.cached(prompt + generated)


def _lines_of_memory(facts: Mapping[str, Any]) -> Iterator[str]:
    parts = {"weights": "weights", "gradients": "gradients", "optimizer": "optimizer", "cache": "cache",
             "values": "activations"}
    shown = ", ".join(f"{size(facts[name])} {word}" for name, word in parts.items() if facts[name])
    _, high = facts["may_be_needed"]
    yield (f"  memory    {facts['mode']}, batch {facts['batch']}, {facts['precision']}: about {size(facts['total'])} "
           f"at its peak ({shown}); kernels may need more, up to {size(high)}")
    if "capacity" in facts:
        answers = {"fits": "fits", "does not fit": "does not fit", "uncertain": "may or may not fit"}
        yield (f"            batch {facts['batch']} {answers[facts['answer']]} in {size(facts['capacity'])}; the "
               f"largest that does is about {facts['largest_batch']:,}")


def size(size: float) -> str:
    """Bytes with a unit of 1,024s: "4.1 GB", as data sheets of GPUs count them."""
    for unit, name in ((2**30, "GB"), (2**20, "MB"), (2**10, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size:.0f} bytes"


def _sizes(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "one number"


def _operations(counts: Mapping[str, int]) -> str:
    shown = [f"{count} {kind}" for kind, count in list(counts.items())[:MOST_OPERATIONS]]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f", and {more} more kinds" if more > 0 else "")


def support(facts: Mapping[str, Any]) -> str:
    """The modes in which a framework has a network, or what it lacks."""
    if facts["modes"]:
        return " and ".join(facts["modes"])
    if not facts["lacking"]:
        return "cannot run it: it carries no state from step to step"
    missing = ", ".join(f"{kind} ({count} layers)" if count > 1 else f"{kind} (1 layer)"
                        for kind, count in facts["lacking"].items())
    return f"cannot run it: it lacks {missing}"


def short(number: float) -> str:
    """A count with the prefix of its unit: "4.1 G"."""
    for size, prefix in UNITS:
        if number >= size:
            return f"{number / size:.3g} {prefix}"
    return f"{number:.0f} "
