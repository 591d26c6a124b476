"""Turn a checkpoint into a folder to deploy: one model file and its tokenizer, checked against PyTorch.

python benchmarks/export.py --model_name_or_path outputs/tiny-5k --output_dir outputs/tiny-5k-int8 \\
    --validation_file held_out.txt

It takes masked LMs, models for classification, tagging, question answering, and multiple choice, and sentence
encoders. With `--task feature-extraction` any checkpoint becomes a sentence encoder, without its head. A masked LM is
checked on hidden words of `validation_file`. A model that was fine-tuned on a benchmark is checked by the benchmark's
metric on the part that the benchmark reports; the data are read from where the fine-tuning read them, or from
`data_dir`. Any other model is checked on lines of `validation_file`. With `--page true` it also writes a folder that
answers in a browser.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from benchmarks.backends.registry import BACKENDS
from benchmarks.page.writing import check_packages, check_tokenizer, write_page
from distillation.config.command_line import REQUIRED, key
from distillation.config.errors import UserError, cli_entry
from distillation.config.recipe import parse_recipe
from distillation.runs.files import is_free, replacing

FORMATS = Literal["onnx-int8", "onnx", "openvino-int8", "openvino"]
EXPORT, PAGE = "export.json", "page"
MODELS = ("model.onnx", "model.py", "openvino_model.xml", "openvino_model.bin")  # of all formats


@dataclass
class ExportArguments:
    """The checkpoint, the folder, and the text or data that the export is checked on."""

    model_name_or_path: str = key(REQUIRED, "Checkpoint: a folder or Hub id.", path="model")
    output_dir: str = key(REQUIRED, "Folder to deploy: a new one, or an earlier export to replace.", path="output_dir")
    backend: FORMATS = key("onnx-int8", "Format of the exported model.")
    validation_file: str = key("demo", "Text to check it on: a corpus, or `demo`.", path="corpus")
    text_column: str = key("text", "Column of the texts, if `validation_file` is a table.")
    data_dir: str | None = key(None, "Folder of the data of the fine-tuning, if they have moved.", path="source")
    max_length: int = key(128, "Tokens of a line in the check.", least=8)
    task: Literal["feature-extraction"] | None = key(None, "Vectors of sentences, in place of the checkpoint's head.")
    page: bool = key(False, "Whether to write a page that answers in a browser: the folder `page` in it.")
    page_install: bool = key(False, "Whether to install the npm packages that the page needs, by `npm ci`.")
    hub_space_id: str | None = key(None, "Static Space on the Hub that the page is pushed to.")

    def __post_init__(self):
        self.page = self.page or self.page_install or self.hub_space_id is not None
        if self.page and BACKENDS[self.backend].runtime != "onnxruntime":
            raise UserError(f"`page` runs ONNX models, and `backend` is {self.backend}: choose onnx-int8 or onnx")
        folder = Path(self.output_dir)
        if not (folder / EXPORT).exists() and not is_free(folder):
            raise UserError(f"`output_dir` {self.output_dir!r} holds something else: name a new folder")
        if (folder / PAGE).exists() and not self.page:
            raise UserError(f"`output_dir` {self.output_dir!r} has a page: replace it by `--page true`, or remove it")


@cli_entry
def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Export, check, and write; returns the content of `export.json`."""
    (arguments,) = parse_recipe(ExportArguments, argv=argv)
    BACKENDS[arguments.backend].check("cpu")
    if arguments.page:
        check_packages(arguments.page_install)
    if arguments.hub_space_id:
        from distillation.hub.space import push_space, reserve_space

        arguments.hub_space_id = reserve_space(arguments.hub_space_id)
    from benchmarks.backends.deployment import Source, write

    source = Source(arguments)
    if arguments.page:
        check_tokenizer(json.loads(source.tokenizer.backend_tokenizer.to_str()))
    folder = Path(arguments.output_dir).resolve()  # a link may point to a folder that does not exist yet
    with replacing(folder, last=Path(BACKENDS[arguments.backend].file).stem, obsolete=MODELS) as draft:
        draft.mkdir()
        found = write(source, arguments, draft)
    report(found, arguments.output_dir)
    if arguments.page:
        size = write_page(folder, found, folder / PAGE)
        print(
            f"{arguments.output_dir}/page: {size / 1e6:.2f} MB; python -m http.server -d {arguments.output_dir}/page"
        )
    if arguments.hub_space_id:
        print(f"pushed to {push_space(folder / PAGE, arguments.hub_space_id)}")
    return found


def report(found: dict[str, Any], folder: str) -> None:
    """Print sizes, and the comparison with PyTorch."""
    print(f"{folder}: {sum(found['bytes'].values()) / 1e6:.2f} MB")
    for name, size in found["bytes"].items():
        print(f"  {name:28}{size / 1e6:>8.2f} MB")
    print(f"{found['agreement']:.2%} of {found['compared']} agree with PyTorch's")
    print(f"logits differ by {found['largest_difference']:.2g} at most")
    if "cosine" in found:
        print(f"cosines of both: {found['cosine']:.4f} on average, {found['least_cosine']:.4f} at least")
    for name, value in found.get("pytorch", {}).items():
        if isinstance(value, float):  # counts are left out
            print(f"  {name:28}{value:>10.4f} in PyTorch{found['exported'][name]:>10.4f} exported")


if __name__ == "__main__":
    main()
