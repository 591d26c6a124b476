"""What the tests of fine-tuning share: rows and a task of each kind, and tokenizers."""

import copy
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

TYPES = ("PER", "LOC")


def tagged(text, words, draw):
    """A row with random entities of one to three words."""
    tags = []
    while len(tags) < len(words):
        length = min(draw.choice((1, 1, 2, 3)), len(words) - len(tags))
        kind = draw.choice((*TYPES, None, None))
        tags += [f"{'I' if i else 'B'}-{kind}" if kind else "O" for i in range(length)]
    return {"id": text[:8], "text": text, "words": words, "tags": tags}


def asking(text, words, question, draw):
    """A row whose answer is a run of words of the text."""
    first = draw.randrange(len(words))
    start, end = words[first][0], words[min(first + draw.randrange(4), len(words) - 1)][1]
    answers = [{"text": text[start:end], "start": start}]
    return {"id": text[:8], "context": text, "question": question, "answers": answers}


@pytest.fixture(scope="session")
def benchmarks(tmp_path_factory):
    """A folder of the demo's benchmarks, small."""
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
        found["tagging"].append(tagged(text, words, draw))
        choices = corpus_lines[i : i + 2 + i % 3]
        found["multiple_choice"].append(row | {"choices": choices, "label": len(text) % len(choices)})
        found["question_answering"].append(asking(text, words, corpus_lines[-1 - i].split(" ")[0] + "?", draw))
    return found


@pytest.fixture(scope="session")
def tasks():
    """A task of each kind, by its name."""
    rest = dict(read=lambda folder: {}, write=lambda folder, rows, predictions: folder)
    letters = LabelScores("abc", "accuracy", "f1_macro")
    return {
        "classification": TextClassification(
            name="letters", labels=tuple("abc"), metric=letters, primary_metric="f1_macro", **rest
        ),
        "tagging": Tagging(
            name="names", labels=bio_tags(TYPES), metric=EntityScores(TYPES), primary_metric="f1", **rest
        ),
        "multiple_choice": MultipleChoice(
            name="next",
            metric=LabelScores((), "accuracy"),
            primary_metric="accuracy",
            pairs=lambda row: [(row["text"], choice) for choice in row["choices"]],
            answer=lambda row, choice: str(choice),
            right=lambda row: str(row["label"]),
            **rest,
        ),
        "question_answering": QuestionAnswering(name="questions", metric=AnswerScores(), primary_metric="f1", **rest),
    }


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
