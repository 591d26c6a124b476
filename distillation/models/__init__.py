"""Teacher, student, first weights, heads."""
