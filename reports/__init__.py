"""Reports: one file a medium, found by its name; each renders a finished document and decides nothing.

A module of this package renders a document as one text, one of reports.folders as a folder of files. The command line
reads the names for its help, so what else is imported here waits until there is a document.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

from rigmark.bench import added
from rigmark.bench.document.language import speaking
from rigmark.bench.errors import unknown
from rigmark.bench.host.heap import growing
from rigmark.bench.worker import registry
from rigmark.reports import folders, media

if TYPE_CHECKING:
    from rigmark.bench.document.document import Document
    from rigmark.reports.folders import Folder

NAMES: tuple[str, ...] = registry.names(media.__path__)
FOLDERS: tuple[str, ...] = registry.names(folders.__path__)


def medium(name: str) -> ModuleType:
    """The module of a medium: its ``SUFFIX`` and ``render``; raises UnknownName with the nearest names."""
    if name not in NAMES:
        raise unknown("report format", name, (*NAMES, *FOLDERS))
    return added.load(media.__name__, name, "report format")


def render(name: str, document: Document) -> str:
    """A document in a medium, as text. What records hold is shown, never obeyed."""
    from rigmark.reports.plain import printable

    with speaking(document.language), growing():
        module = medium(name)
        with added.mistakes_in(media.__name__, name, "report format"):
            text: str = module.render(printable(document))
    return text


def files(name: str, document: Document) -> Folder:
    """A document in a medium of many files."""
    from rigmark.reports.plain import printable

    module = added.load(folders.__name__, name, "report format")
    with speaking(document.language), added.mistakes_in(folders.__name__, name, "report format"):
        found: Folder = module.files(printable(document))
    return found
