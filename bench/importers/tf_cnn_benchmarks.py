"""Output of scripts/tf_cnn_benchmarks of tensorflow/benchmarks: the settings, and images per second of all devices.

The running means that it prints are of single ranks, and are not timings; only totals are read. Several processes may
write into one log: the ranks of one job, each with the same total, or independent jobs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rigmark.bench.importers import BadFigure, NotThisFormat, Read, Refused, counted, text
from rigmark.bench.store.quoted import Quoted

TITLE = "output of tf_cnn_benchmarks"
LAUNCHER = r"^(.*\||\[\d+,\d+\]<\w+>:)? ?(?:INFO:tensorflow:|[IWEF]\d{4} \S+\s+\d+ \S+\] ?)?"
"""The prefix that a launcher may put before each line: "worker-0 | ", or "[1,0]<stdout>:" of mpirun; the prefix of a
logger may follow."""
SETTING = re.compile(
    LAUNCHER + r"(TensorFlow|Model|Dataset|Mode|Batch size|Devices|Data format|Variables|Optimizer):\s+(\S.*?)\s*$"
)
PER_DEVICE = re.compile(LAUNCHER + r"\s+(\S+) per device\s*$")
END = re.compile(LAUNCHER + r"==========\s*$")
TOTAL = re.compile(LAUNCHER + r"total images/sec: (\S+)\s*$")
DEVICE = re.compile(r"device: \d+, name: ([^,]+), pci bus id")
MODES = {"training": "training", "forward-only": "inference", "BenchmarkMode.TRAIN": "training",
         "BenchmarkMode.FORWARD_ONLY": "inference"}
ONE_JOB = ("horovod", "kungfu", "distributed_all_reduce", "collective_all_reduce")
"""Settings of --variable_update with which each process prints the total of the whole job."""
SAME_TOTAL = 1.05            # factor by which the totals of one job differ among its processes


@dataclass
class _Run:
    """Processes that ran at the same time: their settings, and the totals that they printed."""

    line: int                                                        # of the first
    settings: list[dict[str, str]] = field(default_factory=list)     # of each process that printed them
    totals: list[tuple[int, str]] = field(default_factory=list)      # (line, images per second as printed)


def read(path: Path) -> Read:
    lines = text(path).splitlines()
    runs = list(_runs(lines))
    if not runs:
        raise NotThisFormat("it has no line 'TensorFlow:  VERSION'")
    gpus = {name for line in lines for name in DEVICE.findall(line)}
    gpu = next(iter(gpus)) if len(gpus) == 1 else None
    rows: list[Quoted] = []
    notes: list[str] = []
    refused = Refused()
    for run in runs:
        if any(_of_all_tasks(settings) != _of_all_tasks(run.settings[0]) for settings in run.settings):
            refused.sentences.append(
                f"line {run.line}: {len(run.settings)} processes with different settings wrote at the same time, so "
                "it is not known which total belongs to which; give each its own file"
            )
            continue
        notes += _notes(run)
        for line, total in _kept(run):
            with refused.line(f"line {line}"):
                rows.append(_row(run.settings[0], line, total, gpu))
    return Read(rows=tuple(rows), notes=tuple(notes), refused=tuple(refused.sentences))


def _runs(lines: list[str]) -> Iterator[_Run]:
    """The runs in a log. Settings that follow a total begin a new run; processes that print their settings before the
    first total belong to the same run. Settings are the lines from "TensorFlow:" to "====", per launcher prefix."""
    run: _Run | None = None
    reading: dict[str | None, dict[str, str]] = {}       # by the prefix of the launcher
    for number, line in enumerate(lines, start=1):
        if (match := SETTING.match(line)) and match[2] == "TensorFlow":
            if run is None or run.totals:
                if run is not None:
                    yield run
                run = _Run(line=number)
            reading[match[1]] = {match[2]: match[3]}
            run.settings.append(reading[match[1]])
        elif match and match[1] in reading:
            reading[match[1]].setdefault(match[2], match[3])
        elif (match := PER_DEVICE.match(line)) and match[1] in reading:
            reading[match[1]].setdefault("per device", match[2])
        elif match := END.match(line):
            reading.pop(match[1], None)
        elif run is not None and (match := TOTAL.match(line)):
            run.totals.append((number, match[2]))
    if run is not None:
        yield run


def _of_all_tasks(settings: dict[str, str]) -> dict[str, str]:
    """Settings without the number of the task that printed them."""
    return {name: re.sub(r"/task:\d+", "/task", stated) for name, stated in settings.items()}


def _is_one_job(run: _Run) -> bool:
    figures = [_figure(total) for _, total in run.totals]
    return run.settings[0].get("Variables") in ONE_JOB and max(figures) <= SAME_TOTAL * min(figures)


def _kept(run: _Run) -> list[tuple[int, str]]:
    """(line, images per second) of a run: of one job the total of its slowest rank, else every total."""
    if len(run.totals) > 1 and _is_one_job(run):
        return [min(run.totals, key=lambda total: _figure(total[1]))]
    return run.totals


def _notes(run: _Run) -> Iterator[str]:
    processes, totals = len(run.settings), len(run.totals)
    if not totals:
        yield f"the run at line {run.line} has no line 'total images/sec' and was left out"
    elif totals < processes:
        yield f"of the {processes} processes from line {run.line} only {totals} printed a line 'total images/sec'"
    if totals > 1 and not _is_one_job(run):
        yield (f"{counted(totals, 'total')} of the processes from line {run.line} are separate results: it is not "
               "known whether they belong to one job")


def _figure(stated: str) -> float:
    try:
        return float(stated)
    except ValueError:
        return math.nan


def _row(stated: dict[str, str], line: int, total: str, gpu: str | None) -> Quoted:
    batch_of_all = re.match(r"(\d+) global", stated.get("Batch size", ""))
    of_each = _batch(stated.get("per device"))
    devices = re.findall(r"'([^']+)'", stated.get("Devices", ""))
    size = int(batch_of_all[1]) / of_each if batch_of_all and of_each else len(devices)
    device = None if not devices else "gpu" if "gpu" in devices[0] else "cpu"
    return Quoted(
        line=f"line {line}", model=stated.get("Model", ""), mode=MODES.get(stated.get("Mode", "")),
        framework="tensorflow", framework_version=stated.get("TensorFlow"), compile_mode="compiled",
        layout={"NCHW": "nchw", "NHWC": "channels_last"}.get(stated.get("Data format", "")),
        data=stated.get("Dataset"), strategy=stated.get("Variables"), local_batch=of_each,
        world_size=int(size) if size and size == int(size) else None, device=device,
        device_name=gpu if device == "gpu" else None,
        conditions={"optimizer": stated["Optimizer"]} if "Optimizer" in stated else {},
        throughput_samples_per_s=_total(total),
    )


def _batch(stated: str | None) -> int | None:
    """The batch per device, which Python 3 prints as 128.0; raises BadFigure if it is not a whole number."""
    if stated is None:
        return None
    if not (match := re.fullmatch(r"(\d+)(\.0*)?", stated)):
        raise BadFigure("the batch per device", f"is '{stated}', which is not a whole number")
    return int(match[1])


def _total(stated: str) -> float:
    figure = _figure(stated)
    if math.isnan(figure):
        raise BadFigure("total images/sec", f"is '{stated}', which is not a number")
    return figure
