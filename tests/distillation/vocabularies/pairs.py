"""Two tokenizers with their map, and what they make of a text."""

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st
from tokenizers import decoders

from distillation.corpus.examples import Reader
from distillation.vocabularies.mapping import VocabularyMap
from distillation.vocabularies.token_alignment import matched, spell_tokens, without_space
from distillation.vocabularies.wordpiece import SPECIAL_TOKENS, build_tokenizer

SPECIALS = list(SPECIAL_TOKENS)
LETTERS = "абвё"
slow = settings(max_examples=60, derandomize=True)
words = st.lists(st.sampled_from(LETTERS), min_size=1, max_size=6).map("".join)
entries = st.lists(
    st.tuples(words.filter(lambda word: len(word) > 1), st.sampled_from(["", "##"])), max_size=12, unique=True
)


def word_piece(longer, letters=LETTERS, marks=",«-."):
    """Every letter, so that nothing is unknown, and some longer entries."""
    singles = [f"{prefix}{letter}" for prefix in ("", "##") for letter in letters]
    return build_tokenizer([*SPECIALS, *singles, *marks, *(prefix + word for word, prefix in longer)])


def read(tokenizer, text):
    """Ids (n,) and spans (n, 2) without the white space that a token may hold."""
    ids, offsets = Reader(tokenizer).read([text], np.array([0, len(text)]))
    return torch.from_numpy(ids), without_space(text, offsets)


class Pair:
    """Two tokenizers and their map."""

    def __init__(self, student, teacher):
        self.student, self.teacher, self.vocabulary = student, teacher, VocabularyMap(student, teacher)

    def compare(self, text):
        """The pairs of `matched`, and for each teacher token its pieces and whether it is compared."""
        student, teacher = read(self.student, text), read(self.teacher, text)
        pairs = [(i, j) for i, j in enumerate(matched(self.vocabulary, student, teacher).tolist()) if j >= 0]
        spellings, comparable = spell_tokens(self.vocabulary, student, teacher, text)
        pieces = self.vocabulary.spell(spellings).split(self.vocabulary.sizes[spellings].tolist())
        return pairs, pieces, comparable.tolist()

    def shared(self):
        """The identical tokens, as each writes them."""
        ids = (self.student, self.vocabulary.shared_student_ids), (self.teacher, self.vocabulary.shared_teacher_ids)
        return list(zip(*(tokenizer.convert_ids_to_tokens(of) for tokenizer, of in ids), strict=True))


def surface(tokenizer, index):
    """The text of a token, by the tokenizer's own decoder."""
    token = tokenizer.convert_ids_to_tokens(int(index))
    if type(tokenizer.backend_tokenizer.model).__name__ == "BPE":
        token = decoders.ByteLevel().decode([token])
    return token.removeprefix("##").replace("▁", " ").strip(" ")
