"""The language of a document: sentences are written in English in the code, and translated by a catalogue.

``tr("{n} of {all} trials failed", n=1, all=7)`` gives the sentence in the language of the surrounding ``with
speaking(name)`` block, or in English. The language is a context variable instead of an argument, because sentences are
made by functions deep below that otherwise take only numbers. It ends with its ``with`` block, each thread has its own,
and a finished Document states the language in which it was made.

A language is one file, languages/NAME.po, in the format of gettext, which translators' tools can read. A sentence
without a translation stays English. New sentences go through ``tr``; tests/document/test_language.py lists missing
translations.
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import resources
from typing import Any

from rigmark.bench.errors import unknown

ENGLISH = "en"

_current: ContextVar[str] = ContextVar("language", default=ENGLISH)


class _Filling(string.Formatter):
    """``str.format`` in which ``{n:is|are}`` is the first text if ``n`` is 1, and the second for any other number."""

    def format_field(self, value: Any, format_spec: str) -> str:
        one, is_choice, many = format_spec.partition("|")
        if not is_choice:
            return str(super().format_field(value, format_spec))
        return one if value == 1 else many


def tr(template: str, /, **values: object) -> str:
    """A template in the current language, filled in as by ``str.format``; without values it is not formatted.

    ``{n:is|are}`` agrees with a number: "is" for 1, "are" for any other.
    """
    translated = _catalogue(_current.get()).get(template, template)
    if "|" in translated:
        return _Filling().vformat(translated, (), values) if values else translated
    return translated.format(**values) if values else translated


def tr_later(template: str, /) -> str:
    """The template itself, marked for the catalogue. Use it for constants, which are translated by ``tr`` when used."""
    return template


def word(value: object) -> str:
    """A word of records for people: "out of memory" for out_of_memory; unchanged if no catalogue has it."""
    return tr(str(value).replace("_", " "))


def current() -> str:
    """The current language of ``tr``: "en", "zh"."""
    return _current.get()


@contextmanager
def speaking(name: str) -> Iterator[None]:
    """A context in which ``tr`` translates into this language; raises UnknownName with the known languages."""
    if name not in names():
        raise unknown("language", name, names())
    token = _current.set(name)
    try:
        yield
    finally:
        _current.reset(token)


@cache
def names() -> tuple[str, ...]:
    """All languages: English, and one per catalogue."""
    files = (file.name for file in (resources.files("rigmark.bench.document") / "languages").iterdir())
    return (ENGLISH, *sorted(name.removesuffix(".po") for name in files if name.endswith(".po")))


@cache
def _catalogue(name: str) -> Mapping[str, str]:
    if name == ENGLISH:
        return {}
    return read((resources.files("rigmark.bench.document") / "languages" / f"{name}.po").read_text(encoding="utf-8"))


def read(text: str) -> dict[str, str]:
    """Translations by template, from a file in gettext's format; empty and fuzzy translations are left out.

    Plural forms and contexts are not used: a count is a template of its own, "{n} trials".
    """
    messages: dict[str, str] = {}
    for entry in text.split("\n\n"):
        parts = {"msgid": "", "msgstr": ""}
        part = ""
        is_fuzzy = False
        for line in entry.splitlines():
            is_fuzzy = is_fuzzy or (line.startswith("#,") and "fuzzy" in line)
            if line.startswith(("msgid ", "msgstr ")):
                part, line = line.split(" ", 1)     # noqa: PLW2901
            if line.startswith('"'):
                parts[part] += json.loads(line)     # quotes and escapes are those of JSON
        if parts["msgid"] and parts["msgstr"] and not is_fuzzy:
            messages[parts["msgid"]] = parts["msgstr"]
    return messages
