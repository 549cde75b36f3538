"""JAX's shard_map over a mesh of devices, in one process or in several.

It does not use jit with sharded inputs, in which XLA divides the work by itself: batch normalisation would then be over
the global batch, which is another network than that of all other strategies.
"""

import functools

import numpy as np

from ..devices import is_host
from ..frameworks import Unsupported
from ..frameworks.jax.adapter import JaxPrepared
from . import ANY, BUCKET_MB, GRADIENT_COMPRESSION, all_reduce_bytes

FRAMEWORKS = ("jax",)
MODES = ("training",)
IS_USUAL = True
PROCESSES = ANY
ANSWERS_APART = False
SUMS_GRADIENTS = True
REFUSES = {
    BUCKET_MB: "XLA decides how the sums of shard_map are combined into messages, and has no option for CPUs",
    GRADIENT_COMPRESSION: "JAX has no compression of gradients; PyTorch's ddp has",
}

AXIS = "data"


def sent_bytes(gradient_bytes, world_size):
    return all_reduce_bytes(gradient_bytes, world_size)


def prepare(adapter, graph, weights, settings, world):
    import jax

    if not is_host(settings["device"]):
        raise Unsupported("shard_map is supported on CPUs only; it was never tried on GPUs")
    if not hasattr(jax, "shard_map"):
        raise Unsupported(f"shard_map needs JAX 0.7 or newer, this is {jax.__version__}")
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", world["devices_per_process"])
    if world["processes"] > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(
            f"{world['address']}:{world['ports'][1]}", num_processes=world["processes"], process_id=world["rank"],
            initialization_timeout=int(world["patience_s"]),
        )
    return adapter.prepare(graph, weights, settings, ShardedPrepared)


class ShardedPrepared(JaxPrepared):
    """A network of which every device has a copy, and its own part of a batch.

    Weights and states of the optimizer are replicated; running statistics belong to each device, and have a first axis
    of devices.
    """

    def __init__(self, jax, graph, weights, settings, device):
        self._mesh = jax.make_mesh((jax.device_count(),), (AXIS,))
        self._devices_here = jax.local_device_count()
        super().__init__(jax, graph, weights, settings, device)
        self._statistics = {
            key: self._samples(np.repeat(np.asarray(array)[None], self._devices_here, axis=0))
            for key, array in self._statistics.items()
        }
        every, own = jax.sharding.PartitionSpec(), jax.sharding.PartitionSpec(AXIS)
        # Without the check, which would sum gradients by itself.
        shared = functools.partial(jax.shard_map, mesh=self._mesh, check_vma=False)
        self._infer = jax.jit(shared(self._output, in_specs=(every, own, own), out_specs=own))
        self._differentiate = jax.jit(shared(
            self._loss_and_gradients, in_specs=(every, own, every, own, own, own), out_specs=((own, own), every),
        ))
        self._train = jax.jit(shared(
            self._updated, in_specs=(every, own, every, every, every, own, own, own),
            out_specs=(every, own, every, every, every, own),
        ), donate_argnums=(0, 1, 2, 3, 4))

    def replicas(self):
        return [
            {
                **{key: self._canonical_parameter(key, self._of_device(array, i))
                   for key, array in self._parameters.items()},
                **{key: self._canonical_parameter(key, self._of_device(array, i)[0])
                   for key, array in self._statistics.items()},
            }
            for i in range(self._devices_here)
        ]

    def weights(self):
        return self.replicas()[0]

    def communication(self, steps):
        raise Unsupported("JAX's trace does not say how long a CPU's devices wait for each other")

    # What JAX traces, for one device of the mesh.

    def _output(self, parameters, statistics, x):
        return super()._output(parameters, _own(statistics), x)

    def _loss_and_gradients(self, parameters, statistics, scaling, x, y, masks, step=None):
        lax = self._jax.lax
        if step is not None:             # every device draws its own dropout
            step = step * self._mesh.size + lax.axis_index(AXIS)
        (loss, statistics), gradients = super()._loss_and_gradients(
            parameters, _own(statistics), scaling, x, y, masks, step
        )
        return (loss[None], {key: array[None] for key, array in statistics.items()}), lax.pmean(gradients, AXIS)

    # Arrays in and out.

    def _array(self, array):
        return self._placed(array, self._jax.sharding.PartitionSpec())

    def _samples(self, array):
        return self._placed(array, self._jax.sharding.PartitionSpec(AXIS))

    def _placed(self, array, spec):
        sharding = self._jax.sharding.NamedSharding(self._mesh, spec)
        # A copy first, as in the adapter.
        return self._jax.make_array_from_process_local_data(sharding, np.array(array, order="C"))

    def _number(self, losses):
        return float(np.mean([self._of_device(losses, i) for i in range(self._devices_here)]))

    def _gathered(self, array):
        return np.concatenate([self._of_device(array, i) for i in range(self._devices_here)])

    def _of_device(self, array, index):
        """The part or copy of an array on a device of this process."""
        device = self._jax.local_devices()[index]
        return np.asarray(next(shard.data for shard in array.addressable_shards if shard.device == device))


def _own(statistics):
    """A device's own statistics, without the axis of devices."""
    return {key: array[0] for key, array in statistics.items()}
