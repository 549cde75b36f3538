"""How good are the steps of ``rigmark history``? Run: python -m evidence.change_points

False alarms, precision and recall on synthetic series: heavy-tailed noise as in continuous integration (robust spread
2 %, plain spread 10 %), heavier tails, and autocorrelated noise. A report within 5 points of a step counts as correct;
every other report is false. At the end: seconds for many long series.

Real series with labels are not part of this repository. --turing takes a checkout of the Turing Change Point Dataset
(github.com/alan-turing-institute/TCPD); --otava the source package of apache-otava (pip download --no-deps --no-binary
:all: apache-otava==0.8.0), whose tests contain the throughput of TigerBeetle with labelled changes.
"""

from __future__ import annotations

import argparse
import ast
import json
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from rigmark.bench.analysis.statistics.changepoints import changes

COUNT, MARGIN = 200, 5
Noise = Callable[[np.random.Generator, int], np.ndarray]


def ci_noise(rng: np.random.Generator, count: int) -> np.ndarray:
    wild = rng.random(count) < 0.08
    return np.where(wild, rng.normal(0, 0.3, count), rng.normal(0, 0.018, count))


def heavy_tails(rng: np.random.Generator, count: int) -> np.ndarray:
    return 0.02 * rng.standard_t(2, count)


def remembering(rng: np.random.Generator, count: int) -> np.ndarray:
    shocks, noise = rng.normal(0, 0.02, count), np.zeros(count)
    for place in range(1, count):
        noise[place] = 0.4 * noise[place - 1] + shocks[place]
    return noise


def series(noise: Noise, rng: np.random.Generator, at: int | None, factor: float) -> np.ndarray:
    step = np.zeros(COUNT) if at is None else np.where(np.arange(COUNT) < at, 0.0, np.log(factor))
    return np.exp(noise(rng, COUNT) + step)


def score(noise: Noise, factor: float | None, repeats: int, after: int | None) -> tuple[float, float, float, float]:
    """(series with a report, recall, precision, share of 95 % intervals that hold the place of the step)."""
    rng = np.random.default_rng(1)
    reported = hits = false = held = 0
    for _ in range(repeats):
        at = None if factor is None else COUNT - after if after else int(rng.integers(40, COUNT - 40))
        detected = changes(series(noise, rng, at, factor or 1.0))
        near = [change for change in detected if at is not None and abs(change.index - at) <= MARGIN]
        reported += bool(detected)
        hits += bool(near)
        false += len(detected) - bool(near)
        held += any(at is not None and change.low <= at <= change.high for change in near)
    precision = hits / (hits + false) if hits + false else float("nan")
    return reported / repeats, hits / repeats, precision, held / hits if hits else float("nan")


Labelled = tuple[str, np.ndarray, list[int]]


def turing(folder: Path) -> Iterator[Labelled]:
    """Series whose level shifts as those of benchmarks do, marked by people; the union of all annotators' marks.

    A quality control that falls below zero has no ratio of levels, and is left out.
    """
    labels = json.loads((folder / "annotations.json").read_text())
    for path in sorted([*folder.glob("datasets/nile/*.json"), *folder.glob("datasets/quality_control_*/*.json")]):
        values = np.array(json.loads(path.read_text())["series"][0]["raw"], float)
        if np.all(values > 0):
            yield path.stem, values, sorted({mark for marks in labels[path.stem].values() for mark in marks})


def tigerbeetle(source: Path) -> Iterator[Labelled]:
    """The series in apache-otava's tests; 10, 16, 71 and 97 are the places marked below its drawing there."""
    with tarfile.open(source) as archive:
        name = next(name for name in archive.getnames() if name.endswith("tests/tigerbeetle_test.py"))
        file = archive.extractfile(name)
        assert file is not None
        (function,) = (
            node for node in ast.walk(ast.parse(file.read()))
            if isinstance(node, ast.FunctionDef) and node.name == "_get_series"
        )
    (told,) = (node for node in ast.walk(function) if isinstance(node, ast.Return))
    yield "tigerbeetle", np.array(ast.literal_eval(ast.unparse(told.value)), float), [10, 16, 71, 97]


def labelled(series: Iterable[Labelled]) -> None:
    print(f"\n{'labelled series':<24} {'points':>6} {'labels':>6} {'found':>6} {'others':>6}  reported")
    for name, values, marks in series:
        detected = [change.index for change in changes(values)]
        hits = sum(any(abs(index - mark) <= MARGIN for index in detected) for mark in marks)
        others = sum(all(abs(index - mark) > MARGIN for mark in marks) for index in detected)
        print(f"{name:<24} {len(values):>6} {len(marks):>6} {hits:>6} {others:>6}  {detected}")


def main() -> None:
    parser = argparse.ArgumentParser(description="false alarms, precision and recall of change points")
    parser.add_argument("--repeats", type=int, default=400, help="series a row")
    parser.add_argument("--turing", type=Path, help="checkout of the Turing Change Point Dataset")
    parser.add_argument("--otava", type=Path, help="source package of apache-otava 0.8.0")
    parser.add_argument("--long", type=int, default=20, help="series of 10,000 points to be timed")
    options = parser.parse_args()
    print(f"{options.repeats} series of {COUNT} points each; a step lies anywhere except within 40 points of an end\n")
    print(f"{'noise':<14} {'step':>22} {'reported':>9} {'recall':>7} {'precision':>10} {'interval holds':>15}")
    for noise in (ci_noise, heavy_tails, remembering):
        for factor, after in ((None, None), (1.03, None), (1.05, None), (1.1, None), (1.2, None), (1.1, 10)):
            words = "none" if factor is None else f"{factor - 1:.0%}" + (f", {after} points after" if after else "")
            figures = score(noise, factor, options.repeats, after)
            print(f"{noise.__name__:<14} {words:>22} {figures[0]:>9.1%} {figures[1]:>7.1%} {figures[2]:>10.1%} "
                  f"{figures[3]:>15.1%}", flush=True)
    if options.turing:
        labelled(turing(options.turing))
    if options.otava:
        labelled(tigerbeetle(options.otava))
    rng = np.random.default_rng(2)
    long = [np.exp(ci_noise(rng, 10_000) + np.repeat(rng.normal(0, 0.05, 10), 1000)) for _ in range(options.long)]
    changes(long[0])
    started, cpu_started = time.perf_counter(), time.process_time()
    for values in long:
        changes(values)
    took_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    each_s = took_s / options.long
    print(f"\n{options.long} series of 10,000 points: {took_s:.1f} s; 1,000 of them: {1000 * each_s:.0f} s, "
          f"on a core of its own {1000 * cpu_s / options.long:.0f} s")


if __name__ == "__main__":
    main()
