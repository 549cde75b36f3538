"""CSV tables of timm's benchmark.py, as in results/ of huggingface/pytorch-image-models.

Columns ``infer_*`` and ``train_*``: samples per second, step time in ms of a whole batch, the batch that fitted,
parameters in millions, GMACs. Device, precision, layout and versions stand in the name of the file only:
benchmark-infer-amp-nchw-pt240-cu124-rtx4090.csv.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rigmark.bench.importers import NotThisFormat, Read, number, table, whole, without_end
from rigmark.bench.store.quoted import Quoted

TITLE = "a result table of timm's benchmark.py"
MODES = {"infer": "inference", "train": "training"}
PRECISIONS = {"amp": "fp16", "fp32": "fp32", "fp16": "fp16_pure", "bf16": "bf16_pure", "bfloat16": "bf16_pure"}
"""amp is autocast to float16 with weights in float32, as our fp16."""
LAYOUTS = {"nchw": "nchw", "nhwc": "channels_last"}


def read(path: Path) -> Read:
    of_file, conditions = _of_name(path.stem)
    rows = []
    for number_of_line, cells in table(path):
        if "model" not in cells or not any(f"{mode}_samples_per_sec" in cells for mode in MODES):
            raise NotThisFormat("it has no columns 'model' and 'infer_samples_per_sec' or 'train_samples_per_sec'")
        rows += list(_rows(number_of_line, cells, of_file, conditions))
    notes = () if of_file else ("its name, unlike theirs, tells nothing of device, precision and versions",)
    return Read(rows=tuple(rows), notes=(*notes, *without_end(path)))


def _rows(
    line: int, cells: dict[str, str], of_file: dict[str, Any], conditions: dict[str, str]
) -> Iterator[Quoted]:
    for prefix, mode in MODES.items():
        throughput = number(cells.get(f"{prefix}_samples_per_sec"), f"{prefix}_samples_per_sec in line {line}")
        step_time_s = number(cells.get(f"{prefix}_step_time"), f"{prefix}_step_time in line {line}", 1e-3)
        if throughput is None and step_time_s is None:
            continue
        size = cells.get(f"{prefix}_img_size", "")
        gmacs = number(cells.get(f"{prefix}_gmacs"), f"{prefix}_gmacs in line {line}", 2e9)
        yield Quoted(
            line=f"line {line}", model=cells["model"], mode=mode, throughput_samples_per_s=throughput,
            step_time_s=step_time_s, statistic="mean", conditions=conditions | ({"image_size": size} if size else {}),
            local_batch=whole(cells.get(f"{prefix}_batch_size"), f"{prefix}_batch_size in line {line}"),
            parameters=number(cells.get("param_count"), f"param_count in line {line}", 1e6),
            flops_per_sample=gmacs, world_size=1, framework="torch", data="synthetic", **of_file,
        )


def _of_name(name: str) -> tuple[dict[str, Any], dict[str, str]]:
    """What the name of a file says of all its lines; nothing where it is not made as theirs are."""
    words = name.lower().split("-")
    if words[0] != "benchmark" or len(words) < 2:
        return {}, {}
    facts: dict[str, Any] = {"compile_mode": "eager"}
    conditions: dict[str, str] = {}
    device: list[str] = []
    for word in words[1:]:
        if word in PRECISIONS:
            facts["precision"] = PRECISIONS[word]
        elif word in LAYOUTS:
            facts["layout"] = LAYOUTS[word]
        elif found := re.fullmatch(r"pt(\d)(\d+)", word):
            # pt240 is 2.4.0, and pt112 is 1.12.
            digits = found[2] if found[1] == "1" else ".".join(found[2])
            facts["framework_version"] = f"{found[1]}.{digits}"
        elif found := re.fullmatch(r"cu(\d+)(\d)", word):
            conditions["cuda"] = f"{found[1]}.{found[2]}"
            facts["device"] = "gpu"
        elif word == "cpu":
            facts["device"] = "cpu"
        elif word in ("dynamo", "compile"):
            facts["compile_mode"] = "compiled"
        elif word not in MODES:
            device.append(word)
    if device:
        facts["device_name"] = "-".join(device)
    return facts, conditions
