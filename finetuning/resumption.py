"""Which runs of fine-tuning are finished."""

from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from distillation.results import RESULTS
from distillation.resumption import is_resumed, read


def finished(training: TrainingArguments) -> dict[str, Any] | None:
    """What a run found that was to be resumed and has already come to its end; None if it has not."""
    return read(Path(training.output_dir, RESULTS)) if is_resumed(training) else None
