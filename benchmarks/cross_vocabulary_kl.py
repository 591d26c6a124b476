"""Time, memory, and exactness of the KL across vocabularies, against other ways to compute it.

python benchmarks/cross_vocabulary_kl.py --output kl.json

From the student's values (one piece a position, except for `ordered`) to their gradient, in fp32, the teacher's logits
given to all alike: `VocabularyKL` gets no projection and takes them as they are. `ordered` has k rows of values at a
position whose teacher token has k pieces, such tokens drawn by frequency. Errors are relative L2 errors of the
gradient against that in double precision; `ordered` means something else, and has an exact gradient of its own.

Vocabularies are drawn at random unless tokenizers are given; a token's frequency is that of its place in the
vocabulary. How time and memory are measured: `measure.py`. What is compared with: `baselines.py`.
"""

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

import torch
from torch import Tensor

from benchmarks.baselines import Dense, Gather, IndexTrick, Sparse, exact_gradient, exact_ordered_gradient, gradient
from benchmarks.timing.measure import hardware, show, side_by_side
from benchmarks.timing.options import count, output_file
from benchmarks.timing.rounds import advice, is_steady, ratio, spread, time_ratio
from distillation.config.command_line import CommandLine
from distillation.config.errors import UserError, cli_entry
from distillation.models.loading import load_tokenizer
from distillation.runs.files import markdown_table
from distillation.vocabularies.cross_vocabulary_kl import VocabularyKL
from distillation.vocabularies.mapping import VocabularyMap

TEMPERATURE = 2.0
BASELINES = {"dense": Dense, "gather": Gather, "index trick": IndexTrick, "sparse": Sparse}
FASTER = {"dense": 10, "gather": 10, "index trick": 5, "sparse": 3}  # aims: times as fast, a tenth of the memory
DENSE = 4 * 2**30  # bytes: a larger dense matrix is left out
SMALLER, ERROR = 10, 1e-5
MOST_PIECES = 8
QUICK = {"teacher_size": 500, "student_sizes": [40, 120], "positions": [6], "repeats": 2}


