"""TensorFlow's MultiWorkerMirroredStrategy, with one process per device; gradients are summed in a ring, over gRPC."""

import json
import os

from . import BUCKET_MB, EACH, GRADIENT_COMPRESSION, all_reduce_bytes
from .mirrored import NO_COMPRESSION, SharedPrepared, refuse

FRAMEWORKS = ("tensorflow",)
MODES = ("training",)
IS_USUAL = False
PROCESSES = EACH
ANSWERS_APART = False
SUMS_GRADIENTS = True
REFUSES = {GRADIENT_COMPRESSION: NO_COMPRESSION}


def sent_bytes(gradient_bytes, world_size):
    return all_reduce_bytes(gradient_bytes, world_size)


def prepare(adapter, graph, weights, settings, world):
    refuse(settings)
    os.environ["TF_CONFIG"] = json.dumps({
        "cluster": {"worker": [f"{world['address']}:{port}" for port in world["ports"][1:]]},
        "task": {"type": "worker", "index": world["rank"]},
    })

    bucket_mb = world["options"].get(BUCKET_MB)

    def mirrored(tf, *arguments):
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        return SharedPrepared(tf, strategy, *arguments, bucket_mb=None if bucket_mb is None else float(bucket_mb))

    # Every rank draws its own dropout.
    return adapter.prepare(graph, weights, dict(settings, seed=settings["seed"] + world["rank"]), mirrored)
