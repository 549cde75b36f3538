"""Comparisons, and the choice between two values."""


def _two(op):
    def lower(call):
        return call.add(op, *call.alike("self", "other"))
    return lower


def _logical(op):
    """Of bools; of others, whether they are not 0."""
    def lower(call):
        inputs = [call.value(name) for name in ("self", "other") if call.get(name) is not None]
        return call.add(op, *[_as_bool(call, each) for each in inputs])
    return lower


def _as_bool(call, value):
    like = (value.shape, value.batch, "bool")
    return value if value.dtype == "bool" else call.add("cast", value, like=like, to="bool")


def _not_equal(call):
    return call.add("not", call.add("equal", *call.alike("self", "other")))


def _masked_fill(call):
    x = call.subject
    return call.add("where", call.value("mask"), call.as_kind(call["value"], x.dtype), x)


def _where(call):
    return call.add("where", call.value("condition"), *call.alike("self", "other"))


CALLS = {
    **{name: _two(op) for name, op in (
        ("gt", "greater"), ("lt", "less"), ("eq", "equal"), ("ge", "greater_equal"), ("le", "less_equal"))},
    **{name: _logical(op) for name, op in (
        ("__and__", "and"), ("__or__", "or"), ("logical_and", "and"), ("logical_or", "or"), ("bitwise_and", "and"),
        ("bitwise_or", "or"), ("logical_not", "not"), ("bitwise_not", "not"))},
    **dict.fromkeys(("ne", "__ne__"), _not_equal),
    "masked_fill": _masked_fill,
    "where": _where,
}
