"""The exit code of every verb that reads stored results, in each state that a results folder may be in.

0 done, nothing worse; 1 slower; 2 bad input or a failure; 3 nothing was measured; 4 too noisy to tell.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from rigmark.bench.cli import app, main
from rigmark.bench.enums import Outcome
from rigmark.bench.store.record import Record
from rigmark.bench.store.store import Store
from tests.records import timing_records

STATES: dict[str, Callable[[Path], Any]] = {}


def state(make: Callable[[Path], Any]) -> Callable[[Path], Any]:
    STATES[make.__name__] = make
    return make


def put(folder: Path, records: list[Record]) -> None:
    store = Store(folder).create()
    for record in records:
        store.put(record)


@state
def missing(folder: Path) -> None:
    pass


@state
def empty(folder: Path) -> None:
    put(folder, [])


@state
def unsupported(folder: Path) -> None:
    put(folder, [
        replace(record, outcome=Outcome.UNSUPPORTED, reason="no such layout", measurement=None)
        for record in timing_records([0.01] * 3)
    ])


@state
def measured(folder: Path) -> None:
    put(folder, timing_records([0.01, 0.0101, 0.0102, 0.0099, 0.01, 0.0098]))


@state
def damaged(folder: Path) -> None:
    measured(folder)
    spoil(folder)


def spoil(folder: Path) -> None:
    (folder / "records" / "ffffffffffffffff.json").write_text('{"schema": 1, "id": "')


CODES: dict[str, tuple[int, ...]] = {
    # of a folder that is:  missing, empty, unsupported, measured, damaged
    "report": (2, 3, 3, 0, 2), "results": (2, 3, 3, 0, 2), "claims": (2, 3, 3, 0, 2), "audit": (2, 3, 3, 0, 2),
    "buy": (2, 3, 3, 0, 2),
    # These need more than six trials of one session on one device.
    "history": (2, 3, 3, 3, 2), "check": (2, 3, 3, 3, 2), "scaling": (2, 3, 3, 3, 2), "layers": (2, 3, 3, 3, 2),
    "noise": (2, 3, 3, 3, 2),
}
OTHERS = {
    "compare": "takes two sides: below, and in test_cli_verdicts", "run": "measures: in test_cli",
    "ab": "measures: in test_ab and test_cli_verdicts", "import": "writes: in tests/importers",
    "store": "looks after a folder: in its own test", "serve": "never ends by itself: in test_live",
    "doctor": "examines the machine: in test_doctor", "top": "examines the machine: in tests/telemetry",
    "builds": "has no results: in test_environments", "prices": "has no results: in tests/offers",
    "init": "has no results: in test_cli_init", "model": "has no results: in test_model",
    "models": "has no results: in test_model", "frameworks": "has no results: in tests/cli/test_frameworks",
    "export": "has no results: in tests/networks", "watch": "measures: in test_watch",
}
MORE = {"noise": ("fast", "--budget", "0")}

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """(exit code, what stands on stderr) of a command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["rigmark", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().err

    return run


def test_no_verb_is_without_its_exit_codes():
    assert {*typer.main.get_command(app).commands} == CODES.keys() | OTHERS.keys()


@pytest.mark.parametrize("verb", CODES)
def test_the_exit_code_says_what_became_of_it(command: Command, tmp_path: Path, verb: str):
    result = {}
    for name, make in STATES.items():
        make(tmp_path / name)
        code, errors = command(verb, *MORE.get(verb, ()), "--results", name)
        result[name] = code
        assert "bug in Rigmark" not in errors

    assert dict(zip(STATES, CODES[verb], strict=True)) == result


@pytest.mark.parametrize("verb", ["buy", "layers", "scaling"])
def test_a_damaged_record_hides_nothing_that_is_said_without_it(command: Command, tmp_path: Path, verb: str):
    empty(tmp_path / "whole")
    empty(tmp_path / "spoilt")
    spoil(tmp_path / "spoilt")

    said = command(verb, "--results", "whole")[1].replace("whole", "spoilt")

    assert said
    assert said in command(verb, "--results", "spoilt")[1]


def test_two_sides_of_which_one_is_empty_are_nothing_to_compare(command: Command, tmp_path: Path):
    empty(tmp_path / "empty")
    measured(tmp_path / "measured")

    assert 2 == command("compare", "missing", "measured")[0]
    for sides in (("empty", "measured"), ("measured", "empty")):
        code, errors = command("compare", *sides)
        assert (3, "empty has no timing trials; measure some with rigmark run\n") == (code, errors)
