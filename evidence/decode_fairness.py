"""Our text generation in torch over that of transformers' GPT-2, with either cache, in one process, turn by turn.

    python -m evidence.decode_fairness --processes 6

It needs the package transformers, which no environment of ours has: use one of your own. Both have GPT-2's architecture
with the same random weights, in fp32, eager. Both are warmed up, generate greedily for the same prompts in turns whose
order is random, and wait for each token; the texts are compared. One process gives the median of its pairs' ratios; the
table shows the Hodges-Lehmann estimate over processes and its 95 % interval (none below six).
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from rigmark.bench.analysis.statistics.estimate import estimate
from rigmark.bench.ir.decoding import decoding
from rigmark.bench.ir.weights import initial_weights, synthetic_batch, talkative
from rigmark.bench.models import gpt2
from rigmark.bench.worker import frameworks, generation

CONTEXT = 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=256)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=8192)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--prompt-length", type=int, default=64)
    parser.add_argument("--generated-length", type=int, default=32)
    parser.add_argument("--cache", choices=("static", "dynamic"), default="static", help="of transformers")
    parser.add_argument("--processes", type=int, default=6)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--gate", type=float, help="largest ratio that passes")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(turns(options)))
        return 0
    found: list[dict[str, float]] = []
    for _ in range(options.processes):
        command = [sys.executable, "-m", "evidence.decode_fairness", *sys.argv[1:], "--child"]
        found.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1]))
    failed = False
    for name in found[0]:
        ratio = estimate([each[name] for each in found])
        interval = "" if ratio.low is None else f" ({ratio.low:.3f} to {ratio.high:.3f})"
        print(f"{name:<24} {ratio.value:.3f}{interval}, n = {len(found)} processes")
        failed |= options.gate is not None and (ratio.value if ratio.low is None else ratio.low) > options.gate
    return int(failed)


def turns(options: argparse.Namespace) -> dict[str, float]:
    """Median ratios of ours over transformers': of the whole text, of its first token, and between tokens."""
    graph = gpt2.build(
        vocabulary=options.vocabulary, context=CONTEXT, features=options.features, heads=options.features // 64,
        blocks=options.blocks,
    )
    weights = talkative(graph, initial_weights(graph, 1))
    form = decoding(graph)
    prompts = np.asarray(synthetic_batch(form.of_length(options.prompt_length), options.batch, 1)[0])
    sides = {"ours": ours(form, weights, prompts, options), "theirs": theirs(weights, prompts, options)}
    texts = {name: side()[1] for name, side in sides.items()}
    if not np.array_equal(texts["ours"], texts["theirs"]):
        raise SystemExit("the texts differ, so this compares two models")
    coin, ratios = random.Random(), []
    for _ in range(options.pairs):
        times = {name: sides[name]()[0] for name in coin.sample(sorted(sides), 2)}
        ratios.append({what: times["ours"][what] / times["theirs"][what] for what in times["ours"]})
    return {what: statistics.median(ratio[what] for ratio in ratios) for what in ratios[0]}


Side = Callable[[], tuple[dict[str, float], Any]]


def figures(times_s: list[float]) -> dict[str, float]:
    return {
        "text": sum(times_s), "time to first token": times_s[0],
        "time between tokens": statistics.median(times_s[1:]),
    }


def ours(form: Any, weights: Any, prompts: Any, options: argparse.Namespace) -> Side:
    tokens = options.prompt_length + options.generated_length - 1
    adapter = frameworks.load("torch")
    job = {
        "framework": "torch", "graph": form.of_length(tokens).plain(),
        "decoding": {
            "parts": {"prefill": form.part(options.prompt_length, tokens), "step": form.part(1, tokens)},
            "generated_length": options.generated_length, "is_streamed": True,
        },
        "settings": {
            "mode": "decode", "precision": "fp32", "compile_mode": "eager", "layout": "nchw", "device": "cpu",
            "threads": 1, "seed": 1,
        },
    }
    generated = generation.prepared(adapter, job, weights)
    generated.load([(prompts, None)])

    def run() -> tuple[dict[str, float], Any]:
        generated.step()
        times = generated.token_times(1)
        return figures([*times["first_token_times_s"], *times["token_times_s"]]), generated.text()[0]

    return run


def theirs(weights: Any, prompts: Any, options: argparse.Namespace) -> Side:
    """The model of transformers with one of its caches, driven as its documentation shows."""
    import torch
    from transformers import DynamicCache, StaticCache

    from evidence.fairness import transformers_torch

    torch.set_num_threads(1)
    network = transformers_torch.gpt2(
        vocabulary=options.vocabulary, context=CONTEXT, features=options.features, blocks=options.blocks
    )
    model = transformers_torch.filled(network, weights).eval()
    capacity = options.prompt_length + options.generated_length - 1
    prompt = torch.tensor(prompts)

    def run() -> tuple[dict[str, float], Any]:
        times_s, chosen = [], []
        with torch.inference_mode():
            before = time.perf_counter()
            cache: StaticCache | DynamicCache
            if options.cache == "static":
                cache = StaticCache(config=model.config, max_cache_len=capacity)
            else:
                cache = DynamicCache(config=model.config)
            tokens, first = prompt, 0
            for _ in range(options.generated_length):
                place = torch.arange(first, first + tokens.shape[1])
                output = model(
                    tokens, past_key_values=cache, cache_position=place, position_ids=place[None], use_cache=True,
                    logits_to_keep=1,
                )
                first += tokens.shape[1]
                tokens = output.logits[:, -1].argmax(-1, keepdim=True)
                chosen.append(tokens)
                now = time.perf_counter()
                times_s.append(now - before)
                before = now
        return figures(times_s), torch.cat(chosen, 1).numpy()

    return run


if __name__ == "__main__":
    raise SystemExit(main())
