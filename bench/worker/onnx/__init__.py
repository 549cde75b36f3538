"""ONNX files. The package ``onnx`` is imported inside functions only, so that builds without it still start."""
