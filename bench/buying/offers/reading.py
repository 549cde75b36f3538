"""Reads one table of a TOML file key by key; a mistake is reported in one sentence with file, table and key."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

from rigmark.bench.errors import UserError
from rigmark.bench.host import files

MOST_PIECES = 1000           # largest number of one part in a machine


class Table:
    """A table; keys that were never read are unknown keys, which ``finish`` reports."""

    def __init__(self, content: dict[str, Any], *, file: str, name: str):
        self.content = content
        self.file = file
        self.name = name                     # as written in the file: "[[part]] gpu.gtx-1070"
        self._asked: set[str] = set()

    def wrong(self, key: str | None, words: str) -> UserError:
        place = ", ".join(filter(None, [self.name, key]))
        # Ids and values may contain escape sequences for terminals.
        return UserError(files.shown(f"{self.file}: {place}: {words}" if place else f"{self.file}: {words}"))

    def __contains__(self, key: str) -> bool:
        return key in self.content

    def get(self, key: str) -> Any:
        self._asked.add(key)
        return self.content.get(key)

    def number(self, key: str, unit: str, *, least: float = 0.0, most: float = math.inf) -> float | None:
        """The number under a key; None without the key; raises UserError for text, NaN, and values out of bounds."""
        value = self.get(key)
        if value is None:
            return None
        if isinstance(value, str):
            raise self.wrong(key, f"must be a number ({unit}), without a unit and quotes, not '{value}'")
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.wrong(key, f"must be a number ({unit}), not {_toml(value)}")
        if value < 0 <= least:
            raise self.wrong(key, f"must not be negative, but is {value:g} {unit}")
        if not least <= value <= most:
            bounds = f"at least {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
            raise self.wrong(key, f"must be {bounds} ({unit}), but is {value:g}")
        return float(value)

    def whole(self, key: str, unit: str, *, least: int = 0, most: float = math.inf) -> int | None:
        value = self.number(key, unit, least=least, most=most)
        if value is None:
            return None
        if value != int(value):
            raise self.wrong(key, f"must be a whole number ({unit}), not {value:g}")
        return int(value)

    def text(self, key: str, choices: Collection[str] = ()) -> str | None:
        value = self.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(key, f"must be text in quotes, not {_toml(value)}")
        if choices and value not in choices:
            near = difflib.get_close_matches(value, choices, n=1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise self.wrong(key, f"'{value}' is not known; {hint}known: {', '.join(sorted(choices))}")
        return value

    def required_text(self, key: str, choices: Collection[str] = ()) -> str:
        value = self.text(key, choices)
        if value is None:
            raise self.wrong(None, f"'{key}' is missing")
        return value

    def day(self, key: str, today: date) -> date | None:
        value = self.get(key)
        if value is None:
            return None
        if not isinstance(value, date) or isinstance(value, datetime):
            raise self.wrong(key, f"must be a date without quotes, such as 2026-01-31, not {_toml(value)}")
        if value > today:
            raise self.wrong(key, f"{value} is in the future")
        return value

    def table(self, key: str) -> Table | None:
        value = self.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.wrong(key, f"must be a table such as {{ value = 100 }}, not {_toml(value)}")
        name = f"{self.name}, {key}" if self.name else f"[{key}]"
        return Table(value, file=self.file, name=name)

    def tables(self, key: str) -> Iterator[Table]:
        """The tables of [[key]], named by their ids."""
        value = self.get(key)
        if value is None:
            return
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise self.wrong(key, f"must be written as [[{key}]], once per entry")
        for number, each in enumerate(value, start=1):
            own = each.get("id", f"number {number}")
            yield Table(each, file=self.file, name=f"[[{key}]] {own}")

    def counts(self, key: str) -> dict[str, int]:
        """A table of names and whole numbers above 0; empty if it is missing."""
        table = self.table(key)
        if table is None:
            return {}
        counts = {name: table.whole(name, "pieces", least=1, most=MOST_PIECES) for name in table.content}
        return {name: count for name, count in counts.items() if count is not None}

    def finish(self) -> None:
        """Raises UserError for an unknown key."""
        for key in self.content:
            if key not in self._asked:
                near = difflib.get_close_matches(key, self._asked, n=1)
                hint = f"; did you mean '{near[0]}'?" if near else ""
                raise self.wrong(None, f"no key '{key}'{hint or ';'} known: {', '.join(sorted(self._asked))}")


def _toml(value: Any) -> str:
    """A value roughly as it is written in the file."""
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    return str(value).lower() if isinstance(value, bool) else str(value)


def read(path: Path) -> Table:
    """The whole file as a table; raises UserError if it cannot be read as TOML."""
    try:
        return Table(files.read_toml(path), file=files.shown(path), name="")
    except files.NotThere:
        raise UserError(f"there is no file {path}; docs/buy.md shows how to write one") from None
