"""Sentence encoders: the vectors of a teacher, and a student that learns them."""
