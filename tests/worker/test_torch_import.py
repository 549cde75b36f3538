"""Torch modules as graphs: the oracle answers as the module does, with every gradient; refusals are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rigmark.bench.ir.reading import read  # noqa: E402
from rigmark.bench.ir.weights import synthetic_batch  # noqa: E402
from rigmark.bench.worker.frameworks.numpy import adapter as oracle  # noqa: E402
from rigmark.bench.worker.proof import dropout_masks  # noqa: E402
from rigmark.bench.worker.torch_import import imported, original  # noqa: E402
from rigmark.bench.worker.torch_import.program import Program  # noqa: E402
from rigmark.bench.worker.user_code import Refused, made  # noqa: E402

SETTINGS = {
    "mode": "training", "precision": "fp64", "compile_mode": oracle.COMPILE_MODES[0], "layout": oracle.LAYOUTS[0],
    "device": "cpu", "threads": 1, "seed": 1, "shards": 1,
}
SAMPLES = 3

HEAD = """
import torch
from torch import nn
from torch.nn import functional as F
"""

IMAGES = HEAD + """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, padding="same", bias=False), nn.BatchNorm2d(8)
        self.pool, self.drop = nn.MaxPool2d(3, 2, ceil_mode=True), nn.Dropout(0.25)
        self.scale, self.fc = nn.Parameter(torch.full((8, 1, 1), 0.5)), nn.Linear(8 * 16, 4)

    def forward(self, x):
        x = self.pool(torch.relu_(self.norm(self.conv(x)))) * self.scale
        x += torch.arange(4.0)
        if self.training:
            x = x * torch.empty(x.shape[0], 1, 1, 1).bernoulli_(0.75).div_(0.75)
        return self.fc(self.drop(F.hardtanh(x).view(x.size(0), -1))) / 3

def make():
    return Net(), torch.randn(1, 3, 8, 8)
"""

TOKENS = HEAD + """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.position = nn.Embedding(11, 16), nn.Embedding(9, 16)
        self.layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.1, batch_first=True)
        self.start = nn.Parameter(torch.randn(1, 1, 16))
        self.lstm = nn.LSTM(16, 4, 2, dropout=0.2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(16, 11, bias=False)
        self.widen = nn.Linear(8, 16)
        self.head.weight = self.embed.weight

    def forward(self, tokens):
        x = torch.cat([self.start.expand(tokens.shape[0], -1, -1), self.embed(tokens)], 1)
        x = x + self.position(torch.arange(x.shape[1]))
        x = self.layer(x, src_mask=nn.Transformer.generate_square_subsequent_mask(x.shape[1]))
        return self.head(self.widen(self.lstm(x)[0]))

def make():
    return Net(), {"tokens": torch.zeros(1, 5, dtype=torch.int64)}
"""


PICTURES = HEAD + """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.line = nn.ConvTranspose2d(3, 8, 3, 2, 1, output_padding=1), nn.ConvTranspose1d(8, 4, 3, 2)
        self.own, self.plain = nn.InstanceNorm2d(8, affine=True), nn.InstanceNorm2d(8)
        self.pool, self.unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)
        self.fc = nn.Linear(4 * 21, 4)
        self.register_buffer("waves", torch.arange(90.0).view(9, 10).sin())

    def forward(self, x):
        x = F.pixel_unshuffle(F.pixel_shuffle(self.own(self.up(x)), 2), 2)
        small, where = self.pool(x)
        x = F.interpolate(self.unpool(small, where), scale_factor=2) + F.interpolate(x, (24, 24), mode="bicubic")
        x = F.interpolate(self.plain(x), (9, 7), mode="bilinear", align_corners=True) + F.adaptive_avg_pool2d(x, (9, 7))
        x = F.group_norm(F.channel_shuffle(x, 4), 2)
        x = F.max_pool1d(torch.einsum("bchw,hk->bck", x, self.waves), 2, 1, 1)
        return {"scores": self.fc(F.interpolate(self.line(x), 21, mode="linear").flatten(1)), "image": x}

