"""Three single-threaded cases for continuous integration and ``asv continuous``: they take seconds and vary little."""

from rigmark import Mode, Sweep, Timing, benchmark

STEADY = Timing(min_timings=20, min_time_s=0.5, max_time_s=3.0, warm_up_max_s=1.0)

SWEEPS = (
    Sweep(
        models=("mlp",), frameworks=("numpy",), modes=(Mode.TRAINING,), local_batches=(64,), threads=(1,),
        repetitions=8, timing=STEADY,
    ),
    Sweep(
        models=("mnist_cnn",), frameworks=("torch",), local_batches=(16,), threads=(1,), repetitions=8, timing=STEADY
    ),
)
track_step_time = benchmark(SWEEPS, __name__)
