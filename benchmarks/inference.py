"""Measures models with several backends: size on disk, latency, throughput, and memory.

python benchmarks/inference.py --models outputs/tiny-5k DeepPavlov/rubert-base-cased-conversational
python benchmarks/inference.py --backends torch onnx-int8 --batch_sizes 1 16 --sequence_lengths 512 --output speed.json

A model is a folder, a Hub id, a recipe, or a shape (`benchmarks/shapes`). Recipes and shapes get random weights, which
are as fast as trained ones. Without `--models` the models of the DistilRuBERT cards are measured as the cards do: on
random sequences of 512 tokens, alone (latency) and 16 together (throughput).

Single texts are timed from end to end too, tokenizer included, where the model has a head and runs in PyTorch or ONNX
Runtime (`timing/texts.py`): the median, the 95th and the 99th percentile, and the time on the processor.

python benchmarks/inference.py --models outputs/rusentiment --heads classification --batch_sizes 1 --threads 1 2 \\
    --backends onnx-int8 --sequence_lengths 16 64 128 512

In each round every row of the table runs once, in a new process. A time is the median of the rounds' medians, with the
least and the largest. Peak memory counts the model and its call, not the libraries. `timing/measure.py` says which
rows of a busy machine do not count, `timing/roofline.py` defines the bound.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from benchmarks.backends.registry import BACKENDS
from benchmarks.timing.measure import TimingArguments, check_device, hardware, show
from distillation.config.command_line import key
from distillation.config.errors import UserError, cli_entry
from distillation.config.recipe import parse_recipe
from finetuning.deployed import OPENVINO, exported_graph

BUSY = "rounds differ, or threads waited for a core: run again on idle cores, with no more threads than there are"


@dataclass
class InferenceArguments:
    """Models, and how each is run."""

    models: list[str] = key([], "Folders, Hub ids, or YAML files; by default the published models.", path="model")
    heads: list[Literal["encoder", "masked-lm", "classification"]] = key(["encoder"], "Heads to put on the encoder.")
    backends: list[Literal[tuple(BACKENDS)]] = key(
        ["torch", "onnx", "onnx-int8"], "Runtimes and precisions of the model."
    )
    batch_sizes: list[int] = key([1, 16], "Sequences together.", least=1)
    sequence_lengths: list[int] = key([512], "Tokens of a sequence.", least=1)
    device: Literal["cpu", "cuda"] = key("cpu", "What it runs on.")
    threads: list[int] = key([], "CPU threads; by default as many as PyTorch takes.", least=1)
    seconds: float = key(1.0, "Least time that a row runs in each round.", least=0)

    def __post_init__(self):
        if exported := [one for one in self.models if exported_graph(one) or Path(one, OPENVINO).exists()]:
            raise UserError(f"`models` {exported[0]!r} is exported: name the checkpoint that it was made from")


@cli_entry
def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Measure; print the table and one line of JSON. Exit code 1 if a row could not be measured.

    Raises UserError if none can be.
    """
    arguments, timing = parse_recipe(InferenceArguments, TimingArguments, argv=argv)
    check_device(arguments.device)
    import torch

    from benchmarks.reporting.tables import speed_tables
    from benchmarks.timing.rows import measure, plan

    arguments.threads = arguments.threads or [torch.get_num_threads()]
    rows = plan(arguments)
    if all("error" in row for row in rows):
        raise UserError(f"{rows[0]['model']} by {rows[0]['backend']}: {rows[0]['error']}")
    with tempfile.TemporaryDirectory(prefix="models-") as folder:
        machines = measure(rows, arguments, timing.rounds, Path(folder))
    figures = {"hardware": hardware(torch.device(arguments.device)), "rows": rows}
    figures["peak"] = {str(threads): vars(machine) for threads, machine in machines.items()}
    show(speed_tables(rows), figures, timing.output)
    measured = [row for row in rows if "error" not in row]
    if busy := sum(not row["steady"] for row in measured):
        print(f"warning: in {busy} of {len(measured)} rows {BUSY}", file=sys.stderr)
    failed = [f"error: {row['model']} by {row['backend']}: {row['error']}" for row in rows if "error" in row]
    if failed:
        print(*dict.fromkeys(failed), sep="\n", file=sys.stderr)  # a sentence a model and backend
        raise SystemExit(1)
    return figures


if __name__ == "__main__":
    main()
