"""Rigmark: identical neural networks across frameworks, builds, devices and precisions, timed so as to be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from rigmark.bench.reporting.notebook import Results

__version__ = "0.1.0"


def load(folder: str | Path = "results") -> Results:
    """Stored results for a notebook, see bench.reporting.notebook.Results; raises UserError where the folder holds none."""
    from rigmark.bench.reporting.notebook import (
        load,  # with pandas and the reports, which nothing that measures should load
    )

    return load(folder)
