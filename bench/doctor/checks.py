"""The result of one check: what was found, how severe it is, and how to fix it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    OK = "ok"
    NOISE = "noise"          # makes measurements less certain
    PROBLEM = "problem"      # something on this machine cannot be used, or is slower than it could be
    PREVENTS = "prevents"    # something that the user wants to measure cannot be measured


@dataclass(frozen=True, kw_only=True)
class Check:
    """The result of one check."""

    topic: str
    severity: Severity
    text: str
    fix: str | None = None   # what to do; None if all is well, or if nothing can be done
