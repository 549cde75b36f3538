"""Every command that a message names exists, has the options that it is named with, and says what it measures."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperCommand, TyperGroup

from rigmark import suites
from rigmark.bench.cli import app
from rigmark.bench.cli.run import declared
from rigmark.bench.errors import UserError
from rigmark.bench.sections.advice import measuring

ROOT = Path(__file__).parent.parent
COMMANDS = typer.main.get_command(app)
PLACEHOLDERS = {"results": "results", "sessions": "5", "recipe": "numpy"}
"""What stands for a value in a template, where a word does not do."""


def texts(path: Path) -> Iterator[str]:
    """Every text of a module that may be shown, but for docstrings; f-strings with their expressions in braces."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            hidden |= {id(part) for part in ast.walk(node) if part is not node}
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else _in_braces(part) for part in node.values
            )
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in hidden:
            yield node.value


def _in_braces(part: ast.expr) -> str:
    assert isinstance(part, ast.FormattedValue)
    return f"{{{ast.unparse(part.value)}}}"


def advised(text: str) -> Iterator[list[str]]:
    """The words of each command that a text names, from the verb to the last that belongs to it."""
    for named in re.findall(r"(?<![-\w])rigmark ([a-z](?:[^'\";:()\n`]|:(?=\S))*)", text):
        verb, *words = re.sub(r"\{[^{}]*?(\w+)[^\w{}]*\}", lambda m: PLACEHOLDERS.get(m[1], "x"), named).split()
        command = COMMANDS.commands.get(verb.rstrip(".,"))
        if command is None:
            yield [verb]
            continue
        yield [verb.rstrip(".,"), *_own(command, words)]


def _own(command: TyperCommand | TyperGroup, words: list[str]) -> list[str]:
    """The options with their values, and a suite or words in capitals, that a sentence goes on from."""
    if isinstance(command, TyperGroup):
        known = command.commands.get(words[0]) if words else None
        return words[:1] if known is None else [words[0], *_own(known, words[1:])]
    flags = {"--help"} | {name for each in command.params if getattr(each, "is_flag", False) for name in each.opts}
    own: list[str] = []
    while words and (words[0].startswith("-") or words[0].isupper() or words[0] in suites.NAMES):
        taken = 2 if words[0].startswith("-") and words[0].rstrip(".,") not in flags else 1
        own += [word.rstrip(".,") for word in words[:taken]]
        if words[:taken][-1].endswith((".", ",")):
            break
        words = words[taken:]
    return own


def every_message() -> Iterator[tuple[str, str]]:
    for folder in ("bench", "reports", "suites"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield from ((path.relative_to(ROOT).as_posix(), text) for text in texts(path))
    claims = tomllib.loads((ROOT / "bench/claims/claims.toml").read_text(encoding="utf-8"))
    yield from (("bench/claims/claims.toml", claim["how"]) for claim in claims["claim"])
    for path in sorted((ROOT / "tests/reports/golden").glob("*.md")):
        yield path.name, path.read_text(encoding="utf-8")
    for precision, device in (("fp32", "cpu"), (None, "cuda:0")):
        yield "bench/sections/advice.py", measuring(precision, 2, device)


ADVICE = sorted({
    (where, shlex.join(words)) for where, text in every_message() if not where.endswith("xplane.py")
    for words in advised(text)
})


def test_the_advice_is_found():
    lines = {line for _, line in ADVICE}

    assert {"run quick", "run scaling --results results", "run hardware --precision fp32 --threads 2"} <= lines
    assert len(lines) > 20


@pytest.mark.parametrize(("where", "line"), ADVICE)
def test_a_command_that_is_advised_is_one(where: str, line: str):
    verb, *words = shlex.split(line)
    command = COMMANDS.commands.get(verb)
    assert command is not None, f"there is no rigmark {verb}"
    if isinstance(command, TyperGroup) and words:
        verb, *words = words
        command = command.commands[verb]
    if not words or words == ["--help"]:
        return                   # the verb by its name
    result = command.make_context(verb, list(words)).params
    if verb == "run":
        axes = {
            f"{name}s": tuple(some if each.isupper() else each for each in result[name].split(","))
            for name, some in (("model", "mlp"), ("framework", "numpy")) if result[name] is not None
        }
        assert declared(result["suite"], axes, {})


@pytest.mark.parametrize("line", ["run --world-size 1,2", "run --model alexnet --layers"])
def test_a_command_that_names_nothing_to_measure_is_none(line: str):
    with pytest.raises(UserError):
        test_a_command_that_is_advised_is_one("", line)
