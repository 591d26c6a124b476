"""Score sentence vectors on encodechka, the board of Russian sentence encoders; nothing is trained.

python finetuning/run_encodechka.py --model_name_or_path outputs/tiny-5k outputs/teacher --data_dir ENCODECHKA

ENCODECHKA holds the board's files (stsb_dev.csv, ...), as `encodechka_eval/data` of github.com/avidale/encodechka. The
table has floors, the published rows, and all models that were scored into the same `output_dir`.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from distillation.config.command_line import REQUIRED, key
from distillation.config.errors import UserError, cli_entry
from distillation.config.recipe import parse_recipe
from distillation.runs.files import RESULTS, read_json, weights_of

if TYPE_CHECKING:
    from finetuning.encodechka.tasks import Encoder

FLOOR = "-random"  # ends the name of a model with random weights


@dataclass
class EncodechkaArguments:
    """Which models, and where the data are."""

    model_name_or_path: list[str] = key(
        REQUIRED, "Checkpoints, exported folders, or sentence encoders: Hub ids or folders.", path="source"
    )
    data_dir: str = key(REQUIRED, "Folder of the board's files.", path="source")
    output_dir: str = key("outputs/encodechka", "Folder for the figures, one in it a model.", path="output_dir")
    floors: bool = key(True, "Score hashing, and each model's shape with random weights, unless they have been.")

    def __post_init__(self):
        names = [Path(model).name for model in self.model_name_or_path]
        if len({*names}) < len(names):
            raise UserError(f"`model_name_or_path`: two end in {max(names, key=names.count)!r}: rename a folder")


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Read the data, score each model and floor, print and save the table."""
    (arguments,) = parse_recipe(EncodechkaArguments, argv=argv)
    if not Path(arguments.data_dir).is_dir():
        raise UserError(f"`data_dir` {arguments.data_dir!r} is no folder: name that of the board's files")
    from finetuning.encodechka import report, tasks  # heavy imports only where the arguments are right

    data, folder = tasks.read(Path(arguments.data_dir)), Path(arguments.output_dir)
    for name, model, _ in (encoders := list(encoders_of(arguments))):
        if (earlier := folder / name / RESULTS).exists() and (other := read_json(earlier)["model"]) != model:
            raise UserError(f"`output_dir` {arguments.output_dir!r} has {name} of {other!r}: name another folder")
    for name, model, load in encoders:
        figures, is_floor = report.measure(load(), data), name == Path(model).name + FLOOR
        report.save(folder / name, figures, model, weights_of(model), is_floor)
        print(f"{name}: S {figures['test_mean_s']:.3f}, S+W {figures['test_mean_sw']:.3f}", flush=True)
    print(report.write(folder))


def encoders_of(arguments: EncodechkaArguments) -> "Iterator[tuple[str, str, Callable[[], Encoder]]]":
    """The models and missing floors: the name of its folder, the checkpoint or the floor's name, what loads it."""
    from functools import partial

    from finetuning.deployed import exported_graph
    from finetuning.encodechka import encoders

    models, floors = arguments.model_name_or_path, []
    yield from ((Path(model).name, model, partial(encoders.load, model)) for model in models)
    if arguments.floors:
        shapes = [model for model in models if not exported_graph(model)]
        floors = [(Path(one).name + FLOOR, one, partial(encoders.load_random, one)) for one in shapes]
        floors += [(name, name, partial(encoders.Hashing, of)) for name, of in encoders.HASHING.items()]
    yield from (one for one in floors if not Path(arguments.output_dir, one[0], RESULTS).exists())


if __name__ == "__main__":
    main()
