"""How large a report is, how long it takes to make and to paint: the reference report and one of 10,000 cases.

    python -m evidence.report_size [--cases 10000] [--repetitions 6] [--chromium /usr/bin/chromium] [--keep FOLDER]

The reference report holds 3 frameworks x 8 networks x 3 precisions, every layer of each network in each framework, and
the telemetry of 4 GPUs, 10 fields of 6,000 readings each. Records are synthetic. At most 1.5 MB and 1 s to paint;
10,000 cases in at most 20 s. The page is painted when the browser reports its largest content as painted.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rigmark import reports
from rigmark.bench import models
from rigmark.bench.reporting.gather import report
from rigmark.bench.store.record import Record
from rigmark.bench.store.store import Store
from rigmark.bench.telemetry import regions
from rigmark.bench.telemetry.series import Described, write_parquet
from rigmark.bench.telemetry.sources import Device, Field, Tier, load
from tests.reports import records

FRAMEWORKS = ("torch", "tensorflow", "jax")
MODELS = ("mlp", "mnist_cnn", "alexnet", "alexnet_one_tower", "vgg16", "resnet18", "resnet50", "lstm")
PRECISIONS = ("fp32", "bf16", "fp16")
GPUS, READINGS, RATE_HZ = 4, 6_000, 20.0
GPU_FIELDS = (
    "power_w", "busy_ratio", "memory_busy_ratio", "temperature_c", "memory_temperature_c", "sm_clock_hz",
    "memory_clock_hz", "memory_used_bytes", "clock_events", "fan_ratio",
)
MARKS = {
    "started": 0.0, "imported": 4.0, "prepared": 20.0, "loaded": 21.0, "warm_up": 22.0, "steady": 60.0, "timed": 299.0,
}
MOST_BYTES, MOST_PAINT_S, MOST_RENDER_S = 1_500_000, 1.0, 20.0


def reference(repetitions: int = 6) -> Iterator[Record]:
    """All trials; those of one case were watched."""
    for number, (framework, model, precision) in enumerate(itertools.product(FRAMEWORKS, MODELS, PRECISIONS)):
        of = {**records.case(framework), "model": model, "precision": precision, "data": "synthetic"}
        step_time_s = 0.01 * (1 + number % 24) * (1 + 0.07 * FRAMEWORKS.index(framework))
        yield records.proof(of)
        for repetition in range(repetitions):
            is_watched = (model, precision) == ("resnet50", "fp32")
            watched: dict[str, Any] = {}
            if is_watched:
                watched = {"telemetry": telemetry_block()}
            trial = records.timing(of, repetition, step_time_s, **watched)
            assert trial.measurement is not None
            yield dataclasses.replace(trial, measurement={**trial.measurement, "marks": MARKS}) if is_watched else trial
        if precision == "fp32":
            yield records.layer_trial(of, records.step_by_work(of, step_time_s))


def sources() -> list[Described]:
    """Four GPUs of which ten fields are read."""
    fields = {field.name: field for field in load("nvml").FIELDS}
    return [Described(
        name="nvml", rate_hz=RATE_HZ,
        fields=tuple(Field(name=name, meaning=fields[name].meaning, tier=Tier.FAST, flags=fields[name].flags)
                     for name in GPU_FIELDS),
        devices=tuple(Device(id=f"GPU-{i}", kind="gpu", name="NVIDIA H100", facts={"index": i}) for i in range(GPUS)),
    )]


def readings() -> np.ndarray[Any, Any]:
    """Readings: waves, noise, and clocks that heat reduced for a while."""
    random = np.random.default_rng(7)
    parts = []
    for gpu, (number, name) in itertools.product(range(GPUS), enumerate(GPU_FIELDS)):
        at_s = np.linspace(0.0, 300.0, READINGS) + 1e-4 * gpu
        busy = np.where((at_s > 22) & (at_s < 299), 0.97, 0.08)
        wave = busy + 0.02 * np.sin(at_s / 3 + gpu) + 0.01 * random.standard_normal(READINGS)
        largest = {"power_w": 700, "temperature_c": 88, "memory_temperature_c": 95, "sm_clock_hz": 1.98e9,
                   "memory_clock_hz": 2.6e9, "memory_used_bytes": 70 * 2**30}.get(name, 1.0)
        values = largest * np.clip(wave, 0.0, 1.0)
        if name == "clock_events":
            values = np.where((at_s > 150 + gpu) & (at_s < 171 + gpu), 1 << 5, 0)
        part = np.zeros(READINGS, np.dtype([
            ("begin_ns", "<i8"), ("end_ns", "<i8"), ("value", "<f8"), ("source", "u1"), ("reason", "u1"),
            ("device", "<u2"), ("field", "<u2"),
        ]))
        part["begin_ns"] = part["end_ns"] = (at_s * 1e9).astype(np.int64)
        part["value"], part["device"], part["field"] = values, gpu, number
        parts.append(part)
    return np.concatenate(parts)


def telemetry_block() -> dict[str, Any]:
    """Of the record that goes with ``readings``."""
    if not _BLOCK:
        devices, parts = regions.described(readings(), sources(), MARKS)
        _BLOCK.update({
            "rate_hz": RATE_HZ, "series": "telemetry/of-this-trial.parquet", "problem": None, "unavailable": {},
            "sampler": {"samples": READINGS, "overruns": 0, "cpu_time_s": 3.0, "late_p95_s": 0.001, "cpus": [0],
                        "niceness": 5},
            "devices": [{**device, "used": True} for device in devices], "regions": parts,
        })
    return _BLOCK


_BLOCK: dict[str, Any] = {}


def many(cases: int, repetitions: int) -> Iterator[Record]:
    """Timing trials of at least so many cases, ``repetitions`` of each."""
    batches = [2**i for i in range(10)]
    axes = itertools.product(
        range(1, 1 + math.ceil(cases / (len(batches) * 2 * len(MODELS) * 9))), batches, ("training", "inference"),
        PRECISIONS, MODELS, FRAMEWORKS,
    )
    for number, (threads, batch, mode, precision, model, framework) in enumerate(itertools.islice(axes, cases)):
        of = {**records.case(framework, mode), "model": model, "precision": precision, "local_batch": batch,
              "threads": threads, "data": "synthetic"}
        for repetition in range(repetitions):
            yield records.timing(of, repetition, 0.001 * batch * (1 + number % 7), certificate=None)


def stored(root: Path, trials: Iterable[Record]) -> Store:
    """As Store.put, without waiting for the disk."""
    store = Store(root).create()
    for record in trials:
        (root / "records" / f"{record.key}.json").write_text(json.dumps(record.plain()), encoding="utf-8")
    return store


def rendered(store: Store) -> tuple[str, float, float]:
    """The page, and the seconds and CPU seconds from reading the records to its last letter."""
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    page = reports.render("html", report(store).document)
    return page, time.perf_counter() - began_s, time.process_time() - began_cpu_s


def painted_s(page: Path, chromium: str) -> tuple[float, float]:
    """Seconds to the largest contentful paint, and until all scripts have run; with one browser on this machine."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.goto(f"file://{page.resolve()}")
        paint_ms = tab.evaluate(
            "new Promise((told) => new PerformanceObserver((list) => told(list.getEntries().at(-1).startTime))"
            ".observe({type: 'largest-contentful-paint', buffered: true}))"
        )
        ready_ms = tab.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
        browser.close()
    return paint_ms / 1e3, ready_ms / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000, help="of the large report; 0: none")
    parser.add_argument("--repetitions", type=int, default=6)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--keep", type=Path, help="folder for the pages")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        store = stored(Path(scratch) / "reference", reference(asked.repetitions))
        assert {"mlp", *MODELS} <= set(models.NAMES)
        (store.root / "telemetry").mkdir()
        for trial_id in store.trials().table.query("telemetry.notna()").id:
            write_parquet(store.root / "telemetry" / f"{trial_id}.parquet", readings(), sources())
        is_met = told("reference", *rendered(store), folder, asked.chromium, MOST_BYTES)
        if asked.cases:
            large = stored(Path(scratch) / "large", many(asked.cases, asked.repetitions))
            is_met &= told(f"{asked.cases:,} cases", *rendered(large), folder, asked.chromium, None)
    raise SystemExit(not is_met)


def told(
    name: str, text: str, took_s: float, cpu_s: float, folder: Path, chromium: str, most_bytes: int | None
) -> bool:
    """Print a line; whether what was promised holds. Where there is no such browser nothing is said of painting."""
    page = folder / f"{name.replace(' ', '-').replace(',', '')}.html"
    page.write_text(text, encoding="utf-8")
    size = len(text.encode())
    words = f"{name}: {size / 1e6:.2f} MB, made in {took_s:.1f} s, {cpu_s:.1f} s of CPU"
    is_met = took_s <= MOST_RENDER_S and size <= (most_bytes or math.inf)
    if Path(chromium).exists():
        paint_s, ready_s = painted_s(page, chromium)
        words += f", painted after {paint_s:.2f} s, usable after {ready_s:.2f} s"
        is_met &= most_bytes is None or paint_s <= MOST_PAINT_S
    print(words, flush=True)
    return is_met


if __name__ == "__main__":
    main()
