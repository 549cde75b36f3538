"""Normalisation by statistics of a batch, of channels or of features."""

import numpy as np

from ...user_code import Refused
from ..values import shape_in_keras


def _scaled(call, variable, size, fill):
    """A parameter of the layer; where it has none, one that does nothing and is not trained."""
    if variable is not None:
        return call.weight(variable, lambda array: array.reshape(-1))
    return None, np.full(size, fill, np.float32)


def _batch_norm(call):
    op, value = call.op, call.first()
    shape = shape_in_keras(value)
    rank = len(shape)
    axis = (op.axis[0] if isinstance(op.axis, (list, tuple)) else op.axis) % rank
    if rank not in (2, 3, 4) or axis not in (1, rank - 1):
        raise Refused("it normalises axis %d of %s, and a graph's the channels of images, sequences or vectors" % (
            axis, tuple(shape)))
    if call.get("mask") is not None:
        raise Refused("it has a mask")
    is_last = axis == rank - 1
    size = shape[axis]
    image = call.image(value) if rank > 2 and is_last else call.plain(value)
    if rank == 3 and not is_last:
        image = call.add("reshape", image, shape=[1, shape[1], 1, shape[2]], to=[shape[1], 1, shape[2]])
    if call.is_inference or not op.trainable:
        found = _by_running(call, op, image, size)
    else:
        found = call.like("batch_norm", image, weights={
            "gamma": _scaled(call, op.gamma, size, 1.0), "beta": _scaled(call, op.beta, size, 0.0),
            "mean": call.weight(op.moving_mean), "variance": call.weight(op.moving_variance),
        }, epsilon=float(op.epsilon), momentum=1 - float(op.momentum))
    if rank == 3 and not is_last:
        return call.add("reshape", found, shape=shape, to=shape[1:])
    return found


def _by_running(call, op, image, size):
    """By running statistics in training too: numbers that are known."""
    mean, variance = (call.known(each).astype(np.float64) for each in (op.moving_mean, op.moving_variance))
    scale = 1 / np.sqrt(variance + op.epsilon)
    along = (size,) if len(image.shape) == 2 else (size, 1, 1)
    is_trained = op.trainable and (op.gamma is not None or op.beta is not None)
    gamma = 1.0 if op.gamma is None else call.known(op.gamma)
    beta = 0.0 if op.beta is None else call.known(op.beta)
    if not is_trained:
        scale, mean = scale * gamma, mean - beta / np.where(scale * gamma == 0, 1, scale * gamma)
        if np.any(scale == 0):
            raise Refused("its scale is 0")
    found = call.like("subtract", image, call.constant(mean.astype(np.float32).reshape(along)))
    found = call.like("multiply", found, call.constant(scale.astype(np.float32).reshape(along)))
    if is_trained and op.gamma is not None:
        found = call.like("multiply", found, call.aligned(call.reader.parameter(op.gamma), found))
    if is_trained and op.beta is not None:
        found = call.like("add", found, call.aligned(call.reader.parameter(op.beta), found))
    return found


def _last_axes(op, rank):
    axes = op.axis if isinstance(op.axis, (list, tuple)) else [op.axis]
    axes = sorted(axis % rank for axis in axes)
    if axes != list(range(axes[0], rank)) or axes[0] == 0:
        raise Refused("it normalises the axes %s, and a graph's the last" % (axes,))
    return len(axes)


def _layer_norm(call):
    op, value = call.op, call.plain(call.first())
    count = _last_axes(op, len(value.shape))
    features = int(np.prod(value.shape[-count:]))
    flat = value
    if count > 1:
        shape = [*value.shape[:-count], features]
        flat = call.add("reshape", value, shape=shape, to=shape[1:], name="reshape")
    if getattr(op, "rms_scaling", False):
        found = call.like("rms_norm", flat, weights={"gamma": _scaled(call, op.gamma, features, 1.0)},
                          epsilon=float(op.epsilon))
    else:
        found = call.like("layer_norm", flat, weights={
            "gamma": _scaled(call, op.gamma, features, 1.0),
            "beta": _scaled(call, op.beta, features, 0.0),
        }, epsilon=float(op.epsilon))
    return found if count == 1 else call.add("reshape", found, shape=value.shape, to=value.shape[1:], name="reshape")


def _rms_norm(call):
    op, value = call.op, call.plain(call.first())
    if _last_axes(op, len(value.shape)) != 1:
        raise Refused("it normalises several axes")
    return call.like("rms_norm", value, weights={"gamma": call.weight(op.scale)}, epsilon=float(op.epsilon))


def _group_norm(call):
    op, value = call.op, call.first()
    shape = shape_in_keras(value)
    if len(shape) not in (3, 4) or op.axis % len(shape) != len(shape) - 1:
        raise Refused("it normalises axis %s of %s, and a graph's the channels of images" % (op.axis, tuple(shape)))
    groups = shape[-1] if op.groups == -1 else int(op.groups)
    return call.like("group_norm", call.image(value), weights={
        "gamma": _scaled(call, op.gamma, shape[-1], 1.0),
        "beta": _scaled(call, op.beta, shape[-1], 0.0),
    }, groups=groups, epsilon=float(op.epsilon))


LAYERS = {
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "RMSNormalization": _rms_norm,
    "GroupNormalization": _group_norm,
}
OPERATIONS = {}
