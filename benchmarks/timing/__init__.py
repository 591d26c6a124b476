"""Measures time and memory of models and training steps, and the bound that a machine sets."""

from pathlib import Path

SHAPES = Path(__file__).parents[1] / "shapes"
RECIPES = Path(__file__).parents[2] / "distillation" / "recipes"
