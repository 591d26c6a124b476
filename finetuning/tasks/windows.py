"""Long texts as inputs: overlapping windows, each with the characters behind its tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from finetuning.tasks.base import input_columns

CHUNK = 1000  # texts that are tokenized at a time: the tokenizer's own lists take a hundred bytes a token


@dataclass(frozen=True)
class Window:
    """One input, which shows a text or a part of it."""

    input: int
    nothing: int  # the token that stands for "not here": [CLS], or the first where there is none
    offsets: np.ndarray  # (length, 2): the characters of the text behind each token; equal ends where there are none


def read_windows(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int, before: Sequence[str] | None = None
) -> tuple[dict[str, list[np.ndarray]], list[list[Window]]]:
    """The columns of all inputs, and the windows of each text, in order. Neighbours share a third of `max_length`.

    before: a question for each text, which stands whole before each of its windows.
    """
    columns: dict[str, list] = {}
    windows: list[list[Window]] = [[] for _ in texts]
    inputs = 0
    for start in tqdm(range(0, len(texts), CHUNK), desc="Tokenizing", leave=False, disable=len(texts) <= CHUNK):
        chunk = slice(start, start + CHUNK)
        encoding = tokenizer(
            *((texts[chunk],) if before is None else (before[chunk], texts[chunk])),
            truncation=True if before is None else "only_second",
            max_length=max_length,
            stride=max_length // 3,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        for name, column in input_columns(encoding).items():
            columns.setdefault(name, []).extend(column)
        for number, text in enumerate(encoding["overflow_to_sample_mapping"]):
            # Which part of a pair a token is of the tokenizer tells, whether or not there are `token_type_ids`.
            inside = np.array([part == (before is not None) for part in encoding.sequence_ids(number)])
            offsets = np.array(encoding["offset_mapping"][number], dtype=np.int32) * inside[:, None]
            nothing = int((columns["input_ids"][inputs] == tokenizer.cls_token_id).argmax())
            windows[start + text].append(Window(inputs, nothing, offsets))
            inputs += 1
    return columns, windows
