"""What ``make bench`` runs: a real network on real handwritten digits, each framework at its best setting."""

from bench import asv
from bench.spec import Sweep, Timing
from bench.words import StartMethod

SWEEPS = (
    Sweep(
        models=("mnist_cnn",),
        frameworks=("numpy", "torch"),
        local_batches=(32,),
        data=("digits",),
        repetitions=8,
        timing=Timing(
            start_method=StartMethod.FORKSERVER, min_timings=10, min_time_s=0.5, max_time_s=5.0, warm_up_max_s=3.0
        ),
    ),
)
track_step_time = asv.benchmark(SWEEPS, __name__)
