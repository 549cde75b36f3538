"""What the oracle is asked anew, and what it need not be asked again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rigmark.bench import datasets, models
from rigmark.bench.enums import Mode, Outcome
from rigmark.bench.ir.weights import synthetic_batch
from rigmark.bench.processes.spawn import Answer
from rigmark.bench.store.store import Store
from rigmark.bench.trials.inputs import Inputs
from rigmark.bench.trials.oracle import Oracle
from tests.fakes import make_case

CASE = make_case(data="digits", mode=Mode.TRAINING, local_batch=2)


def asked_for(store: Store, folder: Path) -> list[str]:
    """The kinds of job that the first loss of a case takes."""
    asked = []

    def ask(job: Mapping[str, Any]) -> tuple[Answer, dict[str, Any]]:
        asked.append(job["kind"])
        result = {"loss": 2.3, "output_rounding": 1e-7}
        return Answer(outcome=Outcome.OK, reason=None, result=result, marks={}, last_words="", wall_time_s=0.0), {}

    folder.mkdir()
    Oracle(store, Inputs(folder), ask).first_loss(CASE)
    return asked


def real(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    x, y = synthetic_batch(models.build("mlp"), 8, seed)
    monkeypatch.setattr(datasets, "load", lambda name, graph: datasets.Dataset(x=x, y=y, test_x=x, test_y=y))


def test_an_answer_to_data_that_have_changed_is_not_taken_for_that_to_the_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = Store(tmp_path / "results").create()
    real(monkeypatch, seed=1)
    assert ["oracle"] == asked_for(store, tmp_path / "first")
    assert [] == asked_for(store, tmp_path / "again")

    real(monkeypatch, seed=2)
    assert ["oracle"] == asked_for(store, tmp_path / "changed")


@pytest.mark.parametrize(("local_batch", "samples", "batches"), [(2, 2, 4), (4, 4, 2), (5, 4, 2), (99, 4, 2)])
def test_real_data_gives_two_batches_at_least(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_batch: int, samples: int, batches: int
):
    real(monkeypatch, seed=1)

    timed = Inputs(tmp_path).timed(make_case(data="digits", local_batch=local_batch))

    assert (samples, batches) == (timed.batch_samples, 8 // timed.batch_samples)
    assert local_batch == timed.deciding
