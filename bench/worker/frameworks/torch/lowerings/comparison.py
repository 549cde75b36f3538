"""Comparisons of elements, and the choice between two values that follows from one."""

from .elementwise import named

LOWERINGS = {
    "greater": named("gt"),
    "less": named("lt"),
    "equal": named("eq"),
    "where": named("where"),
}
