"""PyTorch: oneDNN for convolutions, MKL for matrix products, ATen's own kernels for the rest.

MKL uses MKL_ENABLE_INSTRUCTIONS on Intel's processors only. On AMD's, only MKL_CBWR=COMPATIBLE has an effect, which is
SSE2; without it MKL uses its AVX2 code there, even if AVX-512 is requested.
"""

VARIABLES = {
    "sse41": {
        "ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "MKL_CBWR": "COMPATIBLE",
    },
    "avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "avx512": {
        # The highest level without matrix units (AMX).
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_FP16", "ATEN_CPU_CAPABILITY": "avx512", "MKL_ENABLE_INSTRUCTIONS": "AVX512",
    },
}
