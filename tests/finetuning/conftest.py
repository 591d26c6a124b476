"""What the tests of fine-tuning share: rows and a task of each kind, and tokenizers."""

import random
import re

import pytest
from tokenizers import processors

from finetuning.metrics import AnswerScores, EntityScores, LabelScores
from finetuning.tasks.bio_spans import bio_tags
from finetuning.tasks.classification import TextClassification
from finetuning.tasks.multiple_choice import MultipleChoice
from finetuning.tasks.question_answering import QuestionAnswering
from finetuning.tasks.tagging import Tagging
from tests.finetuning.demo_sets import small_demo

TOKENIZERS = ("tokenizer", "byte_tokenizer", "spaced_byte_tokenizer", "unigram_tokenizer")
TYPES = ("PER", "LOC")


def words_of(text):
    """As readers have them: words and marks, as character spans."""
    return [list(match.span()) for match in re.finditer(r"\w+|[^\w\s]", text)]


def tagged(text, draw):
    """A row with random entities of one to three words."""
    words, tags = words_of(text), []
    while len(tags) < len(words):
        length = min(draw.choice((1, 1, 2, 3)), len(words) - len(tags))
        kind = draw.choice((*TYPES, None, None))
        tags += [f"{'I' if i else 'B'}-{kind}" if kind else "O" for i in range(length)]
    return {"id": text[:8], "text": text, "words": words, "tags": tags}


def question(text, words, draw):
    """A row whose answer is a run of words of the text."""
    spans = words_of(text)
    first = draw.randrange(len(spans))
    last = min(first + draw.randrange(4), len(spans) - 1)
    start, end = spans[first][0], spans[last][1]
    answers = [{"text": text[start:end], "start": start}]
    return {"id": text[:8], "context": text, "question": words, "answers": answers}


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
    draw = random.Random(0)
    texts = [" ".join(corpus_lines[i : i + 1 + i % 3]) for i in range(120)]
    found = {"classification": [], "tagging": [], "multiple_choice": [], "question_answering": []}
    for i, text in enumerate(texts):
        row = {"id": str(i), "text": text}
        found["classification"].append(row | {"label": "abc"[len(text) % 3]})
        found["tagging"].append(tagged(text, draw))
        choices = corpus_lines[i : i + 2 + i % 3]
        found["multiple_choice"].append(row | {"choices": choices, "label": len(text) % len(choices)})
        found["question_answering"].append(question(text, corpus_lines[-1 - i].split(" ")[0] + "?", draw))
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


def with_pairs(tokenizer):
    """The same tokenizer, with [CLS] and [SEP] around and between pairs too."""
    copy = tokenizer.__class__(tokenizer_object=tokenizer.backend_tokenizer, **tokenizer.special_tokens_map)
    around = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ("[CLS]", "[SEP]")]
    backend = type(tokenizer.backend_tokenizer).from_str(tokenizer.backend_tokenizer.to_str())
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=around
    )
    copy._tokenizer = backend
    return copy


@pytest.fixture(params=TOKENIZERS)
def any_tokenizer(request):
    """Each tokenizer in turn."""
    return with_pairs(request.getfixturevalue(request.param))
