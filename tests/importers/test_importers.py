"""Real files of each format: what they state comes over in SI units, and what they do not state is not made up."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rigmark.bench import importers
from rigmark.bench.errors import UserError
from rigmark.bench.store.quoted import Quoted, QuotedLayer, impossible
from tests.history.test_asv_results import commit, folder, images, version_2

DATA = Path(__file__).parent / "data"
SCHEMA = json.loads((Path(__file__).parents[2] / "docs/quoted.schema.json").read_text(encoding="utf-8"))
FILES = sorted(DATA.glob("*/*"))         # in a folder for each format
FIRST = {path.parent.name: path for path in reversed(FILES)}


def rows(format: str, file: Path | None = None) -> tuple[Quoted, ...]:
    return importers.read(format, file or FIRST[format]).rows


def stated(row: Quoted, *names: str) -> list[Any]:
    return [getattr(row, name) for name in names]


def csv_of(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_every_format_has_a_real_file_here():
    assert {*FIRST, "asv", "csv"} == set(importers.NAMES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_table_holds_to_its_schema_and_knows_its_file(path: Path):
    table = importers.read(path.parent.name, path, title="a table", licence="MIT").plain()

    jsonschema.validate(json.loads(json.dumps(table, allow_nan=False)), SCHEMA, jsonschema.Draft202012Validator)
    assert (path.name, "quoted", 64) == (table["source"]["file"], table["origin"], len(table["source"]["sha256"]))


@pytest.mark.parametrize("format", sorted({*FIRST, "asv"}))
def test_a_file_of_another_format_is_refused_in_a_sentence(format: str, tmp_path: Path):
    with pytest.raises(UserError, match="is not "):
        importers.read(format, csv_of(tmp_path, "colour,size\nred,3\n"))


def test_timm_tells_device_and_precision_by_the_name_of_its_file_alone():
    first = rows("timm")[0]

    assert ["test_vit", "inference", "fp16", "nchw", "rtx4090", "gpu", "2.4.0", 1024] == stated(
        first, "model", "mode", "precision", "layout", "device_name", "device", "framework_version", "local_batch")
    assert (188343.61, pytest.approx(5.426e-3), pytest.approx(0.08e9), pytest.approx(0.37e6)) == (
        first.throughput_samples_per_s, first.step_time_s, first.flops_per_sample, first.parameters)
    assert {"cuda": "12.4", "image_size": "160"} == first.conditions


@pytest.mark.parametrize(("name", "facts"), [
    ("amp_bf16-nchw-pt291-cu130-mycard", {"precision": "bf16", "device_name": "mycard", "framework_version": "2.9.1"}),
    ("bf16-nhwc-pt2100-cu130-pro6000maxq-dynamo",
     {"precision": "bf16_pure", "layout": "channels_last", "framework_version": "2.10.0", "compile_mode": "compiled",
      "device_name": "pro6000maxq"}),
    ("amp-nchw-pt112-cu113-rtx-3090", {"framework_version": "1.12", "device_name": "rtx-3090", "device": "gpu"}),
    ("fp8-nchw-pt240-cpu-i9", {"precision": None, "device": "cpu", "device_name": "i9"}),
])
def test_each_word_in_the_name_of_a_table_of_timm_has_its_place(name: str, facts: dict[str, Any], tmp_path: Path):
    path = csv_of(tmp_path, "model,infer_samples_per_sec\na,1.0\n", f"benchmark-infer-{name}.csv")

    table = importers.read("timm", path)

    assert facts == {fact: getattr(table.rows[0], fact) for fact in facts}
    assert name.startswith("fp8") == any("'fp8', which is not understood" in note for note in table.notes)


def test_rounding_of_figures_with_few_digits_is_kept(tmp_path: Path):
    path = csv_of(tmp_path, "model,infer_samples_per_sec,infer_step_time\na,0.05,21270.331\n")

    (row,) = rows("timm", path)

    assert {"throughput_samples_per_s": pytest.approx(0.005)} == row.rounding


def test_a_log_of_caffe_has_its_layers_its_passes_and_its_batch():
    (row,) = rows("caffe_time")

    assert ["vgg_a", "training", "caffe", "gpu", 64, "synthetic"] == stated(
        row, "model", "mode", "framework", "device", "local_batch", "data")
    assert pytest.approx((0.680247, 0.222822, 0.457345)) == tuple(
        stated(row, "step_time_s", "forward_time_s", "backward_time_s"))
    assert 10 == len(row.timings_s)
    assert ("conv2d", "forward", pytest.approx(12.5526e-3)) == (
        row.layers[0].op, row.layers[0].direction, row.layers[0].time_s)
    assert ["conv2d", "relu", "dense"] == list(dict.fromkeys(layer.op for layer in row.layers))


DATA_LAYER = """layer {
  name: "data"
  type: "Data"
  data_param {
    source: "my_lmdb"
    batch_size: 32
  }
}
layer {
  name: "flat"
  type: "Reshape"
  reshape_param {
    shape {
      dim: 0
      dim: 21
    }
  }
}
"""


def caffe_log(definition: str, *times: str) -> str:
    lines = (
        "caffe.cpp:352] Use CPU.", f"net.cpp:58] Initializing net from parameters: \nname: \"MyNet\"\n{definition}",
        "caffe.cpp:374] *** Benchmark begins ***", *(f"caffe.cpp:374] {time}" for time in times),
    )
    return "".join(f"I1005 05:58:45.000000  1233 {line.rstrip()}\n" for line in lines)


BOTH_WAYS = ("Iteration: 1 forward-backward time: 53 ms.", "Average Forward pass: 22.5 ms.",
             "Average Backward pass: 31.0 ms.", "Average Forward-Backward: 53.6 ms.")


@pytest.mark.parametrize(("definition", "batch", "data"), [
    (DATA_LAYER, 32, "my_lmdb"), ('input: "data"\ninput_dim: 16\ninput_dim: 3\ninput_dim: 8\ninput_dim: 8\n', 16,
                                  "synthetic"),
    ('input: "data"\ninput_shape {\n  dim: 4\n  dim: 3\n}\n', 4, "synthetic"),
    (DATA_LAYER.replace("    batch_size: 32\n", ""), None, "my_lmdb"),
    (DATA_LAYER + DATA_LAYER.replace("32", "8"), None, "my_lmdb"),
    (DATA_LAYER.replace("32", "0"), None, "my_lmdb"),
    ("", None, None),
])
def test_the_batch_of_caffe_is_that_of_the_layers_that_give_data(
    definition: str, batch: int | None, data: str | None, tmp_path: Path
):
    (row,) = rows("caffe_time", csv_of(tmp_path, caffe_log(definition, *BOTH_WAYS), "a.log"))

    assert ["MyNet", batch, data, "cpu", "training", pytest.approx(0.0536)] == stated(
        row, "model", "local_batch", "data", "device", "mode", "step_time_s")


def test_caffe_told_to_go_forward_only_is_inference(tmp_path: Path):
    log = caffe_log(DATA_LAYER, "Iteration: 1 forward time: 22 ms.", "Average Forward pass: 22.5 ms.",
                    "Total Time: 22 ms.")

    (row,) = rows("caffe_time", csv_of(tmp_path, log, "a.log"))

    assert ["inference", pytest.approx(0.0225), None, (pytest.approx(0.022),)] == stated(
        row, "mode", "step_time_s", "backward_time_s", "timings_s")


def test_a_log_of_caffe_that_was_cut_off_within_its_averages_is_not_inference(tmp_path: Path):
    with pytest.raises(UserError, match="has no averages and was left out"):
        rows("caffe_time", csv_of(tmp_path, caffe_log(DATA_LAYER, *BOTH_WAYS[:2]), "a.log"))


def test_cnn_benchmarks_states_single_passes_and_no_figure():
    (row,) = rows("cnn_benchmarks")

    assert ["resnet-152", "GeForce GTX 1080 Ti", 16, None, None] == stated(
        row, "model", "device_name", "local_batch", "step_time_s", "throughput_samples_per_s")
    assert (10, 10, 10) == (len(row.timings_s), len(row.forward_timings_s), len(row.backward_timings_s))


def test_tf_cnn_benchmarks_counts_all_devices_and_not_one_rank():
    (row,) = rows("tf_cnn_benchmarks")

    assert ["resnet101", "training", 308.27, 2, 64, "gpu", "nchw", "horovod"] == stated(
        row, "model", "mode", "throughput_samples_per_s", "world_size", "local_batch", "device", "layout", "strategy")


def tf_cnn(each: str = "64", variables: str = "replicated", devices: str = "'/gpu:0', '/gpu:1'") -> str:
    return (f"TensorFlow:  1.15\nModel:       resnet50\nMode:        training\nBatch size:  128 global\n"
            f"             {each} per device\nDevices:     [{devices}]\nVariables:   {variables}\n==========\n")


def total(figure: float) -> str:
    return f"90\timages/sec: 1.0 +/- 0.4 (jitter = 3.7)\t8.4\n----\ntotal images/sec: {figure}\n----\n"


@pytest.mark.parametrize(("text", "kept", "note"), [
    (tf_cnn() + total(301.1) + tf_cnn() + total(15.17), [301.1, 15.17], None),
    (tf_cnn() + tf_cnn() + total(301.1) + total(15.17), [301.1, 15.17], "2 totals .* are separate results"),
    (tf_cnn(variables="horovod") * 2 + total(196.31) + total(196.29), [196.29], None),
    (tf_cnn(variables="horovod") + total(196.29) + total(196.31), [196.29], None),
    (tf_cnn(variables="horovod") * 2 + total(196.31) + total(20.0), [196.31, 20.0], "2 totals"),
    (tf_cnn() * 2 + total(301.1), [301.1], "of the 2 processes from line 1 only 1 printed"),
])
def test_totals_of_several_processes_in_one_log_are_one_of_one_job_and_each_of_others(
    text: str, kept: list[float], note: str | None, tmp_path: Path
):
    table = importers.read("tf_cnn_benchmarks", csv_of(tmp_path, text, "log.txt"))

    assert kept == [row.throughput_samples_per_s for row in table.rows]
    notes = [each for each in table.notes if "precision" not in each]
    assert 1 == len(notes) and re.search(note, notes[0]) if note else notes == []


def test_processes_of_different_settings_that_wrote_at_the_same_time_are_refused(tmp_path: Path):
    path = csv_of(tmp_path, tf_cnn() + tf_cnn(each="32") + total(301.1) + total(15.17), "log.txt")

    with pytest.raises(UserError, match="line 1: 2 processes with different settings wrote at the same time"):
        importers.read("tf_cnn_benchmarks", path)


def test_lines_that_two_ranks_wrote_in_turn_are_distinguished_by_what_their_launcher_put_before_them(tmp_path: Path):
    one, other = ([f"[1,{rank}]<stdout>:{line}\n" for line in tf_cnn(variables="horovod").splitlines()]
                  for rank in (0, 1))
    mixed = "".join(line for pair in zip(one, other, strict=True) for line in pair) + total(196.29)

    (row,) = rows("tf_cnn_benchmarks", csv_of(tmp_path, mixed, "log.txt"))

    assert ["resnet50", 64, 2, 196.29] == stated(row, "model", "local_batch", "world_size", "throughput_samples_per_s")


@pytest.mark.parametrize(("each", "batch", "world_size"), [("64", 64, 2), ("64.0", 64, 2), ("128.0", 128, 1)])
def test_a_batch_per_device_is_a_whole_number_however_python_prints_it(
    each: str, batch: int, world_size: int, tmp_path: Path
):
    (row,) = rows("tf_cnn_benchmarks", csv_of(tmp_path, tf_cnn(each=each) + total(9.0), "log.txt"))

    assert [batch, world_size] == stated(row, "local_batch", "world_size")


def test_a_batch_that_is_no_whole_number_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"the batch per device in line 11 is '2\.5'"):
        rows("tf_cnn_benchmarks", csv_of(tmp_path, tf_cnn(each="2.5") + total(9.0), "log.txt"))


def test_a_gpu_that_tensorflow_saw_is_not_the_device_of_a_run_on_the_cpu(tmp_path: Path):
    seen = "device: 0, name: Tesla K80, pci bus id: 0\n"
    (row,) = rows("tf_cnn_benchmarks", csv_of(tmp_path, seen + tf_cnn(devices="'/cpu:0'") + total(9.0), "log.txt"))

    assert ["cpu", None] == stated(row, "device", "device_name")


def test_a_run_that_did_not_come_to_its_total_is_no_result(tmp_path: Path):
    cut = FIRST["tf_cnn_benchmarks"].read_text().partition("-----")[0]

    with pytest.raises(UserError, match="the run at line 1 has no line 'total images/sec'"):
        importers.read("tf_cnn_benchmarks", csv_of(tmp_path, cut, "log.txt"))


def optimum(folder: Path, arguments: dict[str, Any], **backend: Any) -> tuple[Quoted, ...]:
    latency = {"unit": "s", "values": [2.0, 0.5], "mean": 1.25, "p50": 1.25}
    phase = {"latency": latency, "throughput": {"unit": "samples/s", "value": 32.0}}
    config = {
        "backend": {"name": "pytorch", "model": "bert", "device": "cuda", **backend},
        "scenario": {"name": "training", "training_arguments": arguments}, "environment": {"gpu": ["A100", "T4"]},
    }
    report = dict.fromkeys(("overall", "warmup", "train"), phase)
    return rows("optimum_benchmark", csv_of(folder, json.dumps({"config": config, "report": report}), "b.json"))


def test_training_of_optimum_is_its_steps_after_the_warm_up_of_all_accumulated_batches(tmp_path: Path):
    (row,) = optimum(tmp_path, {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2, "fp16": True})

    assert ["train", "training", 16, "fp16"] == stated(row, "line", "mode", "local_batch", "precision")
    assert row.device_name is None       # of two kinds


def test_what_optimum_does_not_state_of_training_is_not_made_up(tmp_path: Path):
    (row,) = optimum(tmp_path, {"fp16": False}, torch_dtype="bfloat16", device="mps")

    assert [None, "bf16_pure", "gpu", {"phase": "train", "accelerator": "mps"}] == stated(
        row, "local_batch", "precision", "device", "conditions")


def test_optimum_keeps_loading_apart_from_inference_and_names_the_device_that_ran():
    load, forward = rows("optimum_benchmark")

    assert [None, None, None] == stated(load, "mode", "local_batch", "throughput_samples_per_s")
    assert ["inference", 64, pytest.approx(5.6489, rel=1e-4), None] == stated(
        forward, "mode", "local_batch", "throughput_samples_per_s", "precision")
    assert "Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz" == forward.device_name     # and not the T4 beside it
    assert 10 == len(forward.timings_s)


def test_pytest_benchmark_states_mean_and_median():
    (row,) = rows("pytest_benchmark")

    assert (pytest.approx(2.4907e-7, rel=1e-4), pytest.approx(2.2017e-7, rel=1e-4), "mean", None) == (
        row.step_time_s, row.median_time_s, row.statistic, row.mode)


def test_commit_and_date_of_pytest_benchmark_tell_runs_apart_and_no_device_is_made_up():
    (row,) = rows("pytest_benchmark")

    assert ["2015-08-14T16:06:07.146833", None, None] == stated(row, "measured_at", "device", "device_name")
    assert {"revision": "b87b9aae14ff14a7887a6bbaa9731b9a8760555d", "changed": "since that revision",
            "processor": "x86_64", "python": "2.7.3"} == row.conditions


def mlperf(folder: Path, stated: dict[str, Any], name: str = "mlperf_log_detail.txt") -> Path:
    lines = [f':::MLLOG {json.dumps({"key": key, "value": value})}\n' for key, value in stated.items()]
    return csv_of(folder, "".join(lines), name)


SINGLE_STREAM = {
    "sut_name": "MY_SUT", "effective_scenario": "SingleStream", "effective_samples_per_query": 1,
    "result_validity": "VALID", "result_qps_with_loadgen_overhead": 1200.0,
    "result_qps_without_loadgen_overhead": 1250.0, "result_mean_latency_ns": 800000,
    "result_90.00_percentile_latency_ns": 808000,
}


def test_a_single_stream_has_its_mean_its_90th_percentile_and_its_queries_per_second(tmp_path: Path):
    (row,) = rows("mlperf", mlperf(tmp_path, SINGLE_STREAM))

    assert [pytest.approx(8e-4), pytest.approx(8.08e-4), 1250.0, 1200.0, 1] == stated(
        row, "step_time_s", "latency_p90_s", "throughput_samples_per_s", "value", "local_batch")


def test_the_latency_of_a_multi_stream_is_that_of_its_queries(tmp_path: Path):
    (row,) = rows("mlperf", mlperf(tmp_path, {
        "effective_scenario": "MultiStream", "effective_samples_per_query": 8, "result_validity": "VALID",
        "result_99.00_percentile_latency_ns": 1, "result_99.00_percentile_per_query_latency_ns": 8000000,
    }))

    assert [pytest.approx(8e-3), None, None] == stated(row, "latency_p99_s", "local_batch", "throughput_samples_per_s")


def test_a_harness_is_no_network_and_what_is_not_named_is_asked_for_and_compared_with_nothing(tmp_path: Path):
    first, second = (
        importers.read("mlperf", mlperf(tmp_path, {**SINGLE_STREAM, "result_mean_latency_ns": ns})) for ns in (8, 9)
    )

    assert "MY_SUT" == first.rows[0].conditions["sut"]
    assert "unnamed (mlperf_log_detail.txt, " in first.rows[0].model != second.rows[0].model
    assert any("add --set model=NAME" in note for note in first.notes)
    named = importers.read("mlperf", tmp_path / "mlperf_log_detail.txt", stated={"model": "resnet50"})
    assert "resnet50" == named.rows[0].model
    assert not any("model=" in note for note in named.notes)


def test_the_file_that_is_wanted_of_those_of_loadgen_is_named(tmp_path: Path):
    summary = csv_of(tmp_path, "====\nMLPerf Results Summary\n====\nSUT name : A\n", "mlperf_log_summary.txt")

    with pytest.raises(UserError, match=r"only the summary of a run; name the mlperf_log_detail\.txt"):
        importers.read("mlperf", summary)
    with pytest.raises(UserError, match=r"of LoadGen's files name mlperf_log_detail\.txt"):
        importers.read("mlperf", csv_of(tmp_path, "[]", "mlperf_log_accuracy.json"))


def test_two_runs_in_one_log_of_mlperf_are_refused(tmp_path: Path):
    path = mlperf(tmp_path, SINGLE_STREAM)
    path.write_text(path.read_text() * 2)

    with pytest.raises(UserError, match=r"it contains 2 runs \(its key 'result_validity' repeats\); split it"):
        importers.read("mlperf", path)


def test_the_batch_of_a_training_of_mlperf_is_that_of_all_micro_batches(tmp_path: Path):
    run = {"run_start": None, "run_stop": None, "micro_batch_size": 2}
    text = mlperf(tmp_path, {**run, "gradient_accumulation_steps": 4}).read_text().replace(
        '"value": null', '"value": null, "time_ms": 5, "metadata": {"status": "success"}')

    (row,) = rows("mlperf", csv_of(tmp_path, text, "log.txt"))
    (unknown,) = rows("mlperf", DATA / "mlperf/mlperf_training.log")

    assert [8, None] == [row.local_batch, unknown.local_batch]


def test_loadgen_gives_its_rate_and_percentiles_and_says_when_it_calls_a_run_invalid(tmp_path: Path):
    (row,) = rows("mlperf")
    broken = FIRST["mlperf"].read_text().replace('"VALID"', '"INVALID"')
    (invalid,) = importers.read("mlperf", csv_of(tmp_path, broken, "log.txt")).rows

    assert [479.775, pytest.approx(1313.09, rel=1e-4), 68781.4, "tokens/s", "ok"] == stated(
        row, "throughput_samples_per_s", "latency_p99_s", "value", "unit", "outcome")
    assert "Offline" == row.conditions["scenario"]
    assert ("crashed", "LoadGen calls the run INVALID") == (invalid.outcome, invalid.reason)


def test_a_training_log_of_mlperf_gives_the_time_to_its_target():
    (row,) = rows("mlperf", DATA / "mlperf/mlperf_training.log")

    assert ["llama31_8b", "MI355X", pytest.approx(5178.14), "s to the quality target", None] == stated(
        row, "model", "device_name", "value", "unit", "step_time_s")


def test_asv_gives_a_line_for_each_commit(tmp_path: Path):
    commits = folder(tmp_path / "asv", version_2(1, images(90.0)), version_2(2, images(95.0)))
    result = importers.read("asv", commits).rows

    assert [("bench.track_images", 90.0, commit(1)), ("bench.track_images", 95.0, commit(2))] == [
        (row.model, row.throughput_samples_per_s, row.conditions["revision"]) for row in result
    ]


def test_columns_of_a_csv_get_our_names_and_units_and_others_tell_lines_apart(tmp_path: Path):
    path = csv_of(tmp_path, "net,gpus,rate,step_time_ms,platform\nVGG16,2,259,\"1,250.5\",DGX-1\n")
    columns = {"net": "model", "gpus": "world_size", "rate": "throughput_samples_per_s"}

    (row,) = importers.read("csv", path, columns=columns, stated={"device": "gpu", "local_batch": "64"}).rows

    assert ["VGG16", 2, 64, 259.0, pytest.approx(1.2505), "gpu", {"platform": "DGX-1"}] == stated(
        row, "model", "world_size", "local_batch", "throughput_samples_per_s", "step_time_s", "device", "conditions")


def test_nothing_is_none_and_a_zero_stays_for_the_audit(tmp_path: Path):
    path = csv_of(tmp_path, "model,step_time_s,latency_p99_s\na,0,n/a\nb,-,1\nc,0.5,nan\n")

    assert [(0.0, None), (None, 1.0), (0.5, None)] == [
        (row.step_time_s, row.latency_p99_s) for row in importers.read("csv", path).rows
    ]


@pytest.mark.parametrize(("text", "decimal", "figure"), [
    ("0,123", ",", 0.123), ("1.250,5", ",", 1250.5), ("1.250", ",", 1250.0), ("1,250", ",", 1.25), ("12", ",", 12.0),
    ("1,250", ".", 1250.0), ("1,250.5", ".", 1250.5), ("1.250", ".", 1.25), (".5", ".", 0.5), ("5.", ".", 5.0),
    ("1,250.5", None, 1250.5), ("1,250,500", None, 1250500.0), ("1.250", None, 1.25), ("-1.5e-3", None, -0.0015),
    ("1e3", None, 1000.0),
])
def test_decimals_and_thousands_are_read_as_the_user_or_the_number_says(
    text: str, decimal: str | None, figure: float
):
    result = importers.cell(text, "x", decimal=decimal)

    assert result is not None
    assert figure == result.value


@pytest.mark.parametrize(("text", "decimal", "words"), [
    ("0,123", None, "has a decimal comma; state it with --decimal ,"), ("12,5", None, "has a decimal comma"),
    ("1.250,5", None, "has a decimal comma"), ("1,250", None, "may be 1250 or 1.250; state the decimal sign"),
    ("0,123", ".", "not a number with the decimal sign '.'"), ("0.123", ",", "not a number with the decimal sign ','"),
    ("12.5", ",", "not a number with the decimal sign ','"), ("1,25,000", None, "not a number"),
    ("1_0", None, "not a number"), ("١٢", None, "not a number"), ("1 250", None, "not a number"),
    ("true", None, "not a number"), ("0x10", None, "not a number"),
    (",", None, "not a number"), ("1e9999", None, "not a number"), ("infinity", None, "is infinite"),
])
def test_a_number_that_is_none_or_could_be_two_is_refused(text: str, decimal: str | None, words: str):
    with pytest.raises(importers.BadFigure, match=re.escape(words)):
        importers.cell(text, "x", decimal=decimal)


def test_a_table_with_semicolons_is_read_once_its_decimals_are_stated(tmp_path: Path):
    path = csv_of(tmp_path, "model;step_time_s\nalexnet;0,123\n")

    (row,) = importers.read("csv", path, decimal=",").rows

    assert ["alexnet", 0.123, {"step_time_s": pytest.approx(0.0005)}] == stated(row, "model", "step_time_s", "rounding")
    with pytest.raises(UserError, match="--decimal takes a point or a comma"):
        importers.read("csv", path, decimal=";")
    with pytest.raises(UserError, match="format 'timm' does not take --decimal"):
        importers.read("timm", path, decimal=",")


IMPOSSIBLE = {
    "local_batch": ("-1", "0", "2.5", "1e308", "nine"), "world_size": ("0", "-2"),
    "step_time_s": ("-0.5", "1e308", "5e-324", "true", "1_0", "inf"), "throughput_samples_per_s": ("-1",),
    "peak_memory_bytes": ("-5",), "latency_p90_s": ("-1",),
}


@pytest.mark.parametrize(("name", "figure"), [(name, each) for name, all_ in IMPOSSIBLE.items() for each in all_])
def test_a_line_that_cannot_be_is_refused_in_a_sentence_and_stands_in_no_table(
    name: str, figure: str, tmp_path: Path
):
    other = "step_time_ms" if name != "step_time_s" else "value"
    path = csv_of(tmp_path, f"model,{name},{other}\ngood,1,1\nbad,{figure},1\n")

    table = importers.read("csv", path)

    assert ["good"] == [row.model for row in table.rows]
    (sentence,) = table.refused
    assert "line 3" in sentence
    assert name in sentence
    assert f"1 result cannot be and was left out: {sentence}" == table.plain()["notes"][-1]


@pytest.mark.parametrize("figure", ["NaN", "Infinity", "-1", "1e308", "5e-324", "true", '"0.1"', "1" + "0" * 200])
def test_a_figure_of_json_that_cannot_be_is_refused(figure: str, tmp_path: Path):
    text = FIRST["pytest_benchmark"].read_text().replace("2.490662441566053e-07", figure)

    with pytest.raises(UserError, match=r"benchmarks\[0\]"):
        importers.read("pytest_benchmark", csv_of(tmp_path, text, "a.json"))


def test_a_fact_that_is_no_text_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"train \(bert\): framework is 3, which is no text"):
        optimum(tmp_path, {}, name=3)


@pytest.mark.parametrize(("figures", "said"), [
    ({"step_time_s": 1e30}, ["step_time_s is 1e+30, which no figure can be"]),
    ({"timings_s": (1.0, 1e-11)}, ["timings_s is 1e-11, which no figure can be"]),
    ({"layers": (QuotedLayer(layer="fc", op="dense", direction="forward", time_s=1e9),)},
     ["the time of layer 'fc' is 1e+09, which no figure can be"]),
    ({"throughput_samples_per_s": 1e12, "step_time_s": 1e7, "forward_time_s": 1e-9}, []),
])
def test_a_time_of_a_table_is_one_that_a_record_may_hold_too(figures: dict[str, Any], said: list[str]):
    assert said == [*impossible(Quoted(line="1", model="m", **figures))]


def test_what_a_file_holds_is_told_in_one_line_of_bounded_length(tmp_path: Path):
    path = csv_of(tmp_path, f'model,step_time_s\na,1\nb,"0,\n123{"x" * 100_000}"\n"c\x1bc",-1\n')

    number, negative = importers.read("csv", path).refused

    assert r"step_time_s in line 4 is '0,\n123xxx" in number
    assert len(number) < 1100
    assert r"line 5 (c\x1bc): step_time_s is -1, and must not be negative" == negative


def test_a_gap_in_single_timings_is_refused_and_not_closed(tmp_path: Path):
    text = re.sub(r'("forward_times": ?\[)[\d.e-]+', r"\1null", FIRST["cnn_benchmarks"].read_text())

    with pytest.raises(UserError, match="forward_times in the file has no number in place 1"):
        importers.read("cnn_benchmarks", csv_of(tmp_path, text, "a.json"))


def test_lines_without_a_figure_are_no_results_unless_they_tell_why(tmp_path: Path):
    path = csv_of(tmp_path, "model,outcome,step_time_s,parameters\na,,0.5,1\nb,,,1\nc,out_of_memory,,1\n")

    table = importers.read("csv", path)

    assert ["a", "c"] == [row.model for row in table.rows]
    assert "1 line without a figure left out: line 3 (b)" in table.notes


@pytest.mark.parametrize("format", importers.NAMES)
@pytest.mark.parametrize("content", [
    "[" * 100_000, '{"a": ' + "9" * 5000 + "}", "a,b\n" + "x" * 200_000, ",".join("abc" for _ in range(100_000)),
    "{}", "[]", "null", '{"benchmarks": 3, "machine_info": 4}', '{"report": {"a": {"latency": 3}}}',
    ':::MLLOG {"key": 3}\n:::MLLOG ' + "[" * 100_000,
])
def test_no_text_makes_an_importer_end_in_anything_but_a_sentence(format: str, content: str, tmp_path: Path):
    with pytest.raises(UserError) as told:
        importers.read(format, csv_of(tmp_path, content))

    assert "\n" not in str(told.value)


@pytest.mark.parametrize("format", importers.NAMES)
def test_what_is_no_regular_file_is_refused_without_waiting_for_it(format: str, tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path / "a\0b", tmp_path):
        with pytest.raises(UserError, match=r"cannot read|is not a|no asv results"):
            importers.read(format, path)


def test_a_file_whose_name_is_not_utf_8_has_a_name_that_can_be_stored(tmp_path: Path):
    path = csv_of(tmp_path, "model,step_time_s\na,0.5\n", os.fsdecode(b"caf\xe9.csv"))

    assert r"caf\udce9.csv" == importers.read("csv", path).source.file


@pytest.mark.parametrize(("text", "options", "words"), [
    ("model,throughput_sample_per_s\na,1\n", {}, "did you mean 'throughput_samples_per_s'"),
    ("model,step_time_s\na,fast\n", {}, "step_time_s in line 2 is 'fast', which is not a number"),
    ("model,step_time_s\na,inf\n", {}, "is infinite"),
    ("model,step_time_s,local_batch\na,1,1.5\n", {}, "not a whole number of at least 1"),
    ("model,colour\na,red\n", {}, "no column of it is a figure"),
    ("step_time_s\n1\n", {}, "no column has the name model"),
    ("model,step_time_s\na\n", {}, "line 2 has 1 cell, but the head has 2; the file seems to be cut off"),
    ("model;step_time_s\na;1\n", {}, "its cells are separated by ';'; save it with commas"),
    ("model,mode,step_time_s\na,train,1\n", {}, "line 2: no mode 'train'; did you mean 'training'"),
    ("", {}, "it is empty"), ("\0\1", {}, "it is no text"),
    ("model,model,step_time_s\na,b,1\n", {}, "two columns have the name 'model'"),
    ("model,step_time_s\n", {}, "contains no result"),
    ("model,step_time_s\na,1\n", {"columns": {"rate": "value"}}, "has no column 'rate'"),
    ("model,step_time_s\na,1\n", {"columns": {"model": "word_size"}}, "did you mean 'world_size'"),
    ("model,step_time_s\na,1\n", {"stated": {"colour": "red"}}, "no fact of a result 'colour'"),
    ("model,step_time_s\na,1\n", {"stated": {"local_batch": "many"}}, "local_batch is 'many'"),
])
def test_a_csv_that_cannot_be_understood_is_reported_in_a_sentence(
    text: str, options: dict[str, Any], words: str, tmp_path: Path
):
    with pytest.raises(UserError, match=words):
        importers.read("csv", csv_of(tmp_path, text), **options)


def test_only_a_format_with_columns_takes_names_for_them_and_formats_have_near_names(tmp_path: Path):
    with pytest.raises(UserError, match="format 'timm' does not take --column"):
        importers.read("timm", FIRST["timm"], columns={"a": "model"})
    with pytest.raises(UserError, match="did you mean 'timm'"):
        importers.read("tim", FIRST["timm"])
    with pytest.raises(UserError, match=r"cannot read .*: No such file"):
        importers.read("timm", tmp_path / "nothing.csv")
    with pytest.raises(UserError, match=r"^no column .modell.; did you mean"):
        importers.read("csv", csv_of(tmp_path, "net,step_time_s\na,1\n"), columns={"net": "modell"})
