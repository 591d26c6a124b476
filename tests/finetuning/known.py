"""What a right model says, where entities lie, and what a run has left: obvious counterparts of what is tested."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import TrainingArguments

from finetuning.deployed.model import tag_spans
from finetuning.tasks.losses import IGNORED


def knowing(part, classes):
    """Logits of a model that gives the labels (2 classes: the ends of answers), and noise elsewhere."""
    draw, logits = np.random.default_rng(0), []
    for row in part.inputs:
        one = draw.normal(size=(row["length"], classes)).astype(np.float32)
        for place, label in enumerate(row["labels"]):
            if classes == 2:
                place, label = label, place
            if label != IGNORED:
                one[place, label] += 100
        logits.append(one)
    return logits


def entities(row, tags):
    """The entities that tags of a row's words mark: type, first character, the character after the last, surface."""
    spans = [(kind, row["words"][first][0], row["words"][after - 1][1]) for kind, first, after in tag_spans(tags)]
    return [(kind, start, end, row["text"][start:end]) for kind, start, end in spans]


def arguments(folder, **keys):
    defaults = dict(use_cpu=True, report_to="none", disable_tqdm=True, save_strategy="no", seed=1)
    return TrainingArguments(str(folder), **defaults | keys)


def same_weights(one, other):
    one, other = (load_file(folder / "model.safetensors") for folder in (one, other))
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def results_of(folder):
    return json.loads(Path(folder, "all_results.json").read_text(encoding="utf-8"))
