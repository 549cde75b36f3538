"""Real files of each format: what they state comes over in SI units, and what they do not state is not made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rigmark.bench import importers
from rigmark.bench.errors import UserError
from rigmark.bench.store.quoted import Quoted
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


def test_a_log_of_caffe_has_its_layers_its_passes_and_its_batch():
    (row,) = rows("caffe_time")

    assert ["vgg_a", "training", "caffe", "gpu", 64] == stated(
        row, "model", "mode", "framework", "device", "local_batch")
    assert pytest.approx((0.680247, 0.222822, 0.457345)) == tuple(
        stated(row, "step_time_s", "forward_time_s", "backward_time_s"))
    assert 10 == len(row.timings_s)
    assert ("conv2d", "forward", pytest.approx(12.5526e-3)) == (
        row.layers[0].op, row.layers[0].direction, row.layers[0].time_s)
    assert ["conv2d", "relu", "dense"] == list(dict.fromkeys(layer.op for layer in row.layers))


def test_cnn_benchmarks_states_single_passes_and_no_figure():
    (row,) = rows("cnn_benchmarks")

    assert ["resnet-152", "GeForce GTX 1080 Ti", 16, None, None] == stated(
        row, "model", "device_name", "local_batch", "step_time_s", "throughput_samples_per_s")
    assert (10, 10, 10) == (len(row.timings_s), len(row.forward_timings_s), len(row.backward_timings_s))


def test_tf_cnn_benchmarks_counts_all_devices_and_not_one_rank():
    (row,) = rows("tf_cnn_benchmarks")

    assert ["resnet101", "training", 308.27, 2, 64, "gpu", "nchw", "horovod"] == stated(
        row, "model", "mode", "throughput_samples_per_s", "world_size", "local_batch", "device", "layout", "strategy")


def test_a_run_that_did_not_come_to_its_total_is_no_result(tmp_path: Path):
    cut = FIRST["tf_cnn_benchmarks"].read_text().partition("-----")[0]

    with pytest.raises(UserError, match="the run at line 1 has no line 'total images/sec'"):
        importers.read("tf_cnn_benchmarks", csv_of(tmp_path, cut, "log.txt"))


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
    found = importers.read("asv", folder(tmp_path / "asv", version_2(1, images(90.0)), version_2(2, images(95.0)))).rows

    assert [("bench.track_images", 90.0, commit(1)), ("bench.track_images", 95.0, commit(2))] == [
        (row.model, row.throughput_samples_per_s, row.conditions["revision"]) for row in found
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


@pytest.mark.parametrize(("text", "options", "words"), [
    ("model,throughput_sample_per_s\na,1\n", {}, "did you mean 'throughput_samples_per_s'"),
    ("model,step_time_s\na,fast\n", {}, "step_time_s in line 2 is 'fast', which is no number"),
    ("model,step_time_s\na,inf\n", {}, "is infinite"),
    ("model,step_time_s,local_batch\na,1,1.5\n", {}, "no whole number from 1"),
    ("model,colour\na,red\n", {}, "no column of it is a figure"),
    ("step_time_s\n1\n", {}, "line 2 names no model"),
    ("model,step_time_s\na\n", {}, "line 2 has 1 cell and the head 2; the file seems to be cut off"),
    ("model;step_time_s\na;1\n", {}, "its cells are separated by ';'; save it with commas"),
    ("model,mode,step_time_s\na,train,1\n", {}, "line 2: no mode 'train'; did you mean 'training'"),
    ("", {}, "it is empty"), ("\0\1", {}, "it is no text"),
    ("model,model,step_time_s\na,b,1\n", {}, "two columns are called 'model'"),
    ("model,step_time_s\n", {}, "no result in it"),
    ("model,step_time_s\na,1\n", {"columns": {"rate": "value"}}, "has no column 'rate'"),
    ("model,step_time_s\na,1\n", {"columns": {"model": "word_size"}}, "did you mean 'world_size'"),
    ("model,step_time_s\na,1\n", {"stated": {"colour": "red"}}, "no fact of a result 'colour'"),
    ("model,step_time_s\na,1\n", {"stated": {"local_batch": "many"}}, "local_batch is 'many'"),
])
def test_a_csv_that_cannot_be_understood_is_told_in_a_sentence(
    text: str, options: dict[str, Any], words: str, tmp_path: Path
):
    with pytest.raises(UserError, match=words):
        importers.read("csv", csv_of(tmp_path, text), **options)


def test_only_a_format_with_columns_takes_names_for_them_and_formats_have_near_names(tmp_path: Path):
    with pytest.raises(UserError, match="format 'timm' has no columns to name"):
        importers.read("timm", FIRST["timm"], columns={"a": "model"})
    with pytest.raises(UserError, match="did you mean 'timm'"):
        importers.read("tim", FIRST["timm"])
    with pytest.raises(UserError, match=r"cannot read .*: No such file"):
        importers.read("timm", tmp_path / "nothing.csv")
