"""What the README, the map and the guides name is there: rooms, files, links, modules and commands."""

from __future__ import annotations

import ast
import pkgutil
import re
import shlex
from collections.abc import Iterator

import pytest
import typer
from typer.core import TyperGroup

from rigmark.bench.cli import app
from tests.architecture.test_imports import FLOORS, ROOT

PAGES = tuple(
    path.relative_to(ROOT).as_posix()
    for path in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))) if path.name != "CHANGELOG.md"
)
DECISIONS = sorted((ROOT / "docs/decisions").glob("*.md"))
NEWEST = DECISIONS[-1].relative_to(ROOT).as_posix()      # earlier decisions tell of the files of their day
COMMANDS = typer.main.get_command(app)
FILE = re.compile(r"(?<![\w/.:-])(?:bench|reports|suites|tests|evidence|docs|rigmark)/[\w./-]*\w/?")


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def commands(page: str) -> Iterator[str]:
    """Every line of a shell block that runs rigmark, from the verb on and without its comment."""
    for block in re.findall(r"```sh\n(.*?)```", text(page), re.DOTALL):
        for line in block.splitlines():
            words = line.partition("#")[0].strip()
            if words.startswith(("rigmark ", ".venv/bin/rigmark ")):
                yield words.partition(" ")[2]


def examples(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text(page), re.DOTALL)


def test_the_map_has_a_row_per_room_on_its_floor():
    rows = re.findall(r"^\| (\d+) \| ([^|]*) \|", text("ARCHITECTURE.md"), re.MULTILINE)
    drawn = [(int(floor), room) for floor, rooms in rows for room in re.findall(r"`([^`]*)`", rooms)]

    assert drawn == sorted(drawn, key=lambda row: row[0])
    assert set(drawn) == {(number, room) for number, rooms in enumerate(FLOORS, start=1) for room in rooms}


def test_a_decision_has_a_number_of_its_own_which_its_title_repeats():
    numbers = [path.name.partition("-")[0] for path in DECISIONS]

    assert numbers == [f"{number:03}" for number in range(1, len(DECISIONS) + 1)]
    assert [path.read_text(encoding="utf-8")[:6] for path in DECISIONS] == [f"# {number}:" for number in numbers]


@pytest.mark.parametrize("page", [*PAGES, NEWEST])
def test_a_file_that_a_page_names_is_there(page: str):
    """NAME stands for a name that the reader chooses, so another file must be in that place."""
    missing = {name for name in FILE.findall(text(page)) if not any(ROOT.glob(name.replace("NAME", "*").rstrip("/")))}

    assert missing == set()


@pytest.mark.parametrize("page", [*PAGES, NEWEST])
def test_a_link_of_a_page_leads_to_a_file(page: str):
    links = re.findall(r"\]\(([^)#]+)", text(page))

    assert [link for link in links if ":" not in link and not ((ROOT / page).parent / link).exists()] == []


@pytest.mark.parametrize("page", [*PAGES, NEWEST])
def test_a_module_that_a_page_names_can_be_imported(page: str):
    for name in set(re.findall(r"(?<![\w/.])rigmark(?:\.\w+)+", text(page))):
        if "NAME" not in name and not name.endswith((".md", ".yml", ".sh")):
            assert pkgutil.resolve_name(name) is not None


@pytest.mark.parametrize("page", PAGES)
def test_a_constant_is_in_the_file_that_a_page_names_for_it(page: str):
    for name, file in re.findall(r"`([A-Z][A-Z_]+)`(?:\s\([^)]*\))?\s(?:in|of)\s`([\w/]+\.py)`", text(page)):
        if "NAME" not in file:
            assert re.search(rf"^{name}\b", text(file), re.MULTILINE), f"{file} has no {name}"


@pytest.mark.parametrize(
    ("page", "example"), [(page, example) for page in PAGES for example in examples(page)]
)
def test_an_example_imports_what_there_is(page: str, example: str):
    for node in ast.walk(ast.parse(example)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rigmark"):
            for alias in node.names:
                assert pkgutil.resolve_name(f"{node.module}:{alias.name}") is not None


@pytest.mark.parametrize(("page", "line"), [(page, line) for page in PAGES for line in commands(page)])
def test_a_command_of_a_page_is_one(page: str, line: str):
    verb, *words = shlex.split(line)
    command = COMMANDS.commands[verb]
    if isinstance(command, TyperGroup):
        verb, *words = words
        command = command.commands[verb]

    assert command.make_context(verb, words).params
