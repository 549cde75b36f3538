"""A record tells when it was edited, and none is written that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rigmark.bench.enums import TrialKind
from rigmark.bench.store.quoted import Quoted, QuotedTable, Source
from rigmark.bench.store.record import Record
from rigmark.bench.store.store import Store
from tests.records import make_record

TABLE = QuotedTable(
    source=Source(format="csv", file="a.csv", sha256="a" * 64, imported_at="2026-01-01T00:00:00+00:00"),
    rows=(Quoted(line="line 2", model="vgg16", step_time_s=0.25),),
)


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Store:
    return Store(tmp_path).create()


def put(store: Store, record: Record) -> Path:
    store.put(record)
    return store.records_folder / f"{record.key}.json"


def rewritten(path: Path, change: Any, **how: Any) -> None:
    """A file whose content was changed by hand, with its old checksum."""
    plain = json.loads(path.read_text())
    change(plain)
    path.write_text(json.dumps(plain, **how))


EDITS: dict[TrialKind, Any] = {
    TrialKind.TIMING: lambda plain: plain["measurement"]["timings_s"].__setitem__(3, 0.009),
    TrialKind.LIMIT: lambda plain: plain["measurement"].update(peak_memory_bytes=1),
    TrialKind.LAYERS: lambda plain: plain["layers"].update(overhead=1.0),
    TrialKind.PROOF: lambda plain: plain["parity"].update(gradient_error=1e-9),
    TrialKind.PAIR: lambda plain: plain["pair"]["new"]["times_s"].__setitem__(0, 0.009),
}


@pytest.mark.parametrize("kind", EDITS)
def test_an_edited_figure_is_reported_and_its_trial_is_measured_anew(store: Store, kind: TrialKind):
    record = make_record(kind)
    path = put(store, record)
    rewritten(path, EDITS[kind], indent=1)

    trials = store.trials()

    assert trials.table.empty
    assert trials.problems == (
        f"record {path} was left out: a value in it was edited after it was written, since its checksum does not fit; "
        "the same run measures it anew",
    )
    assert record.key not in store
    store.put(record)
    assert record.key in store


@pytest.mark.parametrize("how", [{}, {"indent": 4}, {"separators": (",", ":")}])
def test_a_record_that_is_only_indented_anew_is_read(store: Store, how: dict[str, Any]):
    record = make_record(last_words="Ümlaut, \u2028 and \N{GRINNING FACE}")
    rewritten(put(store, record), lambda plain: None, **how)

    assert () == store.trials().problems
    assert record.key in store


def test_a_record_without_a_checksum_is_read(store: Store):
    record = make_record()
    rewritten(put(store, record), lambda plain: plain.pop("content"))

    assert () == store.trials().problems


def test_an_edited_table_of_others_is_reported(store: Store):
    store.quoted.put(TABLE)
    (path,) = store.root.glob("quoted/*.json")
    assert ([TABLE], []) == store.quoted.all()
    rewritten(path, lambda plain: plain["rows"][0].update(step_time_s=0.2))

    tables, (problem,) = store.quoted.all()

    assert [] == tables
    assert "a value in it was edited after it was written" in problem


@pytest.mark.parametrize("text", ["\ud800", "caf\udce9", "\udcff/python"])
def test_what_utf_8_cannot_hold_is_stored_as_escapes_and_read(store: Store, text: str):
    record = make_record(
        session=text, command=f"rigmark run --session {text}", last_words=text, interpreter=text,
        build={"python": "3.12.1", "framework_version": None, "packages": {text: "1"}, "variables": {"A": text}},
    )

    store.put(record)

    (row,) = store.trials().table.to_dict("records")
    assert () == store.trials().problems
    assert (record.key, text.encode(errors="backslashreplace").decode()) == (row["id"], row["session"])
    assert record.key in store
