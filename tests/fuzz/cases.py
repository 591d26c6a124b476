"""The cases of a run: what people get wrong, a good call of each script, then bad inputs that are drawn."""

import dataclasses
import functools
import importlib
import io
import json
import random
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from transformers import TrainingArguments

from tests.fuzz.checkpoints import BROKEN, CONFIG, ODD, OPTIONS, TOKENIZER, WEIGHTS
from tests.fuzz.damage import DAMAGES, RECIPES, STAND_INS, TORN, changed_json, mutated
from tests.fuzz.entries import ENTRIES, PEOPLE, Entry
from tests.fuzz.guard import REFUSED, SURVIVED, Report, contents, watch
from tests.stand_in import parser_of
from tests.texts import demo_lines

EITHER = "either"
Make = Callable[[Path, Path], Any]  # writes into the case's own folder, given that of the good inputs

NUMBERS = ("many", "nan", "inf", "-1", "0", "1.5", "1e400", "")
WORDS = ("perhaps", "2", "nonsense", "", "..", "Ё" * 140, "a\x00b", "{", "[1]", '{"nonsense": 1}', "{good}/corpus.txt")
# Of `TrainingArguments`: what a run cannot have here, or what would start something; and keys that name an output.
UNTRIED = {"deepspeed", "fsdp", "parallelism_config", "dataloader_num_workers", "local_rank", "torch_compile", "help"}
UNTRIED |= {"torch_compile_mode", "torch_compile_backend", "config", "output_dir", "output", "submission"}
UNTRIED |= {"teacher_cache", "teacher_vectors"}
HINTS = {field.name: str(field.type) for field in dataclasses.fields(TrainingArguments)}
# Of each good folder the files that are damaged.
FILES = {
    "corpora": tuple(f"corpus.{ending}" for ending in ("txt", "jsonl", "csv", "parquet", "txt.gz")),
    "teacher": (CONFIG, WEIGHTS, TOKENIZER, OPTIONS),
    "data/rusentiment": ("rusentiment_random_posts.csv", "rusentiment_test.csv"),
    "data/paraphraser": ("paraphrases.xml", "paraphrases_gold.xml"),
    "data/collection3": ("train.txt", "test.txt"),
    "data/sberquad": ("train-v1.1.json", "dev-v1.1.json"),
    "data/encodechka": ("stsb_dev.csv", "factru.json"),
    "data/russian_superglue": ("TERRa/train.jsonl", "TERRa/test.jsonl"),
    "results": ("student/all_results.json", "student/trainer_state.json", "tuned/all_results.json")
    + ("tuned/test_predictions.jsonl", "timed.json"),
    "judged": ("held-out/books.json", "deployed/export.json", "speed.json", "tasks/terra/all_results.json"),
    "finished": ("all_results.json", CONFIG, OPTIONS, "README.md"),
}


@dataclasses.dataclass(frozen=True)
class Case:
    """One bad input: the keys that differ from those of a script's good call, and the files that they need."""

    entry: Entry
    name: str
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    make: Make | None = None
    expected: str = EITHER

    @property
    def title(self) -> str:
        return f"{self.entry.name}/{self.name}"


def collect(count: int, seed: int) -> list[Case]:
    """As many cases; each that is drawn depends on the seed and its number alone."""
    cases = [*people(), *(Case(entry, "nothing-wrong", expected=SURVIVED) for entry in ENTRIES)]
    return [*cases, *(_drawn(seed, number) for number in range(count - len(cases)))][:count]


def judge(case: Case, root: Path, number: int, limit: float) -> Report:
    """Run a case in a folder of its own. limit: seconds, more is a hang."""
    good, folder = root / "good", root / "cases" / str(number)
    (folder / "here" / "work").mkdir(parents=True)
    if case.entry.folder == ("checkpoint", "finished"):  # where the call writes
        shutil.copytree(good / "finished", folder / "here" / "output")
    if case.make:
        case.make(good, folder / "here")
    main = importlib.import_module(case.entry.name).main
    argv = case.entry.argv(case.changes, str(good), str(folder / "here"))
    known = {path: contents(path) for path in (good, root / "home")}
    report = watch(lambda: main(argv), folder, [root / "cache"], limit, case.entry.fails)
    if case.expected not in (EITHER, report.outcome):
        report.faults.append(f"was {report.outcome}, and should have been {case.expected}")
    report.faults.extend(f"changed files in {path}" for path, before in known.items() if contents(path) != before)
    return report


