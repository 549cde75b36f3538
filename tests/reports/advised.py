"""Advice on what to buy, from the offers of one day and no measurement."""

from __future__ import annotations

from datetime import date

import pandas as pd

from bench import offers
from bench.analysis.buying import purchase
from bench.analysis.document import Document
from bench.analysis.story import buying
from bench.analysis.summary import RESULT_COLUMNS
from bench.store import TRIAL_COLUMNS

TODAY = date(2026, 11, 22)
HOST = "AMD EPYC 9B14 (zen4, registers of 512 bits)"


def document() -> Document:
    market = offers.load([offers.seed("documents")], TODAY)
    nothing = pd.DataFrame(columns=list(RESULT_COLUMNS)), pd.DataFrame(columns=list(TRIAL_COLUMNS))
    advice = purchase.advise(market, *nothing, {}, purchase.Wanted(), TODAY, ())
    return buying.document(advice, TODAY, HOST)
