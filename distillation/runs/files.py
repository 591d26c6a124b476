"""The files of a run's folder: their names, how they are written, read, and shown as tables."""

import dataclasses
import hashlib
import json
import os
import shutil
import statistics
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from distillation.config.errors import UserError, one_line
from distillation.config.paths import EXPORT

if TYPE_CHECKING:  # scripts that read JSON start without it
    from transformers import TrainingArguments

WEIGHTS = "model.safetensors"
RESULTS = "all_results.json"  # written last: a folder that has it is of a finished run
RECIPE = "recipe.json"  # written before the first step
STATE = "trainer_state.json"  # what a run has logged
CARD = "README.md"
MEASURED = "measured.json"  # what other runs found about a model: scores on tasks, speed
EXPORTED = Path("onnx", EXPORT)  # what is known of its exported form
# Figures of held-out text: their names in `all_results.json`, after `student_heldout_` or the like; and for people.
METRICS = ("loss", "loss_per_character", "masked_token_accuracy", "masked_word_accuracy")
HEADINGS = ("loss", "loss per character", "token accuracy", "word accuracy")
# Further figures of a trimmed model, and their formats.
TRIMMING = {"tokens": ",", "parameters": ",", "mib": ".1f", "words_cut_otherwise": ".1%", "tokens_per_word": ".3f"}
TRIMMING["answer_ms"] = ".2f"
RANDOM, TAUGHT = ", random weights", ", with a task teacher"  # behind the name of a fine-tuned model
# Fields of `TrainingArguments` that decide the weights. A resumed run cannot change those of `DECIDING`. It can change
# batch sizes and precision, to fit another machine, and the number of steps.
DECIDING = ("learning_rate", "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps", "optim", "adam_beta1")
DECIDING += ("adam_beta2", "adam_epsilon", "optim_args", "weight_decay", "max_grad_norm", "seed", "data_seed")
DECIDING += ("train_sampling_strategy",)
HYPERPARAMETERS = (*DECIDING, "num_train_epochs", "max_steps", "per_device_train_batch_size")
HYPERPARAMETERS += ("gradient_accumulation_steps", "bf16", "fp16")
NO_RECIPE = ("resume_from_checkpoint", "push_to_hub", "hub_")  # the start of keys that are not needed to repeat a run


@contextmanager
def replacing(path: str | Path, last: str = "", obsolete: Iterable[str] = ()) -> Iterator[Path]:
    """Yield a draft to be written, a file or a folder of files, which replaces `path` if the block ends well.

    A file or a new folder is written completely or not at all. A folder that exists cannot always be renamed (a mount,
    a link, the working directory). So its files are replaced one by one, those whose names begin with `last` at the
    end. Then its files `obsolete` are removed unless they are new. All others stay.
    """
    path = Path(path)
    exists = path.is_dir()
    path = path.resolve() if exists else path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{path} lies below a file: name another place") from None
    # The draft of an existing folder lies inside it: its parent may be another disk, or not writable.
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path if exists else path.parent) as hidden:
        draft = Path(hidden, path.name)
        yield draft
        follow_umask(draft)
        if path.exists() and exists != draft.is_dir():
            raise UserError(f"{path} is a {'folder' if path.is_dir() else 'file'}: remove it, or name another place")
        if not exists:
            draft.replace(path)
            return
        files = sorted(draft.iterdir(), key=lambda file: (file.name.startswith(last), file.name))
        for file in files:
            file.replace(path / file.name)
        for name in {*obsolete} - {file.name for file in files}:
            (path / name).unlink(missing_ok=True)


def remove_drafts(path: Path) -> None:
    """Remove what `replacing` left where a process was killed. The caller is alone with the path."""
    for draft in (path if path.is_dir() else path.parent).glob(f".{path.name}-*"):
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def alone_with(file: Path, wait: bool) -> Iterator[bool]:
    """Yield True while this process alone may make the file, False if another makes it. With `wait`, wait for the
    other; the file may exist by then.

    Raises OSError where a lock cannot be written.
    """
    lock = FileLock(file.with_name(f".{file.stem}.lock"))
    try:
        lock.acquire(blocking=wait)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
        if file.exists():  # who still waits for this lock, or makes a new one, finds the file
            with suppress(OSError):
                Path(lock.lock_file).unlink(missing_ok=True)


def is_free(folder: Path) -> bool:
    """Whether nothing is there, or a folder with nothing but hidden files and `lost+found`, which a new disk has."""
    if not folder.is_dir():
        return not folder.exists()
    return all(path.name.startswith(".") or path.name == "lost+found" for path in folder.iterdir())


def follow_umask(path: Path) -> None:
    """Make a file, or all files in a folder, as readable as the umask says: safetensors lets only the owner read."""
    umask = os.umask(0)
    os.umask(umask)
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file() and (mode := file.stat().st_mode) | 0o666 & ~umask != mode:  # some disks know no modes
            file.chmod(mode | 0o666 & ~umask)


def write_text(path: str | Path, text: str) -> None:
    """Write a file, completely or not at all, and make its folder."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, values: Any) -> None:
    """Write a JSON file, completely or not at all."""
    write_text(path, json.dumps(values, indent=2, ensure_ascii=False, default=str) + "\n")


def read_json(path: str | Path) -> Any:
    """The content of a JSON file. Raises UserError for one that does not exist or is no JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: name a result file, or the folder of a finished run") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as JSON ({one_line(error)}): name a result file") from None


