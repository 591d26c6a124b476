"""The benchmarks' data sets."""
