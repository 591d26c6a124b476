"""Time and memory of models and steps, and the least that a machine needs."""

from pathlib import Path

SHAPES = Path(__file__).parents[1] / "shapes"
RECIPES = Path(__file__).parents[2] / "distillation" / "recipes"
