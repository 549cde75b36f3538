"""Logs of ``caffe time``: times of the forward and backward passes of each layer and of the network, in ms.

The format is printed with glog by tools/caffe.cpp of BVLC Caffe; there are such logs in caffe/ of
soumith/convnet-benchmarks. A pass is forward and backward without an update of the weights; with -forward_only of
Intel's Caffe it is inference, without backward. The input of a network and its batch are in the definition of the
network, which the log repeats in the text format of protobuf.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rigmark.bench.importers import BadFigure, NotThisFormat, Read, Refused, text
from rigmark.bench.store.quoted import Quoted, QuotedLayer

TITLE = "a log of 'caffe time'"
GLOG = re.compile(r"^[IWEF]\d{4} [\d:.]+\s+\d+ \S+\] ?")
BEGINS, DEFINED = "*** Benchmark begins ***", "Initializing net from parameters:"
PLACE = re.compile(r"Use (GPU|CPU)\b")
LAYER = re.compile(r"\s*(\S+)\s+(forward|backward): (\S+) ms\.")
PASS = re.compile(r"Average (Forward pass|Backward pass|Forward-Backward): (\S+) ms\.")
ITERATION = re.compile(r"Iteration: \d+ (forward|forward-backward) time: (\S+) ms\.")
FIELD = re.compile(r'( *)(\w+)\s*(?::\s*("[^"]*"|\S+)|\{)\s*$')
OPS = {
    "convolution": "conv2d", "innerproduct": "dense", "relu": "relu", "lrn": "local_response_norm",
    "dropout": "dropout", "concat": "concat", "batchnorm": "batch_norm", "eltwise": "add", "softmax": "softmax",
    "sigmoid": "sigmoid", "tanh": "tanh", "flatten": "flatten",
}
"""Our names of Caffe's layer types, which are written here in lower case without '_', for new and old files alike."""

SYNTHETIC = ("input", "dummydata")
"""Types of layers that generate their data."""

Block = list[tuple[str, Any]]
"""(name, value) of each field in the order of the definition; a value is a text or a Block."""


def read(path: Path) -> Read:
    lines = text(path).splitlines()
    begins = [index for index, line in enumerate(lines) if BEGINS in line]
    if not begins:
        raise NotThisFormat(f"it has no line '{BEGINS}'")
    rows: list[Quoted] = []
    notes: list[str] = []
    refused, start = Refused(), 0
    for begin, end in zip(begins, [*begins[1:], len(lines)], strict=True):
        name = f"line {begin + 1}"
        with refused.line(name):
            row = _row(lines[start:begin], lines[begin:end], name, notes)
            if row is None:
                notes.append(f"the benchmark at {name} has no averages and was left out")
            else:
                rows.append(row)
        start = begin
    return Read(rows=tuple(rows), notes=tuple(notes), refused=tuple(refused.sentences))


def _row(before: list[str], benchmark: list[str], name: str, notes: list[str]) -> Quoted | None:
    """The result of one benchmark; ``before`` are the lines that define the network, ``benchmark`` those with times."""
    benchmark = [GLOG.sub("", line) for line in benchmark]
    times_s = {match[1]: _seconds(match[2]) for line in benchmark if (match := PASS.match(line))}
    iterations = [match.groups() for line in benchmark if (match := ITERATION.match(line))]
    is_inference = bool(iterations) and all(direction == "forward" for direction, _ in iterations)
    whole_s = times_s.get("Forward pass") if is_inference else times_s.get("Forward-Backward")
    if whole_s is None:
        return None
    definitions = list(_definitions(before))
    net = definitions[-1] if definitions else []     # the last definition before a benchmark is the timed one
    layers = [block for field, block in net if field in ("layer", "layers") and isinstance(block, list)]
    inputs = [*_net_inputs(net), *(each for layer in layers if (each := _layer_input(layer)))]
    batches, sources = {batch for batch, _ in inputs if batch is not None}, {source for _, source in inputs}
    if len(batches) > 1:
        notes.append(f"the network of the benchmark at {name} has inputs of different batches, "
                     f"{' and '.join(map(str, sorted(batches)))}, so its batch is not known")
    places = {match[1].lower() for line in before if (match := PLACE.match(GLOG.sub("", line)))}
    types = {str(_text(layer, "name")): _type(layer) for layer in layers}
    return Quoted(
        line=name, model=_text(net, "name") or "", mode="inference" if is_inference else "training", framework="caffe",
        data=next(iter(sources)) if len(sources) == 1 else None, device=places.pop() if len(places) == 1 else None,
        local_batch=next(iter(batches)) if len(batches) == 1 else None, world_size=1,
        conditions={} if is_inference else {"update": "no weights are updated"}, statistic="mean", step_time_s=whole_s,
        forward_time_s=times_s.get("Forward pass"), backward_time_s=times_s.get("Backward pass"),
        timings_s=tuple(_seconds(stated_ms) for _, stated_ms in iterations),
        layers=tuple(_layers(benchmark, types)),
    )


