"""Reports: one file a medium, found by its name; each renders a finished document and decides nothing.

A module of this package renders a document as one text, one of reports.folders as a folder of files.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from bench.analysis.document import Document
from bench.analysis.heap import growing
from bench.analysis.language import speaking
from bench.words import unknown
from reports import folders
from reports.plain import printable

HELPERS = frozenset({"junit", "plain", "svg"})
NAMES: tuple[str, ...] = tuple(
    sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in HELPERS and not m.ispkg)
)
FOLDERS: tuple[str, ...] = tuple(sorted(module.name for module in pkgutil.iter_modules(folders.__path__)))


def medium(name: str) -> ModuleType:
    """The module of a medium: its ``SUFFIX`` and ``render``; raises UnknownName with the nearest names."""
    if name not in NAMES:
        raise unknown("report format", name, (*NAMES, *FOLDERS))
    return importlib.import_module(f"reports.{name}")


def render(name: str, document: Document) -> str:
    """A document in a medium, as text. What records hold is shown, never obeyed."""
    with speaking(document.language), growing():
        text: str = medium(name).render(printable(document))
    return text


def files(name: str, document: Document) -> folders.Folder:
    """A document in a medium of many files."""
    with speaking(document.language):
        found: folders.Folder = importlib.import_module(f"reports.folders.{name}").files(printable(document))
    return found
