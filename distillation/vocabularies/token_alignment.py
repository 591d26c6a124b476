"""The columns that an alignment adds to examples: where two tokenizations of one text have the same tokens.

* `match`: `matches`, for each of the student's tokens the teacher's (an index into `teacher_input_ids`) that is the
  same token on the same characters, or -1;
* `reduce`: `spellings`, for each of the teacher's tokens how the student spells it in this text (see
  `mapping.spell_tokens`), and `comparable`, whether the models can be compared there.

Special tokens are paired by role or name.
"""

import logging
from collections.abc import Sequence

import numpy as np
import torch
from datasets import Dataset

from distillation.config.errors import UserError
from distillation.text.sampling import SAMPLE, evenly_spaced
from distillation.vocabularies.mapping import VocabularyMap, matched, spell_tokens

logger = logging.getLogger(__name__)

COLUMNS = {"same": {}, "match": {"matches": "int32"}, "reduce": {"spellings": "int32", "comparable": "bool"}}
Tokens = tuple[np.ndarray, np.ndarray]  # ids (tokens,) and the characters (tokens, 2) where each starts and ends
Specials = tuple[Sequence[int], Sequence[int]]  # those before and those after the tokens of an example
Cuts = Sequence[tuple[int, int]]  # for each example its first token and the one after its last


def pair(
    text: str, student: Tokens, teacher: Tokens, alignment: str, vocabulary: VocabularyMap
) -> dict[str, np.ndarray]:
    """The columns of `match` or `reduce` for all tokens of a text, without special tokens."""
    tokens = [(torch.from_numpy(ids), without_space(text, offsets)) for ids, offsets in (student, teacher)]
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


def cut_matches(
    pairs: dict[str, np.ndarray], student: Specials, teacher: Specials, cuts: Cuts, teacher_cuts: Cuts, partners: dict
) -> dict[str, list[np.ndarray]]:
    """`matches` of each example. partners: the student's special token of each of the teacher's."""
    before, after = ({partners.get(token): index for index, token in enumerate(tokens)} for tokens in teacher)
    offset, first_places = len(teacher[0]), [before.get(token, -1) for token in student[0]]
    columns = []
    for (a, b), (first, last) in zip(cuts, teacher_cuts, strict=True):
        matches, end = pairs["matches"][a:b], offset + last - first
        inner = np.where(matches >= 0, matches - first + offset, -1)
        last_places = [end + after[token] if token in after else -1 for token in student[1]]
        columns.append(np.concatenate([first_places, inner, last_places]))
    return {"matches": columns}


def cut_spellings(
    pairs: dict[str, np.ndarray], teacher: Specials, teacher_cuts: Cuts, partners: dict
) -> dict[str, list[np.ndarray]]:
    """`spellings` and `comparable` of each example. partners: as for `cut_matches`."""
    before, after = (np.array(tokens, dtype=np.int64) for tokens in teacher)
    around = {
        "spellings": (2 * before, 2 * after),
        "comparable": [np.isin(tokens, list(partners)) for tokens in (before, after)],
    }
    return {
        name: [np.concatenate([first, pairs[name][a:b], last]) for a, b in teacher_cuts]
        for name, (first, last) in around.items()
    }


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