def make():
    return Net(), torch.randn(1, 3, 6, 6)
"""

SEQUENCES = HEAD + """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(6, 4, 2, batch_first=True, bidirectional=True)
        self.rnn = nn.RNN(8, 4, nonlinearity="relu")
        self.lstm, self.fc = nn.LSTM(4, 5, 2), nn.Linear(4, 10)
        self.start, self.head = nn.Parameter(torch.randn(2, 1, 5)), nn.Linear(20, 4)

    def forward(self, x, mask):
        x, last = self.gru(x)
        x = self.rnn(x.transpose(0, 1))[0]
        cell = self.fc(last[-1]).view(-1, 2, 5).movedim(1, 0)
        x, (hidden, cell) = self.lstm(x, (self.start.expand(-1, x.shape[1], -1), cell))
        heads = x.permute(1, 0, 2).unsqueeze(1).repeat(1, 4, 1, 1)
        seen = mask[torch.arange(mask.shape[0])[:, None, None, None], torch.arange(mask.shape[1])].bool()
        x = F.scaled_dot_product_attention(heads, heads[:, :2] * 2, heads[:, 2:], seen, scale=0.3, enable_gqa=True)
        counts = mask.cumsum(1)[:, -1:] * 2 - 1
        return self.head(torch.cat([x.mean((1, 2)), hidden.mean(0), cell[0], x[:, 0, 0] * counts.rsqrt()], 1))

def make():
    return Net(), {"x": torch.randn(1, 5, 6), "mask": torch.ones(1, 5, dtype=torch.int64)}
"""

NUMBERS = HEAD + """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.bag = nn.Embedding(11, 6), nn.EmbeddingBag(11, 6, mode="mean")
        self.table, self.head = nn.Parameter(torch.randn(12, 6)), nn.Linear(12, 4)

    def forward(self, tokens):
        ids = tokens.new_zeros(tokens.shape)
        ids[:, 1:] = tokens[:, :-1].clone()
        ids[:, 0] = 2
        place = torch.cumsum(ids.ne(3).int(), dim=1).type_as(ids) * ids.ne(3) + 1
        x = self.embed(ids.view(-1, ids.shape[1])) + self.table[place] + self.bag(tokens).unsqueeze(1)
        kept = (torch.rand(x.shape[0], 1, 1) + 0.8).floor() / 0.8 if self.training else 1
        x = x + kept * F.one_hot(x.argmax(-1), 6)
        most, where = x.max(-1)
        x = x.scatter_add(2, where.unsqueeze(2), most.unsqueeze(2)) + x.gather(1, x.argmax(1, True))
        best, place = x.topk(3)
        x = x.scatter_add(2, place, best) + x.sort(1)[0] + x.topk(5, 1, largest=False)[0]
        x = torch.index_add(F.glu(torch.cat([x, x.lerp(x.cos(), 0.3)], -1)), 1, torch.tensor([3, 0]), x[:, 1:3])
        x = F.normalize(x, dim=-1) + x.logsumexp(-1, True) + F.softplus(x, 3.0) + F.celu(x, 0.5) + F.logsigmoid(x)
        return self.head(F.dropout(torch.cat([x, torch.baddbmm(x, x, x[:, 0, None, :].repeat(1, 6, 1))], -1)[:, 1], 0.5,
                                   self.training))

def make():
    return Net(), {"tokens": torch.zeros(1, 5, dtype=torch.int64)}
