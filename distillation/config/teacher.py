"""What `run_teacher.py` can say of its model: one that goes on training, or the shape of one from scratch."""

from dataclasses import dataclass, fields

from distillation.config.command_line import check_values, key
from distillation.config.errors import UserError

FROM_SCRATCH = dict(vocab_size=16_000, layers=6, hidden_size=256, attention_heads=4, dropout=0.0)
CONTINUED_LEARNING_RATE = 1e-4  # of `model_name_or_path`


@dataclass
class TeacherArguments:
    """A masked LM that goes on training, or the shape and the vocabulary of one that is trained from scratch."""

    model_name_or_path: str | None = key(
        None,
        "Masked LM that goes on training with its own tokenizer, shape, and dropout: Hub id or folder. If it has no "
        "masked-LM head, a new one is trained alone in the first twentieth of the steps. `learning_rate` is 1e-4 by "
        "default; a new head needs more, such as 5e-4. With over 50,000 tokens, each step but the last 300 (or last "
        "tenth) predicts among a random sample of them.",
        path="model",
    )
    tokenizer_name_or_path: str | None = key(
        None, "Tokenizer; by default one is trained on the corpus.", path="source"
    )
    vocab_size: int | None = key(None, "Entries of a trained vocabulary, special tokens included. [16000]")
    layers: int | None = key(None, "Transformer layers. [6]", least=1)
    hidden_size: int | None = key(None, "Width. [256]", least=1)
    attention_heads: int | None = key(None, "Attention heads; they divide the width. [4]", least=1)
    intermediate_size: int | None = key(None, "Width inside the feed-forward layers; by default 4 x width.", least=1)
    dropout: float | None = key(None, "Dropout of hidden states and attention maps. [0.0]", least=0, below=1)

    def __post_init__(self):
        check_values(self)
        given = [field.name for field in fields(self) if getattr(self, field.name) is not None]
        if self.model_name_or_path is not None:
            if others := sorted({*given} - {"model_name_or_path"}):
                raise UserError(
                    f"`{others[0]}` is for a teacher from scratch, but `model_name_or_path` "
                    f"{self.model_name_or_path!r} keeps its own shape and tokenizer: leave one of them out"
                )
            return
        if self.tokenizer_name_or_path is not None and self.vocab_size is not None:
            raise UserError("`tokenizer_name_or_path` has its own vocabulary: leave `vocab_size` out")
        for name in FROM_SCRATCH.keys() - {*given}:
            setattr(self, name, FROM_SCRATCH[name])
        if self.hidden_size % self.attention_heads:
            raise UserError(f"`attention_heads` {self.attention_heads} do not divide `hidden_size` {self.hidden_size}")
