"""The language of a document: sentences are written in English where they are said, and looked up in a catalogue.

``tr("{n} of {all} trials failed", n=1, all=7)`` gives the sentence in the language of the ``with speaking(name)`` that
it is said in, English outside of any. The language is a context variable and no argument, since sentences are made far
below in functions that take nothing but numbers; it ends with its ``with`` block, each thread has its own, and a
finished Document remembers the one it was made in.

A language is one file, languages/NAME.po, in the format of gettext, which the tools of translators read. What it lacks
stays English. Whoever adds a sentence says it through ``tr``; tests/document/test_language.py tells what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import resources

from rigmark.bench.errors import unknown

ENGLISH = "en"

_current: ContextVar[str] = ContextVar("language", default=ENGLISH)


def tr(template: str, /, **values: object) -> str:
    """A template in the current language, with its values put in as ``str.format`` does; alone it is taken as it is."""
    found = _catalogue(_current.get()).get(template, template)
    return found.format(**values) if values else found


def tr_later(template: str, /) -> str:
    """The template itself, marked as one for the catalogue: of a constant, which is said by ``tr`` where it is used."""
    return template


def word(value: object) -> str:
    """A word as records store it, for people: "out of memory" of out_of_memory; itself where no catalogue has it."""
    return tr(str(value).replace("_", " "))


def current() -> str:
    """The language that ``tr`` speaks here: "en", "zh"."""
    return _current.get()


@contextmanager
def speaking(name: str) -> Iterator[None]:
    """Within it ``tr`` speaks this language; raises UnknownName with the known ones."""
    if name not in names():
        raise unknown("language", name, names())
    token = _current.set(name)
    try:
        yield
    finally:
        _current.reset(token)


@cache
def names() -> tuple[str, ...]:
    """Every language: English, and one for each catalogue."""
    files = (file.name for file in (resources.files("rigmark.bench.document") / "languages").iterdir())
    return (ENGLISH, *sorted(name.removesuffix(".po") for name in files if name.endswith(".po")))


@cache
def _catalogue(name: str) -> Mapping[str, str]:
    if name == ENGLISH:
        return {}
    return read((resources.files("rigmark.bench.document") / "languages" / f"{name}.po").read_text(encoding="utf-8"))


def read(text: str) -> dict[str, str]:
    """Translations by template, of a file in gettext's format; what is empty or marked as fuzzy is left out.

    Plural forms and contexts are not used here: a count is a template of its own, "{n} trials".
    """
    found: dict[str, str] = {}
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
            found[parts["msgid"]] = parts["msgstr"]
    return found
