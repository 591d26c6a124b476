"""Every script of the project, each with a good call; a new one is one more entry."""

from types import ModuleType
from typing import Any

from benchmarks import compare, cross_vocabulary_kl, export, inference, quality, report, scores, training_step
from distillation import run, run_evaluation, run_publish, run_teacher, run_vocabulary
from distillation.config.arguments import ARGUMENTS, CardArguments, DataArguments
from finetuning import (
    run_benchmarks,
    run_collection3,
    run_paraphraser,
    run_rusentiment,
    run_russian_superglue,
    run_sberquad,
)
from finetuning.arguments import ARGUMENTS as TUNING
from finetuning.sets import collection3, paraphraser, rusentiment, russian_superglue, sberquad
from tests.fuzz.case import Entry

TOKEN = "hf_ThisIsNoTokenAtAll1234567890abcdef"  # given to every script, and to be seen nowhere
TEACHER, CORPUS, FOLDER, FILE = "{good}/teacher", "{good}/corpus.txt", "{here}/output", "{here}/output.json"
TRAINING = {"output_dir": FOLDER, "max_steps": 1, "use_cpu": "true", "disable_tqdm": "true", "hub_token": TOKEN}
TRAINING |= {"per_device_train_batch_size": 8, "max_length": 32}


def _fine_tuning(name: str, script: ModuleType, *options: type, **keys: Any) -> Entry:
    data = {"model_name_or_path": TEACHER, "data_dir": f"{{good}}/data/{name}", "max_length": 48}
    return Entry(
        script.__name__,
        script.main,
        TRAINING | {"save_strategy": "steps", "eval_strategy": "steps"} | data | keys,
        types=(*TUNING, *options),
        models=("model_name_or_path", "task_teacher"),
        yamls=("config",),
        folders={"data_dir": f"data/{name}"},
        trains=name == "rusentiment",  # once for all of them
    )


def _benchmark(script: ModuleType, keys: dict[str, Any], **more: Any) -> Entry:
    return Entry(script.__name__, script.main, keys, **more)


ENTRIES = (
    Entry(
        "distillation.run",
        run.main,
        TRAINING | {"teacher_name_or_path": TEACHER, "train_file": CORPUS, "student_layers": 1},
        types=ARGUMENTS,
        corpora=("train_file", "validation_file"),
        models=("teacher_name_or_path", "student_vocabulary"),
        yamls=("config",),
        trains=True,
    ),
    Entry(
        "distillation.run_teacher",
        run_teacher.main,
        TRAINING | {"train_file": CORPUS, "vocab_size": 200, "layers": 1, "hidden_size": 16},
        types=run_teacher.ARGUMENTS,
        corpora=("train_file",),
        models=("tokenizer_name_or_path",),
        yamls=("config",),
        trains=True,
    ),
    Entry(
        "distillation.run_vocabulary",
        run_vocabulary.main,
        {"train_file": CORPUS, "vocab_size": 200, "output_dir": FOLDER},
        types=(run_vocabulary.VocabularyArguments, DataArguments),
        corpora=("train_file", "validation_file"),
        models=("teacher_name_or_path",),
        yamls=("config",),
    ),
    Entry(
        "distillation.run_evaluation",
        run_evaluation.main,
        {"model_name_or_path": TEACHER, "validation_file": CORPUS, "max_length": 32, "output": FILE},
        types=(run_evaluation.EvaluationArguments, DataArguments),
        corpora=("validation_file",),
        models=("model_name_or_path",),
        yamls=("config",),
    ),
    Entry(
        "distillation.run_publish",
        run_publish.main,
        {"checkpoint": FOLDER, "hub_token": TOKEN},
        types=(run_publish.PublishArguments, CardArguments),
        yamls=("config",),
        folders={"checkpoint": "finished"},
    ),
    _fine_tuning("rusentiment", run_rusentiment, rusentiment.Options),
    _fine_tuning("paraphraser", run_paraphraser, paraphraser.Options),
    _fine_tuning("collection3", run_collection3, collection3.Options),
    _fine_tuning("sberquad", run_sberquad, sberquad.Options),
    _fine_tuning(
        "russian_superglue",
        run_russian_superglue,
        russian_superglue.Options,
        task="terra",
        submission="{here}/output.zip",
    ),
    Entry(
        "finetuning.run_benchmarks",
        run_benchmarks.main,
        TRAINING
        | {"save_strategy": "steps", "eval_strategy": "steps", "max_length": 48}
        | {"tasks": "rusentiment", "models": TEACHER, "data_dir": "{good}/data/rusentiment"},
        types=(run_benchmarks.BenchmarksArguments,),
        models=("models",),
        yamls=("config",),
        folders={"data_dir": "data/rusentiment"},
        fails=1,
    ),
    _benchmark(
        export,
        {"model_name_or_path": TEACHER, "output_dir": FOLDER, "validation_file": CORPUS, "max_length": 32},
        types=(export.ExportArguments,),
        corpora=("validation_file",),
        models=("model_name_or_path",),
        yamls=("config",),
    ),
    _benchmark(
        inference,
        {"models": TEACHER, "backends": "torch", "sequence_lengths": 8, "rounds": 1, "seconds": 0.01, "output": FILE},
        options=("heads", "batch_sizes", "threads", "device"),
        models=("models",),
        yamls=("models",),
        fails=1,
    ),
    _benchmark(report, {"": "{good}/results", "output_dir": FOLDER}, folders={"": "results"}),
    _benchmark(scores, {"": "{good}/results"}, folders={"": "results"}),
    _benchmark(
        compare,
        {"models": "{good}/results", "baseline": "{good}/results"},
        types=(compare.CompareArguments,),
        folders={"models": "results"},
    ),
    _benchmark(quality, {"output_dir": FOLDER, "seeds": 0, "train_file": "{good}/absent"}, fails=1),
    _benchmark(
        training_step,
        {"recipes": "{good}/recipe.yaml", "rounds": 1, "output": FILE}
        | {"teacher_name_or_path": TEACHER, "train_file": CORPUS, "max_length": 32, "use_cpu": "true"},
        options=("teacher_shape", "per_device_train_batch_size", "teacher_cache", "bf16", "fp16", "alignment"),
        corpora=("train_file",),
        models=("teacher_name_or_path",),
        yamls=("recipes", "teacher_shape"),
    ),
    _benchmark(
        cross_vocabulary_kl,
        {"teacher_size": 500, "student_sizes": 40, "positions": 6, "rounds": 2, "output": FILE},
        options=("device",),
    ),
)
