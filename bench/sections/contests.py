"""Contests: the verdicts on two sides that took turns."""

from __future__ import annotations

from collections.abc import Sequence

from rigmark.bench.analysis.comparison import verdicts as comparison
from rigmark.bench.analysis.comparison.verdicts import Verdicts
from rigmark.bench.document.document import Paragraph, Section
from rigmark.bench.document.language import tr


def section(found: Sequence[Verdicts]) -> Section | None:
    """What each contest said; None if there is none."""
    if not found:
        return None
    text = tr("Pairs of two sides that took turns, judged by the rule of rigmark ab; of the same contest, the latest.")
    return Section(
        id="contests", title=tr("Contests"), blocks=(Paragraph(text=text),),
        sections=comparison.neighbours(found, "contests"),
    )
