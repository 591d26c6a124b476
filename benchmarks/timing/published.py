"""What is measured unless something is named: the systems of the model cards, as YAML files. Imports nothing heavy."""

from pathlib import Path

SHAPES = Path(__file__).parents[1] / "shapes"
RECIPES = Path(__file__).parents[2] / "distillation" / "recipes"
SYSTEMS = (  # largest first
    SHAPES / "rubert-base-cased-conversational.yaml",
    RECIPES / "distilrubert-base-cased-conversational.yaml",
    RECIPES / "distilrubert-small-cased-conversational.yaml",
    SHAPES / "rubert-tiny2.yaml",
    SHAPES / "rubert-tiny.yaml",
    RECIPES / "distilrubert-tiny-cased-conversational-v1.yaml",
    RECIPES / "distilrubert-tiny-cased-conversational-5k.yaml",
)
