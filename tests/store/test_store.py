"""The results folder: whole records or none, one sweep at a time, and what is said of a record that went bad."""

from __future__ import annotations

import errno
import json
import math
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from rigmark.bench.enums import Outcome, TrialKind
from rigmark.bench.errors import UserError
from rigmark.bench.store.record import SCHEMA, Record
from rigmark.bench.store.store import Store, existing
from tests.fakes import make_record, measure
from tests.records import make_record as make_record_of
from tests.records import with_measurement

SCHEMA_FILE = Path(__file__).parents[2] / "docs" / "record.schema.json"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results").create()


def path_of(store: Store, record: Record) -> Path:
    return store.root / "records" / f"{record.id}.json"


def files(store: Store) -> list[str]:
    return sorted(path.name for path in store.root.glob("records/*"))


# Records -----------------------------------------------------------------------------------------------------------


def test_a_record_comes_back_as_it_was_put(store: Store):
    record = make_record(timings_s=[0.25, 0.5])

    store.put(record)

    assert record.id in store
    assert store.get(record.id) == json.loads(json.dumps(record.plain()))


def test_the_table_of_trials_has_typed_columns_and_the_oldest_first(store: Store):
    old, new = make_record(local_batch=2), make_record(local_batch=8)
    store.put(replace(new, recorded_at="2026-02-01T00:00:00+00:00"))
    store.put(old)

    table = store.trials().table

    assert [old.id, new.id] == list(table.id)
    assert [2, 8] == list(table.local_batch)
    assert [0.001, 0.001] == list(table.timings_s[0])


def test_an_empty_folder_has_an_empty_table_with_all_columns(store: Store):
    empty = store.trials()
    store.put(make_record())

    assert empty.table.empty
    assert list(empty.table.columns) == list(store.trials().table.columns)


def test_results_are_merged_by_copying_their_files(store: Store, tmp_path: Path):
    other = Store(tmp_path / "other machine").create()
    mine, theirs, both = (make_record(repetition=n) for n in range(3))
    for folder, records in ((store, (mine, both)), (other, (theirs, both))):
        for record in records:
            folder.put(record)

    shutil.copytree(other.root, store.root, dirs_exist_ok=True)

    assert {mine.id, theirs.id, both.id} == set(store.trials().table.id)
    assert 3 == len(store.trials().table)


def test_the_work_of_a_limit_stands_in_the_table_and_a_network_has_none(store: Store):
    store.put(make_record())
    store.put(make_record_of(TrialKind.LIMIT))

    table = store.trials().table.set_index("model")

    assert 2 * 1024**3 == table.work_flops["matmul_1024"]
    assert table.work_bytes.isna().all()
    assert table.work_flops.isna()["mlp"]


def test_a_limit_without_its_timings_is_damaged(store: Store):
    limit = make_record_of(TrialKind.LIMIT)
    store.put(limit)
    path = path_of(store, limit)
    path.write_bytes(BAD["without its timings"](path.read_bytes()))

    assert store.trials().table.empty
    assert limit.id not in store


# Records that went bad -----------------------------------------------------------------------------------------------

BAD = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "zeroed by a power cut": lambda content: bytes(len(content)),
    "not UTF-8": lambda content: b"\xff\xfe" + content,
    "not JSON": lambda content: b"<html>",
    "another JSON": lambda content: b"[1, 2]",
    "null": lambda content: b"null",
    "without a schema": lambda content: content.replace(b'"schema"', b'"scheme"'),
    "without contents": lambda content: b'{"schema": 1}',
    "without its timings": lambda content: content.replace(b'"host_times_s"', b'"other_times_s"'),
    "a strange schema": lambda content: content.replace(b'"schema": 1', b'"schema": "one"'),
}


@pytest.mark.parametrize("spoil", BAD.values(), ids=BAD.keys())
def test_a_damaged_record_is_named_and_hides_no_other(store: Store, spoil: Callable[[bytes], bytes]):
    good, bad = make_record(repetition=0), make_record(repetition=1)
    store.put(good)
    store.put(bad)
    path = path_of(store, bad)
    path.write_bytes(spoil(path.read_bytes()))

    trials = store.trials()

    assert [good.id] == list(trials.table.id)
    assert (f"record {path} is damaged and was left out; the same run measures it anew",) == trials.problems
    assert bad.id not in store
    with pytest.raises(UserError, match="is damaged"):
        store.get(bad.id)


