"""Comparisons of elements, and the choice between two values that follows from one."""

from .elementwise import named

LOWERINGS = {
    "greater": named("greater"),
    "less": named("less"),
    "equal": named("equal"),
    "where": named("where"),
}
