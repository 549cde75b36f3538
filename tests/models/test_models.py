"""The networks at their published sizes."""

from __future__ import annotations

import importlib
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rigmark.bench import models
from rigmark.bench.errors import UnknownName, UserError
from rigmark.bench.ir.graph import Graph
from rigmark.bench.models import bert, gpt2

GUIDE = Path(__file__).parents[2] / "docs/add-a-model.md"


@pytest.fixture
def guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Writes the example of the guide as the file of a model, whose Builder is given a name."""
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    example = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)[0]

    def write(file: str, name: str) -> None:
        (tmp_path / f"{file}.py").write_text(example.replace("NAME", name), encoding="utf-8")
        monkeypatch.setattr(models, "NAMES", (*models.NAMES, file))
        monkeypatch.delitem(sys.modules, f"rigmark.bench.models.{file}", raising=False)

    return write


def test_the_example_of_the_guide_is_a_model(guide: Callable[[str, str], None]):
    guide("my_mlp", "my_mlp")

    assert models.build("my_mlp").fingerprint == models.build("mlp").fingerprint
    assert "Source: " in (sys.modules["rigmark.bench.models.my_mlp"].__doc__ or "")


def test_a_network_that_is_named_otherwise_than_its_file_is_refused(guide: Callable[[str, str], None]):
    guide("my_net", "mlp")

    with pytest.raises(UserError, match=r"my_net.py builds a graph named 'mlp'; name it Builder\(\"my_net\", ...\)"):
        models.build("my_net")


@pytest.mark.parametrize("name", models.NAMES)
def test_a_model_bears_the_name_of_its_file_and_tells_its_source(name: str):
    assert models.build(name).name == name
    assert "Source: " in (importlib.import_module(f"rigmark.bench.models.{name}").__doc__ or "")


def test_mlp_has_its_published_count():
    graph = models.build("mlp")

    assert graph.parameter_count == 784 * 800 + 800 + 800 * 10 + 10 == 636_010
    assert graph.multiply_adds == 784 * 800 + 800 * 10


def test_resnet18_has_its_published_counts():
    graph = models.build("resnet18")

    assert graph.parameter_count == 11_689_512
    assert graph.multiply_adds == 1_814_073_344


def test_mnist_cnn_has_the_counts_worked_out_by_hand():
    graph = models.build("mnist_cnn")
    convolutions = [(1, 16, 28), (16, 16, 28), (16, 32, 14), (32, 32, 14), (32, 64, 7), (64, 64, 7)]    # in, out, size
    vector = 64 * 3 * 3                              # 28, 14, 7 halved and rounded down to 3

    parameters = sum(9 * i * o + o for i, o, _ in convolutions) + vector * 128 + 128 + 128 * 10 + 10
    multiply_adds = sum(9 * i * o * size**2 for i, o, size in convolutions) + vector * 128 + 128 * 10

    assert graph.parameter_count == parameters == 146_938
    assert graph.multiply_adds == multiply_adds == 7_413_248


def test_resnet18_halves_the_image_and_doubles_the_channels_in_each_stage():
    graph = models.build("resnet18")

    shapes = [graph[f"stage{stage}.block2.relu2"].output_shape for stage in (1, 2, 3, 4)]

    assert shapes == [(64, 56, 56), (128, 28, 28), (256, 14, 14), (512, 7, 7)]


def test_an_unknown_model_is_answered_with_the_nearest_name():
    with pytest.raises(UnknownName, match="no model 'resnet81'; did you mean 'resnet18'"):
        models.build("resnet81")


@pytest.mark.parametrize(("name", "parameters"), [
    ("gpt2", 124_439_808),           # the released weights, and transformers' GPT2LMHeadModel
    ("bert", 109_514_298),           # transformers' BertForMaskedLM
    ("vit_b_16", 86_567_656),        # torchvision's, as those below
    ("mobilenet_v2", 3_504_872),
    ("densenet121", 7_978_856),
    ("unet", 31_030_658),            # as often printed for one input channel: 31,030,593 with one class, 65 for another
    ("gru", 128 * 128 + 3 * 512 * (128 + 512 + 2) + 3 * 512 * (512 + 512 + 2) + 513 * 128),
    ("dqn", 1_693_362),              # of one of its two networks, by hand from the table of its paper
])
def test_networks_of_the_widened_graph_have_their_published_counts(name: str, parameters: int):
    assert models.build(name).parameter_count == parameters


def test_the_networks_of_dcgan_have_the_counts_worked_out_by_hand():
    graph = models.build("dcgan")
    makes = [(100, 512), (512, 256), (256, 128), (128, 64), (64, 3)]
    judges = [(3, 64), (64, 128), (128, 256), (256, 512), (512, 1)]
    sides = (4, 8, 16, 32, 64)                       # of what is made, layer by layer; the judge goes the other way
    of_maker = sum(16 * i * o for i, o in makes) + 2 * (512 + 256 + 128 + 64)
    of_judge = sum(16 * i * o for i, o in judges) + 2 * (128 + 256 + 512)
    first = 16 * 100 * 512
    made = first + sum(16 * i * o * (side // 2) ** 2 for (i, o), side in zip(makes[1:], sides[1:], strict=True))
    judged = sum(16 * i * o * side**2 for (i, o), side in zip(judges, (32, 16, 8, 4, 1), strict=True))

    assert [update.parameter_count for update in graph.updates] == [of_judge, of_maker] == [2_765_568, 3_576_704]
    assert graph.multiply_adds == made               # inference makes images and judges none
    products = {
        # Two images judged with all gradients but that into the image; one made, of which no gradient is asked.
        "discriminator": 2 * (3 * judged - 16 * 3 * 64 * 32**2) + made,
        # One image made, with all gradients but that into the noise; judged, with the gradient into the image only.
        "generator": 3 * made - first + 2 * judged,
    }
    for update, count in zip(graph.updates, products.values(), strict=True):
        assert update.flops_per_sample(training=True) == pytest.approx(2 * count, rel=0.02)      # with all else
    assert graph.flops_per_sample(training=True) == sum(x.flops_per_sample(training=True) for x in graph.updates)


def test_style_transfer_trains_the_picture_and_asks_for_no_gradient_of_its_features():
    graph = models.build("style")
    one_way = graph.multiply_adds

    assert graph.parameter_count == 3 * 224 * 224
    # As VGG-19 in torchvision, without its last three convolutions and the classifier.
    frozen = sum(math.prod(p.shape) for key, p in graph.parameters.items() if key.startswith("conv"))
    assert frozen == 20_024_384 - 3 * (512 * 512 * 9 + 512)
    grams = sum(c * c * (224 >> level) ** 2 for level, c in enumerate((64, 128, 256, 512, 512)))
    # Forward and back to the picture; a Gram matrix takes the features twice, and so passes two gradients on.
    assert graph.flops_per_sample(training=True) == pytest.approx(4 * one_way + 2 * grams, rel=1e-3)


def test_mobilenet_v2_has_the_multiply_adds_of_its_paper():
    assert round(models.build("mobilenet_v2").multiply_adds / 1e6) == 301        # the paper rounds to 300 M


@pytest.mark.parametrize(("build", "blocks", "pairs", "head"), [
    (gpt2.build, 12, 128 * 129 // 2, 768 * 50257),                   # of causal attention, those that are seen
    (bert.build, 12, 128 * 128, 768 * 768 + 768 * 30522),
])
def test_a_transformer_has_the_multiply_adds_worked_out_by_hand(
    build: Callable[[], Graph], blocks: int, pairs: int, head: int
):
    per_token = 4 * 768 * 768 + 2 * 768 * 3072       # query, key, value and projection; expand and contract

    assert build().multiply_adds == blocks * (128 * per_token + 2 * 768 * pairs) + 128 * head


def test_gpt2_scores_by_its_table_of_tokens():
    graph = models.build("gpt2")

    assert list(graph["scores"].keyed_parameters) == ["tokens/weight"]
    assert "scores/weight" not in graph.parameters


@pytest.mark.parametrize(("one", "several", "of_one", "of_several"), [
    ("filter_5x5", "filters_3x3_twice", 25, 18), ("filter_7x7", "filters_3x3_thrice", 49, 27),
])
def test_small_filters_in_a_row_see_as_much_with_fewer_weights(one: str, several: str, of_one: int, of_several: int):
    """As section 2.3 of the paper of VGG counts them, for as many channels in as out."""
    for name, count in ((one, of_one), (several, of_several)):
        graph = models.build(name)
        filters = [p for key, p in graph.parameters.items() if key.startswith("conv") and key.endswith("weight")]

        assert sum(math.prod(p.shape) for p in filters) == count * 64**2
        assert 1 + sum(p.shape[-1] - 1 for p in filters) == math.isqrt(of_one)       # pixels that are seen
        assert graph.multiply_adds == count * 64**2 * 56**2 + 640
