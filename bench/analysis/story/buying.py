"""What to buy, in words first: verdicts, then the numbers behind them, each with the mark of where it comes from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import date

from bench.analysis import formatting
from bench.analysis.buying import Figure, Kind, Rated
from bench.analysis.document import (
    Align,
    Bar,
    Bars,
    Block,
    Cell,
    Column,
    Document,
    Fold,
    Items,
    Origin,
    Paragraph,
    Row,
    Section,
    Table,
    Verdict,
    Verdicts,
)
from bench.analysis.holding import Check, Held, Memory
from bench.analysis.purchase import ORIGINS, Advice, Question
from bench.analysis.quantity import CLEAR, LIKELY, UNIT_SPREAD, Quantity, chance_in_words
from bench.analysis.renting import RentOrBuy, Step, hours_in_words
from bench.analysis.story.groups import identifier
from bench.analysis.value import CpuOrGpu, OneOrMany, Ranking
from bench.offers.cards import GIB

TITLE = "What to buy"
MOST_PROBLEMS = 12
MOST_UNKNOWN = 6             # candidates named of which nothing is known; a catalogue has hundreds
KINDS = {Kind.CARD: "cards and processors", Kind.MACHINE: "whole machines", Kind.RENTED: "machines for rent"}
HEADS = {Kind.CARD: "card or processor", Kind.MACHINE: "machine", Kind.RENTED: "machine for rent"}


def document(advice: Advice, today: date, host: str = "") -> Document:
    """All sections that have something to say; ``host`` is this machine, in words."""
    sections = [
        _rent(advice), *_values(advice), _many(advice.many), _cpu_or_gpu(advice.cpu_or_gpu), _memory(advice.memories),
        _box(advice.checks), _heat(advice.held, asked=Question.HEAT in advice.wanted.questions), _doubts(advice),
    ]
    return Document(title=TITLE, summary=tuple(_summary(advice, today, host)), sections=tuple(s for s in sections if s))


def _summary(advice: Advice, today: date, host: str) -> list[str]:
    own = sum(figure.origin is Origin.MEASURED for figure in advice.figures)
    others = len(advice.figures) - own
    phrases = [formatting.count(own, "figure") + " of our own", formatting.count(others, "figure") + " of others"]
    if advice.market.files:
        phrases.append("offers of " + formatting.listed([name.replace("\\", "/").rpartition("/")[2]
                                                        for name in advice.market.files]))
    if advice.market.currency:
        phrases.append(f"money in {advice.market.currency}")
    return [*phrases, f"reckoned on {today}" + (f" on {host}" if host else "")]


def _text(value: float | None, digits: int = 3) -> str:
    return formatting.UNKNOWN if value is None else formatting.significant(value, digits)


def _quantity(of: Quantity | None, written: Callable[[float], str] = formatting.significant) -> Cell:
    """With its mark, and its ends in brackets."""
    if of is None:
        return Cell(text=formatting.UNKNOWN)
    ends = "" if of.low is None or of.high is None else f" ({written(of.low)} to {written(of.high)})"
    return Cell(text=f"{of.origin.mark} {written(of.value)}{ends}", value=of.value)


# Rent or buy ----------------------------------------------------------------------------------------------------------


def _rent(advice: Advice) -> Section | None:
    if not advice.rentals:
        return None
    currency = advice.market.currency or ""
    verdicts = Verdicts(verdicts=tuple(
        Verdict(
            id=_identity(each), subject=f"{each.build.id} or {each.offer.id}",
            conditions=each.workload.label if each.workload else "no workload known for both", standing=each.standing,
            sentences=each.words,
        )
        for each in advice.rentals
    ))
    return Section(
        id="rent", title="Rent or buy", blocks=(verdicts,),
        sections=tuple(_steps(each, currency) for each in advice.rentals),
    )


def _identity(each: RentOrBuy) -> str:
    return identifier("rent", each.build.id, each.offer.id, each.workload.label if each.workload else "bare")


def _steps(each: RentOrBuy, currency: str) -> Section:
    identity = _identity(each)
    table = Table(
        id=f"table.{identity}", caption="Hours of own work until it has paid, as more and more is counted",
        columns=(Column(title="counted"), Column(title="own hours", unit="h", align=Align.RIGHT),
                 Column(title="of the bare sum", align=Align.RIGHT), Column(title="with")),
        rows=tuple(_step_row(identity, step, each.steps[0]) for step in each.steps),
        notes=("Each line counts all above it too. In brackets stands the middle 95 % of 10,000 draws from the spreads "
               "of prices, throughputs and machines of one kind.",
               f"{ORIGINS}; a line has the least certain of its marks."),
    )
    bars = Bars(
        id=f"bars.{identity}", title="Own hours until it has paid", unit="h", table=table.id,
        bars=tuple(
            Bar(label=f"{step.origin.mark} {step.name}", text=hours_in_words(step.hours), value=step.hours.value,
                low=step.hours.low, high=step.hours.high if math.isfinite(step.hours.high) else step.hours.value,
                values=(), origin=step.origin)
            for step in each.steps if math.isfinite(step.hours.value)
        ),
    )
    blocks: list[Block] = [*([bars] if bars.bars else []), table]
    if len(each.at_energy_prices) > 1:
        said = [f"{price} a kWh: {_text(hours) if math.isfinite(hours) else 'never'} h"
                for price, hours in each.at_energy_prices.items()]
        blocks.append(Paragraph(text=f"By the price of electricity: {'; '.join(said)}."))
    if each.per_million:
        said = [f"{of} {_text(amount)} {currency}" for of, amount in each.per_million.items()]
        blocks.append(Paragraph(text=f"A million samples cost: {'; '.join(said)}."))
    reasons = [f"{of.candidate.id}: {reason}" for of in (each.own, each.rented) if of is not None
               for reason in of.reasons]
    notes = (each.build.build and each.build.build.note, each.offer.offer and each.offer.offer.note)
    sides = zip((each.build, each.offer), notes, strict=True)
    reasons += [f"{Origin.ENTERED.mark} {of.id}: {note}" for of, note in sides if note]
    if reasons:
        blocks.append(Items(texts=tuple(reasons)))
    title = f"{each.build.id} against {each.offer.id}" + (f", {each.workload.label}" if each.workload else "")
    return Section(id=f"steps.{identity}", title=title, blocks=tuple(blocks))


def _step_row(identity: str, step: Step, first: Step) -> Row:
    ratio = step.hours.value / first.hours.value
    return Row(id=identifier(identity, step.name), cells=(
        Cell(text=f"{step.origin.mark} {step.name}"),
        Cell(text=hours_in_words(step.hours), value=step.hours.value if math.isfinite(step.hours.value) else None),
        Cell(text=f"{_text(ratio)}x" if math.isfinite(ratio) else formatting.UNKNOWN,
             value=ratio if math.isfinite(ratio) else None),
        Cell(text=step.words),
    ))


# For the money --------------------------------------------------------------------------------------------------------


def _values(advice: Advice) -> list[Section]:
    shown = [ranking for ranking in advice.rankings if any(each.samples_per_s for each in ranking.rated)]
    if not shown:
        return []
    currency = advice.market.currency or "money"
    verdicts = Verdicts(verdicts=tuple(
        Verdict(id=_ranked(each), subject=KINDS[each.kind], conditions=each.workload.label, standing=each.standing,
                sentences=(each.words,))
        for each in shown
    ))
    words = (f"Better for the money is what is so in {CLEAR:.0%} of draws (clear) or {LIKELY:.0%} (likely); less is "
             f"too close to call. Two machines of one kind differ too, by {UNIT_SPREAD:.0%} or so.")
    return [Section(
        id="value", title="For the money", blocks=(Paragraph(text=words), verdicts),
        sections=tuple(_value_section(each, currency) for each in shown),
    )]


def _ranked(ranking: Ranking) -> str:
    return identifier("value", ranking.workload.label, ranking.kind.value)


def _value_section(ranking: Ranking, currency: str) -> Section:
    identity = _ranked(ranking)
    table = _value_table(ranking, currency, identity)
    bars = Bars(
        id=f"bars.{identity}", title="Throughput", unit="samples/s", table=table.id,
        bars=tuple(_bar(each, each.samples_per_s) for each in ranking.rated if each.samples_per_s is not None),
    )
    shown, unknown = _shown(ranking), [each for each in ranking.rated if each.samples_per_s is None]
    told = [*shown, *unknown[:MOST_UNKNOWN]]
    reasons = tuple(f"{each.candidate.name}: {reason}" for each in told for reason in each.reasons if reason)
    origins = Fold(title="Where these figures come from", blocks=(Items(texts=reasons),))
    title = f"{ranking.workload.label}: {KINDS[ranking.kind]}"
    return Section(id=f"section.{identity}", title=title, blocks=(bars, table, origins))


def _shown(ranking: Ranking) -> list[Rated]:
    """Those of which a throughput is known."""
    return [each for each in ranking.rated if each.samples_per_s is not None]


def _bar(each: Rated, speed: Quantity) -> Bar:
    cell = _quantity(speed)
    return Bar(label=f"{speed.origin.mark} {each.candidate.name}", text=cell.text, value=speed.value, low=speed.low,
               high=speed.high, values=() if speed.low is not None else (speed.value,), origin=speed.origin)


def _value_table(ranking: Ranking, currency: str, identity: str) -> Table:
    is_rented = ranking.kind is Kind.RENTED
    per, price = ("samples", f"{currency}/h") if is_rented else ("samples/s", currency)
    columns = (
        Column(title=HEADS[ranking.kind]),
        Column(title="throughput", unit="samples/s", align=Align.RIGHT),
        Column(title="price", unit=price, align=Align.RIGHT),
        Column(title="for the money", unit=f"{per} per {currency}", align=Align.RIGHT),
        Column(title="chance of best", align=Align.RIGHT),
        Column(title="power of its devices", unit="W", align=Align.RIGHT),
        Column(title="for the energy", unit="samples/J", align=Align.RIGHT),
        Column(title="memory", unit="GB each", align=Align.RIGHT, is_detail=True),
        Column(title="on the front", is_detail=True),
        Column(title="software", is_detail=True),
    )
    return Table(
        id=f"table.{identity}", caption=f"All figures, {ranking.workload.label}", columns=columns,
        rows=tuple(
            Row(id=identifier(identity, each.candidate.id), cells=_value_cells(each)) for each in _shown(ranking)
        ),
        notes=(
            *_not_known([each.candidate.name for each in ranking.rated if each.samples_per_s is None]),
            f"{ORIGINS}. Power marked {Origin.QUOTED.mark} is the rated one on paper, and what comes of it is as weak.",
            "On the front is what no other beats in price, throughput and memory together.",
        ),
    )


def _not_known(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    more = [f"{len(names) - MOST_UNKNOWN} more"] if len(names) > MOST_UNKNOWN else []
    return [f"No throughput is known of {formatting.listed([*names[:MOST_UNKNOWN], *more])}."]


def _value_cells(each: Rated) -> tuple[Cell, ...]:
    candidate, value = each.candidate, each.per_money
    mark = "" if each.power_origin is None else f"{each.power_origin.mark} "
    return (
        Cell(text=candidate.name),
        _quantity(each.samples_per_s),
        _quantity(candidate.money, formatting.money) if candidate.money else Cell(text="no price given"),
        Cell(text=f"{_text(value.value)} ({_text(value.low)} to {_text(value.high)})", value=value.value) if value
        else Cell(text=formatting.UNKNOWN),
        Cell(text=chance_in_words(each.chance), value=each.chance) if each.chance is not None
        else Cell(text="too few trials" if each.is_few else formatting.UNKNOWN),
        Cell(text=f"{mark}{_text(each.power_w)}", value=each.power_w),
        Cell(text=f"{mark}{_text(each.per_watt)}", value=each.per_watt),
        Cell(text=formatting.UNKNOWN if candidate.memory_bytes is None else f"{candidate.memory_bytes / GIB:.0f}",
             value=candidate.memory_bytes),
        Cell(text="yes" if each.is_on_front else formatting.UNKNOWN),
        Cell(text=each.software or formatting.UNKNOWN),
    )


# The other questions --------------------------------------------------------------------------------------------------


def _many(found: Sequence[OneOrMany]) -> Section | None:
    if not found:
        return None
    return Section(id="many", title="One large or several small", blocks=(Verdicts(verdicts=tuple(
        Verdict(
            id=identifier("many", each.workload.label, each.many.candidate.id, each.big.candidate.id),
            subject=f"{each.many.candidate.devices} {each.small.candidate.name} or one {each.big.candidate.name}",
            conditions=each.workload.label, standing=each.standing,
            sentences=(_capital(each.words), *(f"{_capital(reason)}." for reason in each.many.reasons[-1:])),
        )
        for each in found
    )),))


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _cpu_or_gpu(found: Sequence[CpuOrGpu]) -> Section | None:
    if not found:
        return None

    def said(each: CpuOrGpu) -> str:
        what = f"{each.cpu.workload.model} {each.cpu.workload.mode}"
        if each.ratio is not None:
            return (f"{what}: {_device(each.gpu)} does {_text(each.ratio)}x the samples/s of {_device(each.cpu)} at "
                    f"equal batch and precision ({each.gpu.workload.label}).")
        return (f"{what}: {_device(each.gpu)} with {each.gpu.workload.label}, and {_device(each.cpu)} with "
                f"{each.cpu.workload.label}, are not alike, so no ratio is given; measure both at one batch.")

    return Section(id="cpu", title="CPU or GPU", blocks=(Items(texts=tuple(said(each) for each in found)),))


def _device(figure: Figure) -> str:
    speed = figure.samples_per_s
    return f"{figure.device.name} ({speed.origin.mark} {_text(speed.value)} samples/s, {figure.software})"


def _memory(found: Sequence[Memory]) -> Section | None:
    if not found:
        return None
    return Section(id="memory", title="What fits into memory", blocks=(Items(texts=tuple(
        f"{each.origin.mark} {each.subject}{f', {each.where}' if each.where else ''}: {each.words}." for each in found
    )),))


HOLDS = {True: "holds", False: "does not hold", None: "cannot be told"}


def _box(found: Sequence[Check]) -> Section | None:
    if not found:
        return None
    failed = [each for each in found if each.holds is False]
    words = "Nothing is seen that these machines would not hold." if not failed else " ".join(
        f"{each.build}: the {each.about} does not hold." for each in failed)
    table = Table(
        id="table.box", caption="Machines and what they must hold",
        columns=(Column(title="machine"), Column(title="about"), Column(title="answer"), Column(title="with")),
        rows=tuple(
            Row(id=identifier("box", index, each.build, each.about), cells=(
                Cell(text=each.build), Cell(text=each.about), Cell(text=HOLDS[each.holds]),
                Cell(text=f"{each.origin.mark} {each.words}"),
            ))
            for index, each in enumerate(found)
        ),
        notes=("Powers are those on paper; a measured power limit beats them. Peaks of 1.5x are an assumption about "
               "boards since 2020, sources say 1.3x to 2x.",),
    )
    return Section(id="box", title="Does the machine hold its cards", blocks=(Paragraph(text=words), table))


def _heat(found: Sequence[Held], *, asked: bool) -> Section | None:
    if not found and not asked:
        return None
    texts: Iterable[str] = [
        f"{Origin.MEASURED.mark} {each.subject} {each.endurance.words}: after {each.endurance.duration_s / 60:.0f} "
        f"minutes it does {formatting.share(each.endurance.ratio)} of what it did in the first half minute."
        for each in found
    ] or ["No stored trial is long enough to tell: rigmark run with --min-time 600 makes one of ten minutes."]
    return Section(id="heat", title="Does it hold its speed", blocks=(Items(texts=tuple(texts)),))


def _doubts(advice: Advice) -> Section | None:
    texts = [*advice.doubts, *(f"{_capital(problem)}." for problem in advice.problems[:MOST_PROBLEMS])]
    if (more := len(advice.problems) - MOST_PROBLEMS) > 0:
        texts.append(f"{more:,} more are told by --json.")
    rated = [each for ranking in advice.rankings for each in ranking.rated]
    rated += [each for rental in advice.rentals for each in (rental.own, rental.rented) if each is not None]
    if any(each.origin is Origin.PREDICTED for each in rated):
        texts.append(f"{Origin.PREDICTED.mark} Predicted figures come from data sheets and a known card. Tried on "
                     "published tables, their range held the truth of all networks from one card to the next (RTX 3090 "
                     "and 4090, GTX 1080 and 1080 Ti); it says nothing of drivers, heat or other software.")
    return Section(id="doubts", title="Doubts", blocks=(Items(texts=tuple(texts)),)) if texts else None
