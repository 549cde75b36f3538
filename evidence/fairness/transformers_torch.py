"""PyTorch: BERT and GPT-2 of the package transformers, with its fused attention (sdpa, which is its default).

GPT-2's activation is the fused one ("gelu_pytorch_tanh"), where transformers' default composes the same function. It
needs the package transformers, which no environment of ours has: use one of your own.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F
from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel

NAMES = {
    "wte": "tokens", "wpe": "context", "ln_f": "norm", "ln_1": "norm1", "ln_2": "norm2", "attn.c_attn": "qkv",
    "attn.c_proj": "projection", "mlp.c_fc": "expand", "mlp.c_proj": "contract",
    "embeddings.word_embeddings": "tokens", "embeddings.position_embeddings": "positions",
    "embeddings.token_type_embeddings": "segments", "embeddings.LayerNorm": "norm",
    "attention.self.query": "query", "attention.self.key": "key", "attention.self.value": "value",
    "attention.output.dense": "projection", "attention.output.LayerNorm": "norm1", "intermediate.dense": "expand",
    "output.dense": "contract", "output.LayerNorm": "norm2", "predictions.transform.dense": "transform",
    "predictions.transform.LayerNorm": "transform_norm", "predictions": "scores",
}
SINGLE_VALUES = ("context", "positions")        # parameters of ours that are no layer's weight


def of_transformers(name: str, weights: Any) -> Any:
    """Our weight by transformers' name for it, "transformer.h.0.ln_1.weight"; its GPT-2 has matrices (in, out)."""
    parts = name.split(".")[1:]
    if parts[0] == "encoder":
        parts = parts[1:]
    block = f"block{int(parts[1]) + 1}." if parts[0] in ("h", "layer") else ""
    layer = NAMES[".".join(parts[2 if block else 0:-1])]
    kind = parts[-1]
    if "norm" in layer:
        kind = {"weight": "gamma", "bias": "beta"}[kind]
    if layer in SINGLE_VALUES:
        kind = "value"
    array = weights[f"{block}{layer}/{kind}"]
    return array.T if kind == "weight" and block and name.startswith("transformer.") else array


def filled(network: torch.nn.Module, weights: Any) -> torch.nn.Module:
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(torch.tensor(of_transformers(name, weights)))
    return network


def gpt2(*, vocabulary=50257, context=1024, features=768, blocks=12, dropout=0.1) -> GPT2LMHeadModel:
    return GPT2LMHeadModel(GPT2Config(
        vocab_size=vocabulary, n_positions=context, n_embd=features, n_layer=blocks, n_head=features // 64,
        attn_implementation="sdpa", activation_function="gelu_pytorch_tanh", use_cache=False,
        embd_pdrop=dropout, resid_pdrop=dropout, attn_pdrop=0.0,
    ))


def bert(*, blocks=12, dropout=0.1) -> BertForMaskedLM:
    return BertForMaskedLM(BertConfig(
        num_hidden_layers=blocks, attn_implementation="sdpa", hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=0.0,
    ))


def programs(model: str, mode: str, weights, rate: float, x, y, *, blocks: int, dropout: float
             ) -> dict[str, Callable[[], object]]:
    """Each starts from these weights, and gives its output or its loss before the update, by Adam at this rate."""
    return {"transformers, sdpa": program(model, mode, weights, rate, x, y, blocks, dropout)}


def program(model, mode, weights, rate, x, y, blocks, dropout) -> Callable[[], object]:
    network = filled({"bert": bert, "gpt2": gpt2}[model](blocks=blocks, dropout=dropout), weights)
    network.train(mode == "training")
    inputs = [torch.tensor(each) for each in (x if isinstance(x, tuple) else (x,))]
    targets = torch.tensor(y)
    if model == "bert":
        tokens, segments, mask = inputs
        forward = partial(network, tokens, token_type_ids=segments, attention_mask=mask)
    else:
        forward = partial(network, inputs[0])

    def infer() -> object:
        with torch.inference_mode():
            return forward().logits

    def train() -> float:
        optimizer.zero_grad()
        loss = F.cross_entropy(forward().logits.flatten(0, -2), targets.flatten())
        loss.backward()
        optimizer.step()
        return loss.item()

    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    return infer if mode == "inference" else train
