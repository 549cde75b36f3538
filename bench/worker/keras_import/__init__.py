"""A Keras model as a graph, read from its own layers; needs Keras 3 (Python 3.9).

Layers that the tables know become our operations; every other layer, nested model or function of the user is opened:
its ``call`` runs on symbolic tensors, and what it calls is read in its place. So names stay those of layers, dropout
and batch statistics stay what they are, and nothing is folded. ``layers`` has one file per family, each with a table
of layers and one of the functions of keras.ops.
"""

from .model import imported

__all__ = ["imported"]
