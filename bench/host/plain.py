"""Makes text from records, files and other programs harmless for terminals, spreadsheets and parsers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

ESCAPE_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"                      # colours, cursor
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\Z)"           # window title, links, clipboard
    r"|\x1b[ -/]*[0-~]"
    r"|\x9b[0-?]*[ -/]*[@-~]",
    re.DOTALL,
)
INVISIBLE = frozenset({"Cc", "Cf", "Co", "Cn", "Cs"})
"""Categories: control, formatting, private use, unassigned, and halves of surrogate pairs, which no file can hold."""

MARK = "\N{REPLACEMENT CHARACTER}"       # so that names that differ in such a character look different


class _Shown(dict[int, int | str]):
    """The replacement of each character, computed when it first occurs."""

    def __missing__(self, code: int) -> int | str:
        self[code] = MARK if unicodedata.category(chr(code)) in INVISIBLE else code
        return self[code]


SHOWN = _Shown({ord("\n"): "\n"})


def plain_lines(text: str) -> str:
    """Text of several lines in which each escape sequence and each invisible character is replaced by MARK."""
    if text.isprintable():       # a quick test: true for most of a report, false for INVISIBLE and escape sequences
        return text
    text = ESCAPE_SEQUENCE.sub(MARK, text).replace("\r\n", "\n").replace("\r", "\n").expandtabs(4)
    return text.replace("\u2028", "\n").replace("\u2029", "\n").translate(SHOWN)


def plain_line(text: str) -> str:
    """The same as one line."""
    return " ".join(plain_lines(text).split())


def encodable(plain: Any) -> Any:
    """Plain data in which escapes stand for what UTF-8 cannot hold: Python's halves of surrogate pairs, which it has
    for bytes of names and variables that are no text.
    """
    if isinstance(plain, str):
        return plain if plain.isascii() else plain.encode(errors="backslashreplace").decode()
    if isinstance(plain, Mapping):
        return {encodable(name): encodable(value) for name, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [encodable(value) for value in plain]
    return plain
