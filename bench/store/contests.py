"""Records of contests over things that are not our networks: one JSON file each, in a folder beside that of trials.

A contest cannot be continued, since what a command reads may have changed meanwhile; so each run has a record of its
own, which is written anew after every pair, so that an interrupt loses no finished pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rigmark.bench.errors import UserError
from rigmark.bench.host import files, secrets
from rigmark.bench.host.plain import encodable
from rigmark.bench.store import sealing

CONTESTS = "contests"
SCHEMA = 1


class ContestFile:
    """The record of one contest, by its id."""

    def __init__(self, root: Path, identity: str):
        self.path = root / CONTESTS / f"{identity}.json"

    def write(self, plain: Mapping[str, Any]) -> None:
        """Replaces the content atomically; texts contain no secrets. Raises UserError if it cannot be written."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            content = {"schema": SCHEMA, "id": self.path.stem, **secrets.cleaned(encodable(dict(plain)))}
            files.write_atomically(self.path, sealing.sealed(content))
        except OSError as error:
            raise UserError(f"cannot store a contest in {files.shown(self.path.parent)}: {error.strerror}") from None
