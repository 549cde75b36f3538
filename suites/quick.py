"""What ``make bench`` runs: three real networks in each framework at its best setting, and the layers of one of them.

Small batches and few timings keep it within some minutes on two cores; ten repetitions give a verdict wherever one
framework is clearly faster. Training the LSTM as well, and inference of the ResNet-18, would take two minutes more.
"""

from rigmark import Mode, StartMethod, Sweep, Timing, benchmark

BRIEF = Timing(
    start_method=StartMethod.FORKSERVER, min_timings=3, min_time_s=0.1, max_time_s=2.0, warm_up_max_s=0.2
)
FRAMEWORKS = ("torch", "tensorflow", "jax")

SWEEPS = (
    Sweep(
        models=("mnist_cnn",), frameworks=FRAMEWORKS, data=("digits",), local_batches=(32,), repetitions=10,
        layers=True, timing=BRIEF,
    ),
    Sweep(
        models=("resnet18",), frameworks=FRAMEWORKS, modes=(Mode.TRAINING,), local_batches=(2,), repetitions=10,
        timing=BRIEF,
    ),
    Sweep(
        models=("lstm",), frameworks=FRAMEWORKS, modes=(Mode.INFERENCE,), local_batches=(4,), repetitions=10,
        timing=BRIEF,
    ),
)
track_step_time = benchmark(SWEEPS, __name__)
