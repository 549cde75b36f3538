"""TensorFlow: oneDNN for convolutions and matrix products, and Eigen for some of them.

Eigen's code is compiled into the wheel and no variable affects it. XLA's switch affects the loops that XLA generates,
but not the libraries that it calls.
"""

VARIABLES = {
    "sse41": {"ONEDNN_MAX_CPU_ISA": "SSE41", "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2"},
    "avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "XLA_FLAGS": "--xla_cpu_max_isa=AVX2"},
    # The highest level of oneDNN without matrix units (AMX).
    "avx512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_FP16", "XLA_FLAGS": "--xla_cpu_max_isa=AVX512"},
}
