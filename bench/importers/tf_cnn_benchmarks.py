"""What scripts/tf_cnn_benchmarks of tensorflow/benchmarks prints: the settings, and images a second of all devices.

The running means that it prints on the way are of single ranks, and are no timings; only the total is taken.
"""

from __future__ import annotations

import re
from pathlib import Path

from rigmark.bench.importers import NotThisFormat, Read, text
from rigmark.bench.store.quoted import Quoted

TITLE = "output of tf_cnn_benchmarks"
SETTING = re.compile(
    r"^(?:.*\| ?)?(TensorFlow|Model|Dataset|Mode|Batch size|Devices|Data format|Variables|Optimizer):\s+(\S.*?)\s*$"
)
"""A launcher may have put its own words and a bar before each line."""
TOTAL = re.compile(r"total images/sec: ([\d.]+)")
DEVICE = re.compile(r"device: \d+, name: ([^,]+), pci bus id")
MODES = {"training": "training", "forward-only": "inference", "BenchmarkMode.TRAIN": "training",
         "BenchmarkMode.FORWARD_ONLY": "inference"}


def read(path: Path) -> Read:
    lines = text(path).splitlines()
    begins = [index for index, line in enumerate(lines) if re.match(r"^(?:.*\| ?)?TensorFlow:\s+\d", line)]
    if not begins:
        raise NotThisFormat("it has no line 'TensorFlow:  VERSION'")
    names = dict.fromkeys(name for line in lines for name in DEVICE.findall(line))
    rows, notes = [], []
    for begin, end in zip(begins, [*begins[1:], len(lines)], strict=True):
        row = _row(lines[begin:end], begin + 1, next(iter(names)) if len(names) == 1 else None)
        if row is None:
            notes.append(f"the run at line {begin + 1} has no line 'total images/sec' and was left out")
        else:
            rows.append(row)
    return Read(rows=tuple(rows), notes=tuple(notes))


def _row(lines: list[str], line: int, device_name: str | None) -> Quoted | None:
    totals = [float(total) for each in lines for total in TOTAL.findall(each)]
    if not totals:
        return None
    stated = {found[1]: found[2] for each in lines if (found := SETTING.match(each))}
    batch_of_all = re.match(r"(\d+) global", stated.get("Batch size", ""))
    of_each = next((int(found[1]) for each in lines if (found := re.search(r"(\d+)\.? per device", each))), None)
    devices = re.findall(r"'([^']+)'", stated.get("Devices", ""))
    size = int(batch_of_all[1]) // of_each if batch_of_all and of_each else len(devices) or None
    return Quoted(
        line=f"line {line}", model=stated.get("Model", "unnamed"), mode=MODES.get(stated.get("Mode", "")),
        framework="tensorflow", framework_version=stated.get("TensorFlow"), compile_mode="compiled",
        layout={"NCHW": "nchw", "NHWC": "channels_last"}.get(stated.get("Data format", "")),
        data=stated.get("Dataset"), strategy=stated.get("Variables"), local_batch=of_each, world_size=size,
        device=None if not devices else "gpu" if "gpu" in devices[0] else "cpu", device_name=device_name,
        conditions={"optimizer": stated["Optimizer"]} if "Optimizer" in stated else {},
        throughput_samples_per_s=totals[-1],
    )
