"""The official files of the nine tasks, or their data set on the Hub, as rows."""

import functools

from finetuning.formats.locate import find, from_hub, local_folder
from finetuning.formats.values import collect, json_lines
from finetuning.russian_superglue import rows, rucos
from finetuning.russian_superglue.tasks import NAMES

HUB = "RussianNLP/russian_super_glue"
# The official validation part is the one to report, since the labels of the official test part are kept secret.
SPLITS = {"train": "train", "test": "validation", "submission": "test"}
FILES = SPLITS | {"test": "val"}
NESTED = {"muserc": rows.muserc_answers, "rucos": rucos.queries}  # several rows, as the Hub has them, of one line


def read(task: str, data_dir: str) -> dict[str, list[dict]]:
    """The parts "train", "test", the official validation part, and "submission", the official test part.

    LiDiRus has one labelled file, which is both "test" and "submission", and nothing to train on: as the benchmark has
    it, a model of TERRa's "train" answers it.
    data_dir: a folder with the official folders such as `TERRa`, or a Hub id such as HUB. "submission" may be absent.
    Raises UserError for a missing file, a file that is damaged or empty, and a row that lacks a key, has an unknown
    label, or repeats an `idx`, by its line.
    """
    folder, name = local_folder(data_dir, "russian_superglue", HUB, *NAMES.values()), NAMES[task]
    if folder is None:
        sources, nested = from_hub(data_dir, {"test": "test"} if task == "lidirus" else SPLITS, task), None
    else:
        files = {"test": name} if task == "lidirus" else FILES
        paths = find(folder, {part: f"{name}/{file}.jsonl" for part, file in files.items()})
        sources, nested = {part: (str(path), json_lines(path)) for part, path in paths.items()}, NESTED.get(task)
    make = rucos.make if task == "rucos" else functools.partial(rows.make, task)
    parts = {}
    for part, source in sources.items():
        row = functools.partial(make, labelled=part != "submission")
        parts[part] = collect(*source, lambda raw, row=row: map(row, nested(raw) if nested else [raw]))
    if task == "lidirus":
        parts = {"train": read("terra", data_dir)["train"], **parts, "submission": parts["test"]}
    return parts
