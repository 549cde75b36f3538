"""The results folder: whole records or none, one sweep at a time, and what is said of a record that went bad."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import math
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from rigmark.bench.enums import Layout, Outcome, TrialKind
from rigmark.bench.errors import UserError
from rigmark.bench.sections.inputs import telemetry_of
from rigmark.bench.store.conditions import filtered
from rigmark.bench.store.reading import LeftOut
from rigmark.bench.store.record import SCHEMA, Record, id_of, key_of_plain
from rigmark.bench.store.store import Store, existing
from rigmark.bench.telemetry.series import Described, packed, read_bytes, read_parquet, write_parquet
from rigmark.bench.telemetry.sources import Device, Field, Meaning, Reading, Tier
from tests.fakes import make_record, measure
from tests.records import CASE, WORLD, with_measurement
from tests.records import make_record as make_record_of

SCHEMA_FILE = Path(__file__).parents[2] / "docs" / "record.schema.json"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results").create()


def path_of(store: Store, record: Record) -> Path:
    return store.root / "records" / f"{record.key}.json"


def files(store: Store) -> list[str]:
    return sorted(path.name for path in store.root.glob("records/*"))


# Records -----------------------------------------------------------------------------------------------------------


def test_a_record_comes_back_as_it_was_put(store: Store):
    record = make_record(timings_s=[0.25, 0.5])

    store.put(record)

    assert record.key in store
    assert store.plain(record.key)[1] == json.loads(json.dumps(record.plain()))


def test_the_table_of_trials_has_typed_columns_and_the_oldest_first(store: Store):
    old, new = make_record(local_batch=2), make_record(local_batch=8)
    store.put(replace(new, recorded_at="2026-02-01T00:00:00+00:00"))
    store.put(old)

    table = store.trials().table

    assert [old.key, new.key] == list(table.id)
    assert [2, 8] == list(table.local_batch)
    assert [0.001, 0.001] == list(table.timings_s[0])


def test_an_empty_folder_has_an_empty_table_with_all_columns(store: Store):
    empty = store.trials()
    store.put(make_record())

    assert empty.table.empty
    assert list(empty.table.columns) == list(store.trials().table.columns)


def test_folders_of_two_nodes_of_one_kind_are_merged_by_copying_them(tmp_path: Path):
    nodes = [replace(make_record(), node=name * 12, command=f"rigmark run on {name}") for name in "ab"]
    assert nodes[0].id == nodes[1].id
    for record in nodes:
        Store(tmp_path / str(record.node)).create().put(record)
        shutil.copytree(tmp_path / str(record.node), tmp_path / "both", dirs_exist_ok=True)

    merged = existing(tmp_path / "both").trials()

    assert () == merged.problems
    assert [("a" * 12, "rigmark run on a"), ("b" * 12, "rigmark run on b")] == sorted(
        zip(merged.table.node, merged.table.command, strict=True)
    )


def test_another_record_of_the_same_trial_and_node_is_refused_and_the_first_stays(store: Store):
    first = replace(make_record(), node="a" * 12)
    store.put(first)
    store.put(first)

    with pytest.raises(UserError, match=r"was not replaced.*clones of one image"):
        store.put(replace(first, wall_time_s=99.0))
    assert first.wall_time_s == store.get(first.key).wall_time_s

    store.put(replace(first, wall_time_s=99.0), instead_of=store.get(first.key))
    assert 99.0 == store.get(first.key).wall_time_s


def test_all_who_share_a_folder_have_its_salt(tmp_path: Path):
    first, second = Store(tmp_path / "results").create(), Store(tmp_path / "results")

    assert first.salt == second.salt == second.create().salt != Store(tmp_path / "other").create().salt


def test_results_are_merged_by_copying_their_files(store: Store, tmp_path: Path):
    other = Store(tmp_path / "other machine").create()
    mine, theirs, both = (make_record(repetition=n) for n in range(3))
    for folder, records in ((store, (mine, both)), (other, (theirs, both))):
        for record in records:
            folder.put(record)

    shutil.copytree(other.root, store.root, dirs_exist_ok=True)

    assert {mine.key, theirs.key, both.key} == set(store.trials().table.id)
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
    assert limit.key not in store


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

    assert [good.key] == list(trials.table.id)
    (problem,) = trials.problems
    assert problem.startswith(f"record {path} is damaged and was left out (")
    assert problem.endswith("); the same run measures it anew")
    assert bad.key not in store
    with pytest.raises(UserError, match="is damaged"):
        store.get(bad.key)


def test_what_a_later_rigmark_wrote_is_never_replaced(store: Store):
    record = make_record()
    content = json.dumps({"schema": SCHEMA + 1, "anything": "else"})
    path_of(store, record).write_text(content)

    with pytest.raises(UserError, match=f"has schema {SCHEMA + 1}, newer than this Rigmark reads"):
        store.put(record)

    assert content == path_of(store, record).read_text()
    assert [path_of(store, record).name] == files(store)


def test_a_record_of_a_later_schema_is_left_alone_and_the_user_told_to_upgrade(store: Store):
    good, later = make_record(repetition=0), make_record(repetition=1)
    store.put(good)
    path_of(store, later).write_text(json.dumps({**later.plain(), "schema": SCHEMA + 1}))

    trials = store.trials()

    assert [good.key] == list(trials.table.id)
    (problem,) = trials.problems
    assert str(path_of(store, later)) in problem
    assert f"has schema {SCHEMA + 1}, newer than this Rigmark reads ({SCHEMA}); upgrade Rigmark" in problem
    with pytest.raises(UserError, match="upgrade Rigmark"):
        store.get(later.key)


IMPOSSIBLE = {
    "identity.case.local_batch": [-1, 0, 2.5, "32", True, 2**80],
    "identity.case.threads": [0],
    "identity.case.world_size": [0],
    "identity.case.steps_per_timing": [0, None],
    "identity.case.mode": ["sleeping", ["training"]],
    "identity.repetition": [-1],
    "outcome": [None, "fine"],
    "schema": [math.inf, 0, "1"],
    "recorded_at": ["yesterday", "2026-01-01"],
    "wall_time_s": [-1],
    "graph.parameters": [-1],
    "graph.flops_per_sample.training": [1.5],
    "machine.memory_bytes": [0],
    "measurement.timings_s": [[], [0.0] * 20, [-0.01] * 20, [None] * 20, [0.01] * 19 + [0.0], ["1_0"] * 20, [True] * 20,
                              [1e308] * 20, [5e-324] * 20, [math.inf] * 20, [math.nan] * 20, [0.01] * 19, 0.01, None],
    "measurement.cpu_times_s": [[-1.0] * 20],
    "measurement.prepare_time_s": [-1, 1e308],
    "measurement.peak_memory_bytes": [-5, 2.5, 1e308],
    "measurement.steps_per_timing": [7],
    "measurement.overflow_steps": [-1],
    "telemetry.regions.0.devices.0.energy_j": [-1.5, "1", 1e308],
    "telemetry.regions.0.devices.0.energy_bound_j": [-1.5],
    "telemetry.regions.0.devices.0.device": [1, -1],
    "telemetry.regions.0.devices.0.coverage": [1.5],
    "telemetry.regions.0.devices.0.values.power_w": [{"mean": 1.0, "min": -1.0, "max": 2.0}, {"mean": -1.0}],
    "world.rank_timings_s": [[[-1.0]], []],
    "world.rank_cpu_times_s": [[], [[]]],
    "world.sent_bytes": [-1],
}
"""Values that cannot be, by the place in a record; none of them is a figure."""


def timing_of_a_world() -> Record:
    return make_record_of(case=replace(CASE, world_size=2, strategy="ddp"), world=WORLD, telemetry={
        "devices": [{"source": "rapl", "id": "package-0", "kind": "package", "name": "CPU", "used": True}],
        "regions": [{"name": "timed", "duration_s": 1.0, "devices": [
            {"device": 0, "values": {"power_w": {"mean": 5.0, "min": 4.0, "max": 6.0}}, "energy_j": 5.0,
             "energy_method": "counter_ticks", "energy_bound_j": 0.1, "coverage": 1.0},
        ]}],
    })


def changed(record: Record, place: str, value: Any) -> dict[str, Any]:
    """The record as it is stored, with another value in one place; its id is that of what it says."""
    plain: Any = json.loads(json.dumps(record.plain()))
    *parts, name = place.split(".")
    part = plain
    for each in parts:
        part = part[int(each)] if isinstance(part, list) else part[each]
    part[name] = value
    return {**plain, "id": id_of(plain["identity"])}


def stored_as(store: Store, plain: dict[str, Any]) -> Path:
    path = store.root / "records" / f"{key_of_plain(plain)}.json"
    path.write_text(json.dumps(plain))
    return path


def test_figures_that_can_be_are_taken(store: Store):
    store.put(timing_of_a_world())

    assert () == store.trials().problems
    assert 1 == len(store.trials().table)


@pytest.mark.parametrize(
    ("place", "value"), [(place, value) for place, values in IMPOSSIBLE.items() for value in values],
    ids=lambda each: each if isinstance(each, str) else repr(each)[:20],
)
def test_a_figure_that_cannot_be_is_reported_with_its_place_and_hides_no_other_record(
    store: Store, place: str, value: Any
):
    good = make_record_of(repetition=1)
    store.put(good)
    plain = changed(timing_of_a_world(), place, value)
    path = stored_as(store, plain)

    trials = store.trials()

    assert [good.key] == list(trials.table.id)
    (problem,) = trials.problems
    assert str(path) in problem
    is_json = "Infinity" not in path.read_text() and "NaN" not in path.read_text()
    assert not is_json or place.rsplit(".", maxsplit=1)[-1] in problem or place.split(".")[-2] in problem
    assert key_of_plain(plain) not in store          # so that the same run measures it anew
    with pytest.raises(LeftOut):
        store.get(key_of_plain(plain))


def test_a_value_that_cannot_be_is_shown(store: Store):
    path = stored_as(store, changed(make_record_of(), "measurement.peak_memory_bytes", -5))

    assert store.trials().problems == (
        f"record {path} is damaged and was left out (measurement.peak_memory_bytes is -5: expected int >= 0); the same "
        "run measures it anew",
    )


@pytest.mark.parametrize("side", ["base", "new"])
@pytest.mark.parametrize("times_s", [[], [0.0] * 10, [-0.01] * 10, [None] * 10, [0.01] * 9])
def test_turns_that_took_no_time_are_reported(store: Store, side: str, times_s: list[float | None]):
    stored_as(store, changed(make_record_of(TrialKind.PAIR), f"pair.{side}.times_s", times_s))

    assert store.trials().table.empty
    assert f"pair.{side}" in store.trials().problems[0]


FREE = {
    "bytes that are not UTF-8": (b"HERE", b"\xff"), "a huge integer": (b'"HERE"', b"1" * 5000),
    "half a surrogate pair": (b"HERE", b"\\ud800"), "deep lists": (b'"HERE"', b"[" * 100_000 + b"]" * 100_000),
}


@pytest.mark.parametrize(("here", "there"), FREE.values(), ids=FREE)
@pytest.mark.parametrize("place", ["measurement.facts.version", "system.facts.software"])
def test_parts_that_may_hold_anything_hold_what_can_be_read(store: Store, place: str, here: bytes, there: bytes):
    system = {"fingerprint": "f" * 12, "facts": {}, "volatile": {}}
    path = stored_as(store, changed(make_record_of(system=system), place, "HERE"))
    assert () == store.trials().problems
    path.write_bytes(path.read_bytes().replace(here, there))

    assert store.trials().table.empty
    assert "is damaged and was left out" in store.trials().problems[0]


# Whose record it is ------------------------------------------------------------------------------------------------


def test_a_copy_is_not_counted_twice(store: Store):
    record = make_record()
    store.put(record)
    copy = store.root / "records" / f"{record.key} (copy).json"
    shutil.copy(path_of(store, record), copy)

    trials = store.trials()

    assert [record.key] == list(trials.table.id)
    assert (
        f"record {copy} was left out: it is a copy or was renamed, since it holds {record.key}; delete it, or call it "
        f"{record.key}.json",
    ) == trials.problems


@pytest.mark.parametrize(
    ("place", "value"), [("case.framework", "jax"), ("repetition", 7), ("build.framework_version", "9.9"),
                         ("machine", "0" * 12), ("settings.seed", 2), ("code_version", "beef")],
)
def test_a_record_whose_facts_were_edited_is_not_believed(store: Store, place: str, value: Any):
    record = make_record()
    plain = {**changed(record, f"identity.{place}", value), "id": record.id}
    if place == "machine":
        plain["machine"]["id"] = value
    path = stored_as(store, plain)

    trials = store.trials()

    assert trials.table.empty
    (problem,) = trials.problems
    assert problem.startswith(f"record {path} was left out: its facts were edited, since their id is ")
    assert record.key not in store


def test_a_misspelled_fact_is_reported_and_hides_no_other_record(store: Store):
    good, bad = make_record(repetition=0), make_record(repetition=1)
    store.put(good)
    store.put(bad)
    path = path_of(store, bad)
    path.write_text(path.read_text().replace('"threads"', '"uhreads"'))

    assert [good.key] == list(store.trials().table.id)
    assert "object missing required field threads" in store.trials().problems[0]
    assert bad.key not in store


def test_a_record_of_the_first_rigmark_is_still_read(store: Store):
    plain = json.loads(json.dumps(make_record_of().plain()))
    del plain["identity"]["base"]
    for name in ("isa", "world_size", "devices_per_process", "strategy", "oversubscribed"):
        del plain["identity"]["case"][name]
    for name in ("work", "system", "telemetry", "layers", "pair", "isa", "cpus", "world"):
        del plain[name]
    for name in ("policy", "overflow_steps", "result_error", "host"):
        del plain["measurement"][name]
    for name in ("numa_nodes", "huge_pages"):
        del plain["machine"][name]
    plain["id"] = hashlib.sha256(json.dumps(plain["identity"], sort_keys=True).encode()).hexdigest()[:16]
    stored_as(store, plain)

    (row,) = store.trials().table.to_dict("records")

    assert () == store.trials().problems
    assert ("native", 1, 1, "single", False) == tuple(
        row[name] for name in ("isa", "world_size", "devices_per_process", "strategy", "oversubscribed")
    )
    assert plain == store.plain(key_of_plain(plain))[1]


@pytest.mark.parametrize("name", ["res[1]", "res*", "r?s", "res{1,2}", "a=1", r"res\1", "~"])
def test_a_folder_named_like_a_pattern_shows_its_own_results(tmp_path: Path, name: str):
    for number, each in enumerate((name, "res1", "res2", "resa", "ras")):        # of the same trial, but for its time
        store = Store(tmp_path / each).create()
        store.put(replace(make_record(), wall_time_s=number))
        store.put_series(make_record().key, partial(write_readings, number))

    store = Store(tmp_path / name)
    path = store.series(make_record().key)

    assert [0.0] == list(store.trials().table.wall_time_s)
    assert path is not None
    assert [0.0] == list(read_parquet(path).value)


def write_readings(value: float, path: Path) -> None:
    """One reading of a made-up source."""
    source = Described(
        name="made_up", rate_hz=1.0, fields=(Field(name="power_w", meaning=Meaning.GAUGE, tier=Tier.FAST),),
        devices=(Device(id="a", kind="gpu", name="A"),),
    )
    readings = read_bytes(packed(0, Reading(begin_ns=1, end_ns=2, value=value, reason=None, device=0, field=0)))
    write_parquet(path, readings, [source])


def test_damaged_telemetry_is_reported_and_hides_no_other(store: Store):
    for trial_id in ("good", "bad"):
        store.put_series(trial_id, partial(write_readings, 1.0))
    path = store.root / "telemetry" / "bad.parquet"
    path.write_bytes(path.read_bytes()[:-9])

    result, problems = telemetry_of(store, ["good", "bad", "none"])

    assert ["good"] == list(result)
    (problem,) = problems
    assert problem.startswith(f"telemetry {path} is damaged and was left out (")


# What is no file, and what is no record ----------------------------------------------------------------------------


def test_a_named_pipe_delays_nothing(store: Store):
    good, bad = make_record(repetition=0), make_record(repetition=1)
    store.put(good)
    os.mkfifo(path_of(store, bad))
    os.mkfifo(store.root / "oracle" / "key.npz")
    (store.root / "quoted").mkdir()
    os.mkfifo(store.root / "quoted" / "0.json")

    assert [good.key] == list(store.trials().table.id)
    assert "it is a named pipe, not a file" in store.trials().problems[0]
    assert "it is a named pipe, not a file" in store.quoted.all()[1][0]
    assert store.oracle.get("key") is None
    assert bad.key not in store


def test_a_lock_that_is_a_named_pipe_is_reported(store: Store):
    os.mkfifo(store.root / "lock")

    with pytest.raises(UserError, match=r"cannot write to .*: No such device"), store.measuring():
        pass


HOSTILE = {
    "nested deeply": b'{"schema": 1, "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a huge integer": b'{"schema": 1, "wall_time_s": ' + b"1" * 10_000 + b"}",
    "a NUL": b'{"schema": 1, "id": "\x00"}',
    "half a surrogate pair": b'{"schema": 1, "id": "\\ud800"}',
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("folder", ["records", "quoted"])
def test_a_hostile_file_is_told_in_one_printable_sentence(store: Store, content: bytes, folder: str):
    (store.root / folder).mkdir(exist_ok=True)
    # A name that is not UTF-8, with an escape sequence.
    path = os.fsencode(store.root / folder) + b"/\xff\x1b[31m.json"
    with open(path, "wb") as file:
        file.write(content)

    (problem,) = store.trials().problems if folder == "records" else store.quoted.all()[1]

    assert problem.isprintable()
    assert "is damaged and was left out" in problem


def test_a_pair_without_its_turns_is_damaged(store: Store):
    good, bad = (make_record_of(TrialKind.PAIR, repetition=n) for n in range(2))
    store.put(good)
    store.put(replace(bad, pair=None))

    trials = store.trials()

    assert [good.key] == list(trials.table.id)
    assert "is damaged" in trials.problems[0]
    assert bad.key not in store


def test_a_clock_too_coarse_for_cpu_time_spoils_no_record(store: Store):
    record = make_record_of()
    store.put(with_measurement(record, cpu_times_s=[0.0] * 20))

    assert record.key in store
    assert [record.key] == list(store.trials().table.id)


def test_a_damaged_oracle_answer_is_computed_again(store: Store):
    store.oracle.put("key", {"loss": np.array(2.3)})
    (path,) = store.root.glob("oracle/*")
    whole = path.read_bytes()

    other, pickled = io.BytesIO(), io.BytesIO()
    np.savez(other, gradient=np.array(2.3))
    np.savez(pickled, loss=np.array([{}], dtype=object), allow_pickle=True)
    spoiled = [whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1:] for at in range(len(whole))]
    for content in (b"", whole[:20], whole[:-20], b"\0" * len(whole), b"PK\x03\x04", other.getvalue(),
                    pickled.getvalue(), *spoiled):
        path.write_bytes(content)
        assert store.oracle.get("key") in (None, {"loss": 2.3})     # some bytes of an archive say nothing

    path.write_bytes(whole)
    shutil.copy(path, path.with_name("another.npz"))
    assert store.oracle.get("another") is None        # it answers another question

    path.write_bytes(whole)
    assert {"loss": 2.3} == store.oracle.get("key")


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
    "write", ["store.put(pickle.load(sys.stdin.buffer))", "store.oracle.put('key', {'loss': np.ones(9)})"]
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
    assert store.oracle.get("key") is None
    with store.measuring():
        assert not leftover.exists()


def test_a_full_disk_is_reported_and_leaves_nothing_behind(store: Store, monkeypatch: pytest.MonkeyPatch):
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(UserError, match=r"cannot store a record in .*/records: No space left on device"):
        store.put(make_record())
    store.oracle.put("key", {"loss": np.ones(1)})     # only costs the time to compute it again

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

    store.oracle.put("key", {"gradient": np.random.default_rng(1).random(1 << 16)})
    store.put(make_record())

    assert store.oracle.get("key") is None
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
def test_a_folder_that_cannot_be_written_to_is_reported(tmp_path: Path, where: str):
    (tmp_path / "file").touch()
    root = {
        "a file": tmp_path / "file", "below a file": tmp_path / "file" / "results",
        "below /proc": Path("/proc/results"),
    }[where]

    with pytest.raises(UserError, match=f"cannot write results to {root}: .*; choose another --results"):
        Store(root).create()


def test_a_lock_that_cannot_be_taken_is_reported(store: Store):
    (store.root / "lock").mkdir()

    with pytest.raises(UserError, match=r"cannot write to .*: Is a directory"), store.measuring():
        pass


def test_a_folder_without_results_is_reported(tmp_path: Path):
    with pytest.raises(UserError, match=f"no results in {tmp_path}; rigmark run quick --results {tmp_path} makes some"):
        existing(tmp_path)


# Conditions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("model = mlp", "there is no column mlp; write a text in single quotes: 'mlp'"),
        ("modell = 'mlp'", "there is no column modell; did you mean model?"),
        ("local_batch >", "it is not valid at '>'; an example: framework = 'torch' AND local_batch > 8"),
        ("local_batch > 'x'", "Could not convert string 'x' to INT64; an example"),
    ],
)
def test_what_is_no_condition_is_reported_in_a_sentence(store: Store, where: str, said: str):
    store.put(make_record())

    with pytest.raises(UserError, match="--where is not a valid condition on results: " + re.escape(said)):
        filtered(store.trials().table, where)


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
    measure(tmp_path, layouts=(Layout.CHANNELS_LAST,))     # unsupported: a proof and a timing trial without numbers
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
