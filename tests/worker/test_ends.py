"""The end of a timed trial where rounding allows more than the answers for two batches differ by."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from rigmark.bench.worker.jobs import Failed, _ends

JOB = {"last_check": {"samples": 1, "output_tolerance": 1e-3, "roundings": 3}}
OWN, OTHER = slice(None, 1), slice(1, None)
EXACT = np.array([[100.0, 0.0, 0.0], [100.0, 1.0, 0.0]])         # that differ by 0.01


def held(result: list[float], rounding: float) -> dict[str, float]:
    answer = SimpleNamespace(exact=EXACT, rounded=EXACT + np.array([0.0, 0.0, 100 * rounding]))
    told: dict[str, float] = _ends.check_output(JOB, np.array([result]), answer, OWN, OTHER)[1]
    return told


def test_an_answer_within_rounding_is_refused_where_it_is_that_for_another_batch():
    assert 0.013 == pytest.approx(held([100.0, 0.0, 0.3], rounding=0.004)["allowed_output_error"])

    with pytest.raises(Failed, match="nearer to the oracle's for another batch"):
        held([100.0, 1.0, 0.3], rounding=0.004)


def test_an_answer_is_not_refused_where_rounding_reaches_half_way_to_that_for_another_batch():
    assert 0.01 == pytest.approx(held([100.0, 1.0, 0.0], rounding=0.006)["output_distance"])


def test_every_output_is_held_for_itself():
    small = 1e-3 * EXACT[:, :1] + np.array([[0.0], [1.0]])
    answer = SimpleNamespace(exact=(EXACT, small), rounded=(EXACT, small))

    given, told = _ends.check_output(JOB, (EXACT, small * (1 + 5e-4)), answer, OWN, OTHER)
    assert np.array_equal(given, EXACT[OWN])
    assert told["output_error"] == pytest.approx(5e-4)
    with pytest.raises(Failed, match="the last output is off by"):
        _ends.check_output(JOB, (EXACT, small * 1.002), answer, OWN, OTHER)


def test_a_parameter_that_layers_share_is_seen_to_move_by_its_own_key():
    shared = {"name": "weight", "key": "table/weight", "shape": [2], "is_trainable": True}
    graph = {"layers": [{"name": name, "parameters": [shared]} for name in ("table", "scores")]}
    before = {"table/weight": np.zeros(2)}

    assert not _ends.is_moved(graph, before, before)
    assert _ends.is_moved(graph, before, {"table/weight": np.ones(2)})
