"""Every script of the project with a good call, and what people get wrong; a new script is one more entry."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distillation.config.command_line import words_of
from finetuning.sets import BENCHMARKS
from tests.fuzz.guard import TOKEN

TEACHER, CORPUS, FOLDER, FILE = "{good}/teacher", "{good}/corpus.txt", "{here}/output", "{here}/output.json"


@dataclass(frozen=True)
class Entry:
    """A script. In values, `{good}` is the folder of good inputs and `{here}` that of the case."""

    name: str
    keys: Mapping[str, Any]  # of a good call; the key "" holds values without one
    corpora: tuple[str, ...] = ()  # keys whose values are such files or folders
    models: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ("config",)
    folder: tuple[str, str] | None = None  # a key and the folder of good inputs that it names: its files are damaged
    trains: bool = False  # whether the keys of `TrainingArguments` are tried too
    fails: int = 2  # the exit code with which it reports a part that failed

    def argv(self, changes: Mapping[str, Any], good: str, here: str) -> list[str]:
        """The command line; a value None leaves a key out."""
        given = {key: value for key, value in {**self.keys, **changes}.items() if value is not None}
        given = {key: str(value).replace("{good}", good).replace("{here}", here) for key, value in given.items()}
        first = [given.pop("")] if "" in given else []
        return first + words_of(given)


TRAINING = {"output_dir": FOLDER, "max_steps": 1, "use_cpu": "true", "disable_tqdm": "true", "hub_token": TOKEN}
TRAINING |= {"per_device_train_batch_size": 8, "max_length": 32}
TUNING = TRAINING | {"save_strategy": "steps", "eval_strategy": "steps", "max_length": 48}
TAUGHT = ("model_name_or_path", "task_teacher")
TIMED, RESULTS = {"output": FILE, "rounds": 1}, "{good}/results"
STEP = {"teacher_name_or_path": TEACHER, "train_file": CORPUS, "max_length": 32, "use_cpu": "true"}


def _task(name: str, **keys: Any) -> Entry:
    data, trains = f"data/{name}", name == "rusentiment"  # once for all of them
    keys |= TUNING | {"model_name_or_path": TEACHER, "data_dir": f"{{good}}/{data}"}
    return Entry(f"finetuning.run_{name}", keys, models=TAUGHT, folder=("data_dir", data), trains=trains)


def _own(name: str, **keys: Any) -> Entry:
    keys |= TUNING | {"model_name_or_path": TEACHER}
    return Entry(f"finetuning.run_{name}", keys, models=TAUGHT)


ENTRIES = (
    Entry(
        "distillation.run",
        TRAINING | {"teacher_name_or_path": TEACHER, "train_file": CORPUS, "student_layers": 1},
        corpora=("train_file", "validation_file"),
        models=("teacher_name_or_path", "student_vocabulary"),
        trains=True,
    ),
    Entry(
        "distillation.run_teacher",
        TRAINING | {"train_file": CORPUS, "vocab_size": 200, "layers": 1, "hidden_size": 16},
        corpora=("train_file",),
        models=("tokenizer_name_or_path", "model_name_or_path"),
        trains=True,
    ),
    Entry(
        "distillation.run_vocabulary",
        {"train_file": CORPUS, "vocab_size": 200, "output_dir": FOLDER},
        corpora=("train_file", "validation_file"),
        models=("teacher_name_or_path",),
    ),
    Entry(
        "distillation.run_trimming",
        {"model_name_or_path": TEACHER, "train_file": CORPUS, "coverage": 0.9, "max_length": 32, "output_dir": FOLDER},
        corpora=("train_file", "validation_file", "keep_file"),
        models=("model_name_or_path",),
    ),
    Entry(
        "distillation.run_evaluation",
        {"model_name_or_path": TEACHER, "validation_file": CORPUS, "max_length": 32, "output": FILE},
        corpora=("validation_file",),
        models=("model_name_or_path",),
    ),
    Entry(
        "distillation.run_sentences",
        TRAINING | {"model_name_or_path": TEACHER, "teacher_name_or_path": TEACHER, "train_file": CORPUS},
        corpora=("train_file", "validation_file", "pairs_file"),
        models=("model_name_or_path", "teacher_name_or_path"),
    ),
    Entry("distillation.run_publish", {"checkpoint": FOLDER, "hub_token": TOKEN}, folder=("checkpoint", "finished")),
    *map(_task, BENCHMARKS),
    _own("classification", train_file="{good}/own/mine.csv"),
    _own("tagging", train_file="{good}/data/collection3/train.txt"),
    _task("russian_superglue", task="terra", submission="{here}/output.zip"),
    Entry(
        "finetuning.run_encodechka",
        {"model_name_or_path": TEACHER, "data_dir": "{good}/data/encodechka", "output_dir": FOLDER},
        models=("model_name_or_path",),
        folder=("data_dir", "data/encodechka"),
    ),
    Entry(
        "finetuning.run_benchmarks",
        TUNING | {"tasks": "rusentiment", "models": TEACHER, "data_dir": "{good}/data/rusentiment"},
        models=("models",),
        folder=("data_dir", "data/rusentiment"),
        fails=1,
    ),
    Entry(
        "finetuning.run_predict",
        {"model_name_or_path": "{good}/classifier", "input": CORPUS, "output": "{here}/output.jsonl"},
        corpora=("input",),
        models=("model_name_or_path",),
    ),
    Entry(
        "benchmarks.export",
        {"model_name_or_path": TEACHER, "output_dir": FOLDER, "validation_file": CORPUS, "max_length": 32},
        corpora=("validation_file",),
        models=("model_name_or_path",),
    ),
    Entry(
        "benchmarks.inference",
        TIMED | {"models": TEACHER, "backends": "torch", "sequence_lengths": 8, "seconds": 0.01},
        models=("models",),
        recipes=("config", "models"),
        fails=1,
    ),
    Entry("benchmarks.on_device", TIMED | {"models": TEACHER, "sequence_lengths": 8}, models=("models",)),
    Entry("benchmarks.architectures", {"names": "bert", "output": FILE}),
    Entry("benchmarks.report", {"": RESULTS, "output_dir": FOLDER}, folder=("", "results")),
    Entry("benchmarks.scores", {"": RESULTS}, folder=("", "results")),
    Entry("benchmarks.compare", {"models": RESULTS, "baseline": f"{RESULTS}/tuned"}, folder=("models", "results")),
    Entry("benchmarks.students", {"": "{good}/judged", "output_dir": FOLDER}, folder=("", "judged")),
    Entry(
        "benchmarks.quality",
        STEP | {"output_dir": FOLDER, "seeds": 0, "variants": "mlm", "student_layers": 1, "max_steps": 1},
    ),
    Entry(
        "benchmarks.training_step",
        TIMED | STEP | {"recipes": "{good}/recipe.yaml", "per_device_train_batch_size": 8},
        corpora=("train_file",),
        models=("teacher_name_or_path",),
        recipes=("recipes", "teacher_shape"),
    ),
    Entry("benchmarks.cross_vocabulary_kl", TIMED | {"teacher_size": 500, "student_sizes": 40, "positions": 6}),
)

# What people get wrong, by script; a key without a value is left out. The suite runs these.
PEOPLE = {
    "distillation.run": """
        teacher_name_or_path | teacher_name_or_path={here}/absent | train_file | train_file={here}/absent.txt
        train_file={here}/work | output_dir | output_dir={good}/corpus.txt/output | validation_file={good}/corpus.txt
        dataset_name=some/thing | validation_lines=0 | report_to=wandb | max_length=65 | temprature=2 | =corpus.txt
        weight_kl=0 weight_mlm=0 weight_cosine=0 weight_attention=0 | neftune_noise_alpha=0 | temperature=0
        student_vocabulary={good}/vocabulary | alignment=match student_vocabulary={good}/vocabulary
        vocabulary_map=pieces | teacher_input=clean kl_positions=masked | fp16=true bf16=true | kl_position_fraction=0
        train_file={good}/blank.txt | train_file={good}/latin.txt | validation_file={good}/short.txt
        student_vocabulary={good}/latin alignment=match masking_unit=word | label_smoothing_factor=0.1
        student_layers=7 | student_attention_heads=5 | load_best_model_at_end=true | config=absent.yaml
        streaming=true max_steps | streaming=true teacher_cache={here}/output-cache | teacher_cache={good}/teacher
        student_initialisation=same_shape | student_vocabulary={good}/vocabulary student_initialisation=same_shape
        student_dropout=1 | push_to_hub=true | seed=-1 | weight_kl=-1 | resume_from_checkpoint={here}/checkpoint-1
    """,
    "distillation.run_teacher": """
        attention_heads=3 | vocab_size=100000 | student_layers=2 | model_name_or_path={good}/teacher
        model_name_or_path={good}/teacher vocab_size layers hidden_size max_length=65
        model_name_or_path={good}/vocabulary vocab_size layers hidden_size
    """,
    "distillation.run_vocabulary": "output_dir={good}/corpus.txt | vocab_size=30 | model_type=unigram | model_type=x",
    "distillation.run_trimming": "coverage=1.5 | vocab_size=3 | coverage vocab_size=3 | keep_file={good}/blank.txt",
    "distillation.run_evaluation": "validation_file",
    "distillation.run_sentences": "teacher_name_or_path | pooling=max | teacher_vectors={good}/teacher",
    "finetuning.run_rusentiment": """
        metric_for_best_model=beauty | data_dir={good}/data/sberquad | train_parts=all | task_teacher={good}/classifier
    """,
    "finetuning.run_classification": """
        train_file | train_file={here}/absent.csv | train_file={good}/corpus.txt | text_column=review | labels=a
    """,
    "finetuning.run_tagging": "train_file={good}/own/mine.csv | train_file={good}/vocabulary | data_dir={good}/own",
    "finetuning.run_russian_superglue": "task=glue",
    "finetuning.run_encodechka": "data_dir={good}/data/sberquad | model_name_or_path={good}/vocabulary",
    "finetuning.run_predict": """
        input={here}/absent.txt | output={here}/answers.xlsx | shard=9/8 | text_column=title | text_pair_column=title
        input={good}/blank.txt | model_name_or_path={good}/vocabulary
    """,
    "benchmarks.architectures": "names=gpt",
    "benchmarks.export": "output_dir={good}/teacher",
    "benchmarks.inference": "models={here}/absent",
    "benchmarks.cross_vocabulary_kl": "positions=100000000000000000000",
    "benchmarks.training_step": "teacher_shape={here}/absent.yaml",
    "benchmarks.report": "={good}/data",
    "finetuning.run_paraphraser": "model_name_or_path={good}/vocabulary",
    "benchmarks.scores": "={here}/absent",
    "benchmarks.students": "={here}/absent",
}
