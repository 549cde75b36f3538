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
    if text.isprintable():       # none of INVISIBLE is, nor is what begins a sequence; most of a report is
        return text
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
        if value and isinstance(value[0], float):
            return value            # of one kind throughout
        return tuple(printable(item) for item in value)    # type: ignore[return-value]
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    # What is plain already stays the object that it is: a large report holds hundreds of thousands.
    changes = {}
    for name in value.__dataclass_fields__:      # dataclasses.fields makes a tuple each time
        before = getattr(value, name)
        is_long = (isinstance(value, Code) and name == "text") or (isinstance(value, Attachment) and name == "content")
        after = plain_lines(before) if is_long else printable(before)
        if after is not before and after != before:
            changes[name] = after
    return dataclasses.replace(value, **changes) if changes else value
