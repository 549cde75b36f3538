"""The full matrix: every network in every framework, compile mode and layout, inference and training.

It takes hours. Combinations that a framework does not have are recorded as unsupported, with the reason.
"""

from dataclasses import replace

from rigmark import CompileMode, Layout, StartMethod, Sweep, Timing, benchmark

DIGITS = Sweep(
    models=("mlp", "mnist_cnn"), frameworks=("torch", "tensorflow", "jax"), compile_modes=tuple(CompileMode),
    layouts=tuple(Layout), data=("digits",), local_batches=(32, 128), repetitions=10,
    timing=Timing(start_method=StartMethod.FORKSERVER),
)
SWEEPS = (
    DIGITS,
    replace(
        DIGITS, models=("alexnet", "alexnet_one_tower", "vgg16", "resnet18", "resnet50"), data=("synthetic",),
        local_batches=(1, 8, 32),
    ),
    replace(DIGITS, models=("lstm",), data=("text",), local_batches=(1, 32)),
)
track_step_time = benchmark(SWEEPS, __name__)
