"""The teacher's outputs for a corpus, on disk."""
