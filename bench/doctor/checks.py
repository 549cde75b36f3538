"""What was looked at: one thing each, how bad it is, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    OK = "ok"
    NOISE = "noise"          # makes numbers less sure
    PROBLEM = "problem"      # something that is here cannot be used, or not as it could be
    PREVENTS = "prevents"    # something that was asked for cannot be measured


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    topic: str
    severity: Severity
    text: str
    fix: str | None = None   # what to do; None where all is well, or nothing can be done
