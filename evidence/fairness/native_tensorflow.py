"""TensorFlow, both ways people write it: Keras, and raw tf.nn on variables inside a tf.function."""

import os
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers

RESNETS = {"resnet18": ((2, 2, 2, 2), False), "resnet50": ((3, 4, 6, 3), True)}


def keras_alexnet() -> keras.Model:
    conv = layers.Conv2D
    return keras.Sequential([
        keras.Input((224, 224, 3)), layers.ZeroPadding2D(2),
        conv(64, 11, 4, activation="relu"), layers.MaxPool2D(3, 2),
        conv(192, 5, padding="same", activation="relu"), layers.MaxPool2D(3, 2),
        conv(384, 3, padding="same", activation="relu"), conv(256, 3, padding="same", activation="relu"),
        conv(256, 3, padding="same", activation="relu"), layers.MaxPool2D(3, 2),
        layers.Flatten(), layers.Dropout(0.5), layers.Dense(4096, activation="relu"),
        layers.Dropout(0.5), layers.Dense(4096, activation="relu"), layers.Dense(1000),
    ])


def keras_mnist_cnn() -> keras.Model:
    blocks = [
        layer for channels in (16, 32, 64) for layer in (
            layers.Conv2D(channels, 3, padding="same", activation="relu"),
            layers.Conv2D(channels, 3, padding="same", activation="relu"), layers.MaxPool2D(2),
        )
    ]
    return keras.Sequential([
        keras.Input((28, 28, 1)), *blocks, layers.Flatten(), layers.Dense(128, activation="relu"),
        layers.Dropout(0.25), layers.Dense(10),
    ])


def keras_resnet(depths, bottleneck) -> keras.Model:
    def conv_norm(x, channels, kernel, stride=1):
        if stride > 1 and kernel > 1:
            x = layers.ZeroPadding2D(kernel // 2)(x)
            x = layers.Conv2D(channels, kernel, stride, use_bias=False)(x)
        else:
            x = layers.Conv2D(channels, kernel, stride, padding="same", use_bias=False)(x)
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)

    entry = keras.Input((224, 224, 3))
    x = layers.ReLU()(conv_norm(entry, 64, 7, 2))
    x = layers.MaxPool2D(3, 2)(layers.ZeroPadding2D(1)(x))
    for stage, count in enumerate(depths):
        for block in range(count):
            width, stride = 64 << stage, 2 if stage and not block else 1
            outputs = width * (4 if bottleneck else 1)
            if bottleneck:
                branch = layers.ReLU()(conv_norm(x, width, 1))
                branch = layers.ReLU()(conv_norm(branch, width, 3, stride))
                branch = conv_norm(branch, outputs, 1)
            else:
                branch = layers.ReLU()(conv_norm(x, width, 3, stride))
                branch = conv_norm(branch, outputs, 3)
            if stride != 1 or x.shape[-1] != outputs:
                x = conv_norm(x, outputs, 1, stride)
            x = layers.ReLU()(layers.Add()([branch, x]))
    return keras.Model(entry, layers.Dense(1000)(layers.GlobalAveragePooling2D()(x)))


def keras_lstm() -> keras.Model:
    return keras.Sequential([
        keras.Input((100,), dtype="int32"), layers.Embedding(128, 128),
        layers.LSTM(512, return_sequences=True), layers.Dropout(0.5),
        layers.LSTM(512, return_sequences=True), layers.Dropout(0.5), layers.Dense(128),
    ])


KERAS = {
    "mnist_cnn": keras_mnist_cnn,
    "alexnet_one_tower": keras_alexnet,
    "resnet18": lambda: keras_resnet(*RESNETS["resnet18"]),
    "resnet50": lambda: keras_resnet(*RESNETS["resnet50"]),
    "lstm": keras_lstm,
}


