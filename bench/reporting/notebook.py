"""Results in a notebook: tables with units in the names of their columns, and the report."""

from __future__ import annotations

import html
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from rigmark import reports
from rigmark.bench.document.document import Document
from rigmark.bench.document.language import ENGLISH, speaking
from rigmark.bench.host.plain import plain_line
from rigmark.bench.plan import axes
from rigmark.bench.reporting.gather import report
from rigmark.bench.sections import inputs
from rigmark.bench.sections.layers import FILE_FACTS, plain
from rigmark.bench.store.store import Store, existing
from rigmark.reports.media.terminal import show

SHOWN = (
    *axes.named_but("layout", "device"), "world_size", "local_batch", "outcome",
    "throughput_samples_per_s", "throughput_low_samples_per_s", "throughput_high_samples_per_s", "trials", "validity",
)
"""Columns of the table that a notebook shows of results."""

MOST_ROWS = 30
HEIGHT = "80vh"              # of a report in a notebook


class Results:
    """A results folder as it was when it was loaded, as tables; units are those of the columns' names.

    ``results`` has one row per case, ``trials`` one per process, ``layers`` one per layer of each per-layer profile;
    None or NaN is what is not known or was not measured. ``problems`` are sentences about records that cannot be read.
    """

    def __init__(self, store: Store):
        self._store, self._read = store, inputs.read(store)
        self.folder = store.root
        self.trials: pd.DataFrame = self._read.trials
        self.results: pd.DataFrame = self._read.results          # as ``rigmark results --format json`` has them
        self.problems: tuple[str, ...] = self._read.unread

    @cached_property
    def layers(self) -> pd.DataFrame:
        """As ``rigmark layers --json`` has them, with the case in columns of its own; of a case the latest trial."""
        rows = [
            {"trial": case.id, **{name: case.case[name] for name in FILE_FACTS}, **row}
            for case in self._read.layers for row in plain(case.rows)
        ]
        return pd.DataFrame(rows)

    def report(self, language: str = ENGLISH) -> Report:
        """The report on all that the folder holds now; raises UnknownName for a language that there is not."""
        with speaking(language):
            return Report(report(self._store).document)

    def __repr__(self) -> str:
        return f"<{len(self.results)} results of {len(self.trials)} trials in {plain_line(str(self.folder))}>"

    def _repr_html_(self) -> str:
        frame = self.results[[name for name in SHOWN if name in self.results]].map(_shown)
        words = [repr(self).strip("<>"), *(plain_line(problem) for problem in self.problems)]
        said = "".join(f"<p>{html.escape(each)}</p>" for each in words)
        return said + frame.to_html(index=False, escape=True, max_rows=MOST_ROWS, na_rep="", border=0)


class Report:
    """A report, which a notebook shows as the page; ``document`` is what it says as plain data."""

    def __init__(self, document: Document):
        self.document = document

    def save(self, path: str | Path, format: str = "html") -> None:
        """As one file; raises UnknownName for a format that there is not."""
        Path(path).write_text(reports.render(format, self.document), encoding="utf-8")

    def __repr__(self) -> str:
        return show(self.document, width=100, color=False)

    def _repr_html_(self) -> str:
        """The page in a frame of its own, so that neither style nor text of it reaches the notebook."""
        title, page = (html.escape(text) for text in (self.document.title, reports.render("html", self.document)))
        return (f'<iframe sandbox="allow-scripts allow-downloads" title="{title}" srcdoc="{page}" '
                f'style="width: 100%; height: {HEIGHT}; border: 1px solid #ccc"></iframe>')


def load(folder: str | Path = "results") -> Results:
    """The results of a folder; raises UserError where it holds none."""
    return Results(existing(Path(folder)))


def _shown(cell: Any) -> Any:
    """Four digits of a number; of a text what can be shown."""
    if isinstance(cell, float):
        return f"{cell:.4g}"
    return plain_line(cell) if isinstance(cell, str) else cell
