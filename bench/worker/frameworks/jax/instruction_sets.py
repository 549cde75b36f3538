"""JAX: XLA generates loops and leaves convolutions and matrix products to libraries.

XLA's own switch acts on the generated loops only. The YNN library, which does products by default, dispatches by itself
and has no switch; without it XLA takes oneDNN, which has one. So that a level differs from another in nothing else,
every level is without YNN, and native is another program.
"""

_WITHOUT_YNN = " --xla_cpu_experimental_ynn_fusion_type="

VARIABLES = {
    "sse41": {"ONEDNN_MAX_CPU_ISA": "SSE41", "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2" + _WITHOUT_YNN},
    "avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "XLA_FLAGS": "--xla_cpu_max_isa=AVX2" + _WITHOUT_YNN},
    # The highest of oneDNN's that is no matrix unit (AMX).
    "avx512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_FP16", "XLA_FLAGS": "--xla_cpu_max_isa=AVX512" + _WITHOUT_YNN},
}
