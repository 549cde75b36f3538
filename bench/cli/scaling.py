"""``rigmark scaling``: speed-up and efficiency of several devices relative to one, and what limits them."""

from __future__ import annotations

import json as json_format
import sys
from pathlib import Path
from typing import Annotated

import typer

from rigmark.bench.cli import Language
from rigmark.bench.cli import _options as options
from rigmark.bench.enums import Scaling
from rigmark.bench.errors import UserError, unknown


def command(
    results: Annotated[Path, typer.Option(help="Results folder.")] = Path("results"),
    json: Annotated[bool, typer.Option("--json", help="All figures as JSON, for scripts.")] = False,
    model: Annotated[str | None, typer.Option(help="Only these networks, separated by commas.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="Only strong scaling (same global batch), or only weak (same local batch).")
    ] = None,
    lang: Language = "en",
) -> None:
    """Show speed-up and efficiency of several devices, as measured by 'rigmark run --world-size 1,2'.

    Example: rigmark scaling --model alexnet --kind strong
    """
    from rigmark.bench.analysis import scaling
    from rigmark.bench.analysis.comparison.sides import case_label
    from rigmark.bench.analysis.results.summary import results as summarise
    from rigmark.bench.cli import Exit, say, show_document
    from rigmark.bench.sections.scaling import document
    from rigmark.bench.store.store import existing

    if kind is not None and kind not in tuple(Scaling):
        raise unknown("kind of scaling", kind, Scaling)
    trials = existing(results).trials()
    rows = summarise(trials.table)
    series = scaling.read(rows, trials.table)
    if model is not None:
        known = sorted({str(each.facts["model"]) for each in series})
        names = options.listed("--model", model)
        if strange := [name for name in names if name not in known]:
            raise UserError(
                f"no scaling of '{strange[0]}' in {results}; models that have it: {', '.join(known) or 'none'}"
            )
        series = [each for each in series if each.facts["model"] in names]
    series = [each for each in series if kind is None or each.scaling == kind]
    for problem in trials.problems:
        say(f"rigmark: {problem}")
    for row in scaling.left_out(rows):
        say(f"rigmark: left out, because all its trials are invalid: {case_label(row)}")
    if json:
        sys.stdout.write(json_format.dumps(scaling.plain(series), indent=1) + "\n")
    elif series:
        show_document(document(series), 180)
    if not series:
        say(
            f"no case in {results} has valid times both on one device and on several; measure some with "
            f"rigmark run scaling --results {results}"
        )
    if trials.problems:
        raise typer.Exit(Exit.BAD)
    if not series:
        raise typer.Exit(Exit.NOTHING_MEASURED)
