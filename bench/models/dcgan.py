"""A deep convolutional generative adversarial network, which learns to draw images of 64 x 64.

Source: Radford, Metz and Chintala 2016 (arXiv 1511.06434), section 3 and figure 1: five transposed convolutions make an
image of noise, five strided ones judge whether an image is real; batch normalisation, ReLU and leaky ReLU of 0.2, Adam
with a rate of 0.0002 and beta1 of 0.5. Sizes are those of the usual PyTorch form, with 64 channels at the largest
images, kernels of 4 and no biases: 3,576,704 parameters make images and 2,765,568 judge them.

A step is that of Goodfellow et al. 2014 (arXiv 1406.2661), algorithm 1 with k = 1 and the loss that they train with:
first the discriminator learns to tell images from what the generator makes of noise, then the generator learns from
other noise to be taken for real. Inference makes images.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph, Input
from rigmark.bench.ir.ops.elementwise import LeakyRelu, Negative, Softplus
from rigmark.bench.ir.training import Adam, Objective


def build(size: int = 64, noise: int = 100, channels: int = 64) -> Graph:
    net = Builder("dcgan", init="normal_0.02")
    net.add_input(Input(name="image", shape=(3, size, size)))
    net.add_input(Input(name="noise", shape=(noise, 1, 1)))
    net.add_input(Input(name="other_noise", shape=(noise, 1, 1)))
    images = _generator(net, "of_noise", "noise", size, channels, like=None)
    others = _generator(net, "of_other_noise", "other_noise", size, channels, like="generator.of_noise")
    real = _discriminator(net, "of_image", "image", size, channels, like=None)
    made = _discriminator(net, "of_made", images, size, channels, like="discriminator.of_image")
    again = _discriminator(net, "of_others", others, size, channels, like="discriminator.of_image")
    # -log(sigmoid(x)) is softplus(-x), and -log(1 - sigmoid(x)) is softplus(x).
    taken_for_false = net.add_layer("taken_for_false", Softplus(), net.add_layer("less", Negative(), real))
    taken_for_real = net.add_layer("taken_for_real", Softplus(), made)
    mistaken = net.add("mistaken", of=(taken_for_false, taken_for_real))
    seen_through = net.add_layer("seen_through", Softplus(), net.add_layer("less_again", Negative(), again))
    return net.build(
        loss="value", optimizer=Adam(learning_rate=2e-4, beta1=0.5), outputs=(images,),
        objectives=(
            Objective(name="discriminator", output=mistaken, trains=("discriminator.",)),
            Objective(name="generator", output=seen_through, trains=("generator.",)),
        ),
    )


def _doublings(size: int) -> int:
    """How often 4 x 4 pixels are doubled."""
    return (size // 4).bit_length() - 1


def _generator(net: Builder, name: str, noise: str, size: int, channels: int, *, like: str | None) -> str:
    """The layer of the images."""
    steps = _doublings(size)
    net.last = noise
    with net.scope("generator"), net.scope(name, like=like):
        for index in range(steps):
            stride, padding = (1, 0) if index == 0 else (2, 1)
            net.conv_transpose2d(f"conv{index + 1}", channels << (steps - 1 - index), kernel=4, stride=stride,
                                 padding=padding, bias=False)
            net.batch_norm(f"norm{index + 1}")
            net.relu(f"relu{index + 1}")
        net.conv_transpose2d(f"conv{steps + 1}", 3, kernel=4, stride=2, padding=1, bias=False)
        return net.tanh("image")


def _discriminator(net: Builder, name: str, image: str, size: int, channels: int, *, like: str | None) -> str:
    """The layer of the score: above 0 an image is taken for a real one."""
    steps = _doublings(size)
    net.last = image
    with net.scope("discriminator"), net.scope(name, like=like):
        for index in range(steps):
            net.conv2d(f"conv{index + 1}", channels << index, kernel=4, stride=2, padding=1, bias=False)
            if index > 0:
                net.batch_norm(f"norm{index + 1}")
            net.add_layer(f"relu{index + 1}", LeakyRelu(slope=0.2))
        net.conv2d(f"conv{steps + 1}", 1, kernel=4, bias=False)
        return net.flatten("score")
