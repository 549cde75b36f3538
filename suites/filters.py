"""One large filter against several small ones: 5 x 5 against two of 3 x 3, and 7 x 7 against three.

They see the same part of an image; the small ones have fewer parameters and FLOPs, and take more steps in order.
"""

from rigmark import Mode, StartMethod, Sweep, Timing, benchmark

SWEEPS = (
    Sweep(
        models=("filter_5x5", "filters_3x3_twice", "filter_7x7", "filters_3x3_thrice"),
        frameworks=("torch", "tensorflow", "jax"), modes=(Mode.INFERENCE, Mode.TRAINING), local_batches=(8,),
        repetitions=6, layers=True,
        timing=Timing(
            start_method=StartMethod.FORKSERVER, min_timings=5, min_time_s=0.2, max_time_s=2.0, warm_up_max_s=0.3
        ),
    ),
)
track_step_time = benchmark(SWEEPS, __name__)
