"""What lowerings of several frameworks must know of operations that arrange elements."""

import numpy as np


def regrouped(layer):
    """The shape that a regroup layer gives, with -1 where the batch is."""
    shape = list(layer["attributes"]["shape"])
    if "batch" in layer["attributes"]:
        shape[layer["attributes"]["batch"]] = -1
    return shape


def pad_sources(layer):
    """For each axis the indices of the entries that a pad layer gives, in mode edge or reflect; None: all as they are.

    In the order of the axes of its output.
    """
    a = layer["attributes"]
    sizes = layer["input_shapes"][0]
    return [
        np.pad(np.arange(size), (before, after), a["mode"]).tolist() if before + after else None
        for size, before, after in zip(sizes, a["before"], a["after"])
    ]


def angles(layer):
    """(cosines, sines) of a rotary layer, (steps, features / 2) in float64."""
    steps, features = layer["input_shapes"][0][-2:]
    speeds = 1 / layer["attributes"]["base"] ** (2.0 * np.arange(features // 2) / features)
    turns = np.outer(np.arange(steps), speeds)
    return np.cos(turns), np.sin(turns)