def test_a_record_of_a_later_schema_is_left_alone_and_the_user_told_to_upgrade(store: Store):
    good, later = make_record(repetition=0), make_record(repetition=1)
    store.put(good)
    store.put(replace(later, schema=SCHEMA + 1))

    trials = store.trials()

    assert [good.id] == list(trials.table.id)
    (problem,) = trials.problems
    assert str(path_of(store, later)) in problem
    assert f"has schema {SCHEMA + 1}, newer than this Rigmark reads ({SCHEMA}); upgrade Rigmark" in problem
    with pytest.raises(UserError, match="upgrade Rigmark"):
        store.get(later.id)


@pytest.mark.parametrize("kind", ["timing", "pair"])
@pytest.mark.parametrize(
    "times_s", [[], [0.0] * 5, [-0.01] * 5, [None] * 5, [math.inf], [0.01, math.nan], [0.01, 0.0, 0.01]],
    ids=["none", "zero", "negative", "null", "infinite", "one not a number", "one zero"],
)
def test_times_that_are_none_are_told_and_hide_no_other_record(store: Store, kind: str, times_s: list[float | None]):
    good, bad = (make_record_of(TrialKind(kind), repetition=n) for n in range(2))
    record = bad.plain()
    if kind == "timing":
        record["measurement"]["timings_s"] = times_s
    else:
        record["pair"]["new"]["times_s"] = times_s
    store.put(good)
    path_of(store, bad).write_text(json.dumps(record))

    trials = store.trials()

    assert [good.id] == list(trials.table.id)
    (problem,) = trials.problems
    assert str(path_of(store, bad)) in problem
    assert "not all positive, finite numbers, so the clock was stepped or the record was edited" in problem
    assert bad.id not in store       # so that the same run measures it anew
    with pytest.raises(UserError, match="clock was stepped"):
        store.get(bad.id)


def test_timings_of_an_unknown_number_of_steps_are_told(store: Store):
    record = make_record_of().plain()
    record["identity"]["case"]["steps_per_timing"] = None
    (store.root / "records" / "odd.json").write_text(json.dumps(record))

    assert store.trials().table.empty
    assert "steps are not all positive" in store.trials().problems[0]
    assert "odd" not in store


def test_a_pair_without_its_turns_is_damaged(store: Store):
    good, bad = (make_record_of(TrialKind.PAIR, repetition=n) for n in range(2))
    store.put(good)
    store.put(replace(bad, pair=None))

    trials = store.trials()

    assert [good.id] == list(trials.table.id)
    assert "is damaged" in trials.problems[0]
    assert bad.id not in store


def test_a_clock_too_coarse_for_cpu_time_spoils_no_record(store: Store):
    record = make_record_of()
    store.put(with_measurement(record, cpu_times_s=[0.0] * 20))

    assert record.id in store
    assert [record.id] == list(store.trials().table.id)


def test_a_damaged_oracle_answer_is_computed_again(store: Store):
    store.put_oracle_answer("key", {"loss": np.array(2.3)})
    (path,) = store.root.glob("oracle/*")
    whole = path.read_bytes()

    for content in (b"", whole[:20], whole[:-20], b"\0" * len(whole), b"PK\x03\x04"):
        path.write_bytes(content)
        assert store.oracle_answer("key") is None

    path.write_bytes(whole)
    assert {"loss": 2.3} == store.oracle_answer("key")


# Writing -------------------------------------------------------------------------------------------------------------

KILLED_WHILE_WRITING = """
import os, pickle, signal, sys
from pathlib import Path

import numpy as np

from rigmark.bench.store.store import Store

os.{call} = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
store = Store(Path(sys.argv[1]))
{write}
"""


@pytest.mark.parametrize(
    "write", ["store.put(pickle.load(sys.stdin.buffer))", "store.put_oracle_answer('key', {'loss': np.ones(9)})"]
)
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_kill_while_writing_leaves_no_record_and_the_next_sweep_cleans_up(store: Store, call: str, write: str):
    source = KILLED_WHILE_WRITING.format(call=call, write=write)
    root = Path(__file__).parents[2]

    ended = subprocess.run(
        [sys.executable, "-c", source, str(store.root)], cwd=root, input=pickle.dumps(make_record()), check=False
    )

    assert -signal.SIGKILL == ended.returncode
    (leftover,) = store.root.glob("*/*")
    assert store.trials().table.empty
    assert store.oracle_answer("key") is None
    with store.measuring():
        assert not leftover.exists()


