"""Effect of lower precisions: speed, error and memory of two real networks, and whether they learn to read digits.

Most of its time goes into fp16, for which few CPUs have units; therefore each process times few steps.
"""

from dataclasses import replace

from rigmark import Device, Mode, Precision, StartMethod, Sweep, Timing, benchmark

BRIEF = Timing(
    start_method=StartMethod.FORKSERVER, min_timings=2, min_time_s=0.2, max_time_s=1.0, warm_up_max_s=0.1
)
SPEED = Sweep(
    models=("alexnet", "resnet18"), frameworks=("torch", "tensorflow", "jax"),
    precisions=(Precision.FP32, Precision.FP64, Precision.BF16, Precision.FP16), local_batches=(4,), repetitions=8,
    timing=BRIEF,
)
SWEEPS = (
    SPEED,
    replace(
        SPEED, precisions=(Precision.BF16_PURE, Precision.FP16_PURE, Precision.INT8), modes=(Mode.INFERENCE,),
    ),
    replace(SPEED, precisions=(Precision.TF32,), devices=(Device("cuda", 0),)),
    # The proofs of these cases train for one epoch on the digits.
    replace(
        SPEED, models=("mnist_cnn", "mnist_resnet18"), data=("digits",), modes=(Mode.TRAINING,), local_batches=(32,),
        precisions=(Precision.FP32, Precision.BF16, Precision.FP16),
    ),
)
track_step_time = benchmark(SWEEPS, __name__)
