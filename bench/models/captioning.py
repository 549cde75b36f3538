"""Neural image captioning: a convolutional network reads a picture, and an LSTM says what is in it, word by word.

Source: Vinyals, Toshev, Bengio and Erhan 2015, "Show and tell" (arXiv 1411.4555), section 3: the picture, as an
embedding of 512 features, is the first thing that an LSTM of 512 units reads, before the words of the caption; dropout
of 0.5 around it. ResNet-18 (He et al. 2015) takes the place of the first Inception, up to its mean over the picture,
and is trained with the rest. 8,791 words, as Karpathy's NeuralTalk keeps of MS COCO, and captions of 16;
22,549,143 parameters. A sample is a picture and its caption; the scores of the first step are of the first word.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph, Input, tokens
from rigmark.bench.ir.training import Adam
from rigmark.bench.models.resnet18 import basic_block, trunk


def build(vocabulary: int = 8791, words: int = 16, features: int = 512, hidden: int = 512, size: int = 224) -> Graph:
    net = Builder("captioning")
    net.add_input(tokens((words,), vocabulary, "caption"))
    net.add_input(Input(name="image", shape=(3, size, size)))
    trunk(net, basic_block, (2, 2, 2, 2), expansion=1)
    net.dense("picture", features)
    picture = net.reshape("first_step", (1, features))
    spoken = net.embedding("words", features, of="caption")
    net.concat("steps", of=(picture, spoken))
    net.dropout("dropout1", 0.5)
    net.lstm("lstm", hidden)
    net.dropout("dropout2", 0.5)
    net.dense("scores", vocabulary)
    return net.build(loss="softmax_cross_entropy", optimizer=Adam(learning_rate=1e-4))
