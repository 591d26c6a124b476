"""The columns that an alignment adds to examples: where two tokenizations of one text have the same tokens.

* `match`: `matches`, for each of the student's tokens the teacher's (an index into `teacher_input_ids`) that is the
  same token on the same characters, or -1;
* `reduce`: `spellings`, for each of the teacher's tokens how the student spells it in this text (see
  `spell_tokens`), and `comparable`, whether the models can be compared there.

Special tokens are paired by role or name.
"""

import logging
from collections.abc import Sequence

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from distillation.config.errors import UserError
from distillation.text.sampling import SAMPLE, evenly_spaced
from distillation.vocabularies.mapping import VocabularyMap, normalised

logger = logging.getLogger(__name__)

COLUMNS = {"same": {}, "match": {"matches": "int32"}, "reduce": {"spellings": "int32", "comparable": "bool"}}
Tokens = tuple[np.ndarray, np.ndarray]  # ids (tokens,) and the characters (tokens, 2) where each starts and ends
Placed = tuple[Tensor, Tensor]  # the same, with characters (tokens, 2) that have no space around them
Specials = tuple[Sequence[int], Sequence[int]]  # those before and those after the tokens of an example
Cuts = Sequence[tuple[int, int]]  # for each example its first token and the one after its last


def pair(
    text: str, tokenized: Sequence[Tokens], alignment: str, vocabulary: VocabularyMap | None
) -> dict[str, np.ndarray]:
    """The columns of an alignment for all tokens of a text, without special tokens.

    tokenized: by the student's tokenizer, and by the teacher's.
    """
    if alignment == "same":
        return {}
    tokens = [(torch.from_numpy(ids), without_space(text, offsets)) for ids, offsets in tokenized]
    if alignment == "match":
        return {"matches": matched(vocabulary, *tokens).numpy()}
    spellings, comparable = spell_tokens(vocabulary, *tokens, text)
    return {"spellings": spellings.numpy(), "comparable": comparable.numpy()}


def without_space(text: str, offsets: np.ndarray) -> torch.Tensor:
    """Spans (tokens, 2) without the white space that some tokenizers count among a token's characters."""
    characters = np.flatnonzero(~np.fromiter(map(str.isspace, text), dtype=bool, count=len(text)))
    first, end = np.searchsorted(characters, offsets).T
    filled = end > first
    # White space alone is empty, before the next character: a lone mark of a word starts the word behind it.
    spans = np.repeat(np.append(characters, len(text))[first][:, None], 2, axis=1)
    spans[filled] = np.stack([characters[first[filled]], characters[end[filled] - 1] + 1], axis=1)
    return torch.from_numpy(spans)


def matched(vocabulary: VocabularyMap, student: Placed, teacher: Placed) -> Tensor:
    """For each student token (n,) the teacher token that is the same token on the same characters, or -1."""
    (student_ids, student_spans), (teacher_ids, teacher_spans) = student, teacher
    student_of = torch.full((vocabulary.teacher_size,), -2)
    student_of[vocabulary.shared_teacher_ids] = vocabulary.shared_student_ids
    known = (_alone_on_its_characters(teacher_spans) & (student_of[teacher_ids] >= 0)).nonzero().squeeze(1)
    if not len(known):
        return torch.full_like(student_ids, -1)
    keys, order = _keys(teacher_spans[known]).sort()
    student_keys = _keys(student_spans)
    found = torch.searchsorted(keys, student_keys).clamp(max=len(keys) - 1)
    partners = known[order][found]
    same = (keys[found] == student_keys) & (student_of[teacher_ids[partners]] == student_ids)
    return torch.where(same & _alone_on_its_characters(student_spans), partners, -1)