"""


def taken(folder: Path, source: str, **more: Any) -> Any:
    (folder / "net.py").write_text(source, encoding="utf-8")
    job = {"source": "net.py", "factory": "make", "folder": str(folder), "name": "net", **more}
    return imported(job, *made("net.py", "make", str(folder)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("source", [IMAGES, TOKENS, PICTURES, SEQUENCES, NUMBERS], ids=[
    "images", "tokens", "pictures", "sequences", "numbers"])
def test_the_graph_computes_what_the_module_does_with_every_gradient_and_dropout(source: str, tmp_path: Path):
    plain, weights, told, _ = taken(tmp_path, source)
    graph = read(plain)
    x, y = synthetic_batch(graph, SAMPLES, 1)
    masks = dropout_masks(graph.plain(), SAMPLES, 1)
    network = oracle.prepare(graph.plain(), weights, SETTINGS)
    loss, gradients = network.gradients(x, y, masks)

    module, example = made(told["source"], told["factory"], told["folder"])
    own = original.wrapped(told, module, example).double().train()
    arrays = x if isinstance(x, tuple) else (x,)
    inputs = [torch.tensor(each, dtype=torch.float64 if each.dtype.kind == "f" else None) for each in arrays]
    with original.decided([(batch, masks[name]) for name, batch in told["dropouts"]]):
        output = own(*inputs)
    own_loss = torch.nn.functional.cross_entropy(output.flatten(0, -2), torch.tensor(y).flatten())
    own_loss.backward()

    assert loss == pytest.approx(own_loss.item(), rel=1e-7)
    assert all(np.isfinite(each).all() for each in weights.values())
    tensors = original.tensors(told, module)
    assert {id(each) for key in gradients for each in tensors[key]} == {id(each) for each in module.parameters()}
    for key, gradient in gradients.items():
        expected = tensors[key][0].grad.numpy().reshape(gradient.shape)
        assert np.linalg.norm(gradient - expected) <= 1e-6 * np.linalg.norm(expected) + 1e-12, key
    module, example = made(told["source"], told["factory"], told["folder"])
    own_output = original.output(told, {f"x:{index}": each for index, each in enumerate(arrays)})
    assert np.allclose(network.output(x, False), own_output, rtol=1e-6)


def test_layers_have_the_names_of_modules(tmp_path: Path):
    plain, weights, told, _ = taken(tmp_path, IMAGES)

    assert {"conv", "norm", "pool", "drop", "fc"} <= {layer["name"] for layer in plain["layers"]}
    assert told["own_names"]["norm/variance"] == ["norm.running_var"]
    assert weights["fc/weight"].shape == (4, 128)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("forward", "sentence"), [
    ("return x * 2 if x.sum() > 0 else x", "control flow in net.py, line 8 follows the data"),
    ("return torch.linalg.svd(self.fc(x))[1]", "aten.linalg_svd.default has no operation in a graph (net.py, line 8)"),
    ("return self.fc(x).view(2, 4)", "fixes its batch"),
    ("return self.fc(x).nothing", "the module's forward failed in net.py, line 8: AttributeError"),
    ("return self.fc(x) + torch.rand(4)", "aten.rand.default draws random numbers (net.py, line 8)"),
    ("return self.fc(x).detach() + self.fc(x)", "keeps gradients from passing"),
    ("y = self.fc(x); z = y.view(-1, 2, 2); z += 1; return y", "overwritten under another name (net.py, line 8)"),
], ids=["control", "operation", "batch", "exception", "random", "detached", "overwritten"])
def test_what_cannot_become_a_graph_is_named_with_the_users_line(forward: str, sentence: str, tmp_path: Path):
    source = HEAD + f"""class Net(nn.Module):
    def __init__(self):
        super().__init__(); self.fc = nn.Linear(3, 4)
    def forward(self, x): {forward}
def make(): return Net(), torch.randn(1, 3)
"""
    with pytest.raises(Refused) as refused:
        taken(tmp_path, source)

    assert sentence in str(refused.value)


def test_a_parameter_that_no_layer_trains_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    constant = Program._constant
    monkeypatch.setattr(Program, "_of_weight", lambda self, node, weight: constant(
        self, node, (weight.tensor, weight.tensor), weight.name))

    with pytest.raises(Refused, match="parameter 'scale' would not be trained"):
        taken(tmp_path, IMAGES)


def test_an_older_torch_is_named_with_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "__version__", "2.3.1")

    with pytest.raises(Refused, match=r"PyTorch 2\.6 or newer, this is 2\.3\.1"):
        taken(tmp_path, IMAGES)
