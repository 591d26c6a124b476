"""A model that answers by a rule, in place of a network."""

import copy
import json

import numpy as np
from tokenizers import Tokenizer

from distillation.models.tokenizer_file import compose_letters
from finetuning.deployed.model import Model

TEXTS = [f"кот {'и ' * (n % 7)}пёс {n}" for n in range(20)]


class Known(Model):
    """`rule`: the tokens of an input -> its logits, one array or two, for as many places as there are tokens."""

    def __init__(self, tokenizer, head, rule, **config):
        tokenizer = copy.deepcopy(tokenizer)  # other tests use it as it is
        compose_letters(tokenizer)
        bare = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        config = {"architectures": [f"BertFor{head}"], "vocab_size": len(tokenizer), "model_max_length": 24} | config

        def run(inputs):
            ids = inputs["input_ids"].reshape(len(inputs["input_ids"]), -1)
            found = [rule([bare.id_to_token(one) for one in row]) for row in ids.tolist()]
            self.batches.append(ids.shape)
            return [np.array(one, dtype=np.float32) for one in zip(*found, strict=True)]

        self.opened, self.batches = (bare, config | {"mask_token": "[MASK]"}, run, ["input_ids"]), []
        super().__init__("nowhere")

    def open(self, folder, threads):
        return self.opened


def by_length(tokenizer):
    """A classifier of two labels, which counts tokens."""
    return Known(tokenizer, "SequenceClassification", lambda tokens: [[len(tokens) - tokens.count("[PAD]"), 10.0]])


def lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
