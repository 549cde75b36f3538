"""Media of many files: one module a medium, with ``files(document) -> Folder``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rigmark.bench.document.document import Block, Document, Fold, Section

LONGEST_NAME = 100           # of a file, which many systems hold with room for a suffix


@dataclass(frozen=True, kw_only=True)
class File:
    name: str
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Folder:
    """Files of different names, and what is to be said of them, a sentence each."""

    files: tuple[File, ...]
    remarks: tuple[str, ...] = ()


def blocks(document: Document) -> Iterator[Block]:
    """Every block of a document in its order, also those within folds."""
    for section in document.sections:
        yield from _of_section(section)


def _of_section(section: Section) -> Iterator[Block]:
    yield from _unfolded(section.blocks)
    for inner in section.sections:
        yield from _of_section(inner)


def _unfolded(several: Iterable[Block]) -> Iterator[Block]:
    for block in several:
        if isinstance(block, Fold):
            yield from _unfolded(block.blocks)
        else:
            yield block


def file_names(identities: Iterable[str]) -> Iterator[str]:
    """A name for each id that every system takes, that leads nowhere else, and that no other has."""
    taken: set[str] = set()
    for identity in identities:
        stem = re.sub(r"[^a-z0-9_.-]+", "-", identity.lower()).strip("-.")[:LONGEST_NAME] or "unnamed"
        name, number = stem, 1
        while name in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name)
        yield name
