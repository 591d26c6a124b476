"""Stage 1: a teacher masked language model becomes a smaller student checkpoint."""
