"""Logs of ``caffe time``: forward and backward of each layer and of the whole, in ms, on glog lines.

As printed by tools/caffe.cpp of BVLC Caffe, and found in caffe/ of soumith/convnet-benchmarks. A pass is forward and
backward without an update of the weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from rigmark.bench.importers import NotThisFormat, Read, text
from rigmark.bench.store.quoted import Quoted, QuotedLayer

TITLE = "a log of 'caffe time'"
GLOG = re.compile(r"^[IWEF]\d{4} [\d:.]+\s+\d+ \S+\] ?")
LAYER = re.compile(r"\s*(\S+)\s+(forward|backward): ([\d.e+-]+) ms\.")
PASS = re.compile(r"Average (Forward pass|Backward pass|Forward-Backward): ([\d.e+-]+) ms\.")
ITERATION = re.compile(r"Iteration: \d+ forward-backward time: ([\d.e+-]+) ms\.")
OPS = {
    "convolution": "conv2d", "innerproduct": "dense", "relu": "relu", "lrn": "local_response_norm",
    "dropout": "dropout", "concat": "concat", "batchnorm": "batch_norm", "eltwise": "add", "softmax": "softmax",
    "sigmoid": "sigmoid", "tanh": "tanh", "flatten": "flatten",
}
"""Our words for theirs, in small letters without '_', as new and old files of networks write them."""


def read(path: Path) -> Read:
    lines = [GLOG.sub("", line) for line in text(path).splitlines()]
    begins = [index for index, line in enumerate(lines) if "*** Benchmark begins ***" in line]
    if not begins:
        raise NotThisFormat("it has no line '*** Benchmark begins ***'")
    rows, notes, start = [], [], 0
    for begin, end in zip(begins, [*begins[1:], len(lines)], strict=True):
        row = _row(lines[start:begin], lines[begin:end], begin + 1)
        start = begin
        if row is None:
            notes.append(f"the benchmark at line {begin + 1} has no averages and was left out")
        else:
            rows.append(row)
    return Read(rows=tuple(rows), notes=tuple(notes))


def _row(before: list[str], benchmark: list[str], line: int) -> Quoted | None:
    """``before`` describes the network, ``benchmark`` has its times."""
    text_of = "\n".join(benchmark)
    times_s = {name: 1e-3 * float(time_ms) for name, time_ms in PASS.findall(text_of)}
    if "Forward-Backward" not in times_s:
        return None
    name = next((found[1] for each in before if (found := re.match(r'name: "(.+)"', each))), None)
    batch = next((int(found[1]) for each in before if (found := re.match(r"\s*(?:input_)?dim: (\d+)", each))), None)
    place = next((each for each in before if re.search(r"Use (GPU|CPU)", each)), "")
    return Quoted(
        line=f"line {line}", model=name or "unnamed", mode="training", framework="caffe", data="synthetic",
        device="gpu" if "Use GPU" in place else "cpu" if "Use CPU" in place else None, local_batch=batch, world_size=1,
        conditions={"update": "no weights are updated"}, statistic="mean",
        step_time_s=times_s["Forward-Backward"], forward_time_s=times_s.get("Forward pass"),
        backward_time_s=times_s.get("Backward pass"),
        timings_s=tuple(1e-3 * float(time_ms) for time_ms in ITERATION.findall(text_of)),
        layers=tuple(_layers(benchmark, dict(_types(before)))),
    )


def _layers(lines: list[str], types: dict[str, str]) -> Iterator[QuotedLayer]:
    for each in lines:
        if found := LAYER.match(each):
            kind = types.get(found[1], "")
            yield QuotedLayer(
                layer=found[1], op=OPS.get(kind, kind or "unknown"), direction=found[2], time_s=1e-3 * float(found[3])
            )


def _types(lines: list[str]) -> Iterator[tuple[str, str]]:
    """(layer, type) from the network that the log repeats."""
    name = None
    for each in lines:
        if found := re.match(r'  name: "(.+)"', each):
            name = found[1]
        elif name is not None and (found := re.match(r'  type: "?(\w+)"?', each)):
            yield name, found[1].lower().replace("_", "")
