"""The suite of ``make bench``: three real networks per framework in its best setting, one of them also on real digits.

Small batches and few timings keep it within some minutes on two cores; eight repetitions can give a verdict.
"""

from rigmark import StartMethod, Sweep, Timing, benchmark

BRIEF = Timing(
    start_method=StartMethod.FORKSERVER, min_timings=3, min_time_s=0.1, max_time_s=2.0, warm_up_max_s=0.2
)
FRAMEWORKS = ("torch", "tensorflow", "jax")

SWEEPS = (
    Sweep(
        models=("mnist_cnn",), frameworks=("numpy", *FRAMEWORKS), data=("digits",), local_batches=(32,),
        repetitions=8, timing=BRIEF,
    ),
    Sweep(models=("resnet18",), frameworks=FRAMEWORKS, local_batches=(2,), repetitions=8, timing=BRIEF),
    Sweep(models=("lstm",), frameworks=FRAMEWORKS, local_batches=(4,), repetitions=8, timing=BRIEF),
)
track_step_time = benchmark(SWEEPS, __name__)