def people() -> list[Case]:
    """What people get wrong."""
    entries, cases = {entry.name: entry for entry in ENTRIES}, []
    for name, lines in PEOPLE.items():
        for line in filter(None, map(str.strip, re.split(r"[|\n]", lines))):
            parts = [part.partition("=") for part in line.split()]
            changes = {key: value if sign else None for key, sign, value in parts}
            cases.append(Case(entries[name], f"people-{line.replace(' ', '-')}", changes, None, REFUSED))
    return cases


def _drawn(seed: int, number: int) -> Case:
    draw = random.Random(f"{seed}-{number}")
    entry = draw.choice(ENTRIES)
    kinds = [_keys, _keys, *([_recipe] if entry.recipes else [])]
    kinds += [_corpus, _damaged] if entry.corpora else []
    kinds += [_checkpoint, _damaged] if entry.models else []
    kinds += [_damaged, _damaged] if entry.folder else []
    case = draw.choice(kinds)(entry, draw)
    return dataclasses.replace(case, name=f"drawn-{seed}-{number}-{case.name}")


def _keys(entry: Entry, draw: random.Random) -> Case:
    """One key or two with a value that may not fit it."""
    found = {}
    for action in parser_of(entry.name)._actions:
        if (action.type or action.dest in entry.keys or entry.trains) and action.dest not in UNTRIED:
            is_number = action.type in (int, float) or re.search("int|float", HINTS.get(action.dest, ""))
            found[action.dest if action.option_strings else ""] = is_number
    names = draw.sample(sorted(found), min(draw.choice((1, 1, 2)), len(found)))
    changes = {name: draw.choice(NUMBERS if found[name] else WORDS) for name in names}
    return Case(entry, "-".join(f"{name}={value[:20]!r}" for name, value in changes.items()), changes)


def _recipe(entry: Entry, draw: random.Random) -> Case:
    key, (name, content) = draw.choice(entry.recipes), draw.choice(list(RECIPES.items()))
    return Case(entry, f"{key}-{name}", {key: "{here}/recipe.yaml"}, _writing("recipe.yaml", content))


def _damaged(entry: Entry, draw: random.Random) -> Case:
    """One file of a good folder changed, or something else in its place."""
    places = [(key, "corpora") for key in entry.corpora] + [(key, "teacher") for key in entry.models]
    key, source = draw.choice([*places, *([entry.folder] * 2 if entry.folder else [])])
    file, seed, mutate = draw.choice(FILES[source]), draw.random(), draw.choice((mutated, changed_json))
    name = draw.choice((*DAMAGES, *STAND_INS, *[mutate.__name__] * 12))
    # A finished folder is written into: its copy stands where the call writes.
    target = "output" if source == "finished" else source.split("/")[0]

    def make(good: Path, here: Path) -> None:
        shutil.copytree(good / source, here / target, dirs_exist_ok=True)
        path = here / target / file
        content = path.read_bytes()
        path.unlink()
        if name in STAND_INS:
            STAND_INS[name](path)
        else:
            path.write_bytes(DAMAGES[name](content) if name in DAMAGES else mutate(content, random.Random(seed)))

    if source == "corpora":
        return Case(entry, f"{key}-{file}-{name}", _corpus_keys(entry, key, file, draw), make)
    torn = source == "teacher" and file != OPTIONS and name in TORN
    changes = _model_keys(key) if source == "teacher" else {key: f"{{here}}/{target}"}
    expected = REFUSED if torn and _reads_weights(entry, key) else EITHER
    return Case(entry, f"{key}-{file}-{name}", changes, make, expected)


