"""NumPy: OpenBLAS for matrix products, its own dispatched loops for the rest.

Loops are switched off by name. NumPy 2.4 names groups of features; before, it named the features, and it ignores a name
that it does not know. OpenBLAS takes the name of a processor whose kernels it shall use.
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
