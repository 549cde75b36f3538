"""``rigmark layers``: per-layer profiles, of cases whose layers were timed."""

from __future__ import annotations

import json as json_format
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rigmark.bench.cli import Language
from rigmark.bench.enums import TrialKind

if TYPE_CHECKING:
    from rigmark.bench.analysis.layers.layers import LayerProfile

SHOWN = 20                   # layers per case that are shown without --top


def command(
    cases: Annotated[
        list[str] | None,
        typer.Argument(metavar="CASE...", help="Values to match, separated by slashes: resnet18/torch/batch=32."),
    ] = None,
    results: Annotated[Path, typer.Option(help="Results folder.")] = Path("results"),
    json: Annotated[bool, typer.Option("--json", help="All figures as JSON, for scripts.")] = False,
    top: Annotated[
        int | None, typer.Option(
            min=1, help=f"Number of longest layers to show per case. By default {SHOWN}, and all with --json.")
    ] = None,
    lang: Language = "en",
) -> None:
    """Show where the time of a step goes, layer by layer, as measured by 'rigmark run --layers'.

    Without a CASE all cases are shown, each with its latest layer trials. If the latest layer trial of a case failed,
    the reason is shown.

    Example: rigmark layers resnet18/torch/training mnist_cnn/jax --top 10
    """
    from rigmark.bench.analysis.layers import layers as analysis
    from rigmark.bench.analysis.results.summary import results as summarise
    from rigmark.bench.cli import Exit, say, show_document
    from rigmark.bench.cli._layer_cases import meant, sentences
    from rigmark.bench.sections.layer_groups import together
    from rigmark.bench.sections.layers import document
    from rigmark.bench.store.store import existing

    store = existing(results)
    trials = store.trials()
    of_cases = meant(trials.table[trials.table.kind == TrialKind.LAYERS], cases or [], results)
    # The latest trials are chosen per CASE, so that a session that a CASE names is not hidden by a later one.
    wanted = trials.table[trials.table.id.isin([name for each in of_cases for name in analysis.chosen(each).id])]
    refusals = dict.fromkeys(sentence for each in of_cases for sentence in sentences(analysis.refused(each)))
    if wanted.empty:
        for sentence in (*trials.problems, *refusals):
            say(f"rigmark: {sentence}")
        of = f" of '{' '.join(cases)}'" if cases else ""
        say(f"no layer times{of} in {results}; measure some with rigmark run quick --layers --results {results}")
        raise typer.Exit(Exit.BAD if trials.problems else Exit.NOTHING_MEASURED)
    records = [store.get(trial_id) for trial_id in wanted.id]
    profiles = analysis.read(wanted, summarise(trials.table), records)
    if json:
        sys.stdout.write(json_format.dumps([_plain(case, top) for case in profiles], indent=1) + "\n")
    else:
        show_document(document(together(profiles, trials.table), top=top or SHOWN), 140)
    for sentence in (*trials.problems, *refusals):
        say(f"rigmark: {sentence}")
    if trials.problems:
        raise typer.Exit(Exit.BAD)


def _plain(case: LayerProfile, top: int | None) -> dict[str, Any]:
    """A case for scripts. Names are never changed, more may be added; None is what is not known."""
    from dataclasses import asdict

    from rigmark.bench.analysis.layers.layers import longest
    from rigmark.bench.sections.layers import plain

    rows = case.rows if top is None else longest(case.rows, top)
    return {
        "trial": case.id, "case": dict(case.case), **case.facts, "step_time_s": case.step_time_s,
        "plain_step_time_s": case.plain_step_time_s, "timed_step_time_s": case.timed_step_time_s,
        "layer_cover": case.figures.cover, "layer_closure": case.figures.closure,
        "layer_overhead": case.figures.overhead, "mfu": case.figures.mfu, "problem": case.figures.problem,
        "variables": dict(case.figures.variables), "without_kernel": list(case.without_kernel),
        "peaks": asdict(case.peaks),
        "findings": [{"id": each.id, "kind": each.kind, "text": each.text} for each in case.findings],
        "layers": plain(rows),
    }
