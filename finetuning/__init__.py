"""Stage 2: a checkpoint is fine-tuned on a benchmark and scored by the benchmark's own metric."""
