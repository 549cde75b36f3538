"""Comparisons of elements, logic of their results, the choice between two values, and other kinds of numbers."""

from .elementwise import named


def _cast(run, layer, weights, x):
    # Of 64 bits where JAX has these, in fp64; the precision may narrow what it gives.
    return x.astype({"float": run.np.result_type(float), "int64": run.np.result_type(int), "bool": bool}[
        layer["attributes"]["to"]])


LOWERINGS = {
    "greater": named("greater"),
    "less": named("less"),
    "greater_equal": named("greater_equal"),
    "less_equal": named("less_equal"),
    "equal": named("equal"),
    "and": named("logical_and"),
    "or": named("logical_or"),
    "not": named("logical_not"),
    "cast": _cast,
    "where": named("where"),
}
