"""Fine-tune on Russian SuperGLUE: one of its nine tasks, or all, with a submission for its leaderboard.

python finetuning/run_russian_superglue.py --model_name_or_path outputs/tiny-5k --data_dir RUSSIAN_SUPERGLUE --task all

RUSSIAN_SUPERGLUE holds the official folders (TERRa, RCB, ...), or is RussianNLP/russian_super_glue on the Hub.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from distillation.config.recipe import UserError, cli_entry
from finetuning.arguments import key
from finetuning.experiment import parse
from finetuning.russian_superglue import report
from finetuning.russian_superglue.suite import available, run_task, verify, with_data, write_submission
from finetuning.russian_superglue.tasks import NAMES

ALL = "all"


@dataclass
class RussianSuperGlueArguments:
    """Which tasks, and whether to write a submission."""

    task: str = key(ALL, f"One of {', '.join(NAMES)}, or `all`.")
    submission: str | None = key(
        None, "Zip to write for the leaderboard; a task that was not run has majority answers."
    )

    def __post_init__(self):
        self.task = self.task.lower()
        if self.task not in (ALL, *NAMES):
            raise UserError(f"`task` is {self.task!r}; choose one of {', '.join(NAMES)}, or `all`")


OPTIONS = (RussianSuperGlueArguments,)


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Fine-tune, score, compare with answers without a model, write the submission."""
    settings = with_data(parse("russian_superglue", argv, *OPTIONS))
    (own,), arguments, folder = settings.own, settings.arguments, Path(settings.training.output_dir)
    if own.submission and arguments.seeds:
        raise UserError("`submission` takes the answers of one model: give one `seed`, and no `seeds`")
    names = available(arguments.data_dir) if own.task == ALL else [own.task]
    names.sort(key=lambda name: name == "lidirus")  # after TERRa, whose model answers it
    folders = {name: folder / name if own.task == ALL else folder for name in names}
    submission = Path(own.submission) if own.submission else None
    verify(names, settings, folders, submission)
    results = {name: run_task(name, settings, folders[name], folders.get("terra")) for name in names}
    if settings.training.process_index == 0:
        compared = report.compare(results, arguments.data_dir)
        report.save(compared, folder)
        print(report.table(compared))
        if submission:
            write_submission(submission, arguments.data_dir, folders, folder / "baseline")


if __name__ == "__main__":
    main()
