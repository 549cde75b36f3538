"""From a trace's kernels to rows: outermost spans, shared moments, members."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rigmark.bench.worker.tracing.trace import Kernel, outermost, rows, shared

CONV, RELU = ("conv", "forward"), ("relu", "forward")


def test_a_span_within_another_does_not_count_again():
    assert [(0, 4, "loop"), (4, 6, "conv")] == outermost([(4, 6, "conv"), (1, 2, "body"), (0, 4, "loop"), (4, 5, "x")])


def test_kernels_at_work_at_once_share_the_time():
    alone, both = Kernel(0.0, 2.0, CONV, ()), Kernel(1.0, 3.0, RELU, ())

    assert [(alone, 1.5), (both, 1.5)] == shared([alone, both])


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=12))
def test_shares_add_up_to_the_time_in_which_anything_ran(spans: list[tuple[int, int]]):
    kernels = [Kernel(float(begin), float(begin + length), CONV, ()) for begin, length in spans]
    busy = {moment for begin, length in spans for moment in range(begin, begin + length)}

    assert len(busy) == pytest.approx(sum(time_s for _, time_s in shared(kernels)))


def test_a_fused_kernel_is_one_row_that_names_its_members_in_the_graphs_order():
    kernels = [
        Kernel(0.0, 1.0, CONV, ("relu", "conv", "(optimizer)")), Kernel(1.0, 1.5, RELU, ("relu",)),
        Kernel(1.5, 2.0, CONV, ()), Kernel(2.0, 9.0, None, ()),
    ]

    assert [
        {"layer": "conv", "direction": "forward", "time_s": 0.75, "members": ["conv", "relu", "(optimizer)"]},
        {"layer": "relu", "direction": "forward", "time_s": 0.25},
    ] == rows(kernels, 2, ["conv", "relu"])


def test_no_kernels_are_no_rows():
    assert [] == rows([], 3, ["conv"])
