"""Folders of files that scripts read, with one of the files damaged: data of benchmarks, results, finished runs."""

import random
from collections.abc import Iterator

from tests.fuzz.case import Case, Cases, Entry
from tests.fuzz.damage import DAMAGES, STAND_INS, Change, changed_json, copied, damaged, mutated, replaced

# Of each good folder: the files of which everything is tried.
FILES = {
    "data/rusentiment": ("rusentiment_random_posts.csv", "rusentiment_test.csv"),
    "data/paraphraser": ("paraphrases.xml", "paraphrases_gold.xml"),
    "data/collection3": ("train.txt", "test.txt"),
    "data/sberquad": ("train-v1.1.json", "dev-v1.1.json"),
    "data/russian_superglue": ("TERRa/train.jsonl", "TERRa/test.jsonl"),
    "results": (
        "student/all_results.json",
        "student/trainer_state.json",
        "tuned/all_results.json",
        "tuned/test_predictions.jsonl",
    ),
    "finished": ("all_results.json", "config.json", "tokenizer_config.json", "README.md"),
}


def damaged_files(entry: Entry) -> Cases:
    """Each file of each folder damaged, or something else in its place."""
    for key, source in entry.folders.items():
        for file in FILES[source]:
            for name, damage in DAMAGES.items():
                yield _case(entry, key, source, f"{file}-{name}", damaged(file, damage))
            for name, stand_in in STAND_INS.items():
                yield _case(entry, key, source, f"{file}-{name}", replaced(file, stand_in))


def drawn(entry: Entry, draw: random.Random) -> Case:
    """One file with bytes changed, or a value of its JSON."""
    key, source = draw.choice(list(entry.folders.items()))
    file, seed, change = draw.choice(FILES[source]), draw.random(), draw.choice((mutated, changed_json))
    damage = damaged(file, lambda content: change(content, random.Random(seed)))
    return _case(entry, key, source, f"{file}-{change.__name__}", damage)


def brat(entry: Entry) -> Iterator[Case]:
    """brat documents whose entities do not fit."""
    annotations = ("T1\tPER 20 24\tАнна\n", "T1\tPER 4 4\t\n", "T1\tPER 0 4\tИван\n", "T1\tBIRD 0 4\tАнна\n")
    for number, annotation in enumerate((*annotations, "T1 PER 0 4 Анна\n", f"T1\tPER 0 {'9' * 5000}\tАнна\n")):

        def make(good, here, annotation=annotation):
            for part in ("train", "test"):
                folder = here / "data" / part
                folder.mkdir(parents=True)
                (folder / "one.txt").write_text("Анна ушла.", "utf-8")
                (folder / "one.ann").write_text(annotation, "utf-8")

        yield Case(entry, f"brat-{number}", {"data_dir": "{here}/data"}, make, "refused")


def _case(entry: Entry, key: str, source: str, name: str, change: Change) -> Case:
    # A finished folder is written into, so that its copy stands where the call writes.
    target = "output" if source == "finished" else source.split("/")[0]
    return Case(entry, f"{source.split('/')[-1]}-{name}", {key: f"{{here}}/{target}"}, copied(source, target, change))