class Raw:
    """tf.nn on variables, made when a name is met first."""

    def __init__(self):
        self.variables: dict[str, tf.Variable] = {}
        self.statistics: dict[str, tf.Variable] = {}
        self._rng = np.random.default_rng(0)

    def weight(self, name, *shape):
        if name not in self.variables:
            value = self._rng.standard_normal(shape) * np.sqrt(2 / max(1, np.prod(shape[:-1])))
            self.variables[name] = tf.Variable(value.astype("f4"))
        return self.variables[name]

    def bias(self, name, size):
        if name not in self.variables:
            self.variables[name] = tf.Variable(tf.zeros([size]))
        return self.variables[name]

    def conv(self, name, x, channels, kernel, stride=1, *, bias=False):
        padding = "SAME"
        if stride > 1 and kernel > 1:
            side = [kernel // 2] * 2 if kernel != 11 else [2, 2]
            x, padding = tf.pad(x, [[0, 0], side, side, [0, 0]]), "VALID"
        y = tf.nn.conv2d(x, self.weight(name, kernel, kernel, x.shape[-1], channels), stride, padding)
        return tf.nn.bias_add(y, self.bias(f"{name}/b", channels)) if bias else y

    def dense(self, name, x, features):
        return tf.nn.bias_add(tf.matmul(x, self.weight(name, x.shape[-1], features)), self.bias(f"{name}/b", features))

    def norm(self, name, x, training):
        size = x.shape[-1]
        gamma, beta = self.bias(f"{name}/g", size), self.bias(f"{name}/n", size)
        if name not in self.statistics:
            self.statistics[name] = tf.Variable(tf.zeros([size]), trainable=False)
            self.statistics[f"{name}/v"] = tf.Variable(tf.ones([size]), trainable=False)
        mean, variance = self.statistics[name], self.statistics[f"{name}/v"]
        y, m, v = tf.compat.v1.nn.fused_batch_norm(
            x, gamma, beta, None if training else mean, None if training else variance, 1e-5, is_training=training
        )
        if training:
            mean.assign_sub(0.1 * (mean - m))
            variance.assign_sub(0.1 * (variance - v))
        return y


def raw_alexnet(net, x, training):
    relu, pool = tf.nn.relu, lambda x: tf.nn.max_pool2d(x, 3, 2, "VALID")
    x = pool(relu(net.conv("c1", x, 64, 11, 4, bias=True)))
    x = pool(relu(net.conv("c2", x, 192, 5, bias=True)))
    x = relu(net.conv("c3", x, 384, 3, bias=True))
    x = relu(net.conv("c4", x, 256, 3, bias=True))
    x = pool(relu(net.conv("c5", x, 256, 3, bias=True)))
    x = tf.reshape(x, [x.shape[0], -1])
    for name in ("f6", "f7"):
        x = relu(net.dense(name, tf.nn.dropout(x, 0.5) if training else x, 4096))
    return net.dense("f8", x, 1000)


def raw_mnist_cnn(net, x, training):
    for index, channels in enumerate((16, 16, 32, 32, 64, 64)):
        x = tf.nn.relu(net.conv(f"c{index}", x, channels, 3, bias=True))
        if index % 2:
            x = tf.nn.max_pool2d(x, 2, 2, "VALID")
    x = tf.nn.relu(net.dense("f1", tf.reshape(x, [x.shape[0], -1]), 128))
    return net.dense("f2", tf.nn.dropout(x, 0.25) if training else x, 10)


def raw_resnet(depths, bottleneck, net, x, training):
    relu = tf.nn.relu

    def conv_norm(name, x, channels, kernel, stride=1):
        return net.norm(f"{name}n", net.conv(name, x, channels, kernel, stride), training)

    x = relu(conv_norm("stem", x, 64, 7, 2))
    x = tf.nn.max_pool2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2, "VALID")     # after relu 0 is the least
    for stage, count in enumerate(depths):
        for block in range(count):
            name, width, stride = f"{stage}.{block}", 64 << stage, 2 if stage and not block else 1
            outputs = width * (4 if bottleneck else 1)
            if bottleneck:
                branch = relu(conv_norm(f"{name}a", x, width, 1))
                branch = relu(conv_norm(f"{name}b", branch, width, 3, stride))
                branch = conv_norm(f"{name}c", branch, outputs, 1)
            else:
                branch = relu(conv_norm(f"{name}a", x, width, 3, stride))
                branch = conv_norm(f"{name}b", branch, outputs, 3)
            if stride != 1 or x.shape[-1] != outputs:
                x = conv_norm(f"{name}s", x, outputs, 1, stride)
            x = relu(branch + x)
    return net.dense("fc", tf.reduce_mean(x, [1, 2]), 1000)


