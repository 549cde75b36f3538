"""Every verb on hosts that lack something: its output never reaches anyone, or only in ASCII, or half of it.

A verb is found, not listed: a new one is run as it stands, and named here only if it needs arguments to do something.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main

from rigmark.bench.cli import Exit, app
from tests.hosts import Connect, closed, into_broken_pipe, into_file, into_full_disk, run
from tests.reports import records

ARGUMENTS: dict[str, tuple[str, ...]] = {
    "ab": ("no-such-build", "default", "quick"),
    "builds add": ("../x", "/no/such/python"),
    "builds create": ("--name", "../x", "numpy"),
    "builds remove": ("other",),
    "buy": ("resnet50", "--hardware", "none.toml"),
    "compare": ("results", "results"),
    "import": ("none.csv",),
    "init": ("--asv", "none"),
    "noise": ("quick", "--budget", "0"),
    "prices fetch": ("--provider", "no-such-provider"),
    "run": ("--model", "mlp", "--framework", "numpy", "--dry-run"),
    "serve": ("--results", "none"),
    "top": ("--count", "1", "--interval", "0.05"),
}
"""What makes these verbs end soon, or say more than that an argument is missing."""

NO_VERBS = (("--version",), ("--help",), ("results", "--format", "csv"), ("report", "--format", "html"))

HOSTS: dict[str, dict[str, Any]] = {
    "full stdout": {"output": into_full_disk},
    "closed stdout": {"output": closed},
    "broken pipe": {"output": into_broken_pipe},
    "ASCII": {"encoding": "ascii"},
    "full stderr": {"errors": into_full_disk},
    "all closed": {"errors": closed, "stdin": closed},
}
LOST: tuple[Connect, ...] = (into_full_disk, closed)


def verbs() -> list[str]:
    """Every verb, and every verb of a verb: "builds list"."""
    def below(command: Any, words: tuple[str, ...]) -> Iterator[str]:
        if not hasattr(command, "commands"):
            yield " ".join(words)
        for name, inner in getattr(command, "commands", {}).items():
            yield from below(inner, (*words, name))

    return list(below(typer.main.get_command(app), ()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the verbs run: with some results, and without a file of builds."""
    root = tmp_path_factory.mktemp("hosts")
    records.stored(root / "results", list(records.sweep())[:12])
    return root


@cache
def usual(arguments: tuple[str, ...], folder: Path) -> tuple[int | None, str, str]:
    """What the command does where nothing is amiss."""
    return run(arguments, folder)


def check(arguments: tuple[str, ...], folder: Path, **host: Any) -> None:
    code, said, _ = usual(arguments, folder)
    ended, output, errors = run(arguments, folder, **host)

    for text in (output, errors):
        assert "Traceback" not in text
        assert "bug in Rigmark" not in text
    if said and host.get("output", into_file) in LOST:
        assert "rigmark: cannot write to standard output: " in errors
        assert Exit.BAD == ended
    else:
        assert "cannot write" not in errors
        assert code == ended


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_ends_in_words_of_its_own(verb: str, folder: Path):
    code, output, errors = usual((*verb.split(), *ARGUMENTS.get(verb, ())), folder)

    assert code in tuple(Exit)
    assert output or errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("verb", verbs())
def test_every_verb_does_its_work_whatever_becomes_of_its_output(verb: str, host: str, folder: Path):
    check((*verb.split(), *ARGUMENTS.get(verb, ())), folder, **HOSTS[host])


@pytest.mark.parametrize("arguments", NO_VERBS, ids=" ".join)
@pytest.mark.parametrize("host", HOSTS)
def test_so_does_what_is_no_verb_and_what_is_for_programs(arguments: Sequence[str], host: str, folder: Path):
    check(tuple(arguments), folder, **HOSTS[host])
