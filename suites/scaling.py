"""Scaling: three networks on one, two and four cores of this machine, strong and weak, in every framework.

On a machine with fewer cores four processes share them, and the results are labelled as oversubscribed.
"""

from dataclasses import replace

from rigmark import Mode, StartMethod, Sweep, Timing, benchmark

TRAINING = Sweep(
    models=("mnist_cnn",), frameworks=("torch", "tensorflow", "jax"), modes=(Mode.TRAINING,), world_sizes=(1, 2, 4),
    threads=(1,), local_batches=(32,), global_batches=(32,), oversubscribe=True, repetitions=8,
    timing=Timing(start_method=StartMethod.FORKSERVER),
)
SWEEPS = (
    TRAINING,
    replace(TRAINING, models=("alexnet", "resnet18"), local_batches=(4,), global_batches=(4,)),
    replace(
        TRAINING, models=("mnist_cnn", "resnet18"), modes=(Mode.INFERENCE,), world_sizes=(1, 2), local_batches=(1,),
        global_batches=(),
    ),
)
track_step_time = benchmark(SWEEPS, __name__)
