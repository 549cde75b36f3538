"""Errors that are a user's to mend: the command line shows their sentence, and no traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST_NAMES = 40              # told to whoever wrote a wrong one


class UserError(Exception):
    """Bad input: one sentence that says what happened, with which value, and what to do. Exit code 2."""


class UnknownName(UserError):
    """A word that nothing is called."""


def unknown(what: str, name: str, known: Iterable[str]) -> UnknownName:
    """The error for an unknown name, with the nearest known one."""
    names = sorted(known)
    if not names:
        return UnknownName(f"no {what} '{name}'; none is known at all")
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ";"
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return UnknownName(f"no {what} '{name}'{hint} known: {', '.join(names[:MOST_NAMES])}{more}")
