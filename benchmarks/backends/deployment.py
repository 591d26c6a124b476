"""Writes a checkpoint as a folder to deploy, and compares the model in it with the original."""

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm
from transformers import PreTrainedModel, TrainingArguments
from transformers.modeling_outputs import ModelOutput

from benchmarks.backends.folder_readme import readme
from benchmarks.backends.graph_export import arrays, tensors
from benchmarks.backends.registry import BACKENDS, Arrays, Run
from benchmarks.timing.measure import hardware
from distillation.config.corpus import CorpusArguments
from distillation.config.errors import UserError
from distillation.demo.resolve import resolve_demo
from distillation.evaluation import fill_in, held_out_examples
from distillation.hub.snippets import CHOICE, TASKS
from distillation.models.tokenizer_file import save_tokenizer
from distillation.runs.files import CARD, EXPORTED, RESULTS, read_json, weights_of, write_json, write_text
from distillation.runs.resume import changed_inputs, inputs_of
from distillation.text.reading import load_lines
from finetuning.arguments import BenchmarkData, OwnData
from finetuning.deployed import model as answers
from finetuning.deployed.checkpoint import VECTORS, config_of, load_with_task
from finetuning.deployed.sentence_encoder import SentenceEncoder
from finetuning.formats.locate import OwnFiles
from finetuning.formats.locate import Source as Data
from finetuning.sets import OWN, REGISTRY, make_task, named_after_source, source_of
from finetuning.splits import read_parts
from finetuning.tasks.base import Task
from finetuning.tasks.losses import NEVER
from finetuning.trainer import TaskTrainer

if TYPE_CHECKING:
    from benchmarks.export import ExportArguments

MASKED_LM = TASKS["ForMaskedLM"]
LINES = 500  # of the validation file
SAMPLES = 64  # lines from which int8 scales are taken, two a batch
TEXTS = ("да", "Мама мыла раму, а папа читал газету.")  # of different lengths
BATCH_SIZE = 16
ALONE = 4.0  # more than cosines differ: no line is its own nearest

logger = logging.getLogger(__name__)


class Source:
    """The model to export, with its own head or as a sentence encoder, its tokenizer, and lines of text to check it.

    `task`: what it does, by the Hub's name; `run`: the results of the benchmark that the model was fine-tuned on, with
    the `data_dir` of its data, or None.

    Raises UserError for a model that cannot be loaded or has another head, and for a `data_dir` without a benchmark.
    """

    def __init__(self, arguments: "ExportArguments"):
        name, self.folder = arguments.model_name_or_path, Path(arguments.model_name_or_path)
        self.model, self.tokenizer, self.task = load_with_task(name, arguments.task)
        self.max_length = min(arguments.max_length, self.tokenizer.model_max_length)
        data = CorpusArguments(train_file=arguments.validation_file, text_column=arguments.text_column)
        resolve_demo(data)
        lines = load_lines(data, data.train_file, None)
        self.lines = lines.select(range(min(LINES, len(lines))))
        path, self.run = self.folder / RESULTS, None
        results = read_json(path) if path.is_file() else None
        if isinstance(results, dict) and (results.get("set") or results.get("task")) in (*REGISTRY, *OWN):
            recipe = results.get("recipe") or {}
            self.run = results | {"recipe": recipe, "source": moved(source_of(recipe), arguments.data_dir)}
        elif arguments.data_dir:
            raise UserError(f"`data_dir` cannot be used: {path} names no benchmark of finetuning/; leave it out")


def moved(source: Data, folder: str | None) -> Data:
    """The data of a run; with `folder`, the files of the same names there. Raises UserError if two have one name."""
    if not (isinstance(source, OwnFiles) and folder):
        return folder or source
    names = [file and Path(file).name for file in source]
    if not Path(folder).is_dir():
        raise UserError(f"`data_dir` {folder!r} is no folder: name the one that holds {names[0]}")
    if len({*filter(None, names)}) < sum(map(bool, names)):
        raise UserError(f"`data_dir`: {', '.join(filter(None, source))} have one name: put them back where they were")
    return OwnFiles(*(name and str(Path(folder, name)) for name in names))


class Deployed(nn.Module):
    """Calls an exported model as if it were the original, on the CPU."""

    def __init__(self, run: Run, model: PreTrainedModel | SentenceEncoder, inputs: Sequence[str]):
        """inputs: the names of the exported model's inputs."""
        super().__init__()
        self.run, self.config, self.inputs = run, model.config, inputs
        self.names = ("logits",)
        if isinstance(model, SentenceEncoder):
            self.names = ("last_hidden_state", "sentence_embedding")
        elif model.config.architectures[0].endswith("ForQuestionAnswering"):
            self.names = ("start_logits", "end_logits")

    def forward(self, **inputs: Tensor) -> ModelOutput:
        found = arrays(self.run({name: inputs[name].numpy().astype(np.int64) for name in self.inputs}))
        return ModelOutput({name: torch.from_numpy(one) for name, one in zip(self.names, found, strict=True)})


