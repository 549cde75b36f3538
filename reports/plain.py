"""Records may come from anywhere: what a terminal or a page could obey is taken out before any medium sees it."""

from __future__ import annotations

import dataclasses
from enum import Enum
from typing import Any, TypeVar, cast

from rigmark.bench.document.document import Attachment, Code
from rigmark.bench.document.language import tr
from rigmark.bench.host.plain import plain_line, plain_lines

T = TypeVar("T")

LONGEST_LINE = 20_000        # letters; nobody reads a longer cell, and a page of such cells would not open
LONGEST_CODE = 200_000


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
        return plain_line(_cut(value, LONGEST_LINE))    # type: ignore[return-value]
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
