"""Micro-benchmarks of the machine: FLOP/s of products and convolutions, bandwidths, latency of a call, image decoding.

Their names are in bench.worker.microbenchmarks. It takes some minutes on two cores; an interval needs six repetitions,
which take longer. On a machine with a GPU it measures copies from and to the host; ``--device cuda:0`` runs all other
micro-benchmarks on the GPU too.
"""

from dataclasses import replace

from rigmark import Device, Precision, StartMethod, Sweep, Timing, benchmark

BRIEF = Timing(
    start_method=StartMethod.FORKSERVER, min_timings=3, min_time_s=0.1, max_time_s=1.0, warm_up_max_s=0.1
)
MATMUL = ("matmul_256", "matmul_512", "matmul_1024", "matmul_2048")
CONV2D = ("conv2d_stem", "conv2d_wide", "conv2d_deep", "conv2d_1x1")
SIZES = ("32KiB", "256KiB", "2MiB", "16MiB", "256MiB")
MEMORY = tuple(f"{kind}_{size}" for kind in ("copy", "triad") for size in SIZES)
TRANSFERS = ("host_to_device_pinned", "host_to_device_pageable", "device_to_host_pinned", "device_to_host_pageable")

FP32 = Sweep(
    microbenchmarks=(*MATMUL, *CONV2D), frameworks=("torch", "tensorflow", "jax"), repetitions=3, timing=BRIEF
)
ON_ANY_THREADS = (
    FP32,
    replace(FP32, microbenchmarks=MATMUL, frameworks=("numpy",)),
    replace(
        FP32, microbenchmarks=("matmul_1024",), frameworks=("numpy", *FP32.frameworks), precisions=(Precision.FP64,),
    ),
    replace(FP32, microbenchmarks=("matmul_1024", "matmul_2048", "conv2d_wide"), precisions=(Precision.BF16,)),
    replace(FP32, microbenchmarks=MEMORY, frameworks=("torch",)),
    replace(FP32, microbenchmarks=("jpeg_decode",), frameworks=("numpy", "tensorflow")),
)
SWEEPS = (
    *ON_ANY_THREADS,                                             # once per core
    *(replace(sweep, threads=(1,)) for sweep in ON_ANY_THREADS),
    replace(FP32, microbenchmarks=("matmul_4096",), frameworks=("numpy", "torch")),
    replace(FP32, microbenchmarks=("launch",), frameworks=("numpy", *FP32.frameworks), threads=(1,)),
    replace(FP32, microbenchmarks=(*MEMORY, "disk_read", "disk_write"), frameworks=("numpy",), threads=(1,)),
    replace(FP32, microbenchmarks=("all_reduce_2", "all_reduce_4"), frameworks=("torch",)),
    replace(FP32, microbenchmarks=TRANSFERS, frameworks=("torch",), devices=(Device("cuda", 0),)),
)
track_step_time = benchmark(SWEEPS, __name__)
