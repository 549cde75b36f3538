"""NumPy: OpenBLAS for matrix products, its own dispatched loops for the rest.

Loops are switched off by name. NumPy 2.4 has names for groups of features; older versions have names for features, and
ignore unknown names. OpenBLAS takes the name of a processor and uses the kernels for it.
"""

_ABOVE_AVX2 = (
    "X86_V4 AVX512_ICL AVX512_SPR AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_KNL AVX512_KNM"
)

VARIABLES = {
    "sse41": {
        "NPY_DISABLE_CPU_FEATURES": f"X86_V3 AVX F16C FMA3 FMA4 XOP AVX2 {_ABOVE_AVX2}", "OPENBLAS_CORETYPE": "Nehalem",
    },
    "avx2": {"NPY_DISABLE_CPU_FEATURES": _ABOVE_AVX2, "OPENBLAS_CORETYPE": "Haswell"},
    "avx512": {"OPENBLAS_CORETYPE": "SkylakeX"},
}
