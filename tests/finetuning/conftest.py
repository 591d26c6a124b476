"""Rows and a task of each kind, and tokenizers."""

import copy
import importlib
import random
import re
from collections import defaultdict

import pytest
from tokenizers import processors

from finetuning.metrics import AnswerScores, EntityScores, LabelScores
from finetuning.tasks.bio_spans import bio_tags
from finetuning.tasks.classification import TextClassification
from finetuning.tasks.multiple_choice import MultipleChoice
from finetuning.tasks.question_answering import QuestionAnswering
from finetuning.tasks.tagging import Tagging
from tests.finetuning.demo_sets import small_demo
from tests.finetuning.known import results_of

TYPES = ("PER", "LOC")
COMMON = dict(use_cpu=True, disable_tqdm=True, report_to="none", max_length=48, num_train_epochs=2, learning_rate=2e-3)
COMMON |= dict(per_device_train_batch_size=16, per_device_eval_batch_size=32)


@pytest.fixture(scope="session")
def benchmarks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmarks")
    for name in ("rusentiment", "paraphraser", "collection3", "sberquad"):
        small_demo(name, folder)
    return folder


@pytest.fixture(scope="session")
def rows(corpus_lines):
    """Rows of each kind of task, by its name: texts of different lengths with different numbers of labels."""
    draw, found = random.Random(0), defaultdict(list)
    for i in range(120):
        text = " ".join(corpus_lines[i : i + 1 + i % 3])
        row = {"id": str(i), "text": text}
        found["classification"].append(row | {"label": "abc"[len(text) % 3]})
        words = [list(match.span()) for match in re.finditer(r"\w+|[^\w\s]", text)]
        tags = []
        while len(tags) < len(words):  # entities of one to three words
            kind, length = draw.choice((*TYPES, None, None)), draw.choice((1, 1, 2, 3))
            tags += [f"{'I' if n else 'B'}-{kind}" if kind else "O" for n in range(length)]
        found["tagging"].append(row | {"words": words, "tags": tags[: len(words)]})
        choices = corpus_lines[i : i + 2 + i % 3]
        found["multiple_choice"].append(row | {"choices": choices, "label": len(text) % len(choices)})
        first = draw.randrange(len(words))
        start, end = words[first][0], words[first : first + 1 + draw.randrange(4)][-1][1]
        answers = [{"text": text[start:end], "start": start}]
        question = row | {"context": text, "question": f"{corpus_lines[-1 - i].split(' ')[0]}?", "answers": answers}
        found["question_answering"].append(question)
    return found


@pytest.fixture(scope="session")
def tasks():
    """A task of each kind, by its name."""
    rest = dict(read=lambda folder: {}, write=lambda folder, rows, predictions: folder, primary_metric="f1")
    letters = dict(labels=tuple("abc"), metric=LabelScores("abc", "accuracy", "f1_macro"))
    choices = dict(metric=LabelScores((), "accuracy"), right=lambda row: str(row["label"]))
    choices |= dict(pairs=lambda row: [(row["text"], one) for one in row["choices"]], answer=lambda row, n: str(n))
    return {
        "classification": TextClassification(name="letters", **letters, **rest | {"primary_metric": "f1_macro"}),
        "tagging": Tagging(name="names", labels=bio_tags(TYPES), metric=EntityScores(TYPES), **rest),
        "multiple_choice": MultipleChoice(name="next", **choices, **rest | {"primary_metric": "accuracy"}),
        "question_answering": QuestionAnswering(name="questions", metric=AnswerScores(), **rest),
    }


@pytest.fixture(scope="session")
def fine_tune(teacher_folder, benchmarks):
    """A function that runs a script; its keywords are keys of the recipe, None for none. It returns the figures."""

    def run(name, output, **keys):
        defaults = dict(model_name_or_path=teacher_folder, data_dir=benchmarks / name, output_dir=output)
        lists = {
            key: value if isinstance(value, list) else [value] for key, value in (defaults | COMMON | keys).items()
        }
        lists = {key: values for key, values in lists.items() if values != [None]}
        argv = [str(word) for key, values in lists.items() for word in (f"--{key}", *values)]
        importlib.import_module(f"finetuning.run_{name}").main(argv)
        return results_of(output)

    return run


@pytest.fixture
def refused(fine_tune, tmp_path, capsys):
    """A function that runs a script in vain and returns its sentence."""

    def run(name="rusentiment", output=tmp_path / "out", **keys):
        with pytest.raises(SystemExit, match="2"):
            fine_tune(name, output, **keys)
        return capsys.readouterr().err.strip().splitlines()[-1]

    return run


@pytest.fixture
def task(tasks, request):
    """The task that a file of tests is named after."""
    return tasks[request.module.__name__.rpartition("test_")[2]]


@pytest.fixture(params=["tokenizer", "byte_tokenizer", "spaced_byte_tokenizer", "unigram_tokenizer"])
def any_tokenizer(request):
    """Each tokenizer in turn, with [CLS] and [SEP] around and between pairs too."""
    tokenizer = copy.deepcopy(request.getfixturevalue(request.param))
    around = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=around
    )
    return tokenizer
