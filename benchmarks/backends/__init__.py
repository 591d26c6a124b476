"""Export to ONNX graphs, quantization, and the runtimes."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when ONNX Runtime is imported; it would send telemetry
