"""Comparisons of elements, and the choice between two values that follows from one."""

from ._base import named

NODES = {
    "greater": named("Greater"),
    "less": named("Less"),
    "equal": named("Equal"),
    "where": named("Where"),
}
