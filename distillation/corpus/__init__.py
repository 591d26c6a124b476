"""Lines become examples, masked batches, and streams."""
