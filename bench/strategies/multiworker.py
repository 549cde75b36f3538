"""TensorFlow's MultiWorkerMirroredStrategy, a process for each device; gradients go around a ring, by gRPC."""

import json
import os

from . import EACH, all_reduce_bytes
from .mirrored import SharedPrepared, refuse

FRAMEWORKS = ("tensorflow",)
MODES = ("training",)
IS_USUAL = False
PROCESSES = EACH
SUMS_GRADIENTS = True


def sent_bytes(gradient_bytes, world_size):
    return all_reduce_bytes(gradient_bytes, world_size)


def prepare(adapter, graph, weights, settings, world):
    refuse(settings)
    os.environ["TF_CONFIG"] = json.dumps({
        "cluster": {"worker": [f"{world['address']}:{port}" for port in world["ports"][1:]]},
        "task": {"type": "worker", "index": world["rank"]},
    })

    def mirrored(tf, *arguments):
        return SharedPrepared(tf, tf.distribute.MultiWorkerMirroredStrategy(), *arguments)

    # Every rank draws its own dropout.
    return adapter.prepare(graph, weights, dict(settings, seed=settings["seed"] + world["rank"]), mirrored)