def spell_tokens(vocabulary: VocabularyMap, student: Placed, teacher: Placed, text: str) -> tuple[Tensor, Tensor]:
    """For each teacher token (m,) the number of its spelling in this text, and whether the models are compared there.

    A token is word-initial here if a student token starts a word at its first character, and the teacher has no token
    for the space before it. It is compared if its own flag agrees, it has a spelling, and the student reads the text
    as the teacher does.
    """
    (student_ids, student_spans), (teacher_ids, teacher_spans) = student, teacher
    word_starts = student_spans[vocabulary.student_starts_word[student_ids], 0]
    starts_word = torch.isin(teacher_spans[:, 0], word_starts)
    starts_word &= ~torch.isin(teacher_spans[:, 0], teacher_spans[teacher_spans[:, 0] == teacher_spans[:, 1], 0])
    comparable = vocabulary.is_mapped[teacher_ids] & (starts_word == vocabulary.starts_word[teacher_ids])
    comparable &= _alone_on_its_characters(teacher_spans)
    candidates = comparable.nonzero().squeeze(1)
    texts = (text[start:end] for start, end in teacher_spans[candidates].tolist())
    surfaces = (vocabulary.surfaces[index] for index in teacher_ids[candidates].tolist())
    pairs = zip(surfaces, texts, strict=True)
    reads = [s == read or s == normalised(read, vocabulary.normalizer) for s, read in pairs]
    comparable[candidates] = torch.tensor(reads, dtype=torch.bool)
    return 2 * teacher_ids + starts_word, comparable


def _alone_on_its_characters(spans: Tensor) -> Tensor:
    """Whether a token's span is not empty and belongs to no other token. Bytes of one character share a span."""
    _, index, counts = _keys(spans).unique(return_inverse=True, return_counts=True)
    return (counts[index] == 1) & (spans[:, 1] > spans[:, 0])


def _keys(spans: Tensor) -> Tensor:
    return spans[:, 0] * 2**32 + spans[:, 1]  # one number for each span, to sort and to search


def cut(
    pairs: dict[str, np.ndarray], around: Sequence[Specials], cuts: Sequence[Cuts], vocabulary: VocabularyMap | None
) -> dict[str, list[np.ndarray]]:
    """The columns of `pair` for each example. around, cuts: of the student, and of the teacher."""
    if not pairs:
        return {}
    partners = {teacher: student for student, teacher in vocabulary.special_ids}
    if "matches" in pairs:
        return {"matches": _cut_matches(pairs["matches"], around, cuts, partners)}
    before, after = (np.array(tokens, dtype=np.int64) for tokens in around[1])
    specials = {
        "spellings": (2 * before, 2 * after),
        "comparable": [np.isin(tokens, list(partners)) for tokens in (before, after)],
    }
    return {
        name: [np.concatenate([first, pairs[name][a:b], last]) for a, b in cuts[1]]
        for name, (first, last) in specials.items()
    }


def _cut_matches(
    pairs: np.ndarray, around: Sequence[Specials], cuts: Sequence[Cuts], partners: dict[int, int]
) -> list[np.ndarray]:
    """partners: the student's special token of each of the teacher's."""
    student, teacher = around
    before, after = ({partners.get(token): index for index, token in enumerate(tokens)} for tokens in teacher)
    offset, first_places = len(teacher[0]), [before.get(token, -1) for token in student[0]]
    matches = []
    for (a, b), (first, last) in zip(*cuts, strict=True):
        own, end = pairs[a:b], offset + last - first
        inner = np.where(own >= 0, own - first + offset, -1)
        last_places = [end + after[token] if token in after else -1 for token in student[1]]
        matches.append(np.concatenate([first_places, inner, last_places]))
    return matches


def check_compared(examples: Dataset) -> None:
    """Raise UserError for tokenizers with nothing to compare, and log how much there is, in `SAMPLE` examples."""
    sample = evenly_spaced(examples, SAMPLE).with_format("numpy")
    by_match = "matches" in sample.column_names
    compared = np.concatenate(sample["matches" if by_match else "comparable"][:])
    ordinary = np.concatenate(sample["word_ids" if by_match else "teacher_word_ids"][:]) >= 0
    share = (compared[ordinary] >= 0 if by_match else compared[ordinary]).mean()
    whose = "student's tokens are the teacher's too" if by_match else "teacher's tokens can be spelt in the student's"
    logger.info("%.1f %% of the %s, on the same characters", 100 * share, whose)
    if not share:
        raise UserError(
            "on this corpus `student_vocabulary` and the teacher's tokenizer have no token in common: train a "
            "vocabulary on this corpus with run_vocabulary.py, cased and accented as the teacher's is"
        )
