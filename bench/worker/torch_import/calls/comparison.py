"""Comparisons, and the choice between two values."""


def _two(op):
    def lower(call):
        return call.add(op, call.value("self"), call.value("other"))
    return lower


def _not_equal(call):
    return call.add("not", call.add("equal", call.value("self"), call.value("other")))


def _not(call):
    return call.add("not", call.subject)


def _masked_fill(call):
    return call.add("where", call.value("mask"), _float(call, "value"), call.subject)


def _where(call):
    return call.add("where", call.value("condition"), call.value("self"), call.value("other"))


def _float(call, name):
    given = call[name]
    return call.value(name) if hasattr(given, "meta") else call.constant(float(given))


CALLS = {
    **{name: _two(op) for name, op in (
        ("gt", "greater"), ("lt", "less"), ("eq", "equal"), ("ge", "greater_equal"), ("le", "less_equal"),
        ("__and__", "and"), ("__or__", "or"), ("logical_and", "and"), ("logical_or", "or"), ("bitwise_and", "and"),
        ("bitwise_or", "or"))},
    **dict.fromkeys(("ne", "__ne__"), _not_equal),
    **dict.fromkeys(("logical_not", "bitwise_not"), _not),
    "masked_fill": _masked_fill,
    "where": _where,
}