def write(source: Source, arguments: "ExportArguments", folder: Path) -> dict[str, Any]:
    """Write the folder; returns the content of its `export.json`."""
    backend = BACKENDS[arguments.backend]
    samples = samples_of(source)
    backend.build(source.model, samples, folder)
    save_tokenizer(source.tokenizer, folder, vocab_txt=False)
    config = config_of(source.model, source.tokenizer, source.task)
    write_json(folder / "config.json", config)
    if backend.runtime == "onnxruntime":
        shutil.copyfile(answers.__file__, folder / "model.py")
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    deployed = Deployed(backend.open(folder, torch.get_num_threads()), source.model, list(samples[0]))
    found = {
        "model": arguments.model_name_or_path,
        "weights": weights_of(arguments.model_name_or_path),
        "backend": arguments.backend,
        "task": source.task,
        "runtimes_tried": [f"{backend.runtime} {version(backend.runtime)}"],  # those that have opened this file
        "parameters": source.model.num_parameters(),
        "bytes": sizes,
        **compare(source, deployed, may_use_lines=not arguments.data_dir),
        "hardware": hardware(torch.device("cpu")),
    }
    write_json(folder / EXPORTED.name, found)
    write_text(folder / CARD, readme(found, config, Path(arguments.output_dir).resolve().name))
    return found


