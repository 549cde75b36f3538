"""Reports: one file a medium, found by its name; each renders a finished document and decides nothing."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from bench.analysis.document import Document
from bench.analysis.language import speaking
from bench.words import unknown
from reports.plain import printable

HELPERS = frozenset({"junit", "plain", "svg"})
NAMES: tuple[str, ...] = tuple(
    sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in HELPERS)
)


def medium(name: str) -> ModuleType:
    """The module of a medium: its ``SUFFIX`` and ``render``; raises UnknownName with the nearest names."""
    if name not in NAMES:
        raise unknown("report format", name, NAMES)
    return importlib.import_module(f"reports.{name}")


def render(name: str, document: Document) -> str:
    """A document in a medium, as text. What records hold is shown, never obeyed."""
    with speaking(document.language):
        text: str = medium(name).render(printable(document))
    return text
