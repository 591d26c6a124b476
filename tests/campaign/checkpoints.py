"""Checkpoints and tokenizers that are torn, contradict themselves, or bring code along."""

import json
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tests.campaign.case import EITHER, REFUSED, Case, Cases, Entry, Make
from tests.campaign.damage import DAMAGES, STAND_INS, Change, copied, damaged, mutated, replaced
from tests.campaign.verdict import EXECUTED

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"
OF_TOKENIZER = (TOKENIZER, "tokenizer_config.json")
TORN = ("empty", "cut", "cut-at-the-end", "zeros", "noise", "utf-16", "bom", "a-web-page", "a-pointer")


class Payload:
    """Leaves a file if it is unpickled."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self) -> tuple:
        return exec, (f"open({str(self.folder / EXECUTED)!r}, 'w').close()",)


def by_hand() -> dict[str, tuple[Change, str]]:
    """How a checkpoint of a masked LM is changed, and what has to become of it."""
    found: dict[str, tuple[Change, str]] = {}
    for name in TORN:
        expected = REFUSED if name not in ("bom", "cut-at-the-end") else EITHER
        for file in (CONFIG, WEIGHTS, TOKENIZER):
            found[f"{file}-{name}"] = damaged(file, DAMAGES[name]), expected
        found[f"tokenizer_config.json-{name}"] = damaged("tokenizer_config.json", DAMAGES[name]), EITHER
    for name, stand_in in STAND_INS.items():
        expected = REFUSED if name != "locked" else EITHER
        if name != "a-pipe":  # which every program would wait for
            for file in (CONFIG, WEIGHTS):
                found[f"{file}-{name}"] = replaced(file, stand_in), expected
            found[f"tokenizer.json-{name}"] = replaced(TOKENIZER, stand_in), EITHER
    return found | {
        "an-empty-folder": (_emptied, REFUSED),
        "no-tokenizer": (_without(*OF_TOKENIZER, "vocab.txt"), REFUSED),
        "a-slow-tokenizer": (_slow, EITHER),
        "a-list-for-a-config": (_json(CONFIG, lambda config: [config]), REFUSED),
        "no-model-type": (_config(model_type=None), EITHER),
        "unknown-model-type": (_config(model_type="abacus"), REFUSED),
        "a-number-for-a-model-type": (_config(model_type=7), REFUSED),
        "another-model-type": (_config(model_type="roberta"), EITHER),
        "a-causal-model": (_config(model_type="gpt2", architectures=["GPT2LMHeadModel"]), REFUSED),
        "an-encoder-decoder": (_config(model_type="t5", architectures=["T5Model"]), REFUSED),
        "a-picture-model": (_config(model_type="vit", architectures=["ViTModel"]), REFUSED),
        "a-wider-config": (_config(hidden_size=64), REFUSED),
        "a-deeper-config": (_config(num_hidden_layers=5), REFUSED),
        "a-shallower-config": (_config(num_hidden_layers=1), EITHER),
        "a-larger-vocabulary": (_config(vocab_size=400), REFUSED),
        "fewer-positions": (_config(max_position_embeddings=8), REFUSED),
        "no-positions": (_config(max_position_embeddings=0), REFUSED),
        "negative-layers": (_config(num_hidden_layers=-1), EITHER),
        "no-layers": (_config(num_hidden_layers=0), EITHER),
        "a-word-for-a-width": (_config(hidden_size="wide"), REFUSED),
        "a-huge-width": (_config(hidden_size=2**40), REFUSED),
        "heads-do-not-divide": (_config(num_attention_heads=5), REFUSED),
        "no-heads": (_config(num_attention_heads=0), REFUSED),
        "an-unknown-activation": (_config(hidden_act="magic"), REFUSED),
        "dropout-of-two": (_config(hidden_dropout_prob=2), EITHER),
        "no-dropout": (_config(attention_probs_dropout_prob=None, hidden_dropout_prob=None), EITHER),
        "padding-beyond": (_config(pad_token_id=100000), EITHER),
        "an-unknown-dtype": (_config(dtype="float7"), EITHER),
        "no-labels": (_config(id2label={}, label2id={}), EITHER),
        "labels-of-a-kind": (_config(id2label={"a": "b"}), EITHER),
        "quantized": (_config(quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True}), EITHER),
        "code-for-the-config": (_remote_code, EITHER),
        "code-for-the-model": (_config(auto_map={"AutoModelForMaskedLM": "planted.Model"}), EITHER),
        "code-alone": (_only_remote_code, REFUSED),
        "code-for-the-tokenizer": (_tokenizer_code, EITHER),
        "a-template-that-runs": (_json("tokenizer_config.json", _template), EITHER),
        "an-absurd-header": (_header(2**60), REFUSED),
        "a-long-header": (_header(10**8), REFUSED),
        "no-header": (_header(0), REFUSED),
        "no-tensors": (_tensors(lambda tensors: {}), REFUSED),
        "half-of-the-tensors": (_tensors(lambda t: dict(list(t.items())[::2])), REFUSED),
        "no-head": (_tensors(lambda t: {k: v for k, v in t.items() if not k.startswith("cls")}), EITHER),
        "other-shapes": (_tensors(lambda t: {k: v.flatten()[:1].clone() for k, v in t.items()}), REFUSED),
        "whole-numbers": (_tensors(lambda t: {k: v.long() for k, v in t.items()}), EITHER),
        "an-index-of-absent-shards": (_absent_shards, REFUSED),
        "a-pickle-that-runs": (_pickled, REFUSED),
        "a-zip-that-runs": (_zipped, REFUSED),
        "weights-of-a-program": (_with_training_args, EITHER),
        "fewer-tokens": (_tokens(lambda vocabulary: dict(list(vocabulary.items())[:50])), EITHER),
        "more-tokens": (_tokens(lambda v: v | {f"слово{n}": len(v) + n for n in range(50)}), REFUSED),
        "no-tokens": (_tokens(lambda vocabulary: {}), REFUSED),
        "one-id-for-all": (_tokens(lambda vocabulary: dict.fromkeys(vocabulary, 0)), EITHER),
        "ids-beyond": (_tokens(lambda vocabulary: {k: v * 10 for k, v in vocabulary.items()}), EITHER),
        **{f"no-{role}-token": (_no_token(role), EITHER) for role in ("mask", "pad", "unk", "cls", "sep")},
        "a-tokenizer-of-another-type": (_json(TOKENIZER, _another_type), EITHER),
        "a-tokenizer-of-the-future": (_json(TOKENIZER, lambda content: content | {"version": "9.0"}), EITHER),
        "a-pattern-without-end": (_json(TOKENIZER, _pattern), EITHER),
    }  # fmt: skip


def checkpoints(entry: Entry) -> Cases:
    """Every change for every key that names a model or a tokenizer."""
    for key in (*entry.models, *entry.tokenizers):
        for name, (change, expected) in by_hand().items():
            # What is wrong with the weights does not matter where only the tokenizer is read.
            expected = expected if key in entry.models and entry.fails == 2 else EITHER
            yield Case(entry, f"{key}-{name}", _changes(entry, key), copying(change), expected)
        for name, value in (("absent", "{here}/absent"), ("no-such-id", "no/such/model"), ("nothing", "")):
            yield Case(entry, f"{key}-{name}", _changes(entry, key) | {key: value}, None, EITHER)
        yield Case(entry, f"{key}-a-file", _changes(entry, key) | {key: "{good}/corpus.txt"}, None, REFUSED)


def _changes(entry: Entry, key: str) -> dict[str, Any]:
    changes: dict[str, Any] = {key: "{here}/model"}
    if key == "student_vocabulary":
        changes |= {"alignment": "match", "masking_unit": "word"}
    others = {"teacher_tokenizer": "student_tokenizers", "student_tokenizers": "teacher_tokenizer"}
    return changes | ({others[key]: "{good}/vocabulary"} if key in others else {})


def drawn(entry: Entry, draw: random.Random) -> Case:
    """A file of a checkpoint with bytes cut, flipped, or inserted."""
    key = draw.choice((*entry.models, *entry.tokenizers))
    file = draw.choice((CONFIG, WEIGHTS, *OF_TOKENIZER))
    seed = draw.random()
    change = damaged(file, lambda content: mutated(content, random.Random(seed)))
    return Case(entry, f"{key}-{file}", _changes(entry, key), copying(change))


def copying(change: Change) -> Make:
    """Makes a copy of the good teacher and changes it."""
    return copied("teacher", "model", change)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _json(file: str, function: Callable[[Any], Any]) -> Change:
    def change(folder: Path) -> None:
        content = function(json.loads((folder / file).read_text("utf-8")))
        (folder / file).write_text(json.dumps(content), "utf-8")

    return change


def _config(**values: Any) -> Change:
    return _json(CONFIG, lambda config: {k: v for k, v in {**config, **values}.items() if k != "model_type" or v})


def _tensors(function: Callable[[dict], dict]) -> Change:
    def change(folder: Path) -> None:
        save_file(function(load_file(folder / WEIGHTS)), folder / WEIGHTS, {"format": "pt"})

    return change


def _tokens(function: Callable[[dict], dict]) -> Change:
    def change_vocabulary(content: dict) -> dict:
        content["model"]["vocab"] = function(content["model"]["vocab"])
        return content

    return _json(TOKENIZER, change_vocabulary)


def _no_token(role: str) -> Change:
    def change(folder: Path) -> None:
        _json("tokenizer_config.json", lambda config: {**config, f"{role}_token": None})(folder)

    return change


def _without(*files: str) -> Change:
    def change(folder: Path) -> None:
        for file in files:
            (folder / file).unlink(missing_ok=True)

    return change


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _slow(folder: Path) -> None:
    (folder / TOKENIZER).unlink()
    _json("tokenizer_config.json", lambda config: {**config, "tokenizer_class": "BertJapaneseTokenizer"})(folder)


PLANTED = """from pathlib import Path
Path(__file__).with_name({name!r}).touch()
Path({where!r}).touch()
Config = Model = Tokenizer = object
"""


def _plant(folder: Path) -> None:
    where = str(folder / EXECUTED)
    (folder / "planted.py").write_text(PLANTED.format(name=EXECUTED, where=where))


def _remote_code(folder: Path) -> None:
    _plant(folder)
    names = {"AutoConfig": "planted.Config", "AutoModel": "planted.Model", "AutoModelForMaskedLM": "planted.Model"}
    _config(auto_map=names)(folder)


def _only_remote_code(folder: Path) -> None:
    _remote_code(folder)
    _config(model_type="planted")(folder)


def _tokenizer_code(folder: Path) -> None:
    _plant(folder)
    code = {"auto_map": {"AutoTokenizer": ["planted.Tokenizer", "planted.Tokenizer"]}, "tokenizer_class": "Tokenizer"}
    _json("tokenizer_config.json", lambda config: {**config, **code})(folder)


def _template(config: dict) -> dict:
    return {**config, "chat_template": "{{ ''.__class__.__mro__[1].__subclasses__() }}"}


def _header(length: int) -> Change:
    return lambda folder: _write(folder / WEIGHTS, length.to_bytes(8, "little") + b"{}" + bytes(64))


def _absent_shards(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    index = {"metadata": {}, "weight_map": {"bert.embeddings": "../../../../etc/passwd"}}
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps(index))


def _pickled(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(folder)))


def _zipped(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    torch.save({"bert.embeddings.word_embeddings.weight": Payload(folder)}, folder / "pytorch_model.bin")


def _with_training_args(folder: Path) -> None:
    for name in ("training_args.bin", "optimizer.pt", "scheduler.pt"):
        (folder / name).write_bytes(pickle.dumps(Payload(folder)))


def _another_type(content: dict) -> dict:
    return content | {"model": {"type": "Unigram", "unk_id": 0, "vocab": [["[UNK]", 0.0], ["а", -1.0]]}}


def _pattern(content: dict) -> dict:
    split = {"type": "Split", "pattern": {"Regex": "(а|а)*$"}, "behavior": "Isolated", "invert": False}
    return content | {"pre_tokenizer": split}