@contextmanager
def explain_bad_results(path: str | Path) -> Iterator[None]:
    """Raise UserError in this block for a result file that does not have the form of this version's results."""
    try:
        yield
    except UserError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, OSError, RecursionError) as error:
        why = one_line(repr(error))
        raise UserError(
            f"{path} does not have the form of a result file ({why}): make it again, or leave it out"
        ) from None


def find_runs(paths: Iterable[Path]) -> dict[Path, dict[str, Any]]:
    """The results of the finished runs in these folders, at any depth, by folder; of several seeds only their mean.

    Raises UserError for a folder without results.
    """
    found: dict[Path, dict[str, Any]] = {}
    for path in paths:
        files = [path] if path.is_file() else sorted(path.rglob(RESULTS))
        if not files:
            raise UserError(f"{path} has no {RESULTS}: name folders of finished runs")
        for file in files:
            with explain_bad_results(file):
                found[file.parent.resolve()] = dict(read_json(file).items())
    return {folder: run for folder, run in found.items() if "seeds" not in found.get(folder.parent, {})}


def begun_as(run: Mapping[str, Any], runs: Mapping[Path, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The run that fine-tuned the model of a run, if it is among these: LiDiRus is answered by the model of TERRa."""
    return runs.get(Path(run["model"]).resolve(), run) if run["task"] == "lidirus" else run


def markdown_table(header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table, one line per row; line breaks become spaces."""
    cells = [[" ".join(str(cell).replace("|", "\\|").splitlines()) for cell in row] for row in (header, *rows)]
    first, *lines = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([first, "|---" * len(header) + "|", *lines])


def how_trained(run: Mapping[str, Any]) -> str:
    """What a table adds to the name of a fine-tuned model. run: its results."""
    return RANDOM * bool(run["recipe"].get("random_weights")) + TAUGHT * ("task_teacher" in run)


def in_per_cent(run: Mapping[str, Any], figure: str) -> float:
    """A figure of a fine-tuning run such as "test_f1". Most tasks keep shares of 1."""
    return float(run[figure]) * (1 if run.get("per_cent") else 100)


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and the standard deviation of a sample, which is 0 for a single value."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def mean_text(values: Sequence[float], digits: int) -> str:
    """Mean and deviation as text; a single value has no deviation."""
    mean, deviation = mean_and_deviation(values)
    return f"{mean:.{digits}f}" + (f" ± {deviation:.{digits}f}" if len(values) > 1 else "")


def metric_text(name: str, values: Sequence[float]) -> str:
    """Mean and deviation of one of `METRICS` as text: an accuracy in per cent, a loss in nats."""
    return mean_text([100 * value for value in values], 1) + " %" if "accuracy" in name else mean_text(values, 3)


def held_out_table(figures: Mapping[str, Mapping[str, float]]) -> str:
    """The figures of held-out text, a row a model."""
    rows = ([name.replace("_", " "), *(metric_text(m, [of[m]]) for m in METRICS)] for name, of in figures.items())
    return markdown_table(["held-out text", *HEADINGS], rows)


def trimming_table(figures: Mapping[str, Mapping[str, float]]) -> str:
    """The figures of `run_trimming.py`, a row a model, as far as the first one has them."""
    first = next(iter(figures.values()))
    formats = {name: how for name, how in TRIMMING.items() if name in first}
    metrics = {name: heading for name, heading in zip(METRICS, HEADINGS, strict=True) if name in first}
    rows = [
        [
            name,
            *(format(of[one], how) for one, how in formats.items()),
            *(metric_text(one, [of[one]]) for one in metrics),
        ]
        for name, of in figures.items()
    ]
    headings = [one.replace("_", " ").replace("mib", "MiB").replace("answer ms", "ms a text") for one in formats]
    return markdown_table(["held-out text", *headings, *metrics.values()], rows)


def recipe_of(arguments: Sequence[Any], training: "TrainingArguments") -> dict[str, Any]:
    """Every key of the dataclasses; from TrainingArguments, `HYPERPARAMETERS` and the keys that the user has set."""
    keys = {key: value for part in arguments for key, value in dataclasses.asdict(part).items()}
    named = {*HYPERPARAMETERS, *getattr(training, "given", ())}
    values = training.to_dict()  # enumerations as text, tokens hidden
    wanted = (name for name in values if name in named and not name.startswith(NO_RECIPE))
    return keys | {name: values[name] for name in wanted if values[name] is not None}


def without_folders(value: Any) -> Any:
    """The same values, with paths outside of the working directory cut to their last name: they describe a machine."""
    if isinstance(value, Mapping):
        return {key: without_folders(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(item) for item in value]
    outside = isinstance(value, str) and (os.path.isabs(value) or value.startswith(("..", "~", "file:")))
    return Path(value).name if outside else value


def sha256(path: Path) -> str:
    """The hash of a file by which the Hub identifies large files."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_of(model: str | Path) -> str | None:
    """The hash of a checkpoint's weights; None where no such file is, as of a model on the Hub."""
    path = Path(model, WEIGHTS)
    return sha256(path) if path.is_file() else None


def digest(parts: Iterable[Any]) -> str:
    """The SHA-256 hash of parts in their order; each is bytes, or an array that gives them."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()
