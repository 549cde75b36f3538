"""JSON of jcjohnson/cnn-benchmarks: seconds of ten forward and backward passes in Torch, one network per file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from rigmark.bench.importers import NotThisFormat, Read, Refused, json_object, numbers, whole
from rigmark.bench.store.quoted import Quoted

TITLE = "a result of cnn-benchmarks"


def read(path: Path) -> Read:
    content = json_object(path)
    missing = [name for name in ("forward_times", "backward_times", "total_times", "opt") if name not in content]
    if missing:
        raise NotThisFormat(f"it has no '{missing[0]}'")
    settings = content["opt"]
    conditions = {
        "cudnn": str(content.get("cudnn_version", "none")),
        "image": f"{settings['image_height']} x {settings['image_width']}",
        "update": "no weights are updated",
    }
    rows, refused = [], Refused()
    with refused.line("the file"):
        rows.append(_row(content, settings, conditions))
    return Read(rows=tuple(rows), refused=tuple(refused.sentences))


def _row(content: Mapping[str, Any], settings: Mapping[str, Any], conditions: Mapping[str, str]) -> Quoted:
    is_cpu = content.get("gpu_name") == "cpu"
    return Quoted(
        line="the file", model=PurePosixPath(settings["model_t7"]).stem, mode="training", framework="torch7",
        device=None if "gpu_name" not in content else "cpu" if is_cpu else "gpu",
        device_name=None if is_cpu else content.get("gpu_name"), data="synthetic",
        local_batch=whole(settings["batch_size"], "batch_size"), world_size=1, conditions=conditions,
        timings_s=numbers(content["total_times"], "total_times"),
        forward_timings_s=numbers(content["forward_times"], "forward_times"),
        backward_timings_s=numbers(content["backward_times"], "backward_times"),
    )
