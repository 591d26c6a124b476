"""What an alignment adds to the examples of a corpus: where two tokenizations of one text meet.

* `match`: `matches`, for each of the student's tokens the teacher's (an index into `teacher_input_ids`) that is the
  same token on the same characters, or -1;
* `reduce`: `spellings`, for each of the teacher's tokens how it is spelt in this text (see `mapping.spelt`), and
  `comparable`, whether the models can be compared there.

Special tokens are paired by role.
"""

import logging
from collections.abc import Sequence

import numpy as np
import torch
from datasets import Dataset

from distillation.config.errors import UserError
from distillation.text.sampling import SAMPLE, evenly_spaced
from distillation.vocabularies.mapping import VocabularyMap, matched, spelt

logger = logging.getLogger(__name__)

COLUMNS = {  # and their types
    "same": {},
    "match": {"matches": "int32"},
    "reduce": {"spellings": "int32", "comparable": "bool"},
}

Tokens = tuple[np.ndarray, np.ndarray]  # ids (tokens,) and the characters (tokens, 2) where each starts and ends
Specials = tuple[Sequence[int], Sequence[int]]  # those before and those behind the tokens of an example
Cuts = Sequence[tuple[int, int]]  # for each example the first of its tokens and the one behind its last


def pair(
    text: str, student: Tokens, teacher: Tokens, alignment: str, vocabulary: VocabularyMap
) -> dict[str, np.ndarray]:
    """The columns of `match` or `reduce` for all tokens of a text, special tokens apart."""
    tokens = [
        part for ids, offsets in (student, teacher) for part in (torch.from_numpy(ids), without_space(text, offsets))
    ]
    if alignment == "match":
        return {"matches": matched(vocabulary, *tokens).numpy()}
    spellings, comparable = spelt(vocabulary, *tokens, text)
    return {"spellings": spellings.numpy(), "comparable": comparable.numpy()}


def without_space(text: str, offsets: np.ndarray) -> torch.Tensor:
    """Spans (tokens, 2) without the white space that some tokenizers count among a token's characters."""
    characters = np.flatnonzero(~np.fromiter(map(str.isspace, text), dtype=bool, count=len(text)))
    since, until = np.searchsorted(characters, offsets[:, 0]), np.searchsorted(characters, offsets[:, 1])
    spans = offsets.copy()
    filled = until > since
    spans[filled, 0], spans[filled, 1] = characters[since[filled]], characters[until[filled] - 1] + 1
    spans[~filled, 1] = spans[~filled, 0]
    return torch.from_numpy(spans)


def cut_matches(
    pairs: dict[str, np.ndarray], ours: Specials, theirs: Specials, cuts: Cuts, teacher_cuts: Cuts, partners: dict
) -> dict[str, list[np.ndarray]]:
    """`matches` of each example. partners: the student's special token of each of the teacher's."""
    before, behind = ({partners.get(t): index for index, t in enumerate(tokens)} for tokens in theirs)
    first_places = [before.get(special, -1) for special in ours[0]]
    columns = []
    for (a, b), (first, last) in zip(cuts, teacher_cuts, strict=True):
        matches, end = pairs["matches"][a:b], len(theirs[0]) + last - first
        inner = np.where(matches >= 0, matches - first + len(theirs[0]), -1)
        last_places = [end + behind[special] if special in behind else -1 for special in ours[1]]
        columns.append(np.concatenate([first_places, inner, last_places]))
    return {"matches": columns}


def cut_spellings(
    pairs: dict[str, np.ndarray], theirs: Specials, teacher_cuts: Cuts, partners: dict
) -> dict[str, list[np.ndarray]]:
    """`spellings` and `comparable` of each example. partners: as for `cut_matches`."""
    before, behind = (np.array(tokens, dtype=np.int64) for tokens in theirs)
    known = [np.isin(tokens, list(partners)) for tokens in (before, behind)]
    spellings, comparable = pairs["spellings"], pairs["comparable"]
    return {
        "spellings": [np.concatenate([2 * before, spellings[a:b], 2 * behind]) for a, b in teacher_cuts],
        "comparable": [np.concatenate([known[0], comparable[a:b], known[1]]) for a, b in teacher_cuts],
    }


def check_compared(examples: Dataset) -> None:
    """Refuse tokenizers that never meet, and say how often these do; judged by a sample of `SAMPLE` examples."""
    sample = evenly_spaced(examples, SAMPLE).with_format("numpy")
    by_match = "matches" in sample.column_names
    compared = np.concatenate(sample["matches" if by_match else "comparable"][:])
    ordinary = np.concatenate(sample["word_ids" if by_match else "teacher_word_ids"][:]) >= 0
    share = (compared[ordinary] >= 0 if by_match else compared[ordinary]).mean()
    whose = "student's tokens are the teacher's too" if by_match else "teacher's tokens can be spelt in the student's"
    logger.info("%.1f %% of the %s, on the same characters", 100 * share, whose)
    if not share:
        raise UserError(
            "on this corpus `student_vocabulary` and the teacher's tokenizer never meet: train a vocabulary on this "
            "corpus with run_vocabulary.py, cased and accented as the teacher's is"
        )
