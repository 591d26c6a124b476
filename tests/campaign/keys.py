"""Keys and recipes that are wrong: by hand, and each key of each dataclass with values that do not fit it."""

import dataclasses
import random
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from tests.campaign.case import EITHER, REFUSED, SURVIVED, Case, Cases, Entry
from tests.campaign.damage import RECIPES

# By what the annotation of a field mentions; the first that fits.
WRONG = {
    "bool": ("perhaps", "2"),
    "float": ("fast", "nan", "inf", "-1", "0", "1e400", ""),
    "int": ("many", "-1", "0", "1.5", "nan", "100000000000000000000", ""),
    "list": ("", "nonsense", "\x00"),
    "dict": ("{", "[1]", "nonsense", '{"nonsense": 1}'),
    "str": ("nonsense", "", "..", "Ё" * 140, "a\x00b", "{good}/corpus.txt"),
}
# Of `TrainingArguments`: what a run cannot have here, or what would start something.
NOT_ASKED = ("deepspeed", "fsdp", "parallelism_config", "dataloader_num_workers", "local_rank")
NOT_ASKED += ("torch_compile", "torch_compile_mode", "torch_compile_backend")
OUTPUTS = ("output_dir", "output", "submission", "teacher_cache")  # a word would be a folder right here


def by_hand() -> list[tuple[str, str, dict[str, Any], str]]:
    """Entry, name, keys, and what has to become of them."""
    run, teacher, sentiment = "distillation.run", "distillation.run_teacher", "finetuning.run_rusentiment"
    return [
        (run, "no-teacher", {"teacher_name_or_path": None}, REFUSED),
        (run, "no-corpus", {"train_file": None}, REFUSED),
        (run, "no-output", {"output_dir": None}, REFUSED),
        (run, "two-corpora", {"dataset_name": "some/thing"}, REFUSED),
        (run, "no-such-data-set", {"dataset_name": "some/thing", "train_file": None}, REFUSED),
        (run, "corpus-twice", {"validation_file": "{good}/corpus.txt"}, SURVIVED),
        (run, "all-weights-zero", {f"weight_{t}": 0 for t in ("kl", "mlm", "cosine", "attention")}, REFUSED),
        (run, "one-vocabulary-for-two", {"student_vocabulary": "{good}/vocabulary"}, REFUSED),
        (run, "tokens-across", {"alignment": "match", "student_vocabulary": "{good}/vocabulary"}, REFUSED),
        (run, "map-of-nothing", {"vocabulary_map": "pieces"}, REFUSED),
        (run, "pooling-of-nothing", {"alignment": "reduce", "reduce_pooling": "sum"}, REFUSED),
        (run, "the-answer-taught", {"teacher_input": "clean", "kl_positions": "masked"}, REFUSED),
        (run, "too-long", {"max_length": 65}, REFUSED),
        (run, "too-short", {"max_length": 7}, REFUSED),
        (run, "layers-do-not-divide", {"student_layers": 7}, REFUSED),
        (run, "heads-do-not-divide", {"student_attention_heads": 5}, REFUSED),
        (run, "other-heads", {"student_attention_heads": 8}, REFUSED),
        (run, "streaming-without-an-end", {"streaming": "true", "max_steps": None}, REFUSED),
        (run, "streaming-and-cache", {"streaming": "true", "teacher_cache": "{here}/output-cache"}, REFUSED),
        (run, "cache-without-a-folder", {"teacher_cache_epochs": 3}, REFUSED),
        (run, "cache-is-a-file", {"teacher_cache": "{good}/corpus.txt"}, REFUSED),
        (run, "cache-is-something-else", {"teacher_cache": "{good}/teacher"}, REFUSED),
        (run, "unknown-key", {"teacher": "x"}, REFUSED),
        (run, "misspelt-key", {"temprature": 2}, REFUSED),
        (run, "a-value-without-a-key", {"": "corpus.txt"}, REFUSED),
        (run, "a-cyrillic-key", {"температура": 2}, REFUSED),
        (run, "output-is-a-file", {"output_dir": "{good}/corpus.txt"}, REFUSED),
        (run, "output-under-a-file", {"output_dir": "{good}/corpus.txt/output"}, REFUSED),
        (run, "push-to-nowhere", {"push_to_hub": "true"}, REFUSED),
        (run, "no-such-recipe", {"config": "{here}/absent.yaml"}, REFUSED),
        (run, "recipe-is-a-folder", {"config": "{good}"}, REFUSED),
        (run, "no-such-checkpoint", {"resume_from_checkpoint": "{here}/checkpoint-1"}, REFUSED),
        (run, "validation-absent", {"validation_file": "{here}/absent.txt"}, REFUSED),
        (run, "no-known-token", {"max_unknown": -1}, REFUSED),
        (run, "best-of-nothing", {"load_best_model_at_end": "true"}, REFUSED),
        (run, "best-by-an-unknown-metric", {"load_best_model_at_end": "true", "eval_strategy": "steps"}
         | {"metric_for_best_model": "eval_beauty", "save_strategy": "steps"}, REFUSED),
        (run, "save-the-best-of-nothing", {"save_strategy": "best"}, REFUSED),
        (run, "unknown-logger", {"report_to": "nobody"}, REFUSED),
        (run, "absent-logger", {"report_to": "wandb"}, REFUSED),
        (run, "unknown-optimiser-option", {"optim_args": "nonsense=1"}, EITHER),
        (run, "absent-optimiser", {"optim": "adamw_bnb_8bit"}, REFUSED),
        (run, "optimiser-of-layers", {"optim": "galore_adamw"}, REFUSED),
        (run, "schedule-without-its-option", {"lr_scheduler_type": "reduce_lr_on_plateau"}, EITHER),
        (run, "schedule-with-another-option", {"lr_scheduler_kwargs": '{"beauty": 1}'}, REFUSED),
        (run, "schedule-that-needs-more", {"lr_scheduler_type": "warmup_stable_decay"}, REFUSED),
        (run, "half-on-a-cpu", {"fp16": "true"}, EITHER),
        (run, "two-precisions", {"fp16": "true", "bf16": "true"}, REFUSED),
        (run, "absent-compiler", {"torch_compile_backend": "nonsense"}, REFUSED),
        (run, "absent-compiler-mode", {"torch_compile_mode": "nonsense"}, REFUSED),
        (run, "liger", {"use_liger_kernel": "true"}, REFUSED),
        (run, "deepspeed", {"deepspeed": "{here}/absent.json"}, REFUSED),
        (run, "fsdp-alone", {"fsdp": "full_shard"}, EITHER),
        (run, "prefetch-without-workers", {"dataloader_prefetch_factor": 2}, REFUSED),
        (run, "persistent-without-workers", {"dataloader_persistent_workers": "true"}, REFUSED),
        (run, "checkpointing", {"gradient_checkpointing": "true"}, EITHER),
        (run, "no-epochs", {"max_steps": None, "num_train_epochs": 0}, EITHER),
        (teacher, "no-corpus", {"train_file": None}, REFUSED),
        (teacher, "heads-do-not-divide", {"attention_heads": 3}, REFUSED),
        (teacher, "tiny-vocabulary", {"vocab_size": 10}, REFUSED),
        (teacher, "huge-vocabulary", {"vocab_size": 100000}, REFUSED),
        (teacher, "streaming-without-a-tokenizer", {"streaming": "true"}, REFUSED),
        (teacher, "the-key-of-another-script", {"student_layers": 2}, REFUSED),
        ("distillation.run_vocabulary", "no-output", {"output_dir": None}, REFUSED),
        ("distillation.run_vocabulary", "output-is-a-file", {"output_dir": "{good}/corpus.txt"}, REFUSED),
        ("distillation.run_vocabulary", "streaming", {"streaming": "true"}, REFUSED),
        ("distillation.run_vocabulary", "negative", {"vocab_size": -5}, REFUSED),
        ("distillation.run_evaluation", "no-model", {"model_name_or_path": None}, REFUSED),
        ("distillation.run_evaluation", "no-text", {"validation_file": None}, REFUSED),
        ("distillation.run_evaluation", "output-nowhere", {"output": "{here}/absent/output.json"}, REFUSED),
        ("distillation.run_evaluation", "output-is-a-folder", {"output": "{good}"}, REFUSED),
        ("distillation.run_evaluation", "no-batch", {"batch_size": 0}, REFUSED),
        (sentiment, "unknown-part", {"train_parts": "all"}, REFUSED),
        (sentiment, "same-seeds", {"seeds": [1, 1]}, REFUSED),
        (sentiment, "unknown-metric", {"metric_for_best_model": "beauty"}, REFUSED),
        (sentiment, "never-evaluated", {"eval_strategy": "no"}, REFUSED),
        (sentiment, "data-are-a-file", {"data_dir": "{good}/corpus.txt"}, REFUSED),
        (sentiment, "data-of-another-task", {"data_dir": "{good}/data/sberquad"}, REFUSED),
        (sentiment, "teacher-of-no-task", {"task_teacher": "{good}/teacher"}, REFUSED),
        (sentiment, "teacher-of-another-task", {"task_teacher": "{good}/classifier"}, REFUSED),
        (sentiment, "weight-without-a-teacher", {"weight_kl": 1}, REFUSED),
        (sentiment, "a-tokenizer-for-a-model", {"model_name_or_path": "{good}/vocabulary"}, REFUSED),
        ("finetuning.run_paraphraser", "classes", {"classes": 4}, REFUSED),
        ("finetuning.run_collection3", "types", {"entity_types": 4}, REFUSED),
        ("finetuning.run_russian_superglue", "unknown-task", {"task": "glue"}, REFUSED),
        ("finetuning.run_russian_superglue", "submission-is-a-folder", {"submission": "{good}"}, REFUSED),
        ("finetuning.run_russian_superglue", "submission-nowhere", {"submission": "{here}/no/output.zip"}, REFUSED),
        ("finetuning.run_russian_superglue", "submission-of-seeds", {"seeds": [1, 2]}, REFUSED),
        ("finetuning.run_russian_superglue", "no-tasks", {"data_dir": "{good}/data/sberquad", "task": "all"}, REFUSED),
        ("benchmarks.export", "unknown-backend", {"backend": "tensorflow"}, REFUSED),
        ("benchmarks.export", "output-is-something-else", {"output_dir": "{good}/teacher"}, REFUSED),
        ("benchmarks.export", "too-short", {"max_length": 0}, REFUSED),
        ("benchmarks.export", "data-of-no-use", {"data_dir": "{good}/data/rusentiment"}, EITHER),
        ("benchmarks.inference", "no-such-model", {"models": "{here}/absent"}, EITHER),
        ("benchmarks.inference", "too-long", {"sequence_length": 10000}, EITHER),
        ("benchmarks.inference", "output-nowhere", {"output": "{here}/absent/output.json"}, REFUSED),
        ("benchmarks.report", "nothing", {"": "{good}/data"}, REFUSED),
        ("benchmarks.report", "absent", {"": "{here}/absent"}, REFUSED),
        ("benchmarks.report", "no-output", {"output_dir": None}, REFUSED),
        ("benchmarks.report", "output-is-a-file", {"output_dir": "{good}/corpus.txt"}, REFUSED),
        ("benchmarks.scores", "nothing", {"": "{good}/data"}, REFUSED),
        ("benchmarks.scores", "absent", {"": "{here}/absent"}, REFUSED),
        ("benchmarks.scores", "no-folders", {"": None}, REFUSED),
        ("benchmarks.quality", "a-run-that-fails", {"teacher_name_or_path": "{good}/absent"}, EITHER),
        ("benchmarks.quality", "unknown-way", {"variants": "magic"}, REFUSED),
        ("benchmarks.quality", "absent-recipe", {"config": "{here}/absent.yaml"}, REFUSED),
        ("benchmarks.quality", "output-is-a-file", {"output_dir": "{good}/corpus.txt"}, REFUSED),
        ("benchmarks.training_step", "no-such-recipe", {"recipes": "nonsense"}, REFUSED),
        ("benchmarks.training_step", "no-such-alignment", {"recipes": "{good}/recipe.yaml:nonsense"}, REFUSED),
        ("benchmarks.training_step", "unknown-key", {"teacher": "x"}, REFUSED),
        ("benchmarks.training_step", "output-nowhere", {"output": "{here}/absent/output.json"}, REFUSED),
        ("benchmarks.training_step", "no-rounds", {"rounds": 0}, REFUSED),
        ("benchmarks.streaming", "output-nowhere", {"output": "{here}/absent/output.json"}, REFUSED),
        ("benchmarks.cross_vocabulary_kl", "one-tokenizer", {"teacher_tokenizer": "{good}/teacher"}, REFUSED),
        ("benchmarks.cross_vocabulary_kl", "no-device", {"device": "abacus"}, REFUSED),
        ("benchmarks.cross_vocabulary_kl", "output-nowhere", {"output": "{here}/absent/output.json"}, REFUSED),
    ]  # fmt: skip


def keys_by_hand(entries: dict[str, Entry]) -> Cases:
    """Those, and recipes that are none."""
    for entry, name, changes, expected in by_hand():
        yield Case(entries[entry], name, changes, expected=expected)
    for entry in entries.values():
        yield Case(entry, "nothing-wrong", expected=SURVIVED)
        for key in entry.yamls:
            for name, content in RECIPES.items():

                def make(good: Path, here: Path, content: bytes = content) -> None:
                    (here / "recipe.yaml").write_bytes(content)

                yield Case(entry, f"{key}-{name}", {key: "{here}/recipe.yaml"}, make)


def wrong_values(entry: Entry, training: bool) -> Cases:
    """Each key of an entry with each value that does not fit it. training: also those of `TrainingArguments`."""
    found: dict[str, tuple[str, ...]] = {}
    for kind in entry.types:
        for field in dataclasses.fields(kind):
            if training or not issubclass(kind, TrainingArguments):
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
    cases = list(wrong_values(entry, training=True))
    changes: dict[str, Any] = {}
    for case in draw.sample(cases, min(draw.choice((1, 1, 2)), len(cases))):
        changes |= case.changes
    return Case(entry, "keys", changes)
