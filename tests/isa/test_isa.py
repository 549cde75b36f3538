"""A sweep over instruction sets, measured for real: what was asked for is set, and what ran is seen."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest

from rigmark.bench.analysis.comparison.pairs import differences
from rigmark.bench.builds import build as builds
from rigmark.bench.builds.build import Build
from rigmark.bench.devices import CPU
from rigmark.bench.enums import Isa, Mode, Outcome, StartMethod, TrialKind
from rigmark.bench.errors import UserError
from rigmark.bench.launch import agents
from rigmark.bench.machine import hardware, isa
from rigmark.bench.plan.schedule import Trial, plan, proof_case
from rigmark.bench.plan.sweep import Sweep
from rigmark.bench.processes.launch import Launch
from rigmark.bench.processes.spawn import Answer, not_run
from rigmark.bench.runner.runner import Runner
from rigmark.bench.store.store import Store
from rigmark.bench.trials.context import Base
from tests.fakes import SHORT, Answering, lend_framework, make_case, measure, oracle_answers
from tests.records import as_stored
from tests.store.test_record import complaints

HAS_AVX2 = isa.refusal("numpy", Isa.AVX2, CPU, hardware.cpu_features()) is None


def runner(folder: Path, known: dict[str, Build], **more: Any) -> Runner:
    shutil.copytree(oracle_answers(), folder / "results" / "oracle", dirs_exist_ok=True)
    store = Store(folder / "results").create()
    return Runner(store, known, suite="test", command="rigmark", deadline_s=60.0, telemetry=False, **more)


KERNELS = {"sse41": "Nehalem", "avx2": "Haswell"}


@pytest.mark.skipif(not HAS_AVX2, reason="this processor has no AVX2")
@pytest.mark.parametrize("start_method", StartMethod)
def test_a_framework_held_to_a_level_runs_it_and_its_record_proves_it(tmp_path: Path, start_method: StartMethod):
    tally = measure(tmp_path, isas=(Isa.SSE41, Isa.AVX2), timing=replace(SHORT, start_method=start_method))
    timed = {r.identity.case["isa"]: r for r in tally.stored if r.identity.kind == TrialKind.TIMING}

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
    assert {r.isa for r in tally.stored if r.identity.kind == TrialKind.PROOF} == {None}


def test_a_sweep_that_asks_for_no_level_sets_nothing_and_watches_nothing(tmp_path: Path):
    record = measure(tmp_path).stored[-1]

    assert record.identity.case["isa"] == "native"
    assert record.isa is None
    assert "NPY_DISABLE_CPU_FEATURES" not in record.identity.build["variables"]
    assert record.cpus == list(hardware.usable_cpus()[:1])


@pytest.mark.skipif(not HAS_AVX2, reason="this processor has no AVX2")
def test_the_instruction_set_of_a_build_does_not_depend_on_other_trials_of_the_call(tmp_path: Path):
    """A record is the same, whatever other trials are in the call."""
    (tmp_path / builds.FILE).write_text('[build.held]\nisa = "avx2"\n')
    known, cores = builds.load(tmp_path), len(hardware.usable_cpus())
    sweep = Sweep(
        models=("mlp",), frameworks=("numpy",), modes=(Mode.INFERENCE,), local_batches=(2,), threads=(1,),
        repetitions=1, timing=SHORT, builds=("default", "held"),
    )
    trials = plan([sweep], cores=cores, seed=1, limited_builds=builds.limited_builds(known))

    with runner(tmp_path, known) as measuring:
        for trial in trials:
            measuring.run([trial])
        stored = [measuring._store.plain(measuring.key(trial))[1] for trial in trials]

    timed = {record["identity"]["case"]["build"]: record for record in stored if record["measurement"]}
    assert ("native", "avx2") == tuple(timed[build]["identity"]["case"]["isa"] for build in ("default", "held"))
    assert ("native", "avx2") == tuple(timed[build]["isa"]["asked"] for build in ("default", "held"))
    assert KERNELS["avx2"] in timed["held"]["measurement"]["facts"]["blas"]
    assert timed["held"]["identity"]["build"]["variables"].items() >= isa.variables("numpy", "avx2").items()
    assert {"native", "avx2"} == {record["identity"]["case"]["isa"] for record in stored if record["parity"]}


@pytest.mark.skipif(not HAS_AVX2, reason="this processor has no AVX2")
@pytest.mark.parametrize("is_new_held", [True, False])
def test_each_side_of_a_pair_is_held_to_what_its_own_build_is(tmp_path: Path, is_new_held: bool):
    free = Build(name="default", interpreter=sys.executable)
    held = Build(name="held", interpreter=sys.executable, isa="sse41")
    base, new = (free, held) if is_new_held else (held, free)
    case, cores = make_case(build=new.name), len(hardware.usable_cpus())
    pair = Trial(kind=TrialKind.PAIR, case=case, timing=SHORT)

    with runner(tmp_path, {"default": free, base.name: base}) as of_base, runner(
        tmp_path, {"default": free, new.name: new}, base=Base(context=of_base.context, build=base.name)
    ) as of_new:
        for each, build in ((of_base, base), (of_new, new)):
            each.run([Trial(kind=TrialKind.PROOF, case=replace(proof_case(case, cores), build=build.name))])
        (result,) = of_new.run([pair]).stored
    record, measured = json.loads(json.dumps(result.plain())), as_stored(result)

    assert "ok" == record["outcome"], record["reason"]
    assert [] == complaints(record)
    sides = {"base": record["identity"]["base"], "new": record["identity"]["build"]}
    levels = {"base": record["identity"]["base"]["isa"], "new": record["identity"]["case"]["isa"]}
    assert levels == {"base": "native", "new": "sse41"} if is_new_held else {"base": "sse41", "new": "native"}
    for side, level in levels.items():
        assert (level == "sse41") == ("Nehalem" in record["pair"][side]["facts"]["blas"])
        assert (level == "sse41") == ("NPY_DISABLE_CPU_FEATURES" in sides[side]["variables"])
        assert level == record["pair"][side]["isa"]["asked"]
    assert any(difference.startswith("isa: ") for difference in differences(measured.identity))


def test_a_side_whose_build_asks_for_more_than_the_processor_has_is_unsupported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hardware, "cpu_features", lambda: frozenset({"sse4_1", "avx2", "fma"}))
    known = {"default": Build(name="default", interpreter=sys.executable),
             "held": Build(name="held", interpreter=sys.executable, isa="avx512")}
    pair = Trial(kind=TrialKind.PAIR, case=make_case(build="held"), timing=SHORT)

    with runner(tmp_path, known) as of_base, runner(
        tmp_path, known, base=Base(context=of_base.context, build="default")
    ) as of_new:
        of_base.run([Trial(kind=TrialKind.PROOF, case=proof_case(make_case(), len(hardware.usable_cpus())))])
        (record,) = of_new.run([pair]).stored

    assert Outcome.UNSUPPORTED is record.outcome
    assert "new: this processor cannot run avx512" in str(record.reason)


def test_another_set_than_that_of_the_build_is_refused_before_anything_is_measured(tmp_path: Path):
    held = Build(name="held", interpreter=sys.executable, isa="sse41")
    trials = [Trial(kind=TrialKind.TIMING, case=make_case(build="held", isa=level), timing=SHORT)
              for level in (Isa.NATIVE, Isa.AVX2)]

    refused = pytest.raises(UserError, match="build 'held' is limited to sse41 and cannot run avx2")
    with runner(tmp_path, {"default": held, "held": held}) as measuring, refused:
        measuring.run(trials)

    assert [] == list((tmp_path / "results" / "records").iterdir())


def test_a_rank_on_another_machine_is_held_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    started: list[Launch] = []

    def run(launch: Launch, *_: Any, **__: Any) -> Answer:
        started.append(launch)
        return not_run(Outcome.CRASHED, "not asked")

    monkeypatch.setattr(agents, "run_worker", run)
    here, there = Pipe()
    order = agents._order(
        Launch.of(
            Build(name="default", interpreter="elsewhere"), tmp_path, cpus=[0], threads=1, deadline_s=1.0,
            isa=Isa.AVX2, rank=1,
        ), {"framework": "numpy"},
    )

    agents._do(json.loads(json.dumps(order)), there, tmp_path, tmp_path, builds.load(tmp_path))

    assert "not asked" == json.loads(here.recv_bytes())["reason"]
    assert started[0].environment.items() >= isa.variables("numpy", "avx2").items()
    assert sys.executable == started[0].build.interpreter


def test_a_level_above_the_processor_is_unsupported_and_starts_no_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hardware, "cpu_features", lambda: frozenset({"sse4_1", "avx2", "fma"}))

    launcher = Answering()

    record, *_ = measure(tmp_path, launcher=launcher, isas=(Isa.AVX512,)).stored

    assert ["probe"] == launcher.asked
    assert record.outcome is Outcome.UNSUPPORTED
    assert "this processor cannot run avx512: it lacks avx512bw" in str(record.reason)
    assert record.measurement is None


def test_a_framework_without_switches_is_unsupported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lend_framework(monkeypatch, "abacus", "")

    (record,) = measure(tmp_path, launcher=Answering(), frameworks=("abacus",), isas=(Isa.SSE41,)).stored[:1]

    assert record.outcome is Outcome.UNSUPPORTED
    assert "no variable is known that limits abacus to sse41" in str(record.reason)
