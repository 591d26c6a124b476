"""Time and memory of the KL across vocabularies, against other ways to compute it.

python benchmarks/cross_vocabulary_kl.py --output kl.json

A call computes the gradient of the student's logits from these logits, in fp32. All ways get the same teacher logits.
The student has one piece at each position; for `ordered` it has k rows where the teacher's token has k pieces, and
tokens are drawn by frequency. Vocabularies are random; a token's place in the vocabulary is its rank in frequency.
`timing/measure.py` measures time and memory, `timing/kl_baselines.py` has the other ways.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from benchmarks.timing import measure as timings
from benchmarks.timing.measure import TimingArguments, ratio_text, time_ratio
from distillation.config.command_line import key
from distillation.config.errors import cli_entry
from distillation.config.recipe import parse_recipe
from distillation.runs.files import markdown_table

if TYPE_CHECKING:
    import torch

    from benchmarks.timing.synthetic import RandomMap

TEMPERATURE = 2.0
AIMS = {"dense": 10, "index trick": 5, "csr": 3}  # times as fast as each of these
DENSE = 4 * 2**30  # bytes: a larger dense matrix is left out


@dataclass
class KLArguments:
    """The sizes that are measured, and the device."""

    teacher_size: int = key(119_547, "Tokens of the teacher's vocabulary.", least=1)
    student_sizes: list[int] = key([5031, 30_522], "Tokens of the student's.", least=1)
    positions: list[int] = key([64, 512], "Positions whose divergence is summed.", least=1)
    device: Literal["cpu", "cuda"] = key("cpu", "What it runs on.")


@cli_entry
def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Measure every pair of vocabularies and number of positions; print the table and one line of JSON."""
    arguments, timing = parse_recipe(KLArguments, TimingArguments, argv=argv)
    timings.check_device(arguments.device)
    import torch

    from benchmarks.timing.synthetic import RandomMap

    device = torch.device(arguments.device)
    rows = []
    for size in arguments.student_sizes:
        vocabulary = RandomMap(arguments.teacher_size, size)
        for positions in arguments.positions:
            measured = timings.side_by_side(ways(vocabulary, positions, device), timing.rounds, device)
            for way, found in measured.items():  # the project's own ways get their ratios to the others
                row = {"student_size": size, "positions": positions, "way": way, **found}
                others = [] if way in AIMS else [other for other in AIMS if other in measured]
                faster = {other: time_ratio(found["seconds"], measured[other]["seconds"]) for other in others}
                rows.append(row | {"faster": faster})
    figures = {"hardware": timings.hardware(device), "rows": rows}
    timings.show(table(rows), figures, timing.output)
    return figures


def ways(vocabulary: "RandomMap", positions: int, device: "torch.device") -> dict[str, Callable[[], "torch.Tensor"]]:
    """For each way a call that returns the gradient of the student's logits."""
    import torch

    from benchmarks.timing.kl_baselines import csr, dense, index_trick, kl
    from distillation.vocabularies.cross_vocabulary_kl import CandidateKL

    generator, ids = torch.Generator().manual_seed(1), vocabulary.mapped_teacher_ids

    def logits(rows: int, width: int) -> torch.Tensor:
        return 3 * torch.randn(rows, width, generator=generator).to(device)

    def gradient(loss: Callable, given: torch.Tensor, *others: Any) -> Callable[[], torch.Tensor]:
        return lambda: torch.autograd.grad(loss(given, *others), given)[0]

    teacher = logits(positions, vocabulary.teacher_size)
    student = logits(positions, vocabulary.student_size).requires_grad_()
    baselines = {"dense": dense, "index trick": index_trick, "csr": csr}
    if 4 * len(ids) * vocabulary.student_size > DENSE:
        del baselines["dense"]
    calls = {
        name: gradient(kl(scores(vocabulary, device), ids.to(device), TEMPERATURE), student, teacher)
        for name, scores in baselines.items()
    }
    groups = vocabulary.frequent_groups(positions, generator)
    rows = logits(sum(k * count for k, count in groups), vocabulary.student_size).requires_grad_()
    for name, given, at in (("pieces", student, [(1, positions)]), ("ordered", rows, groups)):
        own = CandidateKL(vocabulary, None, "reduce", name, device=device)
        calls[name] = gradient(own, given, teacher, at, TEMPERATURE)
    return calls


def table(rows: list[dict[str, Any]]) -> str:
    """Medians with the least and the largest, and how many times as fast the project's ways are as the others."""
    head = ["student vocabulary", "positions", "way", "ms", "peak MiB"]
    head += [f"times as fast as {name} (aim {aim})" for name, aim in AIMS.items()]
    cells = []
    for row in rows:
        ratios = [ratio_text(row["faster"][name]) if name in row["faster"] else "" for name in AIMS]
        measured = [timings.time_text(row["seconds"]), timings.memory_text(row["mib"])]
        cells.append([row["student_size"], row["positions"], row["way"], *measured, *ratios])
    busy = timings.advice(row["seconds"] for row in rows)
    return "\n\n".join(filter(None, [markdown_table(head, cells), busy]))


if __name__ == "__main__":
    main()
