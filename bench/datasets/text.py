"""Real English for character models: the docstrings of Rigmark's own modules, some 30 KB.

They exist wherever Rigmark is installed, and belong to nobody else. They change with the version of Rigmark, and so
does what is learnt from them. Characters beyond ASCII become "?".
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rigmark.bench.datasets import Dataset, only_input
from rigmark.bench.errors import UserError
from rigmark.bench.ir.graph import Graph

ASCII = 128
HELD_OUT_SHARE = 0.1


def load(graph: Graph) -> Dataset:
    """Disjoint excerpts with as many characters as the graph has steps, in a fixed random order.

    x contains ASCII codes, y the character after each of them. Raises UserError if the graph does not predict the next
    of at least 128 tokens at every step.
    """
    given = only_input("text", graph)
    if given.vocabulary is None or graph.output_shape != (*given.shape, given.vocabulary):
        raise UserError(f"data 'text' is for models that predict the next token at every step, which {graph.name} "
                        "does not; use --data synthetic or --model lstm")
    if given.vocabulary < ASCII:
        raise UserError(f"data 'text' has {ASCII} different characters but {graph.name} knows only "
                        f"{given.vocabulary}; use --data synthetic or another model")
    (steps,) = given.shape
    tokens = np.frombuffer(text().encode("ascii", "replace"), np.uint8).astype(np.int64)
    x, y = _excerpts(tokens, steps)
    held_out = max(1, round(HELD_OUT_SHARE * len(x)))
    return Dataset(x=x[held_out:], y=y[held_out:], test_x=x[:held_out], test_y=y[:held_out])


def _excerpts(tokens: NDArray[np.int64], steps: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The tokens of the excerpts in random order, and the token after each; both have shape (count, steps).

    Of excerpts with equal tokens, which docstrings of one wording give, there is one.
    """
    count = (len(tokens) - 1) // steps
    order = np.random.RandomState(0).permutation(count)
    x, y = (tokens[first : first + count * steps].reshape(count, steps)[order] for first in (0, 1))
    kept = np.sort(np.unique(x, axis=0, return_index=True)[1])
    return x[kept], y[kept]


@cache
def text() -> str:
    """All module docstrings, sorted by the names of the modules, separated by empty lines."""
    root = Path(__file__).parent.parent     # of bench
    return "\n\n".join(
        docstring for path in sorted(root.rglob("*.py"))
        for docstring in _documentation(path.read_text(encoding="utf-8"))
    )


def _documentation(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            docstring = ast.get_docstring(node)
            if docstring:
                yield docstring
