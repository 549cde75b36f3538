"""Records may come from anywhere: what a terminal or a page could obey is taken out before any medium sees it."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from enum import Enum
from typing import Any, TypeVar, cast

from rigmark.bench.document.document import Attachment, Code
from rigmark.bench.document.language import tr

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
LONGEST_LINE = 20_000        # letters; nobody reads a longer cell, and a page of such cells would not open
LONGEST_CODE = 200_000


class _Shown(dict[int, int | str | None]):
    """What becomes of each character, worked out when it is met first."""

    def __missing__(self, code: int) -> int | str | None:
        category = unicodedata.category(chr(code))
        # Half of a surrogate pair cannot be written as UTF-8.
        self[code] = LOST if category == "Cs" else None if category in INVISIBLE else code
        return self[code]


SHOWN = _Shown({ord("\n"): "\n"})


def plain_lines(text: str) -> str:
    """Text of several lines without escape sequences and without characters that show nothing but change the rest."""
    if text.isprintable():       # none of INVISIBLE is, nor is what begins a sequence; most of a report is
        return text
    text = ESCAPE_SEQUENCE.sub("", text).replace("\r\n", "\n").replace("\r", "\n").expandtabs(4)
    return text.replace("\u2028", "\n").replace("\u2029", "\n").translate(SHOWN)


def plain_line(text: str) -> str:
    """The same in one line."""
    return " ".join(plain_lines(_cut(text, LONGEST_LINE)).split())


def _cut(text: str, longest: int) -> str:
    """The text; of a very long one its beginning, and how long it is."""
    if len(text) <= longest:
        return text
    return tr("{text} … ({n} letters in all)", text=text[:longest], n=f"{len(text):,}")


def printable(value: T) -> T:
    """A document, or a part of one, with every text made plain; code and files keep their lines."""
    if value is None or isinstance(value, (Enum, int, float)):
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
        if isinstance(value, Code) and name == "text":
            after = plain_lines(_cut(before, LONGEST_CODE))
        elif isinstance(value, Attachment) and name == "content":
            after = plain_lines(before)
        else:
            after = printable(before)
        if after is not before and after != before:
            changes[name] = after
    return cast(T, dataclasses.replace(cast(Any, value), **changes)) if changes else value
