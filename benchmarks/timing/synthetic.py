"""A synthetic language and a random map between vocabularies, for measurements in full size.

Words are strings of syllables, with frequencies in proportion to 1 / rank. A vocabulary holds letters, syllables, and
as many of the most frequent words as fit: 5,000 tokens cover two thirds of the words of a text, 119,547 most of them.
"""

import functools
import itertools
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import BertForMaskedLM, PreTrainedTokenizerBase

from benchmarks.timing.systems import shape
from distillation.models.loading import save_pretrained
from distillation.models.tokenizer_file import save_tokenizer
from distillation.vocabularies.wordpiece import SPECIAL_TOKENS, build_tokenizer

CONSONANTS, VOWELS = "бвгджзклмнпрстфхцчшщ", "аеиоуыэя"
SYLLABLES = ["".join(pair) for pair in itertools.product(CONSONANTS, VOWELS)]
WORDS, MOST_SYLLABLES = 200_000, 5
LINES, WORDS_A_LINE = 40, 400  # more than an example holds, so that most are full
MOST_PIECES = 8


@functools.cache
def words() -> list[str]:
    """Different words, the most frequent and shortest first."""
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
    return build_tokenizer(list(tokens)[:size])


def corpus() -> str:
    """A text of long lines."""
    chances = 1 / np.arange(1, len(words()) + 1)
    drawn = np.random.default_rng(1).choice(words(), size=(LINES, WORDS_A_LINE), p=chances / chances.sum())
    return "".join(" ".join(line) + "\n" for line in drawn)


def fill(folder: Path, teacher_shape: Path) -> None:
    """Fill empty inputs in a folder: `corpus.txt`; `teacher`, of a shape, with random weights; `vocabulary-SIZE`."""
    for path in sorted(folder.iterdir()):
        if path.name == "corpus.txt":
            path.write_text(corpus(), encoding="utf-8")
        elif path.name == "teacher":
            torch.manual_seed(0)
            config = shape(str(teacher_shape))
            save_pretrained(BertForMaskedLM(config), tokenizer(config.vocab_size), path)
        elif path.name.startswith("vocabulary"):
            save_tokenizer(tokenizer(int(path.name.split("-")[-1])), path)


class RandomMap:
    """A random stand-in for `VocabularyMap`, as far as the KL reads it. Frequent tokens, which come first, have few
    pieces.

    The mean number of pieces is as in real pairs of vocabularies, 3.5 at 5,000 tokens and 2.2 at 30,522. The r-th
    piece occurs in proportion to 1 / sqrt(r).
    """

    def __init__(self, teacher_size: int, student_size: int):
        generator = torch.Generator().manual_seed(0)
        self.teacher_size, self.student_size = teacher_size, student_size
        mean = min(max(3.5 - 0.72 * math.log(student_size / 5000), 1), MOST_PIECES)
        rarity = (1 + torch.arange(teacher_size)).log()
        chance = (rarity / rarity.mean() * (mean - 1) / (MOST_PIECES - 1)).clamp(max=1)
        trials = torch.full((teacher_size,), MOST_PIECES - 1.0)
        self.piece_counts = 1 + torch.binomial(trials, chance, generator=generator).long()
        weights = (1.0 + torch.arange(student_size)).rsqrt()
        drawn = torch.multinomial(weights, teacher_size * MOST_PIECES, replacement=True, generator=generator)
        self._pieces = drawn.reshape(teacher_size, MOST_PIECES)
        self.mapped_teacher_ids = (torch.rand(teacher_size, generator=generator) > 0.02).nonzero().squeeze(1)
        self.first_with_spelling = torch.arange(teacher_size)  # every token counts as a spelling of its own

    def pieces_of(self, teacher_ids: Tensor) -> Tensor:
        """The pieces of tokens, one after the other."""
        within = torch.arange(MOST_PIECES) < self.piece_counts[teacher_ids][:, None]
        return self._pieces[teacher_ids][within]

    def frequent_groups(self, positions: int, generator: torch.Generator) -> list[tuple[int, int]]:
        """Pairs (pieces, positions); teacher tokens come as often as 1 / (place in the vocabulary)."""
        mapped = self.mapped_teacher_ids
        drawn = torch.multinomial(1 / (1.0 + mapped), positions, replacement=True, generator=generator)
        ks, counts = self.piece_counts[mapped[drawn]].unique(return_counts=True)
        return list(zip(ks.tolist(), counts.tolist(), strict=True))
