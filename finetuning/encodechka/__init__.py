"""Encodechka, the board of Russian sentence encoders: its tasks, encoders of every kind, the report."""
