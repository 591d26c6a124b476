"""The keys of a prediction. Imports nothing heavy."""

import os
import re
from dataclasses import dataclass

from distillation.config.command_line import REQUIRED, key
from distillation.config.corpus import COMPRESSED
from distillation.config.errors import UserError
from finetuning.deployed.answer_file import FORMATS


@dataclass
class PredictArguments:
    """Which model, which texts, and where the answers go."""

    model_name_or_path: str = key(REQUIRED, "Exported folder, checkpoint, or Hub id.", path="source")
    input: str = key(
        REQUIRED,
        f"File: .csv .tsv .jsonl .parquet .txt, perhaps {' or '.join(COMPRESSED)}. `-`: lines of texts or JSON.",
    )
    output: str = key(REQUIRED, f"File: {' '.join(FORMATS)}.", path="output")
    text_column: str = key("text", "The texts; for a model of questions the questions.")
    text_pair_column: list[str] = key([], "The second texts; the contexts of questions; a column a choice.")
    all_scores: bool = key(False, "Give the scores of all labels.")
    batch_size: int = key(32, "Texts that the model reads at once.", least=1)
    strict: bool = key(False, "Refuse an input with bad rows. Without it these have no answer.")
    resume: bool = key(False, "Go on with an interrupted run.")
    shard: str | None = key(None, "`3/8`: answer the third of eight parts, which one after the other are the whole.")

    def __post_init__(self):
        if not self.output.lower().endswith(FORMATS):
            raise UserError(f"`output` {self.output!r}: name a file that ends in {', '.join(FORMATS)}")
        if self.input == "-" and (self.resume or self.shard):
            raise UserError("`resume` and `shard` need a file: standard input cannot be read again")
        if self.input != "-" and not os.path.isfile(self.input):
            raise UserError(f"`input` {self.input!r} is no file: name one, or - for standard input")
        if self.input != "-" and os.path.exists(self.output) and os.path.samefile(self.input, self.output):
            raise UserError("`input` and `output` are the same file: name another `output`")
        if self.shard and not (re.fullmatch(r"[1-9]\d*/[1-9]\d*", self.shard) and self.part[0] <= self.part[1]):
            raise UserError(f"`shard` is {self.shard!r}: give a part and the number of parts, such as 3/8")

    @property
    def part(self) -> tuple[int, int]:
        """The number of the part, from 1, and of how many."""
        number, of = (self.shard or "1/1").split("/")
        return int(number), int(of)

    @property
    def columns(self) -> list[str]:
        """The columns of a row's texts."""
        return [self.text_column, *self.text_pair_column]

    def blocks(self, count: int) -> tuple[int, int]:
        """The blocks of the part, of so many: the first, and the one after the last."""
        number, of = self.part
        return count * (number - 1) // of, count * number // of
