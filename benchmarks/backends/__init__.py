"""Graphs, quantization, and the runtimes that answer."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when ONNX Runtime is imported; else it reports home
