"""Inputs to batches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from finetuning.tasks.losses import IGNORED

PADDING = {"labels": IGNORED, "teacher_logits": float("nan")}  # of the columns that the model does not read


@dataclass(frozen=True)
class Collator:
    """Pads inputs to the longest of a batch."""

    tokenizer: PreTrainedTokenizerBase
    padded: Sequence[str]  # of the columns of PADDING those that differ in size from input to input

    def __call__(self, inputs: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        batch = self.read(inputs)
        for name in PADDING.keys() & inputs[0].keys():
            values = [torch.tensor(one[name]) for one in inputs]
            if name in self.padded:
                batch[name] = pad_sequence(values, batch_first=True, padding_value=PADDING[name])
            else:
                batch[name] = torch.stack(values)
        return batch

    def read(self, inputs: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """What the model reads: (batch, length)."""
        names = [name for name in self.tokenizer.model_input_names if name in inputs[0]]
        return dict(self.tokenizer.pad([{name: one[name] for name in names} for one in inputs], return_tensors="pt"))


class ChoiceCollator(Collator):
    """Each input is a list of texts, the choices; a batch is (batch, choices, length).

    A choice that an input lacks is one padding token that is attended to, for attention to nothing is NaN.
    """

    def read(self, inputs: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """What the model reads: (batch, choices, length)."""
        names = [name for name in self.tokenizer.model_input_names if name in inputs[0]]
        absent = {name: [0] for name in names} | {"input_ids": [self.tokenizer.pad_token_id], "attention_mask": [1]}
        most = max(len(one["input_ids"]) for one in inputs)
        choices = [
            {name: one[name][number] for name in names} if number < len(one["input_ids"]) else absent
            for one in inputs
            for number in range(most)
        ]
        batch = self.tokenizer.pad(choices, return_tensors="pt")
        return {name: tensor.view(len(inputs), most, -1) for name, tensor in batch.items()}
