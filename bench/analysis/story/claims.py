"""Is it true what they say? Each claim beside what was found, and how."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analysis import formatting
from bench.analysis.claims import FEW_TRIALS, NO_INTERVAL, Answer, Claim, Standing, Tested
from bench.analysis.document import (
    Align,
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
)
from bench.analysis.story.groups import identifier

TITLE = "Is it true what they say?"
SIGNS = {Standing.CONFIRMED: "✓", Standing.REFUTED: "✗", Standing.OPEN: "≈", Standing.UNTESTABLE: "–"}
SHOWN = 12                   # figures of one claim, before the rest go by their number


def document(tested: Sequence[Tested]) -> Document:
    counts = {standing: sum(each.standing is standing for each in tested) for standing in Standing}
    summary = (
        formatting.count(len(tested), "claim"),
        *(f"{count} {standing.value}" for standing, count in counts.items() if count),
    )
    return Document(title=TITLE, summary=summary, sections=(section(tested),))


def told(tested: Sequence[Tested]) -> Section | None:
    """Only of those on which stored results bear: the others would drown the rest of a report. None where none does."""
    own = [each for each in tested if any(answer.origin is not Origin.ENTERED for answer in each.answers)]
    return section(own) if own else None


def section(tested: Sequence[Tested]) -> Section:
    """A table of all claims, how each is tested, and the figures behind it."""
    decided = [each for each in tested if each.standing is not Standing.UNTESTABLE]
    blocks: list[Block] = [
        Paragraph(text="Sentences that introductions repeat, held against what is stored here. Confirmed: all figures, "
                       "with their intervals, lie where the sentence may still be called true; refuted: all lie "
                       "outside; open: figures disagree, or do not decide."),
        _table(tested),
    ]
    if decided:
        blocks.append(Fold(title="The figures behind them", blocks=tuple(_figures(each) for each in decided)))
    blocks.append(Fold(title="How each is tested", blocks=(Items(
        texts=tuple(_how(each.claim) for each in tested),
        ids=tuple(f"how.{identifier(each.claim.id)}" for each in tested),
    ),)))
    return Section(id="claims", title=TITLE, blocks=tuple(blocks))


def _table(tested: Sequence[Tested]) -> Table:
    order = list(Standing)
    ordered = sorted(tested, key=lambda each: order.index(each.standing))
    marks = dict.fromkeys(answer.origin for each in tested for answer in each.answers)
    notes = [
        f"Without an interval a published figure is taken as off by up to {NO_INTERVAL:g}x, a time of too few trials "
        f"by up to {FEW_TRIALS:g}x: it decides only where that leaves no choice.",
        "; ".join(f"{origin.mark} {_origin(origin)}" for origin in marks) + "." if marks else "",
    ]
    return Table(
        id="table.claims", caption="What is said, and what was found",
        columns=(
            Column(title="what they say"), Column(title="outcome"), Column(title="claimed", align=Align.RIGHT),
            Column(title="found here", align=Align.RIGHT), Column(title="why"),
        ),
        rows=tuple(
            Row(
                id=f"claim.{identifier(each.claim.id)}",
                cells=(
                    Cell(text=each.claim.says), Cell(text=f"{SIGNS[each.standing]} {each.standing.value}"),
                    Cell(text=claimed(each), value=each.claim.value), Cell(text=found(each)), Cell(text=each.why),
                ),
            )
            for each in ordered
        ),
        notes=tuple(note for note in notes if note),
    )


def _origin(origin: Origin) -> str:
    return "computed from the figures in the sentence" if origin is Origin.ENTERED else str(origin.value)


def claimed(each: Tested) -> str:
    """"1.3x (1.15x to 1.5x)": the value, and what would still be called that."""
    claim, unit = each.claim, each.unit
    if claim.low is None and claim.high is None:
        return formatting.UNKNOWN
    if claim.low is None or claim.high is None:
        word, end = ("at most", claim.high) if claim.low is None else ("at least", claim.low)
        return f"{word} {_number(end or 0.0, unit)}"
    ends = f"{_number(claim.low, unit)} to {_number(claim.high, unit)}"
    if claim.value is None:
        return ends
    is_exact = claim.high - claim.low <= 1e-3 * abs(claim.value)
    return _number(claim.value, unit, 6) if is_exact else f"{_number(claim.value, unit, 6)} ({ends})"


def found(each: Tested) -> str:
    """The figure with its interval; of several the range, by where they come from."""
    parts = []
    for origin in dict.fromkeys(answer.origin for answer in each.answers):
        own = [answer for answer in each.answers if answer.origin is origin]
        if len(own) == 1:
            parts.append(f"{origin.mark} {figure(own[0], each.unit)}")
        else:
            low, high = min(a.value for a in own), max(a.value for a in own)
            parts.append(f"{origin.mark} {_number(low, each.unit)} to {_number(high, each.unit)} ({len(own)} figures)")
    return "; ".join(parts) or formatting.UNKNOWN


def figure(answer: Answer, unit: str) -> str:
    """"1.31x (1.27x to 1.35x)"; the value alone where it has no interval or is exact."""
    if answer.low is None or answer.high is None or answer.low == answer.high:
        return _number(answer.value, unit, 6 if answer.low is not None else 3)
    return f"{_number(answer.value, unit)} ({_number(answer.low, unit)} to {_number(answer.high, unit)})"


def _number(value: float, unit: str, digits: int = 3) -> str:
    if unit == "share":
        return f"{formatting.number(100 * value, 1)} %"
    number = formatting.significant(value, digits)
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return f"{number}x" if unit == "x" else f"{number} {unit}".strip()


def _figures(each: Tested) -> Table:
    shown = each.answers[:SHOWN]
    notes = [f"{len(each.answers) - SHOWN} more figures are in --json."] if len(each.answers) > SHOWN else []
    return Table(
        id=f"table.claim.{identifier(each.claim.id)}", caption=f"{each.claim.says} {each.standing.value}: {each.why}",
        columns=(
            Column(title="of"), Column(title="figure", align=Align.RIGHT), Column(title="n", align=Align.RIGHT),
            Column(title="says"), Column(title="remark", is_detail=True),
        ),
        rows=tuple(
            Row(
                id=f"claim.{identifier(each.claim.id, index)}",
                cells=(
                    Cell(text=f"{answer.origin.mark} {answer.about}"),
                    Cell(text=figure(answer, each.unit), value=answer.value),
                    Cell(text=formatting.UNKNOWN if answer.count is None else str(answer.count)),
                    Cell(text=f"{SIGNS[answer.standing]} {_SAYS[answer.standing]}"),
                    Cell(text="; ".join(filter(None, (answer.doubt, answer.remark)))),
                ),
            )
            for index, answer in enumerate(shown, start=1)
        ),
        notes=tuple(notes),
    )


_SAYS = {Standing.CONFIRMED: "yes", Standing.REFUTED: "no", Standing.OPEN: "neither", Standing.UNTESTABLE: "neither"}


def _how(claim: Claim) -> str:
    note = f" {claim.note}" if claim.note else ""
    return f"{claim.says} Tested by: {claim.how}.{note} ({claim.source}; {claim.id})"