def _seconds(stated_ms: str) -> float:
    try:
        return 1e-3 * float(stated_ms)
    except ValueError:
        raise BadFigure("a time", f"is '{stated_ms}' ms, which is not a number") from None


def _layers(lines: list[str], types: dict[str, str]) -> Iterator[QuotedLayer]:
    for each in lines:
        if match := LAYER.match(each):
            kind = types.get(match[1], "")
            yield QuotedLayer(
                layer=match[1], op=OPS.get(kind, kind or "unknown"), direction=match[2], time_s=_seconds(match[3])
            )


# The definition of a network ------------------------------------------------------------------------------------------


def _definitions(lines: Sequence[str]) -> Iterator[Block]:
    """Each network definition in the log: the lines without a glog prefix after a line that announces it."""
    for index, line in enumerate(lines):
        if DEFINED in line:
            end = next((i for i, each in enumerate(lines) if i > index and GLOG.match(each)), len(lines))
            yield _parsed(lines[index + 1:end])


def _parsed(lines: Sequence[str]) -> Block:
    """The fields of a message as protobuf prints it: one per line, indented by two spaces per level."""
    whole: Block = []
    open_blocks = [whole]
    for line in lines:
        if match := FIELD.match(line):
            indent, name, stated = match.groups()
            del open_blocks[len(indent) // 2 + 1:]
            block: Block = []
            open_blocks[-1].append((name, block if stated is None else stated.strip('"')))
            open_blocks.append(block)
    return whole


def _text(block: Block, name: str) -> str | None:
    return next((stated for field, stated in block if field == name and isinstance(stated, str)), None)


def _blocks(block: Block, name: str) -> list[Block]:
    return [stated for field, stated in block if field == name and isinstance(stated, list)]


def _type(layer: Block) -> str:
    """The type of a layer in lower case without '_', since old files write INNER_PRODUCT for InnerProduct."""
    return (_text(layer, "type") or "").lower().replace("_", "")


def _net_inputs(net: Block) -> Iterator[tuple[int | None, str]]:
    """(batch, data) of the inputs that old definitions declare outside of layers, as four numbers or a shape each."""
    numbers = [stated for field, stated in net if field == "input_dim"]
    yield from ((_size(first), "synthetic") for first in numbers[::4])
    yield from ((_size(_text(shape, "dim")), "synthetic") for shape in _blocks(net, "input_shape"))


def _layer_input(layer: Block) -> tuple[int | None, str | None] | None:
    """(batch, data) of a data layer; None for another layer. Data is the source that it names, if it reads one."""
    if not _type(layer).endswith(("data", "input")):
        return None
    settings = next((block for field, block in layer if field.endswith("_param") and isinstance(block, list)
                     and field not in ("transform_param", "loss_param")), [])
    shape = next(iter(_blocks(settings, "shape")), [])
    batch = _text(settings, "batch_size") or _text(shape, "dim") or _text(settings, "num")
    return _size(batch), "synthetic" if _type(layer) in SYNTHETIC else _text(settings, "source")


def _size(stated: str | None) -> int | None:
    """A batch; None if it is not a size: 0 and -1 refer to another field in a definition."""
    return int(stated) if stated is not None and stated.isdecimal() and int(stated) > 0 else None
