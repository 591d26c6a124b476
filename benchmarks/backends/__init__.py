"""Graphs, quantization, and the runtimes that answer."""
