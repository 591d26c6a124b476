"""Checkpoints and tokenizers that contradict themselves, lack a part, or bring code along."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tests.fuzz.guard import EXECUTED

WEIGHTS, CONFIG, TOKENIZER, OPTIONS = "model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"
Change = Callable[[Path], Any]  # of a copy of a good masked LM


class Payload:
    """Leaves a file where it is unpickled."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self) -> tuple:
        return exec, (f"open({str(self.folder / EXECUTED)!r}, 'w').close()",)


def _json(file: str, function: Callable[[dict], dict]) -> Change:
    return lambda folder: (folder / file).write_text(json.dumps(function(json.loads((folder / file).read_text()))))


def _config(file: str = CONFIG, **values: Any) -> Change:
    return _json(file, lambda content: content | values)


def _tensors(function: Callable[[dict], dict]) -> Change:
    return lambda folder: save_file(function(load_file(folder / WEIGHTS)), folder / WEIGHTS, {"format": "pt"})


def _without(*patterns: str) -> Change:
    return lambda folder: [path.unlink() for pattern in patterns for path in folder.glob(pattern)]


def _instead(file: str, write: Callable[[Path, Path], Any]) -> Change:
    """Another file in the place of the weights. write: given its path, and the folder."""
    return lambda folder: ((folder / WEIGHTS).unlink(), write(folder / file, folder))


def _planted(change: Change) -> Change:
    """With a module that leaves a file where it is imported."""
    code = "open({!r}, 'w').close()\nConfig = Model = Tokenizer = object\n"
    return lambda folder: ((folder / "planted.py").write_text(code.format(str(folder / EXECUTED))), change(folder))


CODE = {"AutoConfig": "planted.Config", "AutoModel": "planted.Model", "AutoModelForMaskedLM": "planted.Model"}
TOKENIZER_CODE = {"AutoTokenizer": ["planted.Tokenizer", "planted.Tokenizer"]}
INDEX = json.dumps({"metadata": {}, "weight_map": {"bert.embeddings": "../../../../etc/passwd"}})
SLOW = {"type": "Split", "pattern": {"Regex": "(а|а)*$"}, "behavior": "Isolated", "invert": False}
MORE = {f"слово{number}": 300 + number for number in range(50)}
WORD_ROWS = "bert.embeddings.word_embeddings.weight"

# Where a model is needed, these have to be refused.
BROKEN: dict[str, Change] = {
    "an-empty-folder": _without("*"),
    "no-tokenizer": _without("tokenizer*", "vocab.txt"),
    "unknown-model-type": _config(model_type="abacus"),
    "a-causal-model": _config(model_type="gpt2", architectures=["GPT2LMHeadModel"]),
    "a-wider-config": _config(hidden_size=64),
    "a-huge-width": _config(hidden_size=2**40),
    "heads-do-not-divide": _config(num_attention_heads=5),
    "an-unknown-activation": _config(hidden_act="magic"),
    "code-alone": _planted(_config(auto_map=CODE, model_type="planted")),
    "an-absurd-header": lambda folder: (folder / WEIGHTS).write_bytes((2**60).to_bytes(8, "little") + b"{}"),
    "half-of-the-tensors": _tensors(lambda tensors: dict(list(tensors.items())[::2])),
    "other-shapes": _tensors(lambda tensors: {name: tensor.flatten()[:1].clone() for name, tensor in tensors.items()}),
    "an-index-of-absent-shards": _instead(f"{WEIGHTS}.index.json", lambda path, _: path.write_text(INDEX)),
    "a-pickle-that-runs": _instead("pytorch_model.bin", lambda path, at: path.write_bytes(pickle.dumps(Payload(at)))),
    "a-zip-that-runs": _instead("pytorch_model.bin", lambda path, at: torch.save({WORD_ROWS: Payload(at)}, path)),
    "more-tokens": _json(TOKENIZER, lambda content: content["model"]["vocab"].update(MORE) or content),
}
# These may be of use to some script.
ODD: dict[str, Change] = {
    "quantized": _config(quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True}),
    "code-for-the-config": _planted(_config(auto_map=CODE)),
    "code-for-the-model": _config(auto_map={"AutoModelForMaskedLM": "planted.Model"}),
    "code-for-the-tokenizer": _planted(_config(OPTIONS, auto_map=TOKENIZER_CODE, tokenizer_class="Tokenizer")),
    "a-template-that-runs": _config(OPTIONS, chat_template="{{ ''.__class__.__mro__[1].__subclasses__() }}"),
    "no-head": _tensors(lambda tensors: {name: t for name, t in tensors.items() if not name.startswith("cls")}),
    "no-mask-token": _config(OPTIONS, mask_token=None),
    "a-pattern-without-end": _config(TOKENIZER, pre_tokenizer=SLOW),
}
