"""A checkpoint as a folder to deploy: one model file, its tokenizer and config, and what the export costs."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.backends.comparison import Deployed, compare_masked_lm, compare_on_lines, compare_on_task
from benchmarks.backends.registry import BACKENDS, Arrays
from benchmarks.timing.measure import hardware
from distillation.config.arguments import DataArguments
from distillation.config.errors import UserError
from distillation.demo.resolve import resolve_demo
from distillation.models.loading import load_as_saved, load_tokenizer_of
from distillation.runs.files import RESULTS, WEIGHTS, read_json, sha256, write_json
from distillation.text.reading import load_lines
from finetuning.sets import REGISTRY, make_task
from finetuning.splits import read_parts

if TYPE_CHECKING:
    from benchmarks.export import ExportArguments

MASKED_LM, CHOICE = "ForMaskedLM", "ForMultipleChoice"
HEADS = (MASKED_LM, "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", CHOICE)
KEY = "model_name_or_path"
LINES = 500  # of the validation file
SAMPLES = 64  # lines from which int8 scales are taken, two a batch
TEXTS = ("да", "Мама мыла раму, а папа читал газету.")  # of unlike lengths

logger = logging.getLogger(__name__)


class Source:
    """What is exported: a model with the head that it has, its tokenizer, and lines of text to check on.

    `run`: the results of the benchmark that the model was fine-tuned on, with where its data are, or None.

    Raises UserError for what cannot be loaded, has another head, or gets a `data_dir` without such a benchmark.
    """

    def __init__(self, arguments: "ExportArguments"):
        name = arguments.model_name_or_path
        self.model = load_as_saved(name, KEY, HEADS)
        self.head = self.model.config.architectures[0]
        roles = ("pad_token", "mask_token") if self.head.endswith(MASKED_LM) else ("pad_token",)
        self.tokenizer = load_tokenizer_of(self.model, name, KEY, roles)
        self.max_length = min(arguments.max_length, self.tokenizer.model_max_length)
        data = DataArguments(train_file=arguments.validation_file)
        resolve_demo(data)
        lines = load_lines(data, data.train_file, None)
        self.lines = lines.select(range(min(LINES, len(lines))))
        path, self.run = Path(name, RESULTS), None
        results = read_json(path) if path.is_file() else None
        if isinstance(results, dict) and results.get("task") in REGISTRY:
            recipe = results.get("recipe") or {}
            self.run = results | {"recipe": recipe, "data_dir": arguments.data_dir or recipe.get("data_dir")}
        elif arguments.data_dir:
            raise UserError(
                f"`data_dir` is of no use: {path} does not tell of which benchmark of finetuning/ it would be"
            )


def write(source: Source, arguments: "ExportArguments", folder: Path) -> dict[str, Any]:
    """Write the folder; the content of its `export.json`."""
    backend = BACKENDS[arguments.backend]
    samples = samples_of(source)
    backend.build(source.model, samples, folder)
    source.tokenizer.save_pretrained(folder)
    source.model.config.save_pretrained(folder)
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    deployed = Deployed(backend.open(folder, torch.get_num_threads()), source.model, list(samples[0]))
    weights = Path(arguments.model_name_or_path, WEIGHTS)
    found = {
        "model": arguments.model_name_or_path,
        "weights": sha256(weights) if weights.is_file() else None,  # of a model on the Hub they are not known here
        "backend": arguments.backend,
        "parameters": source.model.num_parameters(),
        "bytes": sizes,
        **compare(source, deployed, may_use_lines=not arguments.data_dir),
        "hardware": hardware(torch.device("cpu")),
    }
    write_json(folder / "export.json", found)
    return found


def samples_of(source: Source) -> list[Arrays]:
    """Batches of two lines, with padding in the first; of two choices of two lines each, where a model chooses."""
    tokenizer, texts = source.tokenizer, sorted(source.lines[:SAMPLES]["text"], key=len)
    if len(texts) < 2 or len(tokenizer(texts[0])["input_ids"]) == len(tokenizer(texts[-1])["input_ids"]):
        texts = sorted([*TEXTS, *texts], key=len)
    options = {"padding": True, "truncation": True, "max_length": source.max_length, "return_tensors": "np"}
    pairs = [dict(tokenizer([texts[i], texts[-1 - i]], **options)) for i in range(len(texts) // 2)]
    if source.head.endswith(CHOICE):
        return [{name: np.stack([one, one]) for name, one in pair.items()} for pair in pairs]
    return pairs


def compare(source: Source, deployed: Deployed, may_use_lines: bool) -> dict[str, Any]:
    """How far the exported model is from the original, by the means that fit the model.

    Raises UserError for data of its benchmark that cannot be read, unless lines of text will do instead.
    """
    model, tokenizer, run = source.model, source.tokenizer, source.run
    if source.head.endswith(MASKED_LM):
        return compare_masked_lm(model, deployed, tokenizer, source.lines, source.max_length)
    if run:
        try:
            task = make_task(run["task"], run["recipe"])
            parts, _ = read_parts(task, str(run["data_dir"]))
            task, length = task.adapted(parts["train"]), min(run.get("max_length", 512), tokenizer.model_max_length)
            return compare_on_task(model, deployed, tokenizer, task, parts["test"], length)
        except UserError as error:
            if not may_use_lines:
                raise
            logger.warning("checked on lines of text, for its benchmark cannot be read (name `data_dir`): %s", error)
    return compare_on_lines(model, deployed, tokenizer, source.lines, source.max_length)
