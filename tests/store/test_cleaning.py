"""Secrets are taken out of stored records: none is lost, each has its right id, and what points to it follows."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rigmark.bench.enums import Outcome, TrialKind
from rigmark.bench.errors import UserError
from rigmark.bench.store import cleaning
from rigmark.bench.store.record import Record, id_of, key_of_plain
from rigmark.bench.store.store import Store
from tests.fakes import rigmark
from tests.records import build_facts, make_record, pair

SECRET = "hunter2-hunter2"


def stored(folder: Path, *records: Record) -> Store:
    """Records as an older Rigmark wrote them, each with its telemetry beside it."""
    store = Store(folder / "results").create()
    for record in records:
        plain = json.loads(json.dumps(record.plain())) | {"command": record.command, "last_words": record.last_words}
        plain["telemetry"] = None
        store.put_plain(plain)
        store.put_series(record.key, lambda path, name=record.id: path.write_text(f"series of {name}"))  # type: ignore[misc]
    return store


def known(store: Store) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in store.records_folder.glob("*.json")}


def everything(store: Store) -> str:
    return "".join(path.read_text() for path in sorted(store.root.rglob("*")) if path.is_file())


def measured(secret: str = SECRET) -> list[Record]:
    """A proof, trials and a pair that it vouches for, all with a secret among their variables, and a clean trial."""
    facts = build_facts(TF_API_KEY=secret, XLA_URL=f"https://me:{secret}@host/x", OMP_PLACES="cores")
    proof = make_record(TrialKind.PROOF, build=facts, run_id=secret[:6])
    vouched = [
        make_record(
            build=facts, repetition=number, certificate=proof.key, command=f"rigmark --api-key {secret}",
            run_id=secret[:6],
        ) for number in range(2)
    ]
    turns = pair([0.1] * 10, [0.1] * 10)
    for side in ("base", "new"):
        turns[side]["certificate"] = proof.key
    taking_turns = make_record(TrialKind.PAIR, build=facts, pair=turns, certificate=proof.key)
    assert taking_turns.identity.base is not None
    base = taking_turns.identity.base | {"variables": {"TF_API_KEY": secret}}
    words = f"cannot open https://me:{secret}@host/x"
    failed = make_record(outcome=Outcome.CRASHED, repetition=2, last_words=words, certificate=proof.key)
    return [proof, *vouched, replace(taking_turns, identity=replace(taking_turns.identity, base=base)), failed]


def test_cleaning_removes_every_secret_and_no_trial(tmp_path: Path):
    store = stored(tmp_path, *measured())

    of = cleaning.clean(store, is_dry=False)

    assert (5, ("TF_API_KEY", "XLA_URL"), 0, ()) == (of.records, of.variables, of.renumbered, of.problems)
    assert SECRET not in everything(store)
    records = known(store)
    assert 5 == len(records)
    assert all(record["id"] == id_of(record["identity"]) for record in records.values())
    assert all(name == key_of_plain(record) for name, record in records.items())
    assert {"OMP_NUM_THREADS": "1", "OMP_PLACES": "cores"} == next(
        record["identity"]["build"]["variables"] for record in records.values() if record["parity"]
    )
    (proof,) = (name for name, record in records.items() if record["identity"]["kind"] == "proof")
    assert {proof} == {record["certificate"] for name, record in records.items() if name != proof}
    (turns,) = (record["pair"] for record in records.values() if record["pair"])
    assert {proof} == {turns[side]["certificate"] for side in ("base", "new")}
    assert set(records) == {path.stem for path in (store.root / "telemetry").iterdir()}
    assert () == store.trials().problems


def test_what_is_clean_stays_as_it_is(tmp_path: Path):
    store = stored(tmp_path, *(make_record(repetition=number) for number in range(3)))
    before = everything(store)

    assert 0 == cleaning.clean(store, is_dry=False).records
    assert before == everything(store)


def test_trials_that_differed_in_secrets_only_are_repetitions(tmp_path: Path):
    """A token that was renewed between two sweeps had made all trials others."""
    clean = make_record(build=build_facts(OMP_PLACES="cores"))
    store = stored(tmp_path, clean, *measured(), *measured("another-secret-3")[:3])

    cleaned = cleaning.clean(store, is_dry=False)

    records = known(store).values()
    assert 9 == len(records)
    assert 5 == cleaned.renumbered         # the later proof too
    assert [0, 1, 2, 3, 4] == sorted(
        record["identity"]["repetition"] for record in records
        if record["identity"]["kind"] == "timing" and record["outcome"] == "ok"
    )
    assert clean.key in known(store)
    assert () == store.trials().problems


class Killed(Store):
    """A store in which only so many things are done before the end."""

    def __init__(self, root: Path, moment: int):
        super().__init__(root)
        self._left = moment

    def _step(self) -> None:
        if self._left == 0:
            raise KeyboardInterrupt
        self._left -= 1

    def put_plain(self, record: Mapping[str, Any], *, instead_of: Mapping[str, Any] | None = None) -> None:
        self._step()
        super().put_plain(record, instead_of=instead_of)

    def copy_series(self, key: str, to_key: str) -> None:
        self._step()
        super().copy_series(key, to_key)

    def remove(self, key: str) -> None:
        self._step()
        super().remove(key)


def test_cleaning_that_is_killed_at_any_moment_is_made_good(tmp_path: Path):
    source = stored(tmp_path / "source", *measured(), *measured("another-secret-3")[:3])
    shutil.copytree(source.root, tmp_path / "whole" / "results")
    whole = Store(tmp_path / "whole" / "results")
    cleaning.clean(whole, is_dry=False)

    for moment in itertools.count():
        shutil.copytree(source.root, tmp_path / f"{moment}" / "results")
        store = Killed(tmp_path / f"{moment}" / "results", moment)
        try:
            cleaning.clean(store, is_dry=False)
            break
        except KeyboardInterrupt:
            cleaning.clean(Store(store.root), is_dry=False)
        assert known(whole) == known(store), moment
        assert everything(whole) == everything(store), moment
    assert moment > 20


def test_a_sweep_that_measures_is_waited_for(tmp_path: Path):
    store = stored(tmp_path, *measured())

    with store.measuring(), pytest.raises(UserError, match="another sweep is measuring"):
        cleaning.clean(Store(store.root), is_dry=False)


def test_the_verb_tells_names_and_never_values(tmp_path: Path):
    store = stored(tmp_path, *measured())
    damaged = store.records_folder / "0123456789abcdef.json"
    damaged.write_text("{")
    before = everything(store)

    told = rigmark("store", "clean", "--dry-run", cwd=tmp_path)
    assert before == everything(store)
    done = rigmark("store", "clean", cwd=tmp_path)
    again = rigmark("store", "clean", cwd=tmp_path)

    assert "5 records contain secrets (TF_API_KEY, XLA_URL); leave out --dry-run" in told.stderr
    assert "5 records contained secrets (TF_API_KEY, XLA_URL), which were removed" in done.stderr
    assert "no readable record contains a secret" in again.stderr
    assert (2, 2, 2) == (told.returncode, done.returncode, again.returncode)
    assert SECRET not in "".join(each.stderr for each in (told, done, again)) + everything(store)
    damaged.unlink()
    assert 0 == rigmark("store", "clean", cwd=tmp_path).returncode


def test_what_is_written_now_holds_none():
    record = make_record(
        command=f"rigmark ab --package https://me:{SECRET}@host/x", outcome=Outcome.CRASHED,
        reason="--password abc failed",
    )

    assert "rigmark ab --package https://****@host/x" == record.plain()["command"]
    assert "--password **** failed" == record.plain()["reason"]
    assert record.id == id_of(record.plain()["identity"])
