"""Keras models as graphs: the oracle answers as the model does, with every gradient; refusals are named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")
tensorflow = pytest.importorskip("tensorflow")

from keras import layers, ops  # noqa: E402

from rigmark.bench.ir.graph import Graph  # noqa: E402
from rigmark.bench.ir.reading import read  # noqa: E402
from rigmark.bench.ir.weights import synthetic_batch  # noqa: E402
from rigmark.bench.worker.frameworks.numpy import adapter as oracle  # noqa: E402
from rigmark.bench.worker.keras_import import imported  # noqa: E402
from rigmark.bench.worker.keras_import.original import samples  # noqa: E402
from rigmark.bench.worker.user_code import Refused  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

SETTINGS = {
    "mode": "training", "precision": "fp64", "compile_mode": oracle.COMPILE_MODES[0], "layout": oracle.LAYOUTS[0],
    "device": "cpu", "threads": 1, "seed": 1, "shards": 1,
}
SAMPLES = 3


def images() -> Any:
    """Every way in which an image meets a window, and a part with running statistics."""
    base = keras.Sequential([
        keras.Input((9, 8, 4)), layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2, padding="same"),
        layers.BatchNormalization(),
    ], name="base")
    image = keras.Input((9, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="stem")(layers.Rescaling(0.5, offset=0.1)(image))
    x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.Concatenate()([base(x, training=False), layers.AveragePooling2D(3, 2, padding="same")(x)])
    x = layers.Conv2DTranspose(5, 3, strides=2, padding="same")(x)
    x = layers.MaxPooling2D(3, 2, padding="same")(layers.ZeroPadding2D(((1, 0), (2, 1)))(x))
    scale = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Multiply()([x, layers.SeparableConv2D(5, 1, activation="sigmoid")(scale)])
    x = layers.Cropping2D(1)(layers.UpSampling2D(2)(layers.PReLU(shared_axes=[1, 2])(x)))
    return keras.Model(image, layers.Dense(3)(layers.Flatten()(x)))


def steps() -> Any:
    return keras.Sequential([
        keras.Input((7,)), layers.Embedding(11, 6), layers.Conv1D(8, 3, padding="causal", activation="gelu"),
        layers.BatchNormalization(scale=False), layers.MaxPooling1D(2),
        layers.Bidirectional(layers.LSTM(5, return_sequences=True)),
        layers.GRU(4, return_sequences=True), layers.GRU(3, reset_after=False, return_sequences=True),
        layers.Bidirectional(layers.SimpleRNN(4), merge_mode="ave"), layers.LayerNormalization(), layers.Dense(2),
    ])


class Scaled(layers.Layer):
    """A layer of a user, which is opened."""

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

    def call(self, x: Any) -> Any:
        return x * self.scale + ops.relu(x) * 0.5


def text() -> Any:
    tokens = keras.Input((6,), dtype="int32")
    x = layers.Embedding(20, 8)(tokens)
    attended = layers.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
    x = layers.LayerNormalization()(x + attended)
    x = layers.Add()([x, layers.Dense(8)(Scaled(name="mine")(layers.Dense(16, activation="gelu")(x)))])
    return keras.Model(tokens, layers.Dense(20)(ops.mean(x, axis=1)))


def taken(model: Any, **more: Any) -> tuple[Graph, dict[str, Any], dict[str, Any], list[str]]:
    plain, weights, told, notes = imported({"name": "net", **more}, model, None)
    return read(plain), weights, told, notes


@pytest.mark.parametrize("make", [images, steps, text])
def test_the_graph_computes_what_the_model_does_with_every_gradient(make: Callable[[], Any]):
    keras.utils.set_random_seed(1)
    model = make()
    graph, weights, told, _ = taken(model, loss="mean_squared_error")
    x, y = synthetic_batch(graph, SAMPLES, 1)
    network = oracle.prepare(graph.plain(), weights, SETTINGS)
    _, gradients = network.gradients(x, y, {})
    (given,) = samples(told, {"x": x})

    predicted = model.predict(given, verbose=0)      # training moves the running statistics
    with tensorflow.GradientTape() as tape:
        loss = ops.mean(ops.square(model(given, training=True) - y))
    own = dict(zip([each.path for each in model.trainable_variables],
                   tape.gradient(loss, model.trainable_variables), strict=True))

    paths = {key: path for key, path in told["own_names"].items() if key in gradients}
    assert set(paths.values()) == set(own)
    assert set(gradients) == set(paths)
    for path, gradient in own.items():
        found = np.concatenate([np.ravel(gradients[key]) for key, each in paths.items() if each == path])
        expected = np.ravel(ops.convert_to_numpy(tensorflow.convert_to_tensor(gradient)))
        # In another layout, but no number lost or mixed up with another.
        assert np.allclose(np.sort(found), np.sort(expected), rtol=2e-3, atol=2e-5), path
    assert np.allclose(network.output(x, False), predicted, rtol=1e-4, atol=1e-5)


def test_names_are_those_of_layers_and_dropout_stays():
    model = keras.Sequential([
        keras.Input((5, 4, 2)), layers.Conv2D(3, 2, name="first"), layers.SpatialDropout2D(0.25, name="drop"),
        layers.Flatten(name="flat"), layers.Dense(2, activation="softmax", name="scores"),
    ])
    graph, _, _, _ = taken(model)

    assert [layer.name for layer in graph.layers if layer.parameters and "constant" not in layer.name] == [
        "first", "scores"]
    assert graph["drop.mask"].op.attributes() == {"rate": 0.25}
    assert graph["drop.mask"].output_shape == (1, 1, 3)
    assert (graph.input.shape, graph.output_shape, graph.loss) == ((2, 5, 4), (2,), "mean_squared_error")


def test_what_the_model_does_not_train_is_not_trained():
    model = keras.Sequential([
        keras.Input((4,)), layers.Dense(3, name="fixed"), layers.BatchNormalization(scale=False, name="norm"),
        layers.Dense(2, name="scores"),
    ])
    model.get_layer("fixed").trainable = False
    graph, _, _, _ = taken(model)

    assert [key for layer in graph.layers for key in graph.trainable(layer)] == [
        "norm/beta", "scores/weight", "scores/bias"]


class Modes(layers.Layer):
    """A layer of a user that says itself what is for inference only."""

    def __init__(self) -> None:
        super().__init__(name="modes")
        self.never, self.always = layers.Dropout(0.5, name="never"), layers.Dropout(0.5, name="always")

    def call(self, x: Any) -> Any:
        return self.never(self.always(x), training=False)


def test_dropout_is_left_out_where_the_code_says_so_and_not_where_keras_tells_all_layers_to_train():
    inner = keras.Sequential([keras.Input((4,)), layers.Dropout(0.5, name="inner")], name="whole")
    vector = keras.Input((4,))
    graph, _, _, _ = taken(keras.Model(vector, layers.Dense(2)(Modes()(inner(vector, training=False)))))

    assert [layer.name for layer in graph.layers if layer.op.kind == "dropout"] == ["whole.inner", "modes.always"]


class Tied(keras.Model):
    """It computes with a variable before keras.ops sees it, so the variable looks like known numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.table = layers.Embedding(9, 4)

    def call(self, tokens: Any) -> Any:
        return ops.matmul(self.table(tokens), ops.transpose(self.table.embeddings))


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: keras.Sequential([keras.Input((4,)), layers.Embedding(5, 3, mask_zero=True, name="e"), layers.LSTM(2)]),
     "Embedding 'e': it masks steps of token 0 .* set mask_zero=False"),
    (lambda: keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(2, 3), layers.GlobalMaxPooling2D()]),
     r"has open axes, .* --shape input_layer.*=1,64,64,3"),
    (lambda: keras.Sequential([keras.Input((4, 4, 4, 3)), layers.Conv3D(2, 3, name="c"), layers.Flatten()]),
     "Conv in 'c': it has no operation in a graph"),
    (lambda: keras.Sequential([keras.Input((4,)), layers.GaussianNoise(0.1, name="n"), layers.Dense(2)]),
     "GaussianNoise 'n': it adds random numbers in training"),
    (lambda: keras.Sequential([layers.Dense(2)]), "says nothing of its inputs"),
])
def test_what_has_no_graph_is_refused_by_layer_reason_and_remedy(make: Callable[[], Any], sentence: str):
    with pytest.raises(Refused, match=sentence):
        taken(make())


def test_a_variable_that_would_be_taken_for_known_numbers_is_refused():
    with pytest.raises(Refused, match=r"follow from a variable of the model, which would not be trained"):
        taken(Tied(), inputs=[{"name": "tokens", "shape": [1, 5], "dtype": "int64"}])
