"""Stage 3: what checkpoints are worth: quality, size, and speed."""
