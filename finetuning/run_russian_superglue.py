"""Fine-tune on Russian SuperGLUE: one of its nine tasks, or all, with a submission for its leaderboard.

python finetuning/run_russian_superglue.py --model_name_or_path outputs/tiny-5k --data_dir RUSSIAN_SUPERGLUE --task all

RUSSIAN_SUPERGLUE holds the official folders (TERRa, RCB, ...), or is RussianNLP/russian_super_glue on the Hub.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from distillation.config.errors import UserError, cli_entry
from finetuning.arguments import parse
from finetuning.sets.russian_superglue import ALL, Options


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Fine-tune, score, compare with answers without a model, write the submission."""
    settings = parse("russian_superglue", Options, argv)
    options, data_dir, folder = settings.options, settings.data.data_dir, Path(settings.training.output_dir)
    if options.submission and settings.arguments.seeds:
        raise UserError("`submission` takes the answers of one model: give one `seed`, and no `seeds`")
    from finetuning.russian_superglue import report  # heavy imports only where the arguments are right
    from finetuning.russian_superglue.suite import available, run_task, verify, write_submission

    names = available(data_dir) if options.task == ALL else [options.task]
    folders = {name: folder / name if options.task == ALL else folder for name in names}
    verify(names, settings, folders)
    results = {name: run_task(name, settings, folders[name], folders.get("terra")) for name in names}
    if settings.training.process_index == 0:
        print(report.save(results, data_dir, folder))
        if options.submission:
            write_submission(Path(options.submission), data_dir, folders, folder / "baseline")


if __name__ == "__main__":
    main()
