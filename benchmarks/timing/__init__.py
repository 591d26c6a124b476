"""Timed rounds, models of any shape, and their bounds."""
