"""Advice on what to buy, from the offers of one day and no measurement."""

from __future__ import annotations

from datetime import date

import pandas as pd

from rigmark.bench.analysis.results.summary import RESULT_COLUMNS
from rigmark.bench.buying import offers, purchase
from rigmark.bench.document.document import Document
from rigmark.bench.sections import buying
from rigmark.bench.store.trial_table import TRIAL_COLUMNS

TODAY = date(2026, 11, 22)
HOST = "AMD EPYC 9B14 (zen4, registers of 512 bits)"


def document() -> Document:
    market = offers.load([offers.seed("documents")], TODAY)
    nothing = pd.DataFrame(columns=list(RESULT_COLUMNS)), pd.DataFrame(columns=list(TRIAL_COLUMNS))
    advice = purchase.advise(market, *nothing, {}, purchase.Wanted(), TODAY, ())
    return buying.document(advice, TODAY, HOST)
