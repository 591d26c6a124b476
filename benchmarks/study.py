"""The whole study: a teacher from scratch, its students by every method, fine-tuning on real benchmarks, one table.

python benchmarks/study.py --config benchmarks/studies/two-cores.yaml --data_dir DATA --jobs 2

It can be stopped at any time: the same command goes on, and finished runs are kept.
"""

import argparse
import fcntl
import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from tqdm.auto import tqdm

from benchmarks.studying.corpus import prepare
from benchmarks.studying.page import page
from benchmarks.studying.pictures import pictures
from benchmarks.studying.plan import Study
from benchmarks.studying.results import collect, note_machine
from benchmarks.studying.runs import Run, at_once
from benchmarks.studying.tuning import chosen_runs, tune
from benchmarks.timing.options import count
from distillation.config.recipe import CommandLine, UserError, check_output, cli_entry
from distillation.runs.files import write_json, write_text

BAR = "{l_bar}{bar}| {n:.0f} of {total:.0f} minutes [{elapsed}<{remaining}]"  # minutes as the study has guessed them


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Say how long it takes, do what is not done, and write what it shows. Exit code 1 if a run failed."""
    parser = CommandLine(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="The study: one of benchmarks/studies.")
    parser.add_argument("--data_dir", type=Path, required=True, help="Folder of the corpus and the benchmarks.")
    parser.add_argument("--output_dir", type=Path, default=Path("outputs/study"))
    parser.add_argument("--jobs", type=count, default=1, help="Runs at a time; they share the cores.")
    parser.add_argument(
        "--plan", action="store_true", help="Train nothing: say what there is to do, and what is known."
    )
    arguments = parser.parse_args(argv)
    check_output(str(arguments.output_dir))
    study = Study.load(arguments.config, arguments.data_dir, arguments.output_dir)
    phases = phases_of(study, arguments.jobs)
    steps, minutes = sum(len(phase.work) for phase in phases), sum(phase.minutes(study) for phase in phases)
    print(f"{steps} steps to do: about {minutes / 60:.1f} hours on {study.machine}", flush=True)
    report(study)
    if arguments.plan:
        return
    study.output.mkdir(parents=True, exist_ok=True)
    with only_one(study.output), tqdm(total=minutes, unit="min", desc="Study", bar_format=BAR) as bar:
        note_machine(study.output)
        prepare(study.output / "corpus", study.made_of)
        for phase in filter(lambda phase: phase.work, phases):
            try:
                for name in at_once(phase.work, phase.jobs):
                    bar.update(study.minutes_of(name) / phase.jobs)
            finally:
                report(study)
    print(study.output / "study.md")


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Raises UserError while another process makes a study in this folder."""
    with open(folder / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"`output_dir` {str(folder)!r}: another process is at this study; wait for it") from None
        yield


def report(study: Study) -> None:
    """Write what is known so far: one JSON, the tables made of it, and the pictures."""
    figures = collect(study)
    if not figures:
        return
    write_json(study.output / "study.json", figures)
    write_text(study.output / "study.md", page(figures))
    for name, picture in pictures(figures).items():
        picture.savefig(study.output / name)


@dataclass(frozen=True)
class Phase:
    """What can be done side by side, `jobs` at a time: by its name, work that is told its threads."""

    work: dict[str, Callable[[int], None]]
    jobs: int

    def minutes(self, study: Study) -> float:
        """How long it takes, it is said."""
        return sum(map(study.minutes_of, self.work)) / self.jobs


def phases_of(study: Study, jobs: int) -> list[Phase]:
    """What is not done yet, in the order in which one thing needs another.

    Raises UserError for a folder with something else in it.
    """
    first, others = study.student_runs()
    stages = [([study.teacher_run()], 1), (study.vocabulary_runs(), jobs), (first, jobs)]
    stages += [(study.cost_runs(), 1), (others, jobs), ([study.evaluation_run()], 1)]
    phases = [Phase({run.name: run.make for run in runs if not _done(run)}, most) for runs, most in stages]
    tuning = {
        f"{model} on {task}": functools.partial(tune, study, model, task)
        for task in study.tasks
        for model in study.models(task)
        if not chosen_runs(study, model, task)
    }
    return [*phases, Phase(tuning, jobs)]


def _done(run: Run) -> bool:
    run.check()
    return run.finished


if __name__ == "__main__":
    main()
