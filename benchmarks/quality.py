"""Does distillation help? Trains one student in several ways, with several seeds each; compares on held-out text.

python benchmarks/quality.py --config distillation/recipes/demo.yaml --seeds 0 1 2 --output_dir outputs/quality
python benchmarks/quality.py --config distillation/recipes/demo-match.yaml \\
    --variants mlm distilled kl_positions=masked alignment=reduce,vocabulary_map=ordered

Every other option goes to distillation/run.py. All runs share one process. The same command skips finished runs, so it
goes on after an interruption.
"""

import os
import re
import runpy
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from benchmarks.reporting.tables import Variant, figures_of, variant_table
from distillation.config.arguments import ARGUMENTS, recipe_keys
from distillation.config.command_line import ROOT, KeyParser, key, words_of
from distillation.config.errors import UserError, cli_entry
from distillation.config.recipe import parse_recipe
from distillation.config.terms import TERMS
from distillation.runs.files import RECIPE, RESULTS, read_json, write_text

NO_TEACHER = {f"weight_{term.name}": "0" for term in TERMS.values() if term.needs != "labels"}
VARIANTS = {  # changes of the recipe; other variants are changes themselves, as in `alignment=match,temperature=1`
    "mlm": NO_TEACHER | {"weight_mlm": "1"},
    "distilled": {},
}
LOG = "run.log"


@dataclass
class QualityArguments:
    """Which runs, and where they go."""

    variants: list[str] = key(
        list(VARIANTS), "Ways to train, or changes of the recipe, as in temperature=1,weight_kl=4."
    )
    seeds: list[int] = key([0, 1, 2], "Seeds; each variant runs once for each.")
    output_dir: Path = key(Path("outputs/quality"), "Folder for the runs and the table.", path="output_dir")

    def __post_init__(self):
        if not self.variants or not self.seeds:
            raise UserError(f"`{'seeds' if self.variants else 'variants'}` is empty: give one, or leave the key out")
        for variant in self.variants:
            if variant not in VARIANTS and not all(re.fullmatch(r"\w+=[^,/]+", one) for one in variant.split(",")):
                raise UserError(f"`variants`: {variant!r} is neither {' nor '.join(VARIANTS)} nor key=value,key=value")


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Train the runs that do not exist yet, and print the table.

    Raises UserError for a wrong recipe before the first run.
    """
    (arguments,), given = KeyParser(QualityArguments, further=recipe_keys()).parse(argv)
    recipe = words_of(given)
    runs = {
        (variant, seed): command(variant, seed, recipe, arguments.output_dir)
        for seed in arguments.seeds
        for variant in arguments.variants
    }
    for words in list(runs.values())[: len(arguments.variants)]:  # those of the first seed
        parse_recipe(*ARGUMENTS, argv=words, training=True)
    from tqdm.auto import tqdm  # not where the requirements are missing

    results = {}
    for variant, seed in (progress := tqdm(runs, unit="run")):
        progress.set_description(f"{variant}, seed {seed}")
        results[variant, seed] = results_of(arguments.output_dir / f"{variant}-{seed}", runs[variant, seed])
    print(text := variant_table(summarise(results)))
    write_text(arguments.output_dir / "quality.md", text + "\n")


def command(variant: str, seed: int, recipe: list[str], output_dir: Path) -> list[str]:
    """The options of one run of distillation/run.py."""
    changes = VARIANTS[variant] if variant in VARIANTS else dict(change.split("=", 1) for change in variant.split(","))
    own = changes | {"seed": seed, "output_dir": output_dir / f"{variant}-{seed}"}
    return [*recipe, *(f"--{key}={value}" for key, value in own.items())]


def results_of(folder: Path, words: list[str]) -> dict[str, Any]:
    """The results of a run, which is trained unless it is finished. Raises UserError as run.py does."""
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    run = runpy.run_path(str(ROOT / "distillation" / "run.py"), run_name="distillation.run")["main"]
    try:
        with printed_to(folder / LOG):
            run.__wrapped__([*words, "--resume_from_checkpoint=true"])  # without its guard: errors come here
    except UserError as error:
        if is_new and not (folder / RECIPE).exists():  # it was refused before it began
            shutil.rmtree(folder)
            with suppress(OSError):  # other runs are in it
                folder.parent.rmdir()
        raise UserError(f"{folder.name}: {error}") from None
    return read_json(folder / RESULTS)


@contextmanager
def printed_to(log: Path) -> Iterator[None]:
    """Send all output to a file, also that of loggers that opened the stream earlier."""

    def point_to(*files: int) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, file in enumerate(files, start=1):
            os.dup2(file, number)

    with open(log, "ab") as file, open(os.dup(1), "wb") as out, open(os.dup(2), "wb") as err:
        point_to(file.fileno(), file.fileno())
        try:
            yield
        finally:
            point_to(out.fileno(), err.fileno())


def summarise(results: Mapping[tuple[str, int], Mapping[str, Any]]) -> list[Variant]:
    """The rows of the table. The teacher is that of all runs, the student before training that of the first: random
    first weights differ with the seed."""
    first = next(iter(results.values()))
    rows = [Variant("teacher", "", first["teacher_parameters"], "", figures_of("teacher", [first]))]
    rows.append(Variant("student before", "", first["parameters"], 0, figures_of("student_before", [first])))
    for name in dict.fromkeys(variant for variant, _ in results):
        runs = [run for (variant, _), run in results.items() if variant == name]
        rows.append(Variant(name, "", runs[0]["parameters"], runs[0]["steps"], figures_of("student", runs)))
    return rows


if __name__ == "__main__":
    main()