def samples_of(source: Source) -> list[Arrays]:
    """Batches of two lines, with padding in the first; of two choices of two lines each, where a model chooses."""
    tokenizer, texts = source.tokenizer, sorted(source.lines[:SAMPLES]["text"], key=len)
    if len(texts) < 2 or len(tokenizer(texts[0])["input_ids"]) == len(tokenizer(texts[-1])["input_ids"]):
        texts = sorted([*TEXTS, *texts], key=len)
    options = {"padding": True, "truncation": True, "max_length": source.max_length, "return_tensors": "np"}
    pairs = [dict(tokenizer([texts[i], texts[-1 - i]], **options)) for i in range(len(texts) // 2)]
    if source.task == CHOICE:
        return [{name: np.stack([one, one]) for name, one in pair.items()} for pair in pairs]
    return pairs


def compare(source: Source, deployed: Deployed, may_use_lines: bool) -> dict[str, Any]:
    """How far the exported model is from the original, by the comparison that fits the model.

    Raises UserError if the data of its benchmark cannot be read, unless lines of text may replace them.
    """
    if source.task == MASKED_LM:
        return _compare_masked_lm(source, deployed)
    if source.task == VECTORS:
        return _compare_vectors(source, deployed)
    if run := source.run:
        try:
            name, source_of_run = run.get("set") or run["task"], run["source"]
            _check_unchanged(source.folder, source_of_run)
            task = named_after_source(make_task(name, run["recipe"]), name, source_of_run)
            parts, _ = read_parts(task, source_of_run)
            length = min(run.get("max_length", 512), source.tokenizer.model_max_length)
            task = task.adapted(parts).configured(source.model.config)
            return _compare_on_task(source, deployed, task, parts["test"], length)
        except UserError as error:
            if not may_use_lines:
                raise
            logger.warning("checked on lines of text, not on its data (`data_dir` names where it is): %s", error)
    return _compare_on_lines(source, deployed)


def _check_unchanged(folder: Path, data: Data) -> None:
    """Raise UserError for data that are not those of the fine-tuning in a folder: their test part may hold texts that
    were trained on."""
    own = isinstance(data, OwnFiles)
    named = OwnData(**{f"{part}_file": file for part, file in data._asdict().items()}) if own else BenchmarkData(data)
    if changed := changed_inputs(folder, inputs_of([named])):
        file = getattr(named, changed[0])
        raise UserError(f"`{changed[0]}` {file!r} has changed since the fine-tuning: put back what it was")


class Comparison:
    """differences: the largest difference of logits in each batch; alike: whether predictions agree."""

    def __init__(self):
        self.differences: list[float] = []
        self.alike: list[np.ndarray] = []

    def add(self, exported: Tensor, original: Tensor) -> None:
        """Logits (..., classes) of both."""
        if len(exported):  # a batch of short lines may have no hidden token
            self.differences.append((exported - original).abs().max().item())
        self.alike.append((exported.argmax(-1) == original.argmax(-1)).flatten().numpy())

    def found(self, what: str, **figures: Any) -> dict[str, Any]:
        """The comparison for `export.json`. what: the kind of predictions; figures: of both models."""
        alike = np.concatenate(self.alike)
        agreement = {"largest_difference": max(self.differences), "agreement": float(alike.mean())}
        return agreement | {"compared": f"{alike.size:,} {what}", **figures}


def _compare_masked_lm(source: Source, deployed: Deployed) -> dict[str, Any]:
    """Both fill in the same hidden words of held-out text."""
    (examples,) = held_out_examples(source.lines, [source.tokenizer], source.max_length)
    comparison = Comparison()

    def original(batch: Arrays, positions: np.ndarray, model: nn.Module = source.model) -> Tensor:
        inputs = tensors(batch)
        inputs |= {name: torch.zeros_like(inputs["input_ids"]) for name in deployed.inputs if name not in inputs}
        with torch.inference_mode():
            return model(**inputs).logits.flatten(0, 1)[torch.from_numpy(positions)]

    def exported(batch: Arrays, positions: np.ndarray) -> Tensor:
        found = original(batch, positions, deployed)
        comparison.add(found, original(batch, positions))
        return found

    both = {"exported": exported, "pytorch": original}
    figures = {name: fill_in(logits, source.tokenizer, examples, BATCH_SIZE) for name, logits in both.items()}
    return comparison.found("hidden tokens of held-out text", **figures)


def _compare_on_lines(source: Source, deployed: Deployed) -> dict[str, Any]:
    """Both predict lines of text. For a model that chooses, the lines of a batch are the choices."""
    comparison, config = Comparison(), source.model.config
    independent = source.task == "text-classification" and (
        config.num_labels == 1 or config.problem_type == "multi_label_classification"
    )
    known = getattr(config, "thresholds", None) or {}
    thresholds = torch.tensor([known.get(config.id2label[number], 0.5) for number in range(config.num_labels)]).logit()
    for inputs, *both in _on_lines(source, deployed):
        real = inputs["attention_mask"].bool()
        for name in deployed.names:
            logits = [outputs[name] for outputs in both]
            if len(deployed.names) == 2:  # the ends of an answer
                logits = [one.masked_fill(~real, NEVER) for one in logits]
            elif logits[0].dim() == 3:  # labels of tokens
                logits = [one[real] for one in logits]
            elif independent:  # a label holds where its logit reaches that of its threshold
                logits = [torch.stack([thresholds.expand_as(one), one], -1) for one in logits]
            comparison.add(*logits)
    return comparison.found("predictions on lines of text")


def _compare_vectors(source: Source, deployed: Deployed) -> dict[str, Any]:
    """Both find the line that is nearest to each line."""
    comparison, pairs = Comparison(), [both for _, *both in _on_lines(source, deployed)]
    vectors = [torch.cat([one["sentence_embedding"] for one in batches]) for batches in zip(*pairs, strict=True)]
    directions = [F.normalize(one, dim=-1) for one in vectors]
    comparison.add(*(one @ one.T - torch.eye(len(one)).mul(ALONE) for one in directions))
    comparison.differences = [(vectors[0] - vectors[1]).abs().max().item()]
    cosines = (directions[0] * directions[1]).sum(-1)
    figures = {
        "dimension": vectors[0].shape[-1],
        "cosine": cosines.mean().item(),
        "least_cosine": cosines.min().item(),
    }
    return comparison.found("nearest lines of text", **figures)


def _on_lines(source: Source, deployed: Deployed) -> Iterator[tuple[Mapping[str, Tensor], ModelOutput, ModelOutput]]:
    """Batches of lines, and what the exported model and the original say of them."""
    options = {"padding": True, "truncation": True, "max_length": source.max_length, "return_tensors": "pt"}
    for start in tqdm(range(0, len(source.lines), BATCH_SIZE), desc="Comparing", leave=False):
        inputs = dict(source.tokenizer(source.lines[start : start + BATCH_SIZE]["text"], **options))
        inputs = {name: one[None] if source.task == CHOICE else one for name, one in inputs.items()}
        with torch.inference_mode():
            yield inputs, deployed(**inputs), source.model(**inputs)


def _compare_on_task(source: Source, deployed: Deployed, task: Task, rows: list, length: int) -> dict[str, Any]:
    """Both are scored by the metrics of a benchmark. rows: of the part that it reports; length: in tokens."""
    tokenizer, comparison = source.tokenizer, Comparison()
    part = task.encode(rows, tokenizer, length)
    options = dict(per_device_eval_batch_size=BATCH_SIZE, use_cpu=True, report_to="none", disable_tqdm=True)
    figures, answers, logits = {}, {}, {}
    for name, one in (("exported", deployed), ("pytorch", source.model)):
        # The Trainer makes its folder: here the one that we are in. It writes nothing.
        trainer = TaskTrainer(one, TrainingArguments(".", **options), task=task, tokenizer=tokenizer)
        logits[name] = trainer.logits(part.inputs)
        predictions = task.decode(part, logits[name])
        figures[name] = task.score(rows, predictions)
        answers[name] = [prediction["prediction"] for prediction in predictions]
    comparison.differences = [float(np.abs(one - other).max()) for one, other in zip(*logits.values(), strict=True)]
    comparison.alike = [np.array([one == other for one, other in zip(*answers.values(), strict=True)])]
    return comparison.found(f"predictions on the {task.split} part of {task.name}", **figures)
