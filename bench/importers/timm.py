"""CSV tables of timm's benchmark.py, as in results/ of huggingface/pytorch-image-models.

Columns ``infer_*`` and ``train_*``: samples per second, step time in ms of a whole batch, the batch that fitted,
parameters in millions, GMACs. Device, precision, layout and versions are only in the name of the file:
benchmark-infer-amp-nchw-pt240-cu124-rtx4090.csv, that is, -MODE-PRECISION-LAYOUT-PYTORCH-CUDA or cpu-DEVICE, and
-dynamo at the end if torch.compile was used. A word in another place is not taken for a device.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rigmark.bench.importers import NotThisFormat, Read, Refused, cell, table, whole_cell, without_end
from rigmark.bench.store.quoted import Quoted

TITLE = "a result table of timm's benchmark.py"
MODES = {"infer": "inference", "train": "training"}
PRECISIONS = {
    "amp": "fp16", "amp_fp16": "fp16", "amp_float16": "fp16", "amp_bf16": "bf16", "amp_bfloat16": "bf16",
    "fp32": "fp32", "float32": "fp32", "fp16": "fp16_pure", "float16": "fp16_pure", "bf16": "bf16_pure",
    "bfloat16": "bf16_pure",
}
"""amp is autocast to float16 unless stated otherwise, with weights in float32, like our fp16 and bf16."""
LAYOUTS = {"nchw": "nchw", "nhwc": "channels_last"}
COMPILED = ("dynamo", "compile")
FIGURES = {
    "samples_per_sec": ("throughput_samples_per_s", 1.0), "step_time": ("step_time_s", 1e-3),
    "gmacs": ("flops_per_sample", 2e9),
}
"""Our names and scales of columns whose names begin with a mode."""
DECIMAL = "."


@dataclass
class _Named:
    """The facts in the name of a file, which hold for all its lines."""

    facts: dict[str, Any] = field(default_factory=dict)
    conditions: dict[str, str] = field(default_factory=dict)
    strange: list[str] = field(default_factory=list)     # words of the name with no known meaning


def read(path: Path) -> Read:
    named = _of_name(path.stem)
    rows: list[Quoted] = []
    refused = Refused()
    for line, cells in table(path):
        if "model" not in cells or not any(f"{mode}_samples_per_sec" in cells for mode in MODES):
            raise NotThisFormat("it has no columns 'model' and 'infer_samples_per_sec' or 'train_samples_per_sec'")
        with refused.line(f"line {line}"):
            rows += _rows(line, cells, named)
    return Read(rows=tuple(rows), notes=(*_notes(named), *without_end(path)), refused=tuple(refused.sentences))


def _notes(named: _Named) -> Iterator[str]:
    if not named.facts:
        yield "its name, unlike those of timm, does not state device, precision and versions"
    if named.strange:
        yield f"its name has {', '.join(map(repr, named.strange))}, which is not understood; add --set NAME=VALUE"


def _rows(line: int, cells: dict[str, str], named: _Named) -> Iterator[Quoted]:
    for prefix, mode in MODES.items():
        if f"{prefix}_samples_per_sec" not in cells:
            continue
        figures: dict[str, Any] = {}
        rounding: dict[str, float] = {}
        stated = {"param_count": ("parameters", 1e6)} | {f"{prefix}_{name}": ours for name, ours in FIGURES.items()}
        for column, (name, scale) in stated.items():
            if figure := cell(cells.get(column, ""), column, scale, DECIMAL):
                figures[name] = figure.value
                if figure.rounding is not None:
                    rounding[name] = figure.rounding
        size = cells.get(f"{prefix}_img_size", "")
        yield Quoted(
            line=f"line {line}", model=cells["model"], mode=mode, statistic="mean",
            conditions=named.conditions | ({"image_size": size} if size else {}),
            local_batch=whole_cell(cells.get(f"{prefix}_batch_size", ""), f"{prefix}_batch_size", DECIMAL),
            world_size=1, framework="torch", data="synthetic", rounding=rounding, **figures, **named.facts,
        )


def _of_name(name: str) -> _Named:
    """The facts in a file name; empty if the name is not built as those of timm are."""
    words = name.lower().split("-")
    named = _Named()
    if words[0] != "benchmark" or len(words) < 2:
        return named
    named.facts["compile_mode"] = "eager"
    device: list[str] = []
    is_platform_over = False             # the device follows the versions of PyTorch and CUDA
    for word in words[1:]:
        if word in COMPILED:
            named.facts["compile_mode"] = "compiled"
        elif is_platform_over:
            device.append(word)
        elif word in PRECISIONS:
            named.facts["precision"] = PRECISIONS[word]
        elif word in LAYOUTS:
            named.facts["layout"] = LAYOUTS[word]
        elif match := re.fullmatch(r"pt(\d)(\d+)", word):
            named.facts["framework_version"] = _version(match[1], match[2])
        elif match := re.fullmatch(r"cu(\d+)(\d)", word):
            named.conditions["cuda"] = f"{match[1]}.{match[2]}"
            named.facts["device"] = "gpu"
            is_platform_over = True
        elif word == "cpu":
            named.facts["device"] = "cpu"
            is_platform_over = True
        elif word not in MODES:
            named.strange.append(word)
    if device:
        named.facts["device_name"] = "-".join(device)
    return named


def _version(major: str, digits: str) -> str:
    """The version in a name: pt240 is 2.4.0 and pt2100 is 2.10.0; from 1.10 on the last number is missing: pt112."""
    length = 2 if major == "1" and digits[0] == "1" else max(1, len(digits) - 1) if major != "1" else 1
    return ".".join(filter(None, [major, digits[:length], digits[length:]]))
