"""The samples of a batch, and what a network answers to them: one array, or a tuple where there are several.

A network with one input takes an array, one with several a tuple of arrays in the order of ``graphs.inputs_of``; so it
is with outputs. In a file of samples the only input is "x", several are "x:NAME" each; the targets are "y".
"""

import numpy as np

from .graphs import inputs_of, output_names

SEVERAL = "%s:%s"


def keys(graph, kind="x"):
    """Names of the arrays of a file that are the inputs, in their order."""
    names = [each["name"] for each in inputs_of(graph)]
    return [kind] if len(names) == 1 else [SEVERAL % (kind, name) for name in names]


def taken(graph, arrays, kind="x"):
    """The inputs, from the arrays of a file."""
    return packed([arrays[key] for key in keys(graph, kind)])


def packed(parts):
    """What stands for these arrays: the only one, or a tuple."""
    return parts[0] if len(parts) == 1 else tuple(parts)


def unpacked(value):
    """The arrays that a value stands for, as a tuple; the inverse of ``packed``."""
    return value if isinstance(value, tuple) else (value,)


def mapped(function, value, *more):
    """The value with each of its arrays replaced by what the function makes of it; ``more`` are of the same form."""
    return packed([function(*parts) for parts in zip(*map(unpacked, (value, *more)))])


def count(value):
    """The number of samples."""
    return len(unpacked(value)[0])


def part_of(value, part):
    """The samples of a slice."""
    return mapped(lambda each: each[part], value)


def parts_of(value, number):
    """The samples as so many equal parts, one after the other."""
    size = unpacked(value)[0].shape[0] // number
    return [part_of(value, slice(begin, begin + size)) for begin in range(0, size * number, size)]


def joined(values):
    """One value of the samples of several, one after the other."""
    return mapped(lambda *parts: np.concatenate(parts), *values)


def first_loss(losses):
    """The loss of a training step as a number; of several objectives, that of the first."""
    return float(np.ravel(losses)[0])


def first(value):
    """The array that the loss takes."""
    return unpacked(value)[0]


def answer_keys(graph):
    """Names of the arrays of a file that are the outputs, in their order: "output" is what the loss takes."""
    return ["output", *(SEVERAL % ("output", name) for name in output_names(graph)[1:])]


def named(graph, answer):
    """The outputs as NumPy arrays, by ``answer_keys``."""
    return {key: np.asarray(each) for key, each in zip(answer_keys(graph), unpacked(answer))}