def raw_lstm(net, x, training):
    x = tf.gather(net.weight("embedding", 128, 128), x)
    for name in ("l1", "l2"):
        hidden, steps, batch = 512, x.shape[1], x.shape[0]
        gates = tf.tensordot(x, net.weight(f"{name}x", x.shape[-1], 4 * hidden), 1) + net.bias(f"{name}/b", 4 * hidden)
        recurrent = net.weight(f"{name}h", hidden, 4 * hidden)
        h = c = tf.zeros([batch, hidden])
        every = tf.TensorArray(tf.float32, steps, element_shape=[batch, hidden])
        by_step = tf.TensorArray(tf.float32, steps, element_shape=[batch, 4 * hidden])
        by_step = by_step.unstack(tf.transpose(gates, [1, 0, 2]))

        def body(t, h, c, every, by_step=by_step, recurrent=recurrent):
            i, f, g, o = tf.split(by_step.read(t) + tf.matmul(h, recurrent), 4, 1)
            c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
            h = tf.sigmoid(o) * tf.tanh(c)
            return t + 1, h, c, every.write(t, h)

        loop = tf.while_loop(lambda t, *_, n=steps: t < n, body, (0, h, c, every), maximum_iterations=steps)
        x = tf.transpose(loop[3].stack(), [1, 0, 2])
        x = tf.ensure_shape(x, [batch, steps, hidden])
        x = tf.nn.dropout(x, 0.5) if training else x
    shape = [x.shape[0], x.shape[1], 128]
    return tf.reshape(net.dense("characters", tf.reshape(x, [-1, 512]), 128), shape)


RAW = {
    "mnist_cnn": raw_mnist_cnn,
    "alexnet_one_tower": raw_alexnet,
    "resnet18": lambda *a: raw_resnet(*RESNETS["resnet18"], *a),
    "resnet50": lambda *a: raw_resnet(*RESNETS["resnet50"], *a),
    "lstm": raw_lstm,
}


def programs(model: str, mode: str, x, y) -> dict[str, Callable[[], object]]:
    inputs = np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if x.ndim == 4 else x.astype("i4")
    tensor, targets = tf.constant(inputs), tf.constant(y)
    network = KERAS[model]()
    raw = Raw()
    raw_network = RAW[model]
    if mode == "inference":
        network.compile()
        compiled = tf.function(lambda v: network(v, training=False))
        by_hand = tf.function(lambda v: raw_network(raw, v, False), autograph=False)
        return {
            "Keras predict_on_batch": lambda: network.predict_on_batch(inputs),
            "Keras in tf.function": lambda: compiled(tensor).numpy(),
            "raw tf.nn": lambda: by_hand(tensor).numpy(),
        }
    is_adam = model in ("lstm", "mnist_cnn")

    def optimizer():
        return keras.optimizers.Adam(2e-3, epsilon=1e-8) if is_adam else keras.optimizers.SGD(1e-3, momentum=0.9)

    network.compile(optimizer(), keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    with tf.device("cpu"):
        raw_network(raw, tensor, False)      # makes the variables
    variables = list(raw.variables.values())
    slots = [tf.Variable(tf.zeros_like(v)) for v in variables]
    seconds = [tf.Variable(tf.zeros_like(v)) for v in variables]
    count = tf.Variable(0.0)

    def train(v, t):
        with tf.GradientTape() as tape:
            output = raw_network(raw, v, True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(t, output))
        gradients = tape.gradient(loss, variables)
        count.assign_add(1.0)
        for w, m, s, g in zip(variables, slots, seconds, map(tf.convert_to_tensor, gradients), strict=True):
            if is_adam:
                tf.raw_ops.ResourceApplyAdam(
                    var=w.handle, m=m.handle, v=s.handle, beta1_power=0.9**count, beta2_power=0.999**count, lr=2e-3,
                    beta1=0.9, beta2=0.999, epsilon=1e-8, grad=g,
                )
            else:
                tf.raw_ops.ResourceApplyKerasMomentum(var=w.handle, accum=m.handle, lr=1e-3, grad=g, momentum=0.9)
        return loss

    by_hand = tf.function(train, autograph=False)
    return {
        "Keras train_on_batch": lambda: network.train_on_batch(inputs, y),
        "raw tf.nn": lambda: float(by_hand(tensor, targets)),
    }
