"""Time and memory of the KL across vocabularies, against other ways to compute it.

python benchmarks/cross_vocabulary_kl.py --output kl.json

From the student's logits (one piece a position, except for `ordered`) to their gradient, in fp32, the teacher's logits
given to all alike. `ordered` has k rows at a position whose teacher token has k pieces, such tokens drawn by
frequency. Vocabularies are drawn at random; a token's frequency is that of its place in the vocabulary. How time and
memory are measured: `measure.py`. What is compared with: `kl_baselines.py`.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from benchmarks.timing.options import TimingArguments, check_device
from benchmarks.timing.rounds import advice, range_text, ratio_text, time_ratio, time_text, verdict
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
    """Sizes."""

    teacher_size: int = key(119_547, "Tokens of the teacher's vocabulary.", least=1)
    student_sizes: list[int] = key([5031, 30_522], "Tokens of the student's.", least=1)
    positions: list[int] = key([64, 512], "Positions whose divergence is summed.", least=1)
    device: Literal["cpu", "cuda"] = key("cpu", "What it runs on.")


@cli_entry
def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Measure every pair of vocabularies and number of positions; print the table and one line of JSON."""
    arguments, timing = parse_recipe(KLArguments, TimingArguments, argv=argv)
    check_device(arguments.device)
    import torch

    from benchmarks.timing.measure import hardware, show
    from benchmarks.timing.synthetic import RandomMap

    device = torch.device(arguments.device)
    rows = []
    for size in arguments.student_sizes:
        vocabulary = RandomMap(arguments.teacher_size, size)
        for positions in arguments.positions:
            case = {"student_size": size, "positions": positions}
            rows += [case | row for row in measure(ways(vocabulary, positions, device), timing.rounds, device)]
    figures = {"hardware": hardware(device), "rows": rows}
    show(table(rows), figures, timing.output)
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
        ours = CandidateKL(vocabulary, None, "reduce", name, temperature=TEMPERATURE, device=device)
        calls[name] = gradient(ours, given, teacher, at)
    return calls


def measure(calls: Mapping[str, Callable[[], Any]], rounds: int, device: "torch.device") -> Iterator[dict[str, Any]]:
    """A row for each way; ours with their ratios to the others."""
    from benchmarks.timing.measure import side_by_side

    for call in calls.values():  # a first call is slower
        call()
    measured = side_by_side(calls, rounds, device)
    for name, found in measured.items():
        others = [] if name in AIMS else [other for other in AIMS if other in measured]
        faster = {other: time_ratio(found.seconds, measured[other].seconds) for other in others}
        yield {"way": name} | vars(found) | verdict(found.seconds) | {"faster": faster}


def table(rows: list[dict[str, Any]]) -> str:
    """Medians with the least and the largest, and how many times as fast ours are as each of the others."""
    head = ["student vocabulary", "positions", "way", "ms", "peak MiB"]
    head += [f"times as fast as {name} (aim {aim})" for name, aim in AIMS.items()]
    cells = []
    for row in rows:
        ratios = [ratio_text(row["faster"][name], 1) if name in row["faster"] else "" for name in AIMS]
        measured = [time_text(row["seconds"]), range_text(row["mib"])]
        cells.append([row["student_size"], row["positions"], row["way"], *measured, *ratios])
    return "\n\n".join(filter(None, [markdown_table(head, cells), advice(row["seconds"] for row in rows)]))


if __name__ == "__main__":
    main()
