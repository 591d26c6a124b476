"""Answers about texts: right characters, whatever their length and letters; as transformers where it has them."""

import json
import shutil
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoTokenizer, BertConfig, pipeline

from benchmarks.backends.registry import BACKENDS
from distillation.models.loading import load_as_saved, save_pretrained
from distillation.models.tokenizer_file import save_tokenizer
from finetuning.deployed import model as alone
from finetuning.deployed.checkpoint import KEY, Checkpoint
from tests.benchmarks.tiny_models import SHAPE, lively
from tests.finetuning.deployed.known_model import Known

BREVE = "\u0306"  # и and it are й
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


@pytest.fixture(scope="module")
def folder(tokenizer, tmp_path_factory):
    """A function: head, labels -> a folder with a random BERT."""

    def make(head, labels=(), **keys):
        names = dict(enumerate(labels)) or {0: "LABEL_0", 1: "LABEL_1"}
        config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, id2label=names, **SHAPE, **keys)
        model = lively(getattr(transformers, f"BertFor{head}"), config)
        if head == "TokenClassification":  # all tags are as likely
            with torch.no_grad():
                model.classifier.bias -= model(torch.arange(60)[None]).logits.mean((0, 1))
        save_pretrained(model, tokenizer, path := tmp_path_factory.mktemp(head))
        return path

    return make


def test_labels_are_those_of_the_pipeline(folder, corpus_lines):
    """In any order of lengths, also of texts that are cut."""
    path, texts = folder("SequenceClassification", "abc"), [*corpus_lines[:40], " ".join(corpus_lines[:30])]
    model, ask = Checkpoint(path), pipeline("text-classification", model=str(path), top_k=None, truncation=True)
    answers = model.batch([(text,) for text in texts], batch_size=7)
    for answer, right in zip(answers, ask(texts), strict=True):
        assert answer["scores"] == pytest.approx({one["label"]: one["score"] for one in right}, abs=1e-5)
        assert (answer["label"], answer["score"]) == (right[0]["label"], answer["scores"][right[0]["label"]])
    assert model.cut == 1 and len({answer["label"] for answer in answers}) > 1
    pair = ask({"text": texts[0], "text_pair": texts[1]})
    assert model(*texts[:2])["scores"] == pytest.approx({one["label"]: one["score"] for one in pair}, abs=1e-5)


def test_several_labels_by_their_thresholds(tokenizer):
    rule, keys = lambda tokens: [[0.0, 2.0, -2.0]], {"id2label": {"0": "a", "1": "b", "2": "c"}}
    keys["problem_type"] = "multi_label_classification"
    right = {"a": 0.5, "b": 1 / (1 + np.exp(-2)), "c": 1 / (1 + np.exp(2))}
    answer = Known(tokenizer, "SequenceClassification", rule, **keys)("кот")
    assert answer == {"labels": ["a", "b"], "scores": pytest.approx(right)}
    answer = Known(tokenizer, "SequenceClassification", rule, **keys, thresholds={"b": 0.9, "c": 0.1})("кот")
    assert answer["labels"] == ["a", "c"]


def test_entities_are_those_of_the_pipeline(folder, corpus_lines):
    """Of texts that fit into one input; the pipeline cuts longer ones."""
    path, texts = folder("TokenClassification", TAGS), [f" {line}" for line in corpus_lines[:30]]
    ask = pipeline("token-classification", model=str(path), aggregation_strategy="first")
    answers = Checkpoint(path).batch([(text,) for text in texts])
    keys = {"type": "entity_group", "start": "start", "end": "end"}
    for text, answer, right in zip(texts, answers, ask(texts), strict=True):
        assert [[one[key] for key in keys] for one in answer["entities"]] == [
            [one[key] for key in keys.values()] for one in right
        ]
        assert [one["score"] for one in answer["entities"]] == pytest.approx([one["score"] for one in right], abs=1e-5)
        assert all(one["text"] == text[one["start"] : one["end"]] for one in answer["entities"])
    assert sum(len(answer["entities"]) for answer in answers) > 30


