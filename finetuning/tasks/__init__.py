"""Kinds of tasks: what they read, predict, and measure."""
