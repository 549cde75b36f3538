"""A record is taken apart at its door alone; behind it, its parts have types that mypy sees."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.test_imports import PARENT, ROOT

DOOR = "bench/store/"
PARTS = {"identity", "case", "measurement", "parity", "pair"}
"""Of a record, and of no row of a table."""


def looked_up(source: str) -> Iterator[str]:
    """Which parts a source asks a dictionary for by name."""
    if not any(f'"{part}"' in source for part in PARTS):
        return           # most files, which need not be parsed
    for node in ast.walk(ast.parse(source)):
        key: ast.expr | None = None
        if isinstance(node, ast.Subscript):
            key = node.slice
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            key = node.args[0] if node.args else None
        if isinstance(key, ast.Constant) and key.value in PARTS:
            yield f"{node.lineno}: {key.value}"


def test_no_room_but_the_store_takes_a_record_apart():
    files = [path for folder in PARENT for result in [ROOT / folder]
             for path in (sorted(result.rglob("*.py")) if result.is_dir() else [result])]

    assert [] == [
        f"{path.relative_to(ROOT)}:{place}" for path in files if not path.relative_to(ROOT).as_posix().startswith(DOOR)
        for place in looked_up(path.read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize(("source", "met"), [
    ('record["identity"]["case"]["model"]', 2), ('record.get("pair")', 1), ('row["outcome"], params("case")', 0),
])
def test_the_rule_sees_both_ways_to_look_a_part_up(source: str, met: int):
    assert met == len(list(looked_up(source)))


def kinds_by_identity(source: str) -> list[int]:
    """The lines that compare a kind of trial by ``is``, which no text of a record or a table ever is."""
    return [
        node.lineno for node in ast.walk(ast.parse(source if "TrialKind." in source else ""))
        if isinstance(node, ast.Compare) and any(isinstance(way, ast.Is | ast.IsNot) for way in node.ops)
        and any(ast.unparse(side).startswith("TrialKind.") for side in (node.left, *node.comparators))
    ]


def test_kinds_of_trial_are_compared_by_value():
    assert [1, 2] == kinds_by_identity("kind is TrialKind.PROOF\nTrialKind.PAIR is not a.kind\nkind == TrialKind.PROOF")
    found = {
        path: lines for folder in ("bench", "evidence", "suites", "tests") for path in (ROOT / folder).rglob("*.py")
        if (lines := kinds_by_identity(path.read_text(encoding="utf-8")))
    }
    assert {} == found
