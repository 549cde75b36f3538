"""Text from records, files and other programs, without what a terminal, a spreadsheet or a parser could obey."""

from __future__ import annotations

import re
import unicodedata

ESCAPE_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"                      # colours, cursor
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\Z)"           # window title, links, clipboard
    r"|\x1b[ -/]*[0-~]"
    r"|\x9b[0-?]*[ -/]*[@-~]",
    re.DOTALL,
)
INVISIBLE = frozenset({"Cc", "Cf", "Co", "Cn", "Cs"})
"""Control, direction and joining marks, private use, unassigned, and halves of surrogate pairs, which no file takes."""

MARK = "\N{REPLACEMENT CHARACTER}"       # so that two names which differ in such a character do not look alike


class _Shown(dict[int, int | str]):
    """What becomes of each character, worked out when it is met first."""

    def __missing__(self, code: int) -> int | str:
        self[code] = MARK if unicodedata.category(chr(code)) in INVISIBLE else code
        return self[code]


SHOWN = _Shown({ord("\n"): "\n"})


def plain_lines(text: str) -> str:
    """Text of several lines in which each escape sequence, and each character that shows nothing, is a mark."""
    if text.isprintable():       # none of INVISIBLE is, nor is what begins a sequence; most of a report is
        return text
    text = ESCAPE_SEQUENCE.sub(MARK, text).replace("\r\n", "\n").replace("\r", "\n").expandtabs(4)
    return text.replace("\u2028", "\n").replace("\u2029", "\n").translate(SHOWN)


def plain_line(text: str) -> str:
    """The same in one line."""
    return " ".join(plain_lines(text).split())
