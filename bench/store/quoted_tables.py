"""The quoted tables of a results folder: one file each."""

from __future__ import annotations

from pathlib import Path

from rigmark.bench.errors import UserError
from rigmark.bench.host import files
from rigmark.bench.host.plain import encodable
from rigmark.bench.store import quoted, reading, sealing, stored_quoted
from rigmark.bench.store.quoted import QuotedTable


class QuotedTables:
    """The folder of them, which exists once there is one."""

    def __init__(self, folder: Path):
        self.folder = folder

    def put(self, table: QuotedTable, *, again: bool = False) -> bool:
        """Stores a quoted table; returns False if its file is stored already and must not be replaced.

        Raises reading.TooNew rather than replace a table of a later Rigmark, and UserError if the disk is full.
        """
        path = self.folder / f"{table.id}.json"
        if path.exists() and not again:
            return False
        reading.keep_newer("table", path, quoted.SCHEMA)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            files.write_atomically(path, sealing.sealed(encodable(table.plain())))
        except OSError as error:
            raise UserError(f"cannot store a table in {files.shown(self.folder)}: {error.strerror}") from None
        return True

    def all(self) -> tuple[list[QuotedTable], list[str]]:
        """Quoted tables in the order of import, and one sentence for each that cannot be read."""
        return stored_quoted.read_all(self.folder.glob("*.json"))
