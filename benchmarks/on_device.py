"""What a model costs on a phone or a small server: megabytes to install, first answer, memory, times of answers.

python benchmarks/on_device.py --output on_device.json

Each model classifies texts, in PyTorch by a pipeline of transformers and in int8 by the code of an exported folder. In
each round every one runs in a fresh Python, on one thread: from its start to the first answer; single texts of several
lengths; a thousand texts of the demo corpus. With `--browser true` the export also runs as a page in Chromium, from
the opening of the page in a fresh browser. Recipes and shapes get random weights. A picture stands beside the JSON
file.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from benchmarks.backends.registry import BACKENDS
from benchmarks.page.browser import check_browser
from benchmarks.timing import RECIPES, SHAPES
from benchmarks.timing.measure import TimingArguments, hardware, show
from distillation.config.command_line import key
from distillation.config.errors import cli_entry
from distillation.config.recipe import parse_recipe

NAMES = ("base-cased-conversational", "small-cased-conversational")
NAMES += ("tiny-cased-conversational-v1", "tiny-cased-conversational-5k")
MODELS = [SHAPES / "rubert-base-cased-conversational.yaml"]
MODELS += [*(RECIPES / f"distilrubert-{name}.yaml" for name in NAMES), SHAPES / "rubert-tiny2.yaml"]


@dataclass
class DeviceArguments:
    """Models, and lengths of single texts."""

    models: list[str] = key([*map(str, MODELS)], "Folders, Hub ids, or YAML files.", path="model")
    sequence_lengths: list[int] = key([16, 64, 128], "Tokens of single texts.", least=8)
    browser: bool = key(False, "Whether to run each export as a page in Chromium, too.")


@cli_entry
def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Measure; print the table and one line of JSON. Raises UserError for a model that cannot be measured."""
    arguments, timing = parse_recipe(DeviceArguments, TimingArguments, argv=argv)
    BACKENDS["onnx-int8"].check("cpu")
    if arguments.browser:
        check_browser("browser")
    import torch

    from benchmarks.reporting import device as reporting
    from benchmarks.timing import device

    with tempfile.TemporaryDirectory(prefix="models-") as folder:
        rows = device.measure(
            arguments.models, arguments.sequence_lengths, timing.rounds, Path(folder), arguments.browser
        )
    figures = {"hardware": hardware(torch.device("cpu")) | {"threads": 1}, "rows": rows}
    show(reporting.table(rows), figures, timing.output)
    if timing.output:
        reporting.picture(rows).savefig(Path(timing.output).with_suffix(".png"))
    return figures


if __name__ == "__main__":
    main()
