"""Stage 3: measures the quality, size, and speed of checkpoints, and exports them."""
