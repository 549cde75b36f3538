"""Records may come from anywhere: what a terminal or a page could obey is taken out before any medium sees it."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from enum import Enum
from typing import TypeVar

from bench.analysis.document import Attachment, Code

T = TypeVar("T")

ESCAPE_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"                      # colours, cursor
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\Z)"           # window title, links, clipboard
    r"|\x1b[ -/]*[0-~]"
    r"|\x9b[0-?]*[ -/]*[@-~]",
    re.DOTALL,
)
INVISIBLE = frozenset({"Cc", "Cf", "Co", "Cn"})     # control, direction and joining marks, private use, unassigned
LOST = "\N{REPLACEMENT CHARACTER}"


def plain_lines(text: str) -> str:
    """Text of several lines without escape sequences and without characters that show nothing but change the rest."""
    text = ESCAPE_SEQUENCE.sub("", text).replace("\r\n", "\n").replace("\r", "\n").expandtabs(4)
    text = text.replace("\u2028", "\n").replace("\u2029", "\n")
    # Half of a surrogate pair cannot be written as UTF-8.
    return "".join(
        LOST if unicodedata.category(c) == "Cs" else c
        for c in text if c == "\n" or unicodedata.category(c) not in INVISIBLE
    )


def plain_line(text: str) -> str:
    """The same in one line."""
    return " ".join(plain_lines(text).split())


def printable(value: T) -> T:
    """A document, or a part of one, with every text made plain; code and files keep their lines."""
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return plain_line(value)    # type: ignore[return-value]
    if isinstance(value, tuple):
        return tuple(printable(item) for item in value)    # type: ignore[return-value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changes = {field.name: printable(getattr(value, field.name)) for field in dataclasses.fields(value)}
        if isinstance(value, Code):
            changes["text"] = plain_lines(value.text)
        if isinstance(value, Attachment):
            changes["content"] = plain_lines(value.content)
        return dataclasses.replace(value, **changes)
    return value
