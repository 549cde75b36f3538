"""TensorFlow: oneDNN for convolutions and matrix products, of which Eigen does some by itself.

Eigen's code is compiled into the wheel and heeds no variable. XLA's switch acts on the loops that XLA generates, and
not on the libraries that it calls.
"""

VARIABLES = {
    "sse41": {"ONEDNN_MAX_CPU_ISA": "SSE41", "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2"},
    "avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "XLA_FLAGS": "--xla_cpu_max_isa=AVX2"},
    # The highest of oneDNN's that is no matrix unit (AMX).
    "avx512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_FP16", "XLA_FLAGS": "--xla_cpu_max_isa=AVX512"},
}
