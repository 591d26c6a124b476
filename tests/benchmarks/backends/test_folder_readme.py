"""What the README of a folder to deploy says of the model."""

from benchmarks.backends.folder_readme import readme


def test_figures_of_single_classes_are_left_to_the_results():
    """A tagger of ten types has thirty of them."""
    pytorch = {"f1": 0.9, "precision": 0.8, "brand_f1": 0.7, "PER_recall": 0.6, "examples": 9}
    found = {"agreement": 0.5, "compared": "9 predictions", "backend": "onnx", "bytes": {"model.onnx": 1000}}
    found |= {"pytorch": pytorch, "exported": {name: value / 2 for name, value in pytorch.items()}}
    config = {"task": "token-classification", "mask_token": None, "model_max_length": 512, "id2label": {"0": "O"}}
    text = readme(found, config, "tagger")
    assert "agree; f1 0.4500 (0.9000 in PyTorch); precision 0.4000 (0.8000 in PyTorch) (" in text
    assert "brand" not in text and "PER" not in text and "examples 4" not in text
