"""Long texts as inputs: overlapping windows, each with the characters behind its tokens."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedTokenizerBase

from finetuning.deployed.model import Window
from finetuning.tasks.base import input_columns

CHUNK = 1000  # texts that are tokenized at a time: the tokenizer's own lists take a hundred bytes a token


def read_windows(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int, questions: Sequence[str] | None = None
) -> tuple[dict[str, list[np.ndarray]], list[list[Window]]]:
    """The columns of all inputs, and the windows of each text, in order. Neighbours share a third of `max_length`.

    questions: one for each text; it stands complete before each window of the text.
    """
    columns: dict[str, list] = defaultdict(list)
    windows: list[list[Window]] = [[] for _ in texts]
    for start in range(0, len(texts), CHUNK):
        inputs = [part[start : start + CHUNK] for part in (questions, texts) if part is not None]
        encoding = tokenizer(
            *inputs,
            truncation=True if questions is None else "only_second",
            max_length=max_length,
            stride=max_length // 3,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        before = len(columns["input_ids"])
        for name, column in input_columns(encoding).items():
            columns[name] += column
        for number, text in enumerate(encoding["overflow_to_sample_mapping"]):
            # Not by `token_type_ids`: DistilBERT and RoBERTa have none.
            inside = np.array([part == len(inputs) - 1 for part in encoding.sequence_ids(number)])
            offsets = np.array(encoding["offset_mapping"][number], dtype=np.int32) * inside[:, None]
            windows[start + text].append(Window(before + number, offsets))
    return columns, windows
