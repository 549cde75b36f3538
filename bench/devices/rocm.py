"""GPUs of AMD."""

IS_HOST = False
TELEMETRY = "amd"
VARIABLES = ("HIP_", "HSA_", "ROCBLAS_", "MIOPEN_", "RCCL_")
NUMBERING: dict[str, str] = {}
NEVER_RAN = (
    "No trial of Rigmark has run on a GPU of AMD yet: telemetry sees them, and no adapter has been tried on one"
)
