"""``rigmark models``: the networks that Rigmark defines, with what each is, costs and runs in."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

SHORT = re.compile(r"(.*?(?:\b(?:1[89]|20)\d\d\b|(?=[:;(])|$))")
"""A source up to its year."""
MANY = 2**16             # samples, beside whose memory that of the weights is nothing


def command(json: Annotated[bool, typer.Option("--json", help="All facts as JSON, for scripts.")] = False) -> None:
    """List the networks: parameters, FLOPs, memory, source, and frameworks that cannot run one, with what they lack.

    FLOPs are of one sample forward; memory is what one more sample needs at the peak of a training step in fp32.
    Nothing is measured and no framework is started. Exit code: 2 if the file of a network has a mistake.

    Examples:

    rigmark models

    rigmark models --json
    """
    from json import dumps

    from rigmark.bench import models
    from rigmark.bench.cli import Exit, tell, write_data

    rows = [_facts(name) for name in models.NAMES]
    if json:
        write_data(dumps(rows, indent=1) + "\n", None)
    else:
        for each in rows:
            for line in _lines(each):
                tell(line)
        tell("rigmark model NAME has more of one, --layers its layers.")
    if any(each["problem"] for each in rows):
        raise typer.Exit(Exit.BAD)


def _facts(name: str) -> dict[str, Any]:
    """What is listed of a network; only "problem", a sentence, where its file has a mistake."""
    from rigmark.bench import models
    from rigmark.bench.errors import UserError
    from rigmark.bench.ir import memory
    from rigmark.bench.networks import Network
    from rigmark.bench.networks.description import supports

    try:
        title, source = models.about(name)
        graph = models.build(name)
    except UserError as error:
        return {"model": name, "problem": str(error)}
    return {
        "model": name, "title": title, "source": source, "parameters": graph.parameter_count,
        "flops_per_sample": graph.flops_per_sample(training=False),
        "memory_per_sample": memory.peak(graph, batch=MANY, training=True).values / MANY,
        "frameworks": supports(Network(graph=graph)), "problem": None,
    }


def _lines(facts: dict[str, Any]) -> list[str]:
    from rigmark.bench.cli.model import short, size, support

    if facts["problem"]:
        return [f"{facts['model']:<20} {facts['problem']}"]
    source = re.sub(r'"[^"]*",? ?', "", facts["source"])
    found = SHORT.match(source)
    lines = [
        f"{facts['model']:<20} {facts['parameters']:>12,} parameters {short(facts['flops_per_sample']):>7}FLOP "
        f"{size(facts['memory_per_sample']):>8}  {found[1].strip(' ,') if found else source}",
        f"{'':<20} {facts['title']}",
    ]
    return lines + [f"{'':<20} {name}: {support(each)}" for name, each in facts["frameworks"].items()
                    if not each["modes"]]
