"""What many tests stand on: a small corpus, its tokenizer, and a small teacher, all made here."""

import gzip

import datasets
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from distillation.checkpoint import save_pretrained
from distillation.grammar import generate
from distillation.vocabulary import train_tokenizer


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Data sets are cached in a temporary folder, and the temporary folder alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("datasets"))
        yield


@pytest.fixture(scope="session")
def corpus_file(tmp_path_factory):
    """400 lines of the demo's grammar."""
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in generate(400, seed=3))
    return path


@pytest.fixture(scope="session")
def tokenizer():
    """A WordPiece tokenizer of 300 entries for that grammar."""
    return train_tokenizer(generate(400, seed=3), 300, max_length=64)


@pytest.fixture(scope="session")
def teacher_folder(tmp_path_factory, tokenizer):
    """A BERT of 4 layers with random weights, saved as a checkpoint."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=64,
        initializer_range=0.2,  # far from uniform predictions, so that the terms have something to say
    )
    folder = tmp_path_factory.mktemp("teacher")
    save_pretrained(BertForMaskedLM(config), tokenizer, folder)
    return folder