@cli_entry
def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Measure every pair of vocabularies and number of positions; print the tables and one line of JSON."""
    arguments = parse(argv)
    device = torch.device(arguments.device)
    figures = {"hardware": hardware(device), "vocabularies": [], "rows": [], "ratios": []}
    for vocabulary, facts in vocabularies(arguments):
        figures["vocabularies"].append(facts)
        for positions in arguments.positions:
            for logsumexp in (False, True) if positions <= arguments.logsumexp_positions else (False,):
                rows = measure(vocabulary, positions, logsumexp, arguments.repeats, device)
                figures["rows"] += rows
                figures["ratios"] += ratios(rows)
    show(tables(figures), figures, arguments.output)
    return figures


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line, with tiny sizes where it asks for `--quick`."""
    parser = CommandLine(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher_size", type=count, default=119547)
    parser.add_argument("--student_sizes", type=count, nargs="+", default=[5031, 30522])
    parser.add_argument("--teacher_tokenizer", help="Real vocabularies instead: a folder or Hub id.")
    parser.add_argument("--student_tokenizers", nargs="+", default=[], help="Folders or Hub ids.")
    parser.add_argument("--positions", type=count, nargs="+", default=[64, 512])
    parser.add_argument(
        "--logsumexp_positions",
        type=int,
        default=64,
        help="Up to how many positions log-sum-exp is measured as well: its baselines take 8 GB at 512.",
    )
    parser.add_argument("--repeats", type=count, default=5)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--output", type=output_file, help="JSON file for the figures.")
    parser.add_argument("--quick", action="store_true", help="Tiny sizes, to see that it runs.")
    arguments = parser.parse_args(argv)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no GPU")
    if bool(arguments.teacher_tokenizer) != bool(arguments.student_tokenizers):
        parser.error("--teacher_tokenizer and --student_tokenizers go together")
    if arguments.quick:
        vars(arguments).update(QUICK)
    return arguments


def vocabularies(arguments: argparse.Namespace) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Pairs of vocabularies, each with what is to be said of it."""
    if not arguments.student_tokenizers:
        for size in arguments.student_sizes:
            vocabulary = SyntheticMap(arguments.teacher_size, size)
            yield vocabulary, facts(vocabulary)
        return
    teacher = load_tokenizer(arguments.teacher_tokenizer, "teacher_tokenizer")
    for name in arguments.student_tokenizers:
        student = load_tokenizer(name, "student_tokenizers")
        start = time.perf_counter()
        vocabulary = VocabularyMap(student, teacher)
        seconds = time.perf_counter() - start
        if not len(vocabulary.mapped_teacher_ids):
            raise UserError(f"--student_tokenizers {name!r} spells no token of --teacher_tokenizer: give another")
        yield vocabulary, facts(vocabulary) | {"student_tokenizer": name, "seconds": seconds}


def facts(vocabulary: Any) -> dict[str, Any]:
    """Sizes of a pair of vocabularies, mapped tokens, and all their pieces."""
    counts = vocabulary.piece_counts[vocabulary.mapped_teacher_ids]
    return {
        "teacher_size": vocabulary.teacher_size,
        "student_size": vocabulary.student_size,
        "mapped": len(counts),
        "pieces": int(counts.sum()),
    }


class SyntheticMap:
    """What the KL reads of a `VocabularyMap`, at random: frequent tokens, which come first, have few pieces.

    The number of pieces has the mean of real pairs, 3.5 at 5,000 and 2.2 at 30,522; the r-th piece is held in
    proportion to 1 / sqrt(r).
    """

    def __init__(self, teacher_size: int, student_size: int):
        generator = torch.Generator().manual_seed(0)
        self.teacher_size, self.student_size = teacher_size, student_size
        mean = min(max(3.5 - 0.72 * math.log(student_size / 5000), 1), MOST_PIECES)
        rarity = (1 + torch.arange(teacher_size)).log()
        chance = (rarity / rarity.mean() * (mean - 1) / (MOST_PIECES - 1)).clamp(max=1)
        trials = torch.full((teacher_size,), MOST_PIECES - 1.0)
        self.piece_counts = 1 + torch.binomial(trials, chance, generator=generator).long()
        weights = (1.0 + torch.arange(student_size)).rsqrt()
        drawn = torch.multinomial(weights, teacher_size * MOST_PIECES, replacement=True, generator=generator)
        self._pieces = drawn.reshape(teacher_size, MOST_PIECES)
        self.mapped_teacher_ids = (torch.rand(teacher_size, generator=generator) > 0.02).nonzero().squeeze(1)
        self.first_spelt_so = torch.arange(teacher_size)  # every token counts as a spelling of its own

    def pieces_of(self, teacher_ids: Tensor) -> Tensor:
        within = torch.arange(MOST_PIECES) < self.piece_counts[teacher_ids][:, None]
        return self._pieces[teacher_ids][within]


def measure(
    vocabulary: Any, positions: int, logsumexp: bool, repeats: int, device: torch.device
) -> list[dict[str, Any]]:
    """A row for each way to compute the KL and its gradient, measured in turns."""
    calls, exact = ways(vocabulary, positions, logsumexp, device)
    errors = {name: relative_error(call(), exact[name]) for name, call in calls.items()}
    case = {"student_size": vocabulary.student_size, "positions": positions}
    case["score"] = "logsumexp" if logsumexp else "sum"
    measured = side_by_side(calls, repeats, device)
    return [case | {"way": name, "error": errors[name]} | vars(figures) for name, figures in measured.items()]


def ways(
    vocabulary: Any, positions: int, logsumexp: bool, device: torch.device
) -> tuple[dict[str, Callable[[], Tensor]], dict[str, Tensor]]:
    """For each way a call that returns the gradient of the values, and the exact gradient."""
    generator = torch.Generator().manual_seed(1)

    def logits(rows: int, width: int) -> Tensor:
        return 3 * torch.randn(rows, width, generator=generator).to(device)

    teacher = logits(positions, vocabulary.teacher_size)
    values = logits(positions, vocabulary.student_size).requires_grad_()
    matrix = 4 * len(vocabulary.mapped_teacher_ids) * vocabulary.student_size
    kinds = {name: make for name, make in BASELINES.items() if make is not Dense or matrix <= DENSE}
    baselines = {name: make(vocabulary, TEMPERATURE, logsumexp).to(device) for name, make in kinds.items()}
    losses = {name: (loss, values) for name, loss in baselines.items()}
    exact = dict.fromkeys(losses, exact_gradient(baselines["gather"], values, teacher))

    name = "pieces_logsumexp" if logsumexp else "pieces"
    losses[name], exact[name] = (ours(vocabulary, name, [(1, positions)], device), values), exact["gather"]
    if not logsumexp:
        groups = groups_by_frequency(vocabulary, positions, generator)
        rows = logits(sum(k * count for k, count in groups), vocabulary.student_size).requires_grad_()
        losses["ordered"] = ours(vocabulary, "ordered", groups, device), rows
        exact["ordered"] = exact_ordered_gradient(vocabulary, rows, teacher, groups, TEMPERATURE)
    calls = {name: lambda loss=loss, at=at: gradient(loss, at, teacher) for name, (loss, at) in losses.items()}
    return calls, exact


def ours(
    vocabulary: Any, vocabulary_map: str, groups: list[tuple[int, int]], device: torch.device
) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of (values, teacher logits) by `VocabularyKL`; groups: (pieces, positions)."""
    kl = VocabularyKL(vocabulary, None, "reduce", vocabulary_map, temperature=TEMPERATURE, device=device)
    return lambda values, teacher_logits: kl(values, teacher_logits, groups)


def groups_by_frequency(vocabulary: Any, positions: int, generator: torch.Generator) -> list[tuple[int, int]]:
    """(pieces, positions) where teacher tokens come as often as 1 / (their place in the vocabulary)."""
    mapped = vocabulary.mapped_teacher_ids
    drawn = torch.multinomial(1 / (1.0 + mapped), positions, replacement=True, generator=generator)
    ks, counts = vocabulary.piece_counts[mapped[drawn]].unique(return_counts=True)
    return list(zip(ks.tolist(), counts.tolist(), strict=True))


def relative_error(found: Tensor, exact: Tensor) -> float:
    """L2 norm of the difference over that of the exact gradient."""
    return ((found - exact).norm() / exact.norm()).item()


def ratios(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each of our ways against each baseline of the same case."""
    return [
        {key: row[key] for key in ("student_size", "positions", "way", "error")}
        | {"baseline": other["way"], "aim": FASTER[other["way"]]}
        | {"faster": time_ratio(row["seconds"], other["seconds"]), "smaller": ratio(row["mib"], other["mib"])}
        for row in rows
        for other in rows
        if row["way"] not in BASELINES and other["way"] in BASELINES
    ]


def tables(figures: dict[str, Any]) -> str:
    """What each way takes, then how ours compares; medians with the least and the largest."""
    lines = [f"{key}: {value}" for key, value in figures["hardware"].items()]
    lines += [", ".join(f"{key} {value}" for key, value in known.items()) for known in figures["vocabularies"]]
    taken, compared = [], []
    for row in figures["rows"]:
        cells = (
            row["student_size"],
            row["positions"],
            row["score"],
            row["way"],
            _time(row["seconds"]),
            _range(row["mib"]),
        )
        taken.append([*cells, f"{row['error']:.1e}"])
    for row in figures["ratios"]:
        cells = (row["student_size"], row["positions"], row["way"], row["baseline"])
        faster = f"{_times(row['faster'], 'busy')} ({row['aim']})"
        compared.append([*cells, faster, _times(row["smaller"], "not measured"), f"{row['error']:.1e}"])
    head = ["student vocabulary", "positions", "score", "way", "ms", "peak MiB", "gradient error"]
    aims = ["times as fast (aim)", f"times less memory (aim {SMALLER})", f"gradient error (aim {ERROR:.0e})"]
    against = ["student vocabulary", "positions", "way", "against", *aims]
    tables = [markdown_table(head, taken), markdown_table(against, compared)]
    return "\n\n".join(filter(None, ["\n".join(lines), *tables, advice(row["seconds"] for row in figures["rows"])]))


def _time(seconds: list[float]) -> str:
    found = _range([1000 * one for one in seconds])
    return found if is_steady(seconds) else f"{found} spread {spread(seconds):.3g}x"


def _range(values: list[float]) -> str:
    return f"{statistics.median(values):.0f} [{min(values):.0f}, {max(values):.0f}]" if values else "not measured"


def _times(found: dict[str, float] | None, absent: str) -> str:
    return f"{found['median']:.1f} [{found['min']:.1f}, {found['max']:.1f}]" if found else absent


if __name__ == "__main__":
    main()
