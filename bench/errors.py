"""Errors that the user can correct: the command line shows their sentence, without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST_NAMES = 40              # known names that a message lists


class UserError(Exception):
    """Bad input: one sentence that says what happened, with which value, and what to do. Exit code 2."""


class UnknownName(UserError):
    """A name that does not exist."""


def unknown(what: str, name: str, known: Iterable[str]) -> UnknownName:
    """The error for an unknown name, with the nearest known name; ``what`` is its kind: "model"."""
    names = sorted(known)
    if not names:
        return UnknownName(f"no {what} '{name}'; there is none at all")
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ";"
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return UnknownName(f"no {what} '{name}'{hint} known: {', '.join(names[:MOST_NAMES])}{more}")
