"""The keys of a corpus."""

from dataclasses import dataclass

from distillation.config.command_line import check_values, key
from distillation.config.errors import UserError

COMPRESSED = {".gz": "gzip", ".zst": "zstd"}  # endings, and what both `pyarrow` and the shell call them


@dataclass
class CorpusArguments:
    """The corpus, and the part of it that is held out."""

    train_file: str | None = key(
        None,
        f"Corpus: a .txt .jsonl .csv .tsv .parquet (or {', '.join(COMPRESSED)}) file, folder, glob, or `demo`.",
        path="corpus",
    )
    validation_file: str | None = key(None, "Held-out text; by default lines of the corpus.", path="corpus")
    dataset_name: str | None = key(None, "Hub id of a data set, instead of `train_file`.")
    dataset_config_name: str | None = key(None, "Configuration of that data set.")
    text_column: str = key("text", "Column that holds the text; a .txt file has none, and each line is a text.")
    validation_lines: int = key(2000, "Lines to hold out if there is no `validation_file`; at most a tenth.", least=1)
    preprocessing_num_workers: int | None = key(
        None, "Processes that tokenize, and that read a Hub data set; by default this one.", least=0
    )

    def __post_init__(self):
        check_values(self)
        plain = tuple(f".txt{packed}" for packed in ("", *COMPRESSED))
        named = [file for file in (self.train_file, self.validation_file) if file]
        nothing_has_columns = named and not self.dataset_name and all(file.lower().endswith(plain) for file in named)
        # It may be a table with this ending.
        if nothing_has_columns and self.text_column != CorpusArguments.text_column:
            raise UserError(
                f"`text_column` {self.text_column!r}: plain text ({', '.join(named)}) has no columns, each line is a "
                "text: leave the key out, or rename a table to .csv or .tsv"
            )


@dataclass
class TextArguments(CorpusArguments):
    """The corpus, and how much of a text a model reads."""

    max_length: int = key(128, "Tokens of a text that a model reads at once, special ones included.", least=8)


@dataclass
class DataArguments(TextArguments):
    """The corpus, and how it is cut into examples."""

    max_unknown: float = key(0.05, "Largest share of unknown tokens that is not an error.", least=0, most=1)
    streaming: bool = key(False, "Read the corpus during training, never all of it at once; needs `max_steps`.")
