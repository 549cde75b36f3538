"""Removes secrets from stored records that were written by versions of Rigmark that did not leave them out; see
bench.host.secrets.

No trial is lost. Secrets were part of the identity of a trial, so a cleaned one has another id and another file, and
references to it are updated. Trials that then differ in nothing become repetitions of one case, with new numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rigmark.bench.enums import TrialKind
from rigmark.bench.host import files, secrets
from rigmark.bench.store import reading
from rigmark.bench.store.record import SIDES, id_of, key_of_plain
from rigmark.bench.store.store import SERIES, Store
from rigmark.bench.store.stored import StoredRecord

Plain = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """The result of cleaning, or what it would be."""

    records: int                     # number of records that contained a secret
    variables: tuple[str, ...]       # names of the variables that were removed
    renumbered: int                  # number of trials that became further repetitions
    problems: tuple[str, ...]        # one sentence for each record that was not changed because it cannot be read


def clean(store: Store, *, is_dry: bool) -> Cleaned:
    """Removes the secrets from all records; with ``is_dry`` it only reports. If it is interrupted, running it again
    completes it. Raises UserError while a sweep measures into the folder.
    """
    read, problems = _read(store)
    as_read = {record.key: record for record, _ in read}
    settled = list(_settled([plain for _, plain in read]))
    changed = [(old, new) for old, new in settled if old != new]
    if not is_dry and changed:
        with store.measuring():
            for old, new in changed:
                if key_of_plain(old) != key_of_plain(new):
                    store.copy_series(key_of_plain(old), key_of_plain(new))
                store.put_plain(new, instead_of=as_read[key_of_plain(old)])
            # Proofs are written last: until then, the trials that refer to them can find them.
            for old, new in sorted(changed, key=lambda pair: _is_proof(pair[0])):
                if key_of_plain(old) != key_of_plain(new):
                    store.remove(key_of_plain(old))
    return Cleaned(
        records=sum(secrets.cleaned(old) != old for old, _ in changed), problems=tuple(problems),
        variables=tuple(sorted({name for old, new in changed for name in _variables(old) - _variables(new)})),
        renumbered=sum(old["identity"]["repetition"] != new["identity"]["repetition"] for old, new in changed),
    )


def _read(store: Store) -> tuple[list[tuple[StoredRecord, Plain]], list[str]]:
    """The readable records, proofs first, then by age, and one sentence for each other record."""
    records, problems = [], []
    for path in sorted(store.records_folder.glob("*.json")):
        try:
            records.append(store.plain(path.stem))
        except files.NotThere:
            continue
        except reading.LeftOut as problem:
            problems.append(str(problem))
    records.sort(key=lambda read: (read[0].identity.kind != TrialKind.PROOF, read[0].recorded_at, read[0].key))
    return records, problems


def _settled(records: list[Plain]) -> Iterator[tuple[Plain, Plain]]:
    """(record, cleaned record) for each record; equal if nothing changes."""
    there = {key_of_plain(record): record for record in records}
    renamed: dict[str, str] = {}
    for record in records:
        new = secrets.cleaned(record)
        identity = new["identity"]
        while True:
            new = _pointing(new | {"id": id_of(identity), "identity": identity}, renamed)
            other = there.get(key_of_plain(new))
            # Equal: it was written before cleaning was interrupted.
            if other is None or key_of_plain(other) == key_of_plain(record) or other == new:
                break
            identity = {**identity, "repetition": identity["repetition"] + 1}
        there[key_of_plain(new)] = new
        renamed[key_of_plain(record)] = key_of_plain(new)
        yield record, new


def _pointing(record: Plain, renamed: Mapping[str, str]) -> Plain:
    """A record with updated references: to its own series, and to its proofs."""
    def of_proof(key: str | None) -> str | None:
        return None if key is None else renamed.get(key, key)

    record = dict(record)
    if "certificate" in record:
        record["certificate"] = of_proof(record["certificate"])
    if (telemetry := record.get("telemetry")) and telemetry.get("series"):
        record["telemetry"] = {**telemetry, "series": f"{SERIES}/{key_of_plain(record)}.parquet"}
    if pair := record.get("pair"):
        record["pair"] = pair | {
            side: {**pair[side], "certificate": of_proof(pair[side]["certificate"])} for side in SIDES
        }
    return record


def _is_proof(record: Plain) -> bool:
    return bool(record["identity"]["kind"] == TrialKind.PROOF)


def _variables(record: Plain) -> set[str]:
    identity = record["identity"]
    return {*identity["build"]["variables"], *(identity.get("base") or {}).get("variables", ())}
