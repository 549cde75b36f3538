"""TensorFlow's MirroredStrategy: all devices in one process; on CPUs, logical devices over its cores."""

import numpy as np

from ..devices import is_host
from ..frameworks import Unsupported
from ..frameworks.tensorflow.adapter import TensorflowPrepared
from ..samples import mapped
from . import BUCKET_MB, GRADIENT_COMPRESSION, ONE, all_reduce_bytes

FRAMEWORKS = ("tensorflow",)
MODES = ("training",)
IS_USUAL = True
PROCESSES = ONE
ANSWERS_APART = False
SUMS_GRADIENTS = True
NO_COMPRESSION = "TensorFlow's strategies cannot compress gradients; PyTorch's ddp can"
REFUSES = {
    BUCKET_MB: "MirroredStrategy sums gradients on CPUs variable by variable, without buckets; use multiworker",
    GRADIENT_COMPRESSION: NO_COMPRESSION,
}


def sent_bytes(gradient_bytes, world_size):
    return all_reduce_bytes(gradient_bytes, world_size)


def prepare(adapter, graph, weights, settings, world):
    import tensorflow as tf

    refuse(settings)
    size = world["size"]
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * size
    )

    def mirrored(tf, *arguments):
        # Each device needs a thread that submits its operations.
        tf.config.threading.set_inter_op_parallelism_threads(size)
        strategy = tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(size)])
        return SharedPrepared(tf, strategy, *arguments)

    return adapter.prepare(graph, weights, settings, mirrored)


def refuse(settings):
    """Raises Unsupported for settings that the strategies of TensorFlow do not support here."""
    if not is_host(settings["device"]):
        raise Unsupported("TensorFlow's strategies are supported on CPUs only; they were never tried on GPUs")
    if settings["compile_mode"] != "compiled":
        raise Unsupported("TensorFlow's strategies need compile mode compiled, a tf.function of all replicas")


class SharedPrepared(TensorflowPrepared):
    """A network under a tf.distribute strategy; each replica has its own part of a batch and its own statistics."""

    def __init__(self, tf, strategy, graph, weights, settings, device, bucket_mb=None):
        self._strategy = strategy
        self._communication = None if bucket_mb is None else tf.distribute.experimental.CommunicationOptions(
            bytes_per_pack=int(bucket_mb * 2**20)
        )
        self._replica_devices = strategy.extended.worker_devices

        def of_each_replica(create, **settings):
            """Creates variables that are not trained once per replica: running statistics, states of the optimizer."""
            if not settings.get("trainable", True):
                settings.update(
                    synchronization=tf.VariableSynchronization.ON_READ,
                    aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
                )
            return create(**settings)

        with strategy.scope(), tf.variable_creator_scope(of_each_replica):
            # Without naming a device, which would move all replicas there.
            super().__init__(tf, graph, weights, settings, "")

    def replicas(self):
        return [
            {key: self._canonical(key, self._local(variable)[index]) for key, variable in self._variables.items()}
            for index in range(len(self._replica_devices))
        ]

    def weights(self):
        return self.replicas()[0]

    def communication(self, steps):
        raise Unsupported("TensorFlow does not distinguish what its strategies compute from what they communicate")

    # Functions of the parts of all replicas in this process.

    def _infer(self, x):
        answers = self._strategy.run(super()._infer, args=(x,))
        return mapped(lambda each: self._tf.concat(self._local(each), axis=0), answers)

    def _differentiate(self, x, y, masks):
        loss, gradients = self._strategy.run(super()._differentiate, args=(x, y, masks))
        return self._mean(loss), [self._local(gradient)[0] for gradient in gradients]

    def _update(self, x, y, masks):
        return self._mean(self._strategy.run(super()._update, args=(x, y, masks)))

    def _mean(self, losses):
        """The mean loss of this process; losses of other processes are not needed in a step."""
        return self._tf.reduce_mean(self._tf.stack(self._local(losses)))

    def _local(self, value):
        return self._strategy.experimental_local_results(value)

    # In each replica.

    def _pass(self, x, y, masks):
        loss, gradients, statistics = super()._pass(x, y, masks)
        context = self._tf.distribute.get_replica_context()
        gradients = context.all_reduce("MEAN", gradients, options=self._communication)
        return loss, gradients, statistics

    # Arrays in.

    def _parts(self, x):
        """[(device, its part of the samples)] of this process."""
        parts = np.split(np.asarray(x), len(self._replica_devices))
        return [(device, parts[index]) for index, device in enumerate(self._replica_devices)]

    def _value(self, name, array):
        parts = []
        for device, part in self._parts(array):
            with self._tf.device(device):
                parts.append(self._tf.identity(super()._value(name, part)))
        return self._strategy.experimental_distribute_values_from_function(
            lambda context: parts[context.replica_id_in_sync_group % len(parts)]
        )