def _checkpoint(entry: Entry, draw: random.Random) -> Case:
    key, (name, change) = draw.choice(entry.models), draw.choice([*BROKEN.items(), *ODD.items()])

    def make(good: Path, here: Path) -> None:
        shutil.copytree(good / "teacher", here / "teacher")
        change(here / "teacher")

    expected = REFUSED if name in BROKEN and _reads_weights(entry, key) else EITHER
    return Case(entry, f"{key}-{name}", _model_keys(key), make, expected)


def _model_keys(key: str) -> dict[str, str | None]:
    across = {"alignment": "match", "masking_unit": "word"} if key == "student_vocabulary" else {}
    scratch = dict.fromkeys(("vocab_size", "layers", "hidden_size")) if key == "model_name_or_path" else {}
    return {key: "{here}/teacher"} | across | scratch


def _reads_weights(entry: Entry, key: str) -> bool:
    """Whether a broken model has to be refused: else only its tokenizer is read, or a failure is only counted."""
    only_tokenizer = "tokenizer" in key or "vocabulary" in f"{entry.name}{key}"
    return not only_tokenizer and entry.fails == 2


def _corpus(entry: Entry, draw: random.Random) -> Case:
    """A corpus of other columns, of another language, or of no text."""
    key, bad, odd = draw.choice(entry.corpora), *corpora()
    name, (file, content) = draw.choice([*bad.items(), *odd.items()])
    changes = _corpus_keys(entry, key, file, draw)
    expected = REFUSED if name in bad and "streaming" not in changes else EITHER
    return Case(entry, f"{key}-{name}", changes, _writing(f"corpora/{file}", content), expected)


def _corpus_keys(entry: Entry, key: str, file: str, draw: random.Random) -> dict[str, str]:
    changes = {key: f"{{here}}/corpora/{file}"}
    if entry.trains and key == "train_file" and draw.random() < 0.3:
        changes["streaming"] = "true"
        if entry.name.endswith("run_teacher"):
            changes["tokenizer_name_or_path"] = "{good}/teacher"
    return changes


def _writing(file: str, content: bytes) -> Make:
    def make(good: Path, here: Path) -> None:
        (here / file).parent.mkdir(exist_ok=True)
        (here / file).write_bytes(content)

    return make


@functools.cache
def corpora() -> tuple[dict[str, tuple[str, bytes]], dict[str, tuple[str, bytes]]]:
    """By name a file and its content: those that have to be refused, and those that need not be."""
    lines = demo_lines(60)
    text, rows = "".join(f"{line}\n" for line in lines).encode(), _lines({"text": line} for line in lines)
    bad = {
        "gz-that-is-none": ("corpus.txt.gz", text),
        "parquet-of-other-columns": ("corpus.parquet", _parquet("line", lines)),
        "jsonl-of-other-columns": ("corpus.jsonl", _lines({"line": line} for line in lines)),
        "csv-of-a-header": ("corpus.csv", b"text\n"),
        "of-control-characters": ("corpus.txt", b"\x01\x02\n\x7f\n" * 50),
        "of-another-ending": ("corpus.docx", text),
    }
    for name, value in {"lists": ["a"], "objects": {"a": "b"}, "nulls": None}.items():
        bad[f"parquet-of-{name}"] = "corpus.parquet", _parquet("text", [value] * 60)
        bad[f"jsonl-of-{name}"] = "corpus.jsonl", _lines([{"text": value}] * 60)
    return bad, {
        "parquet-of-bytes": ("corpus.parquet", _parquet("text", [b"\xff\xfe"] * 60)),
        "jsonl-of-everything": ("corpus.jsonl", _lines({"text": one} for one in [*lines, 7, None, [1], {}])),
        "jsonl-of-columns-that-change": ("corpus.jsonl", rows + _lines({"n": 1, "text": line} for line in lines)),
        "of-another-alphabet": ("corpus.txt", "東京都は日本の首都\n".encode() * 50),
        "of-special-tokens": ("corpus.txt", b"[MASK] [PAD] [UNK] [CLS]\n" * 50),
        "a-word-without-end": ("corpus.txt", text + "ж".encode() * 3_000_000),
    }


def _lines(rows: Iterable[dict]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _parquet(name: str, column: list) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({name: column}), buffer)
    return buffer.getvalue()
