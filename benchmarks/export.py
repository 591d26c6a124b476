"""Turn a checkpoint into a folder to deploy: one model file and its tokenizer, checked against PyTorch.

python benchmarks/export.py --model_name_or_path outputs/tiny-5k --output_dir outputs/tiny-5k-int8 \\
    --validation_file held_out.txt

Masked LMs, and models for classification, tagging, and questions. A masked LM is checked on hidden words of
`validation_file`. A model that a script in `finetuning/` made is checked on the test part of its benchmark, from where
its data were, or from `data_dir`; any other on lines of `validation_file`.
"""

import json
import logging
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.backends.deployed import Deployed, compare_masked_lm, compare_on_lines, compare_on_task, task_of
from benchmarks.backends.runtimes import BACKENDS, Arrays
from benchmarks.timing.measure import hardware
from distillation.config.arguments import DataArguments
from distillation.config.errors import UserError, cli_entry
from distillation.config.recipe import parse_recipe
from distillation.demo.resolve import resolve_demo
from distillation.models.loading import load_as_saved, load_tokenizer_of
from distillation.runs.files import RESULTS, WEIGHTS, as_written, read_json, sha256
from distillation.text.reading import load_lines
from finetuning.sets import REGISTRY

HEADS = ("ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering")
FORMATS = ("onnx-int8", "onnx", "openvino-int8", "openvino")
LINES = 500  # of the validation file
SAMPLES = 64  # lines from which int8 scales are taken, two a batch
EXPORT = "export.json"

logger = logging.getLogger("benchmarks.export")


@dataclass
class ExportArguments:
    """What becomes what, and how it is checked."""

    model_name_or_path: str | None = field(default=None, metadata={"help": "Checkpoint: a folder or Hub id."})
    output_dir: str | None = field(default=None, metadata={"help": "Folder to deploy; made anew."})
    backend: str = field(default="onnx-int8", metadata={"help": f"One of {', '.join(FORMATS)}."})
    validation_file: str = field(default="demo", metadata={"help": "Text to check it on: a corpus, or `demo`."})
    data_dir: str | None = field(default=None, metadata={"help": "Where the data of its benchmark are now."})
    max_length: int = field(default=128, metadata={"help": "Tokens of a line when it is checked."})

    def __post_init__(self):
        if self.backend not in FORMATS:
            raise UserError(f"`backend` is {self.backend!r}; choose {', '.join(FORMATS)}")
        for name in ("model_name_or_path", "output_dir"):
            if not getattr(self, name):
                raise UserError(f"`{name}` is missing: name the folder{' or Hub id' * (name[0] == 'm')}")
        folder = Path(self.output_dir)
        if folder.exists() and not (folder / EXPORT).exists() and (folder.is_file() or any(folder.iterdir())):
            raise UserError(f"`output_dir` {self.output_dir!r} holds something else: name a new folder")


@cli_entry
def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Export, check, write; what was found."""
    (arguments,) = parse_recipe(ExportArguments, argv=argv)
    BACKENDS[arguments.backend].check(arguments.backend, "cpu")
    source = arguments.model_name_or_path, "model_name_or_path"
    model = load_as_saved(*source, HEADS)
    tokenizer = load_tokenizer_of(model, *source)
    arguments.max_length = min(arguments.max_length, tokenizer.model_max_length)
    lines = lines_of(arguments.validation_file)
    folder = Path(arguments.output_dir)
    draft = folder.with_name(folder.name + ".part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        found = write(model, tokenizer, lines, arguments, draft)
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    report(found, folder)
    return found


def lines_of(validation_file: str) -> Dataset:
    """Some lines of the text to check on."""
    data = DataArguments(train_file=validation_file)
    resolve_demo(data)
    lines = load_lines(data, data.train_file, None)
    return lines.select(range(min(LINES, len(lines))))


def write(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    lines: Dataset,
    arguments: ExportArguments,
    folder: Path,
) -> dict[str, Any]:
    """The whole folder; what `export.json` says."""
    backend = BACKENDS[arguments.backend]
    samples = samples_of(tokenizer, lines, arguments.max_length)
    backend.build(model, samples, folder)
    tokenizer.save_pretrained(folder)
    model.config.save_pretrained(folder)
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    deployed = Deployed(backend.open(folder, torch.get_num_threads(), "cpu"), model, list(samples[0]))
    weights = Path(arguments.model_name_or_path, WEIGHTS)
    found = {
        "model": arguments.model_name_or_path,
        "weights": sha256(weights) if weights.is_file() else None,  # of a model on the Hub they are not known here
        "backend": arguments.backend,
        "parameters": model.num_parameters(),
        "bytes": sizes,
        **compare(model, deployed, tokenizer, lines, arguments),
        "hardware": hardware(torch.device("cpu")),
    }
    (folder / EXPORT).write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return found


def samples_of(tokenizer: PreTrainedTokenizerBase, lines: Dataset, max_length: int) -> list[Arrays]:
    """Batches of two lines, with padding in the first."""
    texts = sorted(lines[:SAMPLES]["text"], key=len)
    if len(texts) < 2 or len(tokenizer(texts[0])["input_ids"]) == len(tokenizer(texts[-1])["input_ids"]):
        texts = sorted(["да", "Мама мыла раму, а папа читал газету.", *texts], key=len)
    pairs = [[texts[index], texts[-1 - index]] for index in range(len(texts) // 2)]
    options = {"padding": True, "truncation": True, "max_length": max_length, "return_tensors": "np"}
    return [dict(tokenizer(pair, **options)) for pair in pairs]


def compare(
    model: PreTrainedModel,
    deployed: Deployed,
    tokenizer: PreTrainedTokenizerBase,
    lines: Dataset,
    arguments: ExportArguments,
) -> dict[str, Any]:
    """How far the exported model is from the original, by the means that fit the model."""
    if model.config.architectures[0].endswith("ForMaskedLM"):
        return compare_masked_lm(model, deployed, tokenizer, lines, arguments.max_length)
    path = Path(arguments.model_name_or_path, RESULTS)
    results = read_json(path) if path.is_file() else {}
    if not isinstance(results, dict):
        results = {}
    known = results.get("task") in REGISTRY
    if arguments.data_dir and not known:
        raise UserError(f"`data_dir` is of no use: {path} does not tell of which benchmark of finetuning/ it would be")
    if known:
        try:
            with as_written(path):
                task, settings = task_of(results, arguments.model_name_or_path, arguments.data_dir)
            return compare_on_task(model, deployed, tokenizer, task, settings)
        except UserError as error:
            if arguments.data_dir:
                raise
            logger.warning("checked on lines of text, for its benchmark cannot be read (name `data_dir`): %s", error)
    return compare_on_lines(model, deployed, tokenizer, lines, arguments.max_length)


def report(found: dict[str, Any], folder: Path) -> None:
    """Print what a person wants to know."""
    print(f"{folder}: {sum(found['bytes'].values()) / 1e6:.2f} MB")
    for name, size in found["bytes"].items():
        print(f"  {name:28}{size / 1e6:>8.2f} MB")
    print(f"logits differ by {found['largest_difference']:.2g} at most")
    print(f"{found['agreement']:.2%} of {found['compared']} agree")
    for name, value in found.get("pytorch", {}).items():
        if isinstance(value, float):  # not how much was compared
            print(f"  {name:28}{value:>10.4f} in PyTorch{found['exported'][name]:>10.4f} exported")


if __name__ == "__main__":
    main()
