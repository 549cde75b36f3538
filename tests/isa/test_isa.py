"""A sweep over instruction sets, measured for real: what was asked for is set, and what ran is seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rigmark.bench.enums import Isa, Outcome, StartMethod, TrialKind
from rigmark.bench.machine import hardware, isa
from tests.fakes import SHORT, lend_framework, measure

HAS_AVX2 = isa.refusal("numpy", Isa.AVX2, "cpu", hardware.cpu_features()) is None


KERNELS = {"sse41": "Nehalem", "avx2": "Haswell"}


@pytest.mark.skipif(not HAS_AVX2, reason="this processor has no AVX2")
@pytest.mark.parametrize("start_method", StartMethod)
def test_a_framework_held_to_a_level_runs_it_and_its_record_proves_it(tmp_path: Path, start_method: StartMethod):
    tally = measure(tmp_path, isas=("sse41", "avx2"), timing=replace(SHORT, start_method=start_method))
    timed = {r.identity.case["isa"]: r for r in tally.stored if r.identity.kind is TrialKind.TIMING}

    assert set(timed) == {"sse41", "avx2"}
    for level, record in timed.items():
        assert record.outcome is Outcome.OK
        assert record.measurement is not None
        assert KERNELS[level] in record.measurement["facts"]["blas"]
        assert record.isa is not None
        assert record.isa["asked"] == level
        assert record.identity.build["variables"].items() >= isa.variables("numpy", level).items()
        evidence = record.isa["proof"]["gemm"]["evidence"]
        if "ptrace" in evidence:
            pytest.skip(evidence)
        assert record.isa["summary"] == level
    assert {r.isa for r in tally.stored if r.identity.kind is TrialKind.PROOF} == {None}


def test_a_sweep_that_asks_for_no_level_sets_nothing_and_watches_nothing(tmp_path: Path):
    record = measure(tmp_path).stored[-1]

    assert record.identity.case["isa"] == "native"
    assert record.isa is None
    assert "NPY_DISABLE_CPU_FEATURES" not in record.identity.build["variables"]
    assert record.cpus == list(hardware.usable_cpus()[:1])


def test_a_level_above_the_processor_is_unsupported_and_starts_no_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hardware, "cpu_features", lambda: frozenset({"sse4_1", "avx2", "fma"}))

    (record,) = measure(tmp_path, isas=("avx512",)).stored[:1]

    assert record.outcome is Outcome.UNSUPPORTED
    assert "this processor cannot run avx512: it lacks avx512bw" in str(record.reason)
    assert record.measurement is None


def test_a_framework_without_switches_is_unsupported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lend_framework(monkeypatch, "abacus", "")

    (record,) = measure(tmp_path, frameworks=("abacus",), isas=("sse41",)).stored[:1]

    assert record.outcome is Outcome.UNSUPPORTED
    assert "no switch is known that holds abacus to sse41" in str(record.reason)