def test_an_answer_that_is_a_number(folder):
    path = folder("SequenceClassification", ["stars"], problem_type="regression")
    right = pipeline("text-classification", model=str(path))("кот")[0]["score"]
    assert Checkpoint(path)("кот")["score"] == pytest.approx(right, abs=1e-5)


def test_characters_that_nobody_sees_are_no_words(tokenizer):
    """Tokenizers drop them: a name would end there."""
    rule = lambda tokens: [[[0, 0, 9 * (token not in ("[CLS]", "[SEP]", "[PAD]")), 0, 0] for token in tokens]]  # noqa: E731
    model = Known(tokenizer, "TokenClassification", rule, id2label=dict(zip("01234", TAGS, strict=True)))
    text = "кот \u200bкот\u00ad-кот \u200eкот\ufeff"
    assert [one["text"] for one in model(text)["entities"]] == [text[:-1]]


def test_characters_are_those_of_the_text_as_it_is(tokenizer):
    """A text of many windows with decomposed letters, which a normaliser composes: every name once, whole."""
    names = [f"Мари{letter}на{'й' * (n % 3)}" for n in range(250) for letter in ("", f"и{BREVE}")]
    text, spans = "", []
    for name in names:
        text += "кот, который "
        spans.append((len(text), len(text) + len(name)))
        text += f"{name} — "
    assert len(text) > 10_000
    rule = lambda tokens: [[[0, 9 * (token == "М"), 0, 0, 0] for token in tokens]]  # noqa: E731
    model = Known(tokenizer, "TokenClassification", rule, id2label=dict(zip("01234", TAGS, strict=True)))
    (found,) = model(text).values()
    assert [(one["start"], one["end"]) for one in found] == spans
    assert {one["type"] for one in found} == {"PER"} and [one["text"] for one in found] == names


def test_an_answer_behind_many_windows(tokenizer):
    """The best of all windows, to its last accent; a long question is cut; no context has no answer."""

    def rule(tokens):
        return [9.0 * (one == "К") for one in tokens], [9.0 * one.endswith("й") for one in tokens]

    model, before = Known(tokenizer, "QuestionAnswering", rule), f"тише и{BREVE}, " * 30
    found, end = model("где " * 50, f"{before}Кои{BREVE}. {'и так ' * 30}"), len(before) + 4
    assert found.pop("score") > 0.5 and found == {"answer": f"Кои{BREVE}", "start": len(before), "end": end}
    assert model("где?", " ") == {"answer": "", "start": 0, "end": 0, "score": 0}


def test_no_answer_where_every_window_says_so(tokenizer):
    """Of a model that has learned it: [CLS] stands for none, here where a window has no answer."""

    def rule(tokens):
        none = 10.0 * ("К" not in tokens)  # more than an answer has elsewhere
        scores = [9.0 * (one == "К") + none * (n == 0) for n, one in enumerate(tokens)]
        return scores, scores

    for learned in (False, True):
        model = Known(tokenizer, "QuestionAnswering", rule, may_have_no_answer=learned)
        assert model("где?", "и так " * 30 + "К и так")["answer"] == "К"
        found = model("где?", "и так " * 30)
        assert (found["answer"] == "", found["end"] == 0) == (learned, learned) and found["score"] > 0


def test_masks_are_filled_as_by_the_pipeline(folder, corpus_lines):
    path, line = folder("MaskedLM"), corpus_lines[0]
    text = f"[MASK] {line} [MASK] ."
    answer, ask = Checkpoint(path)(text), pipeline("fill-mask", model=str(path))
    for guesses, right in zip(answer["masks"], ask(text), strict=True):
        assert [one["token"] for one in guesses] == [one["token_str"] for one in right]
        assert [one["score"] for one in guesses] == pytest.approx([one["score"] for one in right], rel=1e-4)
    first, second = (guesses[0]["token"].removeprefix("##") for guesses in answer["masks"])
    assert answer["filled"] == f"{first} {line} {second} ."
    late = Checkpoint(path)(f"{' '.join(corpus_lines[:40])} [MASK]")
    assert len(late["masks"]) == 1 and late["filled"].startswith(corpus_lines[0])


