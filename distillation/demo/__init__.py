"""The demo's corpus and models."""
