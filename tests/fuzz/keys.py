"""Keys and recipes that are wrong: what people get wrong, and every key with values that do not fit it."""

import dataclasses
import random
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from tests.fuzz.case import REFUSED, SURVIVED, Case, Cases, Entry
from tests.fuzz.damage import RECIPES

# By what the annotation of a field mentions; the first that fits.
WRONG = {
    "bool": ("perhaps", "2"),
    "float": ("fast", "nan", "inf", "-1", "0", "1e400", ""),
    "int": ("many", "-1", "0", "1.5", "nan", ""),
    "list": ("", "nonsense", "\x00"),
    "dict": ("{", "[1]", "nonsense", '{"nonsense": 1}'),
    "str": ("nonsense", "", "..", "Ё" * 140, "a\x00b", "{good}/corpus.txt"),
}
# Of `TrainingArguments`: what a run cannot have here, or what would start something.
NOT_ASKED = ("deepspeed", "fsdp", "parallelism_config", "dataloader_num_workers", "local_rank")
NOT_ASKED += ("torch_compile", "torch_compile_mode", "torch_compile_backend")
OUTPUTS = ("output_dir", "output", "submission", "teacher_cache")  # a word would be a folder right here


def people() -> list[tuple[str, dict[str, Any], str]]:
    """What people get wrong: script, keys, and what has to become of them. The suite runs these."""
    run, teacher, sentiment = "distillation.run", "distillation.run_teacher", "finetuning.run_rusentiment"
    superglue, vocabulary = "finetuning.run_russian_superglue", "distillation.run_vocabulary"
    evaluation, across = "distillation.run_evaluation", {"student_vocabulary": "{good}/vocabulary"}
    return [
        (run, {"teacher_name_or_path": None}, REFUSED),
        (run, {"teacher_name_or_path": "{here}/absent"}, REFUSED),
        (run, {"train_file": None}, REFUSED),
        (run, {"train_file": "{here}/absent.txt"}, REFUSED),
        (run, {"output_dir": None}, REFUSED),
        (run, {"dataset_name": "some/thing"}, REFUSED),
        (run, {"validation_file": "{good}/corpus.txt"}, REFUSED),
        (run, {f"weight_{term}": 0 for term in ("kl", "mlm", "cosine", "attention")}, REFUSED),
        (run, across, REFUSED),
        (run, {"alignment": "match"} | across, REFUSED),
        (run, {"vocabulary_map": "pieces"}, REFUSED),
        (run, {"teacher_input": "clean", "kl_positions": "masked"}, REFUSED),
        (run, {"max_length": 65}, REFUSED),
        (run, {"student_layers": 7}, REFUSED),
        (run, {"label_smoothing_factor": 0.1}, REFUSED),
        (run, {"validation_lines": 0}, REFUSED),
        (run, {"student_attention_heads": 5}, REFUSED),
        (run, {"student_attention_heads": 8}, REFUSED),
        (run, {"streaming": "true", "max_steps": None}, REFUSED),
        (run, {"streaming": "true", "teacher_cache": "{here}/output-cache"}, REFUSED),
        (run, {"teacher_cache": "{good}/teacher"}, REFUSED),
        (run, {"temprature": 2}, REFUSED),
        (run, {"": "corpus.txt"}, REFUSED),
        (run, {"output_dir": "{good}/corpus.txt/output"}, REFUSED),
        (run, {"push_to_hub": "true"}, REFUSED),
        (run, {"config": "{here}/absent.yaml"}, REFUSED),
        (run, {"resume_from_checkpoint": "{here}/checkpoint-1"}, REFUSED),
        (run, {"load_best_model_at_end": "true"}, REFUSED),
        (run, {"report_to": "wandb"}, REFUSED),
        (run, {"fp16": "true", "bf16": "true"}, REFUSED),
        (run, {"gradient_checkpointing": "true"}, SURVIVED),
        (teacher, {"attention_heads": 3}, REFUSED),
        (teacher, {"vocab_size": 100000}, REFUSED),
        (teacher, {"student_layers": 2}, REFUSED),
        (vocabulary, {"output_dir": "{good}/corpus.txt"}, REFUSED),
        (evaluation, {"validation_file": None}, REFUSED),
        (sentiment, {"train_parts": "all"}, REFUSED),
        (sentiment, {"metric_for_best_model": "beauty"}, REFUSED),
        (sentiment, {"data_dir": "{good}/data/sberquad"}, REFUSED),
        (sentiment, {"task_teacher": "{good}/classifier"}, REFUSED),
        (sentiment, {"model_name_or_path": "{good}/vocabulary"}, REFUSED),
        (superglue, {"task": "glue"}, REFUSED),
        ("benchmarks.export", {"output_dir": "{good}/teacher"}, REFUSED),
        ("benchmarks.inference", {"models": "{here}/absent"}, REFUSED),
        ("benchmarks.report", {"": "{good}/data"}, REFUSED),
        ("benchmarks.scores", {"": "{here}/absent"}, REFUSED),
    ]  # fmt: skip


def by_hand(entries: dict[str, Entry]) -> Cases:
    """What people get wrong, a good call of each script, and recipes that are none."""
    for entry, changes, expected in people():
        yield Case(
            entries[entry], "people-" + "-".join(f"{k}={v}" for k, v in changes.items()), changes, None, expected
        )
    for entry in entries.values():
        yield Case(entry, "nothing-wrong", expected=SURVIVED)
        for key in entry.yamls:
            for name, content in RECIPES.items():

                def make(good: Path, here: Path, content: bytes = content) -> None:
                    (here / "recipe.yaml").write_bytes(content)

                yield Case(entry, f"{key}-{name}", {key: "{here}/recipe.yaml"}, make)


def wrong_values(entry: Entry) -> Cases:
    """Each key of an entry with each value that does not fit it."""
    found: dict[str, tuple[str, ...]] = {}
    for kind in (*entry.types, *((TrainingArguments,) if entry.trains else ())):
        for field in dataclasses.fields(kind):
            found[field.name] = WRONG[next((k for k in WRONG if k in str(field.type)), "str")]
    others = {key for key in (*entry.options, *entry.keys) if key} - found.keys()
    found |= dict.fromkeys(() if entry.types else sorted(others), (*WRONG["int"], *WRONG["str"]))
    for key, values in found.items():
        if key in (*NOT_ASKED, *OUTPUTS):
            continue
        for value in values:
            yield Case(entry, f"{key}={value[:20]!r}", {key: value})


def drawn(entry: Entry, draw: random.Random) -> Case:
    """Two keys of a good call with values that may not fit them."""
    cases = list(wrong_values(entry))
    changes: dict[str, Any] = {}
    for case in draw.sample(cases, min(draw.choice((1, 1, 2)), len(cases))):
        changes |= case.changes
    return Case(entry, "keys", changes)
