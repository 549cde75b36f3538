"""The results folder: one JSON file per trial, written atomically, checked when it is read, merged by copying.

A record is found by its key, which depends on its trial and its node; see bench.store.record.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rigmark.bench.enums import Outcome
from rigmark.bench.errors import UserError
from rigmark.bench.host import files
from rigmark.bench.host.heap import growing
from rigmark.bench.machine import devices
from rigmark.bench.store import reading, sealing, trial_table
from rigmark.bench.store.oracle_answers import OracleAnswers
from rigmark.bench.store.quoted_tables import QuotedTables
from rigmark.bench.store.record import SCHEMA, Record, key_of_plain
from rigmark.bench.store.stored import StoredRecord

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_RESULTS = Path("results")
RECORDS, SERIES, ORACLE, CACHE, LOCK, SALT = "records", "telemetry", "oracle", "cache", "lock", "salt"
NETWORKS = "networks"        # that users brought, one folder each; see bench.networks.bringing
QUOTED = "quoted"            # quoted tables, one file each; apart from records, so that no query of trials finds them


@dataclass(frozen=True, kw_only=True)
class Trials:
    """Stored trials as a table, and one sentence for each record that could not be read."""

    table: pd.DataFrame
    problems: tuple[str, ...]


class Store:
    """A results folder."""

    def __init__(self, root: Path):
        self.root = root
        self._records = root / RECORDS
        self._series = root / SERIES
        self.records_folder = self._records
        self.networks = root / NETWORKS
        self.oracle = OracleAnswers(root / ORACLE)
        self.quoted = QuotedTables(root / QUOTED)
        self.cache = root / CACHE        # programs that frameworks compiled; may be deleted at any time

    def create(self) -> Store:
        """Creates the folders; raises UserError if they cannot be written to."""
        try:
            for folder in (self._records, self.oracle.folder):
                folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._records):
                pass
        except OSError as error:
            raise UserError(
                f"cannot write results to {self.root}: {error.strerror}; choose another --results"
            ) from None
        self.salt = files.once(self.root / SALT, self.salt)
        return self

    @cached_property
    def salt(self) -> str:
        """The salt with which nodes are hashed in this folder, the same for all who share it. It is random, and stored
        by ``create``. Raises UserError if it cannot be read.
        """
        try:
            return files.read_word(self.root / SALT)
        except files.NotThere:
            return secrets.token_hex(16)

    @contextlib.contextmanager
    def measuring(self) -> Iterator[None]:
        """A lock that one sweep holds at a time; raises UserError while another one measures into the same folder."""
        with self._lock() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise UserError(
                    f"another sweep is measuring into {self.root}; two would disturb each other, so wait for its end"
                ) from None
            for leftover in self.root.glob("*/.*.tmp"):      # of a sweep that was killed while writing
                leftover.unlink(missing_ok=True)
            yield

    def _lock(self) -> IO[bytes]:
        try:
            # Opening a named pipe without a reader would block.
            return open(self.root / LOCK, "ab", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK, 0o644))
        except OSError as error:
            raise UserError(
                f"cannot write to {files.shown(self.root)}: {error.strerror}; choose another --results"
            ) from None

    def __contains__(self, key: str) -> bool:
        """Whether the record exists and can be read; a damaged one is measured again."""
        try:
            return self.find(key) is not None
        except reading.LeftOut:
            return False

    def _path(self, key: str) -> Path:
        return self._records / f"{key}.json"

    def put(self, record: Record, *, instead_of: StoredRecord | None = None) -> None:
        """Writes a record atomically. It may replace the one in ``instead_of``, which was read before.

        Raises reading.TooNew rather than replace a record of a later Rigmark, and UserError rather than replace any
        other readable record, or if the disk is full.
        """
        self.put_plain(record.plain(), instead_of=instead_of)

    def put_plain(self, record: Mapping[str, Any], *, instead_of: StoredRecord | None = None) -> None:
        """As ``put``, for a record as plain data; it gets a new checksum."""
        key, content = key_of_plain(record), sealing.sealed(record)
        self.keep_other(key, instead_of, content)
        try:
            files.write_atomically(self._path(key), content)
        except OSError as error:
            raise UserError(f"cannot store a record in {files.shown(self._records)}: {error.strerror}") from None

    def keep_other(self, key: str, known: StoredRecord | None, content: bytes | None = None) -> None:
        """Raises as ``put`` if there is a readable record that is neither ``known`` nor has this content."""
        try:
            path = self._path(key)
            content_there = reading.read_content(path)
            there = reading.check(content_there, path).record
        except (files.NotThere, reading.LeftOut) as error:
            if isinstance(error, reading.TooNew):
                raise
            return
        if there != known and content_there != content:
            raise UserError(
                f"record {files.shown(path)} was not replaced: another one of the same trial on the same "
                f"node, recorded at {there.recorded_at}, was stored meanwhile; if two machines measure into "
                "this folder, they are clones of one image: give each an /etc/machine-id of its own with "
                "systemd-machine-id-setup, and run again"
            )

    def keep_newer(self, key: str) -> None:
        """Raises reading.TooNew if the record of a trial is from a later Rigmark, which must not be replaced."""
        reading.keep_newer("record", self._path(key), SCHEMA)

    def forget_failed(self, key: str) -> None:
        """Removes the record of a failed trial that another record has replaced; any other record is kept."""
        with contextlib.suppress(reading.LeftOut):
            record = self.find(key)
            if record is not None and record.outcome is not Outcome.OK:
                self._path(key).unlink(missing_ok=True)

    def put_series(self, key: str, write: Callable[[Path], None]) -> str:
        """Stores the telemetry of a trial atomically; returns its name in this folder.

        ``write`` writes a Parquet file. Raises OSError if the disk is full. The record that names it is written later:
        a sweep that is killed in between measures the trial again.
        """
        self._series.mkdir(exist_ok=True)
        path = self._series / f"{key}.parquet"
        beside = self._series / f".{key}.tmp"
        try:
            write(beside)
            with open(beside, "rb") as file:
                os.fsync(file.fileno())
            os.replace(beside, path)
        except BaseException:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            raise
        return f"{SERIES}/{path.name}"

    def copy_series(self, key: str, to_key: str) -> None:
        """Stores the telemetry of a trial, if any, under another key too; raises UserError if that fails."""
        series = self.series(key)
        if series is None:
            return
        try:
            files.write_atomically(self._series / f"{to_key}.parquet", series.read_bytes())
        except OSError as error:
            raise UserError(f"cannot store telemetry in {files.shown(self._series)}: {error.strerror}") from None

    def remove(self, key: str) -> None:
        """Removes the telemetry of a trial, and then its record, without which the telemetry could not be found."""
        (self._series / f"{key}.parquet").unlink(missing_ok=True)
        self._path(key).unlink(missing_ok=True)

    def series(self, key: str) -> Path | None:
        """The Parquet file of a trial's telemetry; None if there is none."""
        path = self._series / f"{key}.parquet"
        return path if path.is_file() else None

    def get(self, key: str) -> StoredRecord:
        """A record; raises reading.LeftOut if it cannot be read or is from a later version."""
        record = self.find(key)
        if record is None:
            raise UserError(f"there is no record {key} in {files.shown(self._records)}; it was removed meanwhile")
        return record

    def find(self, key: str) -> StoredRecord | None:
        """The same; None if it is not stored."""
        try:
            return reading.read(self._path(key)).record
        except files.NotThere:
            return None

    def plain(self, key: str) -> tuple[StoredRecord, dict[str, Any]]:
        """A record, and the content of its file without the checksum; raises as ``get``, and files.NotThere if it is
        not stored.
        """
        path = self._path(key)
        content = reading.read_content(path)
        record = reading.check(content, path).record
        return record, {name: part for name, part in json.loads(content).items() if name != sealing.CONTENT}

    @growing()
    def trials(self) -> Trials:
        """All stored trials, oldest first; a record that cannot be read becomes a problem of the result."""
        problems: list[str] = []
        table = trial_table.table(reading.read_all(self._records.glob("*.json"), problems))
        table["device_name"] = devices.names(table)
        return Trials(table=table, problems=tuple(problems))

def existing(root: Path) -> Store:
    """The store in a folder; raises UserError if there is none."""
    if not (root / RECORDS).is_dir():
        raise UserError(f"no results in {root}; rigmark run quick --results {root} makes some")
    return Store(root)
