"""What values and weights are while a program is read."""

import collections

import numpy as np

Value = collections.namedtuple("Value", "name shape batch dtype folded")
"""A value of the graph: its shape for a batch of 1, and the axis that a batch multiplies, or None.

``folded`` is how many of its first axes are one in the module, which joined them for layers that work row by row.
"""
Value.__new__.__defaults__ = (1,)

Weight = collections.namedtuple("Weight", "name tensor is_trainable")
"""A parameter or buffer of the module by the user's name."""

KINDS = {"float": np.float32, "int64": np.int64, "bool": np.bool_}
