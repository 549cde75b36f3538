"""The schema of a stored record: it holds for every kind and outcome, and describes every field."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rigmark.bench.enums import CompileMode, Isa, Layout, Mode, Outcome, Precision, StartMethod, TrialKind
from rigmark.bench.ir.training import LOSSES
from rigmark.bench.machine.hardware import Machine
from rigmark.bench.plan.case import Case, Timing
from rigmark.bench.store import stored as stored_records
from rigmark.bench.store.record import SCHEMA, Identity, Record
from rigmark.bench.trials.kinds import pair
from rigmark.bench.trials.parity import Parity, Tolerance
from rigmark.bench.worker import microbenchmarks
from tests.records import (
    CASE,
    LIMIT_CASE,
    PARITY,
    WORLD,
    build_facts,
    make_record,
    measurement,
    watched,
    with_measurement,
)

PATH = Path(__file__).parents[2] / "docs/record.schema.json"
DOCUMENT: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
DEFINED = DOCUMENT["$defs"]
VALIDATOR = jsonschema.Draft202012Validator(DOCUMENT, format_checker=jsonschema.FormatChecker())

WITH_FIELDS = {
    "record": DOCUMENT, **{name: part for name, part in DEFINED.items() if "properties" in part},
    "flops_per_sample": DEFINED["graph"]["properties"]["flops_per_sample"],
    "tolerance": DEFINED["parity"]["properties"]["tolerance"],
}
FIELDS = {f"{part}.{name}": field for part, of in WITH_FIELDS.items() for name, field in of["properties"].items()}

UNITS = {"_s": ("second",), "_bytes": ("bytes",), "_error": ("dimensionless",), "_losses": ("dimensionless",)}


def stored(record: Record) -> Any:
    """As a reader finds it, in strict JSON."""
    return json.loads(json.dumps(record.plain(), allow_nan=False))


def complaints(plain: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(plain)]


# Records hold to the schema --------------------------------------------------------------------------------------


def records() -> Iterator[Record]:
    for kind in TrialKind:
        for outcome in Outcome:
            yield make_record(kind, outcome)
    yield make_record("serving", measurement=measurement())
    work = microbenchmarks.work("launch", Precision.FP32)
    yield make_record("serving", measurement=measurement(), graph=None, work=work)
    yield make_record(load_before=None)
    two = dataclasses.replace(CASE, world_size=2, strategy="ddp")
    yield make_record(case=two, world=WORLD)
    unknown = {**dict.fromkeys(WORLD["communication"]), "problem": "it does not say"}
    yield make_record(case=two, world={**WORLD, "communication": unknown})
    silent = dict.fromkeys(("nodes", "rank_timings_s", "rank_cpu_times_s", "communication", "sent_bytes"))
    yield make_record(TrialKind.PROOF, case=two, world={"processes": 2, **silent})
    yield make_record(case=dataclasses.replace(CASE, isa=Isa.AVX2), isa=watched("avx2"))
    yield make_record(case=dataclasses.replace(CASE, isa=Isa.AVX512), isa=watched("avx512", gemm="avx2"))
    yield make_record(case=dataclasses.replace(CASE, isa=Isa.SSE41), isa=watched("sse41", gemm=None))
    yield make_record(case=dataclasses.replace(CASE, mode=Mode.INFERENCE))
    yield make_record(TrialKind.LIMIT, case=dataclasses.replace(LIMIT_CASE, model="jpeg_decode", local_batch=16))
    yield with_measurement(make_record(), last_loss=None, peak_memory_bytes=None, other_cpu_time_s=None)
    nowhere = {**build_facts(), "python": None, "framework_version": None, "packages": {"torch": None}}
    yield make_record(outcome=Outcome.BUILD_BROKEN, build=nowhere)
    not_finite = dataclasses.replace(PARITY, output_error=float("inf"), losses=[2.3, float("nan")])
    result = {**not_finite.plain(), "facts": {}, "prepare_time_s": 0.1}
    yield make_record(TrialKind.PROOF, Outcome.PARITY_FAILED, parity=result)
    learnt = dataclasses.replace(
        PARITY, learning_losses=[2.3, 0.3], oracle_learning_losses=[2.3, 0.3], learning_accuracy=0.97,
        oracle_learning_accuracy=0.97,
    )
    yield make_record(TrialKind.PROOF, parity={**learnt.plain(), "facts": {}, "prepare_time_s": 0.1})


@pytest.mark.parametrize("record", list(records()), ids=lambda r: f"{r.identity.kind}-{r.outcome}")
def test_records_of_every_kind_and_outcome_hold_to_the_schema(record: Record):
    assert complaints(stored(record)) == []


def test_the_schema_itself_is_valid():
    jsonschema.Draft202012Validator.check_schema(DOCUMENT)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"reason": "but why"}, "$.reason"),
        ({"measurement": None}, "$.measurement"),
        ({"certificate": None}, "$.certificate"),
        ({"graph": None}, "$.graph"),
        ({"work": {"name": "launch", "flops": None, "bytes": None, "samples": None}}, "$.work"),
        ({"schema": SCHEMA + 1}, "$.schema"),
        ({"outcome": "fine"}, "$.outcome"),
        ({"identity": {**stored(make_record())["identity"], "kind": "Timing!"}}, "$.identity.kind"),
        ({"identity": {**stored(make_record())["identity"], "kind": "serving"}, "measurement": None}, "$"),
        ({"identity": {**stored(make_record())["identity"], "kind": "serving"}, "graph": None}, "$"),
        ({"id": "../../etc"}, "$.id"),
        ({"surprise": 1}, "$:"),
        ({"wall_time_s": None}, "$.wall_time_s"),
        ({"measurement": {**measurement(), "timings_s": [0.1, -0.1]}}, "$.measurement"),
        ({"measurement": {k: v for k, v in measurement().items() if k != "cpu_times_s"}}, "$.measurement"),
    ],
)
def test_what_is_no_record_is_refused(change: dict[str, Any], complaint: str):
    result = complaints({**stored(make_record()), **change})

    assert any(text.startswith(complaint) for text in result), result


@pytest.mark.parametrize("lost", ["work", "measurement"])
def test_a_limit_must_say_its_work_and_what_it_took(lost: str):
    assert complaints({**stored(make_record(TrialKind.LIMIT)), lost: None})


def test_a_pair_must_say_what_it_was_measured_against_and_no_other_trial_may():
    plain = stored(make_record(TrialKind.PAIR))

    assert complaints({**plain, "identity": {**plain["identity"], "base": None}})
    assert complaints({**plain, "pair": None})
    assert complaints({**stored(make_record()), "pair": plain["pair"]})


def test_a_failure_must_give_a_reason():
    assert complaints({**stored(make_record(outcome=Outcome.TIMEOUT)), "reason": None})


def test_a_proof_that_ends_must_say_what_it_found():
    for outcome in (Outcome.OK, Outcome.PARITY_FAILED):
        assert complaints({**stored(make_record(TrialKind.PROOF, outcome)), "parity": None})


# The schema describes everything ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "described"),
    [
        (Record, "record"), (Identity, "identity"), (Case, "case"), (Machine, "machine"), (Parity, "parity"),
        (Tolerance, "tolerance"), (Timing, "settings"),
    ],
)
def test_every_field_of_the_code_is_in_the_schema(part: Any, described: str):
    beside = {
        "record": {"id", "content"}, "machine": {"id"}, "parity": {"facts", "prepare_time_s"},
        "settings": {"seed", "weights", "original", *pair.SETTINGS},
    }
    expected = {field.name for field in dataclasses.fields(part)} | beside.get(described, set())

    assert set(WITH_FIELDS[described]["properties"]) == expected


MAY_LACK = ("settings", "marks", "layers", "layer_row", "case", "flops_per_sample", "measurement")
"""Parts that have fields of some trials alone, or that older records are without."""


@pytest.mark.parametrize(
    ("part", "described"),
    [
        (stored_records.StoredRecord, "record"), (stored_records.Identity, "identity"), (stored_records.Case, "case"),
        (stored_records.Build, "build"), (stored_records.Base, "base"), (stored_records.Settings, "settings"),
        (stored_records.Graph, "graph"), (stored_records.Work, "work"), (stored_records.Machine, "machine"),
        (stored_records.System, "system"), (stored_records.Measurement, "measurement"),
        (stored_records.PairSide, "side"), (stored_records.Pair, "pair"), (stored_records.LayerRow, "layer_row"),
        (stored_records.Layers, "layers"), (stored_records.Parity, "parity"), (stored_records.World, "world"),
        (stored_records.Communication, "communication"), (stored_records.IsaProof, "isa"),
        (stored_records.Telemetry, "telemetry"), (stored_records.WatchedDevice, "watched_device"),
        (stored_records.Region, "region"), (stored_records.RegionDevice, "region_device"),
        (stored_records.Sampler, "sampler"), (stored_records.Policy, "policy"),
        (stored_records.LastCheck, "last_check"),
    ],
)
def test_every_field_that_is_read_is_in_the_schema(part: Any, described: str):
    unknown = set(part.__struct_fields__) - set(WITH_FIELDS[described]["properties"])

    assert unknown <= ({"last_loss", "peak_memory_bytes", "peak_memory_method"} if described == "layers" else set())


@pytest.mark.parametrize("part", [part for part in WITH_FIELDS if part not in MAY_LACK])
def test_every_field_is_always_there(part: str):
    of_the_store = {"content"} if part == "record" else set()
    assert set(WITH_FIELDS[part]["required"]) == set(WITH_FIELDS[part]["properties"]) - of_the_store
    assert WITH_FIELDS[part]["additionalProperties"] is False


@pytest.mark.parametrize(
    ("field", "known"),
    [
        ("record.outcome", Outcome), ("case.compile_mode", CompileMode),
        ("case.isa", Isa), ("isa.asked", Isa), ("case.layout", Layout), ("case.precision", Precision),
        ("case.mode", Mode),
        ("settings.start_method", StartMethod), ("graph.loss", LOSSES),
    ],
)
def test_every_word_of_the_code_is_in_the_schema(field: str, known: Any):
    described = FIELDS[field]
    words = described["enum"] if "enum" in described else DEFINED[described["$ref"].rsplit("/", 1)[1]]["enum"]

    assert words == list(known)


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_is_described_with_its_unit_and_what_null_means(name: str):
    field = FIELDS[name]
    description = field["description"]
    target = DEFINED[field["$ref"].rsplit("/", 1)[1]] if "$ref" in field else field
    options = [target, *target.get("anyOf", ())]
    may_be_null = any("null" in (o.get("type") or ()) or "null" in str(o.get("items")) for o in options)

    assert len(description) > 10
    assert description.endswith(".")
    assert not may_be_null or "null" in description
    for suffix, units in UNITS.items():
        if name.endswith(suffix):
            assert any(unit in description.lower() for unit in units)


# Identity --------------------------------------------------------------------------------------------------------


def test_a_pair_with_another_base_is_another_pair():
    record = make_record(TrialKind.PAIR)
    assert record.identity.base is not None
    other = dataclasses.replace(record.identity, base={**record.identity.base, "framework_version": "2.11.0"})

    assert other.id != record.id


def test_the_id_follows_from_the_identity_alone():
    record = make_record()

    assert make_record(run_id="other", outcome=Outcome.CRASHED, wall_time_s=9.0).id == record.id
    assert stored(record)["id"] == record.id


@pytest.mark.parametrize(
    "change",
    [
        {"repetition": 1}, {"session": "2"}, {"code_version": "beef"}, {"graph_fingerprint": "beef"},
        {"build": build_facts(torch="2.12.0")}, {"case": dataclasses.replace(CASE, local_batch=8)},
        {"machine": Machine(cpu="other", microarchitecture="zen4", architecture="x86_64", cores=None, logical_cores=2,
                            memory_bytes=2**30, system="Linux 6.1")},
        {"kind": TrialKind.PROOF},
    ],
    ids=lambda change: next(iter(change)),
)
def test_everything_that_makes_it_another_trial_changes_the_id(change: dict[str, Any]):
    assert make_record(**change).id != make_record().id
