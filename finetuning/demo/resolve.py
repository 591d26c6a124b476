"""The demo's benchmarks: small data sets in the native format of each task, written where a demo asks for them."""

import itertools
import json
import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from xml.sax.saxutils import escape

from distillation.config.recipe import UserError
from distillation.demo.resolve import demo_grammar
from finetuning.demo import texts as demo_texts
from finetuning.formats import table
from finetuning.russian_superglue.demo import write_demo

logger = logging.getLogger(__name__)

FOLDER = Path("outputs/demo/data")
TRAIN, TEST = 800, 200  # examples


def demo_data(task: str, folder: Path = FOLDER) -> Path:
    """The folder of a task's data; written once, whole or not at all.

    Raises UserError for a task that has no demo.
    """
    if task not in WRITERS:
        raise UserError(f"there is no demo of task {task!r}: choose one of {', '.join(WRITERS)}")
    path = folder / task
    if path.is_dir():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{task}-", suffix=".part", dir=folder) as draft:
        made = Path(draft, task)
        made.mkdir()
        WRITERS[task](made)
        try:
            made.rename(path)
        except OSError:  # another process was faster
            if not path.is_dir():
                raise
    logger.info("demo data of %s written to %s", task, path)
    return path


def _write_rusentiment(folder: Path) -> None:
    """With what the real files have: line breaks in texts, repeated posts, and one that has two labels."""
    posts = demo_texts.posts(demo_grammar(seed=1), TRAIN + TEST)
    train, test = posts[:TRAIN], posts[TRAIN:]
    repeats = [*train[:3], ("skip" if train[3][0] != "skip" else "neutral", train[3][1])]
    splits = {"random": train[: TRAIN * 3 // 4] + repeats, "preselected": train[TRAIN * 3 // 4 :]}
    files = {f"rusentiment_{name}_posts.csv": rows for name, rows in splits.items()} | {"rusentiment_test.csv": test}
    for name, rows in files.items():
        table.write(folder / name, ("label", "text"), rows)


def _write_paraphraser(folder: Path) -> None:
    """With the declaration of the real files, which Python's own parser rejects."""
    train = TRAIN * 5 // 4
    pairs = demo_texts.pairs(demo_grammar(seed=2), train + TEST * 5 // 4)
    for name, start, rows in (("paraphrases.xml", 0, pairs[:train]), ("paraphrases_gold.xml", train, pairs[train:])):
        items = "".join(_paraphrase(start + index, *row) for index, row in enumerate(rows))
        content = f"<?xml version='1.0' encoding='UTF8'?>\n<data>\n  <corpus>\n{items}  </corpus>\n</data>\n"
        (folder / name).write_text(content, encoding="utf-8")


def _paraphrase(index: int, label: str, first: str, second: str) -> str:
    ids = {"id": index, "id_1": 2 * index, "id_2": 2 * index + 1}
    values = {**ids, "text_1": first, "text_2": second, "class": label}
    lines = "".join(f'      <value name="{name}">{escape(str(value))}</value>\n' for name, value in values.items())
    return f"    <paraphrase>\n{lines}    </paraphrase>\n"


def _write_collection3(folder: Path) -> None:
    """Documents of ten sentences."""
    sentences = demo_texts.sentences(demo_grammar(seed=3), TRAIN + 2 * TEST)
    splits = {"train": sentences[:TRAIN], "valid": sentences[TRAIN:-TEST], "test": sentences[-TEST:]}
    for name, rows in splits.items():
        lines: list[str] = []
        for index, sentence in enumerate(rows):
            lines += ["<DOCSTART>\n\n"] if index % 10 == 0 else []
            lines += [f"{word}\t{tag}\n" for word, tag in sentence] + ["\n"]
        (folder / f"{name}.txt").write_text("".join(lines), encoding="utf-8", newline="\n")


def _write_sberquad(folder: Path) -> None:
    """With a few questions that have spaces at an end, as in the real files."""
    grammar, told, ids = demo_grammar(seed=4), set[str](), itertools.count()
    for name, number in (("train-v1.1.json", TRAIN), ("dev-v1.1.json", TEST)):
        paragraphs = demo_texts.paragraphs(grammar, number, told)
        article = {"title": "Demo", "paragraphs": [_paragraph(ids, *paragraph) for paragraph in paragraphs]}
        content = json.dumps({"version": "1.1", "data": [article]}, ensure_ascii=False, indent=1)
        (folder / name).write_text(content, encoding="utf-8")


def _paragraph(ids: Iterator[int], context: str, questions: Iterable[tuple[str, str, int]]) -> dict:
    qas = []
    for question, answer, start in questions:
        number = next(ids)
        edge = " " if number % 300 == 0 else ""
        answers = [{"text": answer, "answer_start": start}]
        qas.append({"id": number, "question": edge + question + edge, "answers": answers})
    return {"context": context, "qas": qas}


WRITERS: dict[str, Callable[[Path], None]] = {
    "rusentiment": _write_rusentiment,
    "paraphraser": _write_paraphraser,
    "collection3": _write_collection3,
    "sberquad": _write_sberquad,
    "russian_superglue": write_demo,
}
