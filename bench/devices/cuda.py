"""GPUs of NVIDIA."""

IS_HOST = False
TELEMETRY = "nvml"
VARIABLES = ("CUDA_", "CUBLAS_", "CUBLASLT_", "CUDNN_", "NCCL_", "NVIDIA_TF32_OVERRIDE", "TRITON_")
NUMBERING = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""Makes "cuda:0" the GPU that has index 0 in NVML. By default CUDA puts the fastest GPU first, in an order that only
CUDA knows."""
NEVER_RAN = None
