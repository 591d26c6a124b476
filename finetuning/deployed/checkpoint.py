"""A checkpoint that answers as an exported folder does: transformers computes the logits, all else is the same."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from distillation.models.loading import load_as_saved, load_tokenizer_of
from finetuning.deployed.model import HEADS, Model

KEY = "model_name_or_path"
OUTPUTS = ("logits", "start_logits", "end_logits")


class Checkpoint(Model):
    """A folder or Hub id that transformers loads, on a GPU where there is one. Raises UserError for any other."""

    def open(self, folder: str | Path, threads: int) -> tuple:
        """What `Model.open` gives; torch has its own key for `threads`."""
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = load_as_saved(str(folder), KEY, HEADS).to(device)
        tokenizer = load_tokenizer_of(model, str(folder), KEY)

        @torch.inference_mode()
        def run(inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
            outputs = model(**{name: torch.from_numpy(array).to(device) for name, array in inputs.items()})
            return [outputs[name].float().cpu().numpy() for name in OUTPUTS if name in outputs]

        config = json.loads(model.config.to_json_string(use_diff=False))
        config |= {"model_max_length": tokenizer.model_max_length, "mask_token": tokenizer.mask_token}
        return tokenizer.backend_tokenizer, config, run, tokenizer.model_input_names
