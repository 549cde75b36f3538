"""A torch module of the user's own as a graph, by the training IR of torch.export; needs PyTorch 2.6 (Python 3.9).

That IR keeps convolutions, attention, recurrent layers, normalisation and dropout whole, with the module's own names,
and holds for any batch. ``calls`` has one file per family of ATen calls, each with a table from a call to our
operation.
"""

from .program import Refused, imported

__all__ = ["Refused", "imported"]