def test_a_full_disk_is_told_and_leaves_nothing_behind(store: Store, monkeypatch: pytest.MonkeyPatch):
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(UserError, match=r"cannot store a record in .*/records: No space left on device"):
        store.put(make_record())
    store.put_oracle_answer("key", {"loss": np.ones(1)})     # only costs the time to compute it again

    assert [] == list(store.root.glob("*/*"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_an_oracle_answer_too_large_for_the_disk_leaves_the_space_to_records(small_disk: Path):
    store = Store(small_disk / "results").create()

    store.put_oracle_answer("key", {"gradient": np.random.default_rng(1).random(1 << 16)})
    store.put(make_record())

    assert store.oracle_answer("key") is None
    assert 1 == len(store.trials().table)


def test_records_written_before_the_disk_was_full_stay_readable(small_disk: Path):
    store = Store(small_disk / "results").create()
    stored = []

    def fill() -> None:
        for repetition in range(1000):
            store.put(make_record(repetition=repetition))
            stored.append(repetition)

    with pytest.raises(UserError, match="No space left on device"):
        fill()

    assert stored
    assert len(stored) == len(store.trials().table)
    assert () == store.trials().problems
    assert len(stored) == len(files(store))


@pytest.mark.parametrize("where", ["a file", "below a file", "below /proc"])
def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path, where: str):
    (tmp_path / "file").touch()
    root = {
        "a file": tmp_path / "file", "below a file": tmp_path / "file" / "results",
        "below /proc": Path("/proc/results"),
    }[where]

    with pytest.raises(UserError, match=f"cannot write results to {root}: .*; choose another --results"):
        Store(root).create()


def test_a_lock_that_cannot_be_taken_is_told(store: Store):
    (store.root / "lock").mkdir()

    with pytest.raises(UserError, match=r"cannot write to .*: Is a directory"), store.measuring():
        pass


def test_a_folder_without_results_is_told(tmp_path: Path):
    with pytest.raises(UserError, match=f"no results in {tmp_path}; rigmark run quick --results {tmp_path} makes some"):
        existing(tmp_path)


# One sweep at a time -------------------------------------------------------------------------------------------------


def test_a_second_sweep_into_the_same_folder_is_refused_until_the_first_has_ended(store: Store):
    with store.measuring():
        with pytest.raises(UserError, match="another sweep is measuring into"), Store(store.root).measuring():
            pass
        with Store(store.root.parent / "others").create().measuring():
            pass

    with store.measuring():
        pass


def test_a_killed_sweep_holds_no_lock(store: Store):
    source = (
        "import os, sys; from pathlib import Path; from rigmark.bench.store.store import Store\n"
        "with Store(Path(sys.argv[1])).measuring(): os.kill(os.getpid(), 9)"
    )

    subprocess.run([sys.executable, "-c", source, str(store.root)], check=False)

    with store.measuring():
        pass


# The schema ----------------------------------------------------------------------------------------------------------


def test_records_on_disk_are_as_the_schema_says(tmp_path: Path):
    schema = json.loads(SCHEMA_FILE.read_text())
    measure(tmp_path)
    measure(tmp_path, layouts=("channels_last",))        # unsupported: a proof and a timing trial without numbers
    store = existing(tmp_path / "results")
    records = [json.loads(path.read_text()) for path in store.root.glob("records/*.json")]

    jsonschema.Draft202012Validator.check_schema(schema)
    for record in records:
        jsonschema.validate(record, schema)
    assert {("proof", "ok"), ("timing", "ok"), ("proof", "unsupported"), ("timing", "unsupported")} == {
        (record["identity"]["kind"], record["outcome"]) for record in records
    }


def test_made_up_records_of_these_tests_are_as_the_schema_says():
    schema = json.loads(SCHEMA_FILE.read_text())

    for record in (make_record(), make_record(outcome=Outcome.CRASHED)):
        jsonschema.validate(json.loads(json.dumps(record.plain())), schema)
