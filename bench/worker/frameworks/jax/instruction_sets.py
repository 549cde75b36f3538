"""JAX: XLA generates loops and leaves convolutions and matrix products to libraries.

XLA's own switch affects the generated loops only. The YNN library, which computes products by default, selects
instructions itself and has no switch; without it XLA uses oneDNN, which has one. All levels are without YNN, so that
they differ in nothing else; native, with YNN, is a different program.
"""

_WITHOUT_YNN = " --xla_cpu_experimental_ynn_fusion_type="

VARIABLES = {
    "sse41": {"ONEDNN_MAX_CPU_ISA": "SSE41", "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2" + _WITHOUT_YNN},
    "avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "XLA_FLAGS": "--xla_cpu_max_isa=AVX2" + _WITHOUT_YNN},
    # The highest level of oneDNN without matrix units (AMX).
    "avx512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_FP16", "XLA_FLAGS": "--xla_cpu_max_isa=AVX512" + _WITHOUT_YNN},
}
