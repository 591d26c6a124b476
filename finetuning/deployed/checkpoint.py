"""A checkpoint that answers as an exported folder does: transformers computes the logits, all else is the same."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from distillation.hub.snippets import TASKS, VECTORS
from distillation.models.loading import load_as_saved, load_tokenizer_of
from finetuning.deployed.model import Model
from finetuning.deployed.sentence_encoder import SentenceEncoder, encoder_of, has_no_head

KEY = "model_name_or_path"
OUTPUTS = ("logits", "start_logits", "end_logits", "sentence_embedding")


class Checkpoint(Model):
    """A folder or Hub id that transformers loads, on a GPU where there is one. Raises UserError for any other."""

    device = "cuda" if torch.cuda.is_available() else "cpu"

    def open(self, folder: str | Path, threads: int) -> tuple:
        """What `Model.open` gives; torch has its own key for `threads`."""
        model, tokenizer, task = load_with_task(str(folder))
        model = model.to(self.device)

        @torch.inference_mode()
        def run(inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
            outputs = model(**{name: torch.from_numpy(array).to(self.device) for name, array in inputs.items()})
            return [outputs[name].float().cpu().numpy() for name in OUTPUTS if name in outputs]

        return tokenizer.backend_tokenizer, config_of(model, tokenizer, task), run, tokenizer.model_input_names


def load_with_task(name_or_path: str, task: str | None = None) -> tuple[Any, Tokenizer, str]:
    """A checkpoint with its own head, or as a sentence encoder, its tokenizer, and what it does by the Hub's name.

    task: `feature-extraction` for a sentence encoder; None for what the checkpoint has. Raises UserError for others.
    """
    if task == VECTORS or has_no_head(name_or_path, KEY):
        model = encoder_of(name_or_path, KEY)
        tokenizer = load_tokenizer_of(model.encoder, name_or_path, KEY)
        tokenizer.model_max_length = min(tokenizer.model_max_length, model.max_length or tokenizer.model_max_length)
        return model, tokenizer, VECTORS
    model = load_as_saved(name_or_path, KEY, tuple(TASKS))
    head = model.config.architectures[0]
    task = next(name for end, name in TASKS.items() if head.endswith(end))
    roles = ("pad_token", "mask_token") if task == "fill-mask" else ("pad_token",)
    return model, load_tokenizer_of(model, name_or_path, KEY, roles), task


def config_of(model: PreTrainedModel | SentenceEncoder, tokenizer: Tokenizer, task: str) -> dict[str, Any]:
    """What `config.json` of a deployed model holds: the model's own, and what else an answer needs."""
    config = json.loads(model.config.to_json_string(use_diff=False))
    config |= {"task": task, "model_max_length": tokenizer.model_max_length, "mask_token": tokenizer.mask_token}
    del config["_name_or_path"]  # of this machine
    if task != TASKS["ForSequenceClassification"]:
        config.pop("texts_at_once", None)  # of an earlier task
    if task == VECTORS:
        config |= {"architectures": [type(model.encoder).__name__], "pooling": model.pooling}
        # Servers look for these names; DistilBERT has others.
        config |= {name: getattr(model.config, name) for name in ("hidden_size", "num_hidden_layers")}
    return config
