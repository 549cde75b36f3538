"""``rigmark export``: writes a network with its weights as files that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rigmark.bench.cli import _networks
from rigmark.bench.errors import unknown

NEEDS_ARGUMENTS = True


def command(
    model: Annotated[str, typer.Argument(help="A network, or a file of one that you bring.")],
    format: Annotated[
        str, typer.Option(help="onnx, for inference; or graph, our own form: a .json with a .npz of weights.")
    ] = "onnx",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write. By default MODEL.onnx or MODEL.json here.")
    ] = None,
    build: Annotated[str, typer.Option(help="Build with the package onnx, which writes ONNX files.")] = "default",
    pin: _networks.Pin = None,
    shape: _networks.Shape = None,
) -> None:
    """Write a network with its weights to a file: those that every trial of it begins with, drawn from a seed.

    An ONNX file ends with the output of the network, has an open batch, and is what the engines onnxruntime and
    openvino run; weights of more than 2 GB lie in a second file beside it. A graph is read again by
    '--model FILE.json'.

    Examples:

    rigmark export resnet18 --format onnx --output resnet18.onnx

    rigmark export bert --format graph
    """
    from rigmark.bench.builds import build as builds
    from rigmark.bench.cli import say
    from rigmark.bench.networks import exporting
    from rigmark.bench.plan.reference import names

    if format not in exporting.FORMATS:
        raise unknown("format", format, exporting.FORMATS)
    known_builds = builds.load()
    chosen = builds.find(build, known_builds)
    with _networks.bringing([model], pin, shape, known_builds, None) as networks:
        (name,) = names([model])
        network = networks[name]
        path = output or Path(f"{Path(name).stem}{exporting.FORMATS[format]}")
        written = exporting.graph(network, path) if format == "graph" else exporting.onnx(network, path, chosen)
    for each in written:
        say(f"wrote {each}, {each.stat().st_size / 1e6:.1f} MB")
    say(f"the network has {network.graph.parameter_count:,} parameters and the fingerprint {network.graph.fingerprint}")
