"""Effect of instruction sets: two real networks per framework, limited to SSE4.1, AVX2 or AVX-512, and without a limit.

What a processor lacks is recorded as unsupported. The instructions that ran are observed and stored with each figure.
"""

from rigmark import Isa, StartMethod, Sweep, Timing, benchmark

BRIEF = Timing(
    start_method=StartMethod.FORKSERVER, min_timings=3, min_time_s=0.2, max_time_s=3.0, warm_up_max_s=0.2
)
SWEEPS = (
    Sweep(
        models=("alexnet", "resnet18"), frameworks=("torch", "tensorflow", "jax"), isas=tuple(Isa),
        local_batches=(4,), repetitions=8, timing=BRIEF,
    ),
)
track_step_time = benchmark(SWEEPS, __name__)
