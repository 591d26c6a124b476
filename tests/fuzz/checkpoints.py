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

from tests.fuzz.case import EITHER, REFUSED, Case, Cases, Entry, Make
from tests.fuzz.damage import DAMAGES, STAND_INS, Change, changed_json, copied, damaged, mutated, replaced
from tests.fuzz.verdict import EXECUTED

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"
OF_TOKENIZER = (TOKENIZER, "tokenizer_config.json")
WHOLE_MODELS = ("teacher_name_or_path", "model_name_or_path", "models", "task_teacher")
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
        for file in (CONFIG, WEIGHTS):
            found[f"{file}-{name}"] = replaced(file, stand_in), expected
        found[f"tokenizer.json-{name}"] = replaced(TOKENIZER, stand_in), EITHER
    return found | {
        "an-empty-folder": (_emptied, REFUSED),
        "no-tokenizer": (_without(*OF_TOKENIZER, "vocab.txt"), REFUSED),
        "unknown-model-type": (_config(model_type="abacus"), REFUSED),
        "a-causal-model": (_config(model_type="gpt2", architectures=["GPT2LMHeadModel"]), REFUSED),
        "a-wider-config": (_config(hidden_size=64), REFUSED),
        "a-deeper-config": (_config(num_hidden_layers=5), REFUSED),
        "a-shallower-config": (_config(num_hidden_layers=1), EITHER),
        "a-larger-vocabulary": (_config(vocab_size=400), REFUSED),
        "fewer-positions": (_config(max_position_embeddings=8), REFUSED),
        "a-huge-width": (_config(hidden_size=2**40), REFUSED),
        "heads-do-not-divide": (_config(num_attention_heads=5), REFUSED),
        "an-unknown-activation": (_config(hidden_act="magic"), REFUSED),
        "quantized": (_config(quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True}), EITHER),
        "code-for-the-config": (_remote_code, EITHER),
        "code-for-the-model": (_config(auto_map={"AutoModelForMaskedLM": "planted.Model"}), EITHER),
        "code-alone": (_only_remote_code, REFUSED),
        "code-for-the-tokenizer": (_tokenizer_code, EITHER),
        "a-template-that-runs": (_json("tokenizer_config.json", _template), EITHER),
        "an-absurd-header": (_header(2**60), REFUSED),
        "no-tensors": (_tensors(lambda tensors: {}), REFUSED),
        "half-of-the-tensors": (_tensors(lambda t: dict(list(t.items())[::2])), REFUSED),
        "no-head": (_tensors(lambda t: {k: v for k, v in t.items() if not k.startswith("cls")}), EITHER),
        "other-shapes": (_tensors(lambda t: {k: v.flatten()[:1].clone() for k, v in t.items()}), REFUSED),
        "an-index-of-absent-shards": (_absent_shards, REFUSED),
        "a-pickle-that-runs": (_pickled, REFUSED),
        "a-zip-that-runs": (_zipped, REFUSED),
        "fewer-tokens": (_tokens(lambda vocabulary: dict(list(vocabulary.items())[:50])), EITHER),
        "more-tokens": (_tokens(lambda v: v | {f"слово{n}": len(v) + n for n in range(50)}), REFUSED),
        **{f"no-{role}-token": (_no_token(role), EITHER) for role in ("mask", "pad", "unk", "cls", "sep")},
        "a-pattern-without-end": (_json(TOKENIZER, _pattern), EITHER),
    }  # fmt: skip


def checkpoints(entry: Entry) -> Cases:
    """Every change for every key that names a model or a tokenizer."""
    for key in entry.models:
        for name, (change, expected) in by_hand().items():
            # What is wrong with the weights does not matter where only the tokenizer is read.
            reads_weights = key in WHOLE_MODELS and entry.name != "distillation.run_vocabulary"
            expected = expected if reads_weights and entry.fails == 2 else EITHER
            yield Case(entry, f"{key}-{name}", _changes(key), copying(change), expected)
        for name, value in (("absent", "{here}/absent"), ("no-such-id", "no/such/model"), ("nothing", "")):
            yield Case(entry, f"{key}-{name}", _changes(key) | {key: value})
        yield Case(entry, f"{key}-a-file", _changes(key) | {key: "{good}/corpus.txt"}, None, REFUSED)


def _changes(key: str) -> dict[str, Any]:
    across = {"alignment": "match", "masking_unit": "word"} if key == "student_vocabulary" else {}
    return {key: "{here}/model"} | across


def drawn(entry: Entry, draw: random.Random) -> Case:
    """A file of a checkpoint with bytes changed, or a value of its JSON."""
    key, file, seed = draw.choice(entry.models), draw.choice((CONFIG, WEIGHTS, *OF_TOKENIZER)), draw.random()
    how = mutated if file == WEIGHTS else draw.choice((mutated, changed_json))
    change = damaged(file, lambda content: how(content, random.Random(seed)))
    return Case(entry, f"{key}-{file}-{how.__name__}", _changes(key), copying(change))


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


def _pattern(content: dict) -> dict:
    split = {"type": "Split", "pattern": {"Regex": "(а|а)*$"}, "behavior": "Isolated", "invert": False}
    return content | {"pre_tokenizer": split}
