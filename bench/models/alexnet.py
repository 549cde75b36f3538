"""AlexNet as published in 2012: five convolutions, three of them in two groups, local response normalisation.

Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks", NIPS 2012;
layers are named as in Caffe's bvlc_alexnet. 60,965,224 parameters and 724 M multiply-adds at 227, the size that the
paper's 55 x 55 outputs need (it prints 224).

The constants of normalisation are the paper's, k = 2, alpha = 1e-4, beta = 0.75, over 5 channels. Its formula does not
divide alpha by these 5, ours does, hence 5e-4. (bvlc_alexnet has k = 1 and divides 1e-4.) He initialisation (He et al.
2015) replaces N(0, 0.01) and biases of 1, with which the network does not learn for many steps.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.training import Sgd


def build(classes: int = 1000, size: int = 227) -> Graph:
    net = Builder("alexnet", (3, size, size))
    net.conv2d("conv1", 96, kernel=11, stride=4)
    net.relu("relu1")
    net.local_response_norm("norm1", size=5, alpha=5 * 1e-4, beta=0.75, k=2.0)
    net.max_pool("pool1", kernel=3, stride=2)
    net.conv2d("conv2", 256, kernel=5, padding=2, groups=2)
    net.relu("relu2")
    net.local_response_norm("norm2", size=5, alpha=5 * 1e-4, beta=0.75, k=2.0)
    net.max_pool("pool2", kernel=3, stride=2)
    net.conv2d("conv3", 384, kernel=3, padding=1)
    net.relu("relu3")
    net.conv2d("conv4", 384, kernel=3, padding=1, groups=2)
    net.relu("relu4")
    net.conv2d("conv5", 256, kernel=3, padding=1, groups=2)
    net.relu("relu5")
    net.max_pool("pool5", kernel=3, stride=2)
    net.flatten("flatten")
    for index in (6, 7):
        net.dense(f"fc{index}", 4096)
        net.relu(f"relu{index}")
        net.dropout(f"drop{index}", 0.5)
    net.dense("fc8", classes)
    # A batch of 4 is memorised in three steps; with 0.01, which the paper uses for a batch of 128, in one step.
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=1e-4, momentum=0.9))
