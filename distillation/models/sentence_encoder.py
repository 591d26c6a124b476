"""Loads and saves sentence encoders by sentence-transformers, and makes them of any other encoder."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import transformers
from huggingface_hub import snapshot_download
from torch import nn
from transformers.utils import cached_file

from distillation.config.errors import UserError
from distillation.models.layer_groups import layer_groups
from distillation.models.loading import explain_load_errors, load_tokenizer_of, load_with_head
from distillation.runs.files import follow_umask, read_json

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MODULES = "modules.json"  # of sentence-transformers: the encoder, how its states become a vector, and what follows


def load_sentence_encoder(
    name_or_path: str, key: str, pooling: str | None = None, device: torch.device | None = None
) -> "SentenceTransformer":
    """A sentence encoder with its own modules; or of any other checkpoint its encoder, and a pooling.

    pooling: `mean` or `cls`; `mean` unless given. device: a GPU unless given, if there is one. Raises UserError for
    what cannot be loaded, such as modules with code of their own, and for a `pooling` beside one of its own.
    """
    from sentence_transformers import SentenceTransformer  # heavy

    with explain_load_errors(key, name_or_path):
        if find_modules(name_or_path):
            if pooling:
                raise UserError(f"`{key}` {name_or_path!r} has a pooling of its own: leave `pooling` out")
            model = SentenceTransformer(name_or_path, trust_remote_code=False, device=device)
        else:
            from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

            # The library would give a checkpoint that lacks weights random ones.
            bare = load_with_head(transformers.AutoModel, name_or_path, key)
            encoder = Transformer(name_or_path)
            encoder.processor = load_tokenizer_of(bare, name_or_path, key)  # its tokenizer, as everywhere
            width = encoder.get_embedding_dimension()
            model = SentenceTransformer(modules=[encoder, Pooling(width, pooling or "mean")], device=device)
        encoder = getattr(model[0], "auto_model", None)
        if getattr(encoder, "pooler", None):  # of BERT, for another task; random where the checkpoint lacks it
            encoder.pooler = None
        return model.float()  # half precision would lose small updates


def keep_layers(model: "SentenceTransformer", count: int, key: str) -> None:
    """Keep the last of each of `count` groups of consecutive layers, and no other layer.

    Raises UserError where the layers do not divide, and for an encoder without a list of equal layers: ALBERT repeats
    one, the first of T5 has a weight that the others use, and a config may list the kind of each (ModernBERT).
    """
    encoder = getattr(model[0], "auto_model", model[0])
    config = getattr(encoder, "config", None)
    before = getattr(config, "num_hidden_layers", 0)
    stacks = [part for part in encoder.modules() if isinstance(part, nn.ModuleList) and len(part) == before]
    refusal = f"`{key}`: a {type(encoder).__name__} cannot lose some of its layers: leave it out"
    if not stacks or getattr(config, "layer_types", None):
        raise UserError(refusal)
    try:
        kept = [group[-1] for group in layer_groups(before, count)]
    except ValueError as error:
        raise UserError(f"`{key}`: {error}; choose a divisor") from None
    for stack in stacks:
        for layer in reversed(range(before)):  # the list closes the gap
            if layer not in kept:
                del stack[layer]
    config.num_hidden_layers = count
    loaded = type(encoder)._from_config(config).state_dict().keys()  # a pooler was taken away
    if encoder.state_dict().keys() != {name for name in loaded if not name.startswith("pooler.")}:
        raise UserError(refusal)


def set_dropout_rate(model: nn.Module, rate: float) -> None:
    """Set the rate of all dropout that was made from the config, which keeps its own for the model's file."""
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = rate
        for name in ("dropout", "attention_dropout"):  # of T5's attention, and of ModernBERT's
            if isinstance(getattr(part, name, None), float):
                setattr(part, name, rate)


def save_sentence_encoder(model: "SentenceTransformer", folder: str | Path) -> None:
    """Write a folder of sentence-transformers with its card, readable as the umask says."""
    model.save_pretrained(str(folder))
    follow_umask(Path(folder))


def find_modules(name_or_path: str) -> str | None:
    """The file that lists the modules of a sentence encoder, in a folder or on the Hub; None for any other."""
    options = dict(_raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False)
    return cached_file(name_or_path, MODULES, **options)


def copy_modules(name_or_path: str, key: str, folder: str | Path) -> None:
    """Copy the other modules of a sentence encoder, such as its pooling, which have no vocabulary. Of other
    checkpoints nothing is copied. Raises UserError for a list of modules that names no folders."""
    listed = find_modules(name_or_path)
    if listed is None:
        return
    with explain_load_errors(key, name_or_path, f"has a {MODULES} that lists no folders"):
        paths = {Path(module["path"]).name for module in read_json(listed)} - {"", ".."}  # the encoder's is empty
    wanted = [MODULES, "*sentence*.json", *(f"{path}/*" for path in paths)]
    source = Path(name_or_path)
    if not source.exists():
        source = Path(snapshot_download(name_or_path, allow_patterns=wanted))
    for file in (file for pattern in wanted for file in source.glob(pattern) if file.is_file()):
        target = Path(folder, file.relative_to(source))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
