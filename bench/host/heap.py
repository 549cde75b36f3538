"""Memory while much is made that all stays."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def growing() -> Iterator[None]:
    """Without the collector of cycles.

    What a report is made of has none, and to look through hundreds of thousands of its parts again and again takes a
    sixth of the time that a large one takes.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