def test_choices_are_those_of_the_model(folder, corpus_lines):
    path, (text, *choices) = folder("MultipleChoice"), corpus_lines[:4]
    model, tokenizer = (
        transformers.AutoModelForMultipleChoice.from_pretrained(path),
        AutoTokenizer.from_pretrained(path),
    )
    inputs = tokenizer([text] * 3, choices, padding=True, return_tensors="pt")
    with torch.no_grad():
        right = model(**{name: one[None] for name, one in inputs.items()}).logits[0].softmax(-1).tolist()
    answer = Checkpoint(path)(text, *choices)
    assert answer["scores"] == pytest.approx(right, abs=1e-5) and answer["choice"] == int(np.argmax(right))


def test_windows_without_a_mask_are_not_run(tokenizer):
    """Of a long text nearly all."""
    model = Known(tokenizer, "MaskedLM", lambda tokens: [[[float(n) for n in range(9)]] * len(tokens)])
    answer = model(f"{'кот ' * 500}[MASK]{' кот' * 500}")
    assert [count for count, _ in model.batches] in ([1], [2]) and len(answer["masks"]) == 1
    assert model("кот")["masks"] == [] and len(model.batches) == 1


def test_batches_are_of_one_length_and_fit_into_memory(tokenizer, monkeypatch):
    """A vocabulary of 100,000 tokens would take gigabytes of logits."""
    model = Known(tokenizer, "SequenceClassification", lambda tokens: [[0.0, 1.0]])
    model.batch([("кот " * (1 + n % 10),) for n in range(100)], batch_size=10)
    lengths = [length for _, length in model.batches]
    assert all(one >= other for one, other in pairwise(lengths)) and {count for count, _ in model.batches} == {10}
    monkeypatch.setattr(alone, "FLOATS", 2 * 24 * 2)  # two inputs of the most tokens, of two labels each
    model.batch([("кот " * 30,)] * 5)
    assert model.batches[-3:] == [(2, 24), (2, 24), (1, 24)]


def test_odd_texts(tokenizer):
    """Half an emoji does no harm; a wrong number of texts is refused, and what is no text."""
    model = Known(tokenizer, "SequenceClassification", lambda tokens: [[0.0, 1.0]])
    assert model("кот \ud83d")["label"] == "LABEL_1"
    for texts in ((), ("кот", "кошка", "пёс")):
        with pytest.raises(ValueError, match="reads at once: 1 to 2"):
            model(*texts)
    for wrong in (None, 5, ["кот", "кошка"]):
        with pytest.raises(TypeError, match=f"is a str, and not a {type(wrong).__name__}; .*`batch`"):
            model(wrong)


def test_a_checkpoint_has_to_be_exported(folder):
    with pytest.raises(FileNotFoundError, match="no model.onnx: export the checkpoint"):
        alone.Model(folder("TokenClassification"))


def test_an_exported_folder_answers_alone(folder, corpus_lines, tmp_path):
    """As the checkpoint does, where neither torch nor transformers can be imported; of choices, for their inputs have
    one axis more."""
    path = folder("MultipleChoice")
    rows = [corpus_lines[n : n + 3 + n % 2] for n in range(8)]
    model, tokenizer = load_as_saved(str(path), KEY), AutoTokenizer.from_pretrained(path)
    sample = dict(tokenizer(*[[one] * 2 for one in corpus_lines[:2]], return_tensors="np"))
    BACKENDS["onnx"].build(model, [{name: np.stack([one, one]) for name, one in sample.items()}], tmp_path)
    save_tokenizer(tokenizer, tmp_path)
    model.config.save_pretrained(tmp_path)
    shutil.copy(alone.__file__, tmp_path / "model.py")
    code = "import json, sys; sys.modules |= dict.fromkeys(['torch', 'transformers', 'datasets', 'huggingface_hub']);"
    code += f"from model import Model; print(json.dumps(Model('.').batch({rows!r})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for found, right in zip(json.loads(done.stdout), Checkpoint(path).batch(rows), strict=True):
        assert found["choice"] == right["choice"] and found["scores"] == pytest.approx(right["scores"], abs=1e-4)
    command = [sys.executable, tmp_path / "model.py"]
    assert json.loads(subprocess.check_output([*command, *rows[0]])) == json.loads(done.stdout)[0]
    assert "many at once" in subprocess.run(command, capture_output=True, text=True).stderr
