"""Reports: one file a medium, found by its name; each renders a finished document and decides nothing.

A module of this package renders a document as one text, one of reports.folders as a folder of files. The command line
reads the names for its help, so what else is imported here waits until there is a document.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import TYPE_CHECKING

from rigmark.bench.document.heap import growing
from rigmark.bench.document.language import speaking
from rigmark.bench.errors import unknown

if TYPE_CHECKING:
    from rigmark.bench.document.document import Document
    from rigmark.reports.folders import Folder

HELPERS = frozenset({"junit", "plain", "svg"})
NAMES: tuple[str, ...] = tuple(
    sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in HELPERS and not m.ispkg)
)
FOLDERS: tuple[str, ...] = tuple(sorted(module.name for module in pkgutil.iter_modules([f"{__path__[0]}/folders"])))


def medium(name: str) -> ModuleType:
    """The module of a medium: its ``SUFFIX`` and ``render``; raises UnknownName with the nearest names."""
    if name not in NAMES:
        raise unknown("report format", name, (*NAMES, *FOLDERS))
    return importlib.import_module(f"reports.{name}")


def render(name: str, document: Document) -> str:
    """A document in a medium, as text. What records hold is shown, never obeyed."""
    from rigmark.reports.plain import printable

    with speaking(document.language), growing():
        text: str = medium(name).render(printable(document))
    return text


def files(name: str, document: Document) -> Folder:
    """A document in a medium of many files."""
    from rigmark.reports.plain import printable

    with speaking(document.language):
        found: Folder = importlib.import_module(f"rigmark.reports.folders.{name}").files(printable(document))
    return found
