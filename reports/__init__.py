"""Reports: one file per medium, found by its name; each renders a finished document and decides nothing.

A module of reports.media renders a document as one text, one of reports.folders as a folder of files. The command line
reads the names for its help, so what else is imported here waits until there is a document.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

from rigmark.bench import added
from rigmark.bench.document.language import speaking
from rigmark.bench.errors import unknown
from rigmark.bench.host.heap import growing

if TYPE_CHECKING:
    from rigmark.bench.document.document import Document
    from rigmark.reports.folders import Folder

ONE_TEXT, MANY_FILES = f"{__name__}.media", f"{__name__}.folders"

NAMES = added.names(ONE_TEXT)
FOLDERS = added.names(MANY_FILES)


def medium(name: str) -> ModuleType:
    """The module of a medium: its ``SUFFIX`` and ``render``; raises UnknownName with the nearest names."""
    if name not in NAMES:
        raise unknown("report format", name, (*NAMES, *FOLDERS))
    return added.load(ONE_TEXT, name, "report format")


def render(name: str, document: Document) -> str:
    """A document in a medium, as text. What records hold is shown, never obeyed."""
    from rigmark.reports.plain import printable

    with speaking(document.language), growing():
        module = medium(name)
        with added.mistakes_in(ONE_TEXT, name, "report format"):
            text: str = module.render(printable(document))
    return text


def files(name: str, document: Document) -> Folder:
    """A document in a medium of many files."""
    from rigmark.reports.plain import printable

    module = added.load(MANY_FILES, name, "report format")
    with speaking(document.language), added.mistakes_in(MANY_FILES, name, "report format"):
        folder: Folder = module.files(printable(document))
    return folder
