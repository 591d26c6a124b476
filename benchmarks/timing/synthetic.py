"""A made-up language: tokenizers of any size and a corpus, so that a full-size step needs nothing from elsewhere.

Words are strings of syllables and come as often as 1 / rank. A vocabulary holds letters, syllables, and as many of the
commonest words as fit: of 5,000 tokens it knows two thirds of the words of a text, of 119,547 most.
"""

import functools
import itertools
from pathlib import Path

import numpy as np
import torch
from transformers import BertForMaskedLM, PreTrainedTokenizerBase

from benchmarks.timing.systems import shape
from distillation.models.loading import save_pretrained, save_tokenizer
from distillation.vocabularies.wordpiece import SPECIAL_TOKENS, build_tokenizer

CONSONANTS, VOWELS = "бвгджзклмнпрстфхцчшщ", "аеиоуыэя"
SYLLABLES = ["".join(pair) for pair in itertools.product(CONSONANTS, VOWELS)]
WORDS = 200_000
MOST_SYLLABLES = 5
WORDS_A_LINE = 400  # more than an example holds, so that most are full
POSITIONS = 512


@functools.cache
def words() -> list[str]:
    """Different words, the commonest and shortest first."""
    generator = np.random.default_rng(0)
    found = dict.fromkeys(SYLLABLES)
    for size in range(2, MOST_SYLLABLES + 1):
        drawn = generator.integers(len(SYLLABLES), size=(WORDS // (MOST_SYLLABLES - 1), size))
        found |= dict.fromkeys("".join(SYLLABLES[s] for s in word) for word in drawn)
    return list(found)


def tokenizer(size: int) -> PreTrainedTokenizerBase:
    """A WordPiece tokenizer of `size` tokens, of which 381 are letters, syllables, and special tokens."""
    parts = [*CONSONANTS, *VOWELS, *SYLLABLES]
    tokens = dict.fromkeys([*SPECIAL_TOKENS, *parts, *(f"##{part}" for part in parts), *words()])
    return build_tokenizer(list(tokens)[:size], POSITIONS)


def vocabulary(folder: Path) -> None:
    """Save a tokenizer for students, of the size that the folder's name ends in."""
    if not folder.exists():
        save_tokenizer(tokenizer(int(folder.name.split("-")[-1])), folder)


def teacher(folder: Path, config_file: Path) -> None:
    """Save a masked LM of a shape, with random weights, and a tokenizer of its size."""
    if not folder.exists():
        torch.manual_seed(0)
        config = shape(config_file)
        save_pretrained(BertForMaskedLM(config), tokenizer(config.vocab_size), folder)


def corpus(path: Path, lines: int) -> None:
    """Write a text file of long lines."""
    known = np.array(words())
    chances = 1 / np.arange(1, len(known) + 1)
    drawn = np.random.default_rng(1).choice(known, size=(lines, WORDS_A_LINE), p=chances / chances.sum())
    path.write_text("".join(" ".join(line) + "\n" for line in drawn), encoding="utf-8")
