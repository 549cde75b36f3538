"""References to networks that a user brings, and the short names that cases have for them.

A reference is a file ("nets/mine.onnx"), or a factory in a module or file ("package.module:factory", "net.py:factory").
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePath

SUFFIXES = (".onnx", ".json", ".keras")
FACTORY = re.compile(r"[^:]+:[A-Za-z_][A-Za-z0-9_.]*")


def is_reference(text: str) -> bool:
    """Whether a text means a network that is brought, and not the name of one."""
    return text.lower().endswith(SUFFIXES) or FACTORY.fullmatch(text) is not None


def short(reference: str) -> str:
    """The model of a case: the name of the file without its folders, or the module and factory."""
    return PurePath(reference).name


def names(models: Iterable[str]) -> tuple[str, ...]:
    """The models as cases have them."""
    return tuple(short(model) if is_reference(model) else model for model in models)
