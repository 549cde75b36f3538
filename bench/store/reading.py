"""Reads stored records: each is decoded and checked in one pass, or refused in a sentence."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from rigmark.bench.enums import TIMED, Outcome, TrialKind
from rigmark.bench.errors import UserError
from rigmark.bench.host import files
from rigmark.bench.store import sealing
from rigmark.bench.store.record import SCHEMA, id_of
from rigmark.bench.store.stored import NULL, PLAIN, Layers, Measurement, Number, PairSide, Parity, Part, StoredRecord


class Texts(Part, frozen=True, kw_only=True):
    """Parts of a record as they stand in its file, for its id and for columns of texts."""

    identity: dict[str, Any]
    machine: Raw
    system: Raw = NULL
    telemetry: Raw = NULL


class Checked(NamedTuple):
    """A record that passed."""

    record: StoredRecord
    texts: Texts


class Head(Part, frozen=True, kw_only=True):
    """What records of all schemas have."""

    schema: Number


RECORD = msgspec.json.Decoder(StoredRecord)
TEXTS = msgspec.json.Decoder(Texts)
HEAD = msgspec.json.Decoder(Head)


ANEW = "the same run measures it anew"


def _free(record: StoredRecord, texts: Texts) -> Iterator[Raw]:
    """Parts that may hold anything that is JSON."""
    parts: list[Measurement | Layers | Parity | PairSide | None] = [record.measurement, record.layers, record.parity]
    if record.pair is not None:
        parts += [record.pair.base, record.pair.new]
    yield from (part.facts for part in parts if part is not None)
    yield from (texts.machine, texts.system, texts.telemetry)


@lru_cache(maxsize=512)      # most trials of a machine and a framework say the same
def _decodable(part: bytes) -> None:
    """Raises ValueError or RecursionError for what is valid JSON, but no number or depth that can be read."""
    PLAIN.decode(part)


class LeftOut(UserError):
    """A stored file that is not read: ``what`` it is and why, and what to do."""

    def __init__(self, what: str, to_do: str = ANEW):
        super().__init__(f"{what}; {to_do}")
        self.what = what


class TooNew(LeftOut):
    """A file that a later Rigmark wrote; it is never replaced."""


def read(path: Path) -> Checked:
    """The record in a file; raises LeftOut, TooNew for one of a later schema, files.NotThere where there is none."""
    return check(read_content(path), path)


def read_content(path: Path) -> bytes:
    """What a file of the store holds; raises LeftOut where it cannot be read."""
    try:
        return files.read_bytes(path)
    except files.NotThere:
        raise
    except files.Unreadable as error:
        raise damaged(path, error.reason) from None


def check(content: bytes, path: Path) -> Checked:
    """The record that a file holds; raises as ``read`` does."""
    try:
        if not content.isascii():
            content.decode()         # texts that no field needs are skipped unseen
        record, texts = RECORD.decode(content), TEXTS.decode(content)
        if record.schema > SCHEMA:
            raise too_new("record", path, record.schema, SCHEMA)
        for free in _free(record, texts):
            _decodable(bytes(free))
        if why := next(_contradictions(record), None):
            raise ValueError(why)
    except (ValueError, RecursionError) as error:        # of which msgspec's are
        check_schema("record", content, path, SCHEMA)
        raise damaged(path, reason(error, content)) from None
    computed_id = id_of(texts.identity)
    if record.content is not None and not sealing.fits(content, record.content) and computed_id == record.id:
        raise LeftOut(
            f"record {files.shown(path)} was left out: {sealing.EDITED}",
            ANEW if path.name == f"{record.key}.json" else "delete it",
        )
    if computed_id != record.id:
        raise LeftOut(
            f"record {files.shown(path)} was left out: its facts were edited, since their id is {computed_id} and not "
            f"{files.shown(record.id)}", ANEW if path.name == f"{record.key}.json" else "delete it",
        )
    check_name("record", path, record.key)
    return Checked(record, texts)


def check_name(what: str, path: Path, own_id: str) -> None:
    """Raises LeftOut where a file is not called by the key of what it holds."""
    if path.name != f"{own_id}.json":
        raise LeftOut(
            f"{what} {files.shown(path)} was left out: it is a copy or was renamed, since it holds {own_id}",
            f"delete it, or call it {own_id}.json",
        )


def check_schema(what: str, content: bytes, path: Path, newest: int) -> None:
    """Raises TooNew where a content that could not be read is of a later schema."""
    try:
        schema = HEAD.decode(content).schema
    except (ValueError, RecursionError):
        return
    if schema > newest:
        raise too_new(what, path, schema, newest)


def keep_newer(what: str, path: Path, newest: int) -> None:
    """Raises TooNew if the file at ``path`` has a later schema."""
    with contextlib.suppress(files.Unreadable):
        check_schema(what, files.read_bytes(path), path, newest)


def too_new(what: str, path: Path, schema: int, newest: int) -> TooNew:
    return TooNew(
        f"{what} {files.shown(path)} has schema {schema}, newer than this Rigmark reads ({newest})",
        "upgrade Rigmark to read it",
    )


def damaged(path: Path, why: str) -> LeftOut:
    return LeftOut(f"record {files.shown(path)} is damaged and was left out ({why})")


# Contradictions ------------------------------------------------------------------------------------------------------


RESULTS = {
    TrialKind.PROOF: "parity", TrialKind.TIMING: "measurement", TrialKind.LAYERS: "layers",
    TrialKind.LIMIT: "measurement", TrialKind.PAIR: "pair",
}
"""The part of a record that holds the result, by kind of trial. A kind that has no entry may use any of them."""


def _contradictions(record: StoredRecord) -> Iterator[str]:
    """What cannot be true at once, a clause each."""
    identity, is_ok = record.identity, record.outcome is Outcome.OK
    kind, case = identity.kind, identity.case
    if case.world_size % case.devices_per_process:
        yield f"identity.case: {case.world_size} devices cannot be had with {case.devices_per_process} per process"
    if record.system is not None and bytes(record.system.facts)[:1] != b"{":
        yield "system.facts is no object"
    if record.machine.id != identity.machine:
        yield f"machine.id is {record.machine.id!r}, and {identity.machine!r} in its identity"
    results = [RESULTS[TrialKind(kind)]] if kind in RESULTS else [*dict.fromkeys(RESULTS.values())]
    if is_ok and all(getattr(record, name) is None for name in results):
        yield f"it is ok, and {' or '.join(results)} is missing"
    if kind == TrialKind.PAIR and identity.base is None:
        yield "it is a pair, and identity.base is missing"
    if kind in TIMED and is_ok and record.measurement is not None:
        steps = record.measurement.steps_per_timing
        if steps is not None and steps != case.steps_per_timing:
            yield f"measurement.steps_per_timing is {steps}, and {case.steps_per_timing} in its identity"
    if kind == TrialKind.LIMIT and record.work is None:
        yield "it is of a limit, and work is missing"
    if kind != TrialKind.LIMIT and record.graph is None and (kind in RESULTS or record.work is None):
        yield "it is of a network, and graph is missing"


# Reasons ------------------------------------------------------------------------------------------------------------


WHERE = re.compile(r"(?P<said>.*?)(?: - at `(?P<key>key in )?\$(?P<path>[^`]*)`)?", re.DOTALL)
LONGEST_VALUE = 60


def reason(error: Exception, content: bytes) -> str:
    """A clause on what does not fit, with its place and value: "work.flops is -1: expected int >= 0"."""
    if isinstance(error, RecursionError):
        return files.NESTED
    match = WHERE.fullmatch(str(error))
    assert match is not None
    said = match["said"].replace("`", "")
    said = said if said[:2].isupper() else said[:1].lower() + said[1:]       # "JSON is malformed" begins with a name
    path = (match["path"] or "").lstrip(".")
    if not path:
        return files.shown(said)
    value = _value(content, path)
    is_shown = value is not None and match["key"] is None
    return files.shown(f"{path} is {value}: {said}" if is_shown else f"{path}: {said}")


def _value(content: bytes, path: str) -> str | None:
    """What stands at a path, as JSON; None where that is a list, an object or nothing."""
    try:
        value = json.loads(content)
        for name in re.findall(r"[^.\[\]]+", path):
            value = value[int(name)] if isinstance(value, list) else value[name]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    if isinstance(value, dict | list):
        return None
    text = json.dumps(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def read_all(paths: Iterable[Path], problems: list[str]) -> Iterator[Checked]:
    """The records of some files; a sentence for each that is left out is added to ``problems``, by name."""
    for path in sorted(paths, key=str):
        try:
            yield read(path)
        except files.NotThere:
            continue                 # a sweep that goes on has put another in its place since
        except LeftOut as error:
            problems.append(str(error))
