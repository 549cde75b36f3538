"""``rigmark layers``: per-layer profiles, of cases whose layers were timed."""

from __future__ import annotations

import difflib
import json as json_format
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rigmark.bench.cli import Language
from rigmark.bench.enums import Outcome, TrialKind
from rigmark.bench.errors import UserError
from rigmark.bench.plan import axes

if TYPE_CHECKING:
    import pandas as pd

    from rigmark.bench.analysis.layers.layers import LayerProfile

AXES = {**{axis.swept.word: axis.name for axis in axes.AXES}, "session": "session"}
"""The names that a CASE may use, with their columns."""

NEED_NAMES = frozenset({axis.name for axis in axes.AXES if axis.type in (int, bool)} | {"session"})
"""Columns whose values must be written with a name: batch=32."""

SHOWN = 20                   # layers per case that are shown without --top
LISTED = 12                  # cases that the message about an unknown CASE lists


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
    from rigmark.bench.sections.layer_groups import together
    from rigmark.bench.sections.layers import document
    from rigmark.bench.store.store import existing

    store = existing(results)
    trials = store.trials()
    meant = _meant(trials.table[trials.table.kind == TrialKind.LAYERS], cases or [], results)
    # The latest trials are chosen per CASE, so that a session that a CASE names is not hidden by a later one.
    wanted = trials.table[trials.table.id.isin([name for each in meant for name in analysis.chosen(each).id])]
    refusals = dict.fromkeys(sentence for each in meant for sentence in _sentences(analysis.refused(each)))
    if wanted.empty:
        for sentence in (*trials.problems, *refusals):
            say(f"rigmark: {sentence}")
        of = f" of '{' '.join(cases)}'" if cases else ""
        say(f"no layer times{of} in {results}; measure some with rigmark run quick --layers --results {results}")
        raise typer.Exit(Exit.BAD if trials.problems else Exit.NOTHING_MEASURED)
    records = [store.get(trial_id) for trial_id in wanted.id]
    found = analysis.read(wanted, summarise(trials.table), records)
    if json:
        sys.stdout.write(json_format.dumps([_plain(case, top) for case in found], indent=1) + "\n")
    else:
        show_document(document(together(found, trials.table), top=top or SHOWN), 140)
    for sentence in (*trials.problems, *refusals):
        say(f"rigmark: {sentence}")
    if trials.problems:
        raise typer.Exit(Exit.BAD)


def _meant(tried: pd.DataFrame, cases: Sequence[str], results: Path) -> list[pd.DataFrame]:
    """The layer trials that match each CASE, or all of them without a CASE; raises UserError if none match."""
    if tried.empty or not cases:
        return [tried]
    rows = tried.to_dict("records")
    found = []
    for case in cases:
        words = [word for word in case.split("/") if word]
        these = [row["id"] for row in rows if words and all(_matches(row, word) for word in words)]
        if not these:
            raise UserError(_nothing(case, words, rows, results))
        found.append(tried[tried.id.isin(these)])
    return found


def _matches(row: dict[Any, Any], word: str) -> bool:
    axis, is_named, value = word.partition("=")
    if is_named:
        return axis in AXES and str(row[AXES[axis]]) == value
    return any(str(row[column]) == word for column in AXES.values() if column not in NEED_NAMES)


def _nothing(case: str, words: Sequence[str], rows: Sequence[dict[Any, Any]], results: Path) -> str:
    """The message about a CASE that matches nothing: the nearest name, the stored cases, how to measure others."""
    known = {str(row[column]) for row in rows for column in AXES.values() if column not in NEED_NAMES}
    strange = [word for word in words if not any(_matches(row, word) for row in rows)]
    near = [match for word in strange for match in difflib.get_close_matches(word, known, n=1)]
    hint = f"; did you mean '{near[0]}'?" if near else ";"
    names = list(dict.fromkeys(_name(row) for row in rows if row["outcome"] == Outcome.OK)) or ["none"]
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return (f"no layer times of '{case}'{hint} stored: {', '.join(names[:LISTED])}{more}. To measure others: "
            f"rigmark run --model MODEL --framework FRAMEWORK --layers --results {results}")


def _name(row: dict[Any, Any]) -> str:
    words = (row[column] for column in axes.named_but("layout", "device"))
    return f"{'/'.join(map(str, words))}/batch={row['local_batch']}"


def _sentences(refused: pd.DataFrame) -> list[str]:
    """The reasons why layer trials have no times, one sentence per trial."""
    return [f"{_name(row)}: {row['outcome']}: {row['reason']}" for row in refused.to_dict("records")]


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
