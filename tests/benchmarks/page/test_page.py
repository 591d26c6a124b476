"""A page in a real browser: the answers of Python, from nothing but its own files.

It needs Chromium, node, and the npm packages of benchmarks/page, which `.ci/run` installs."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save
from transformers import DistilBertConfig, DistilBertForMaskedLM

from benchmarks.backends.quantization import quantize_onnx
from benchmarks.backends.registry import BACKENDS
from benchmarks.page.browser import absent, run_script, served
from benchmarks.page.writing import write_page
from distillation.models.tokenizer_file import save_tokenizer
from distillation.runs.files import write_json
from finetuning.deployed.model import Model
from tests.benchmarks.tiny_models import batch, lively

pytestmark = pytest.mark.skipif(bool(absent()), reason=f"not installed: {', '.join(absent())}")

LENGTH = 24  # of the models, in tokens
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
# A decomposed letter, an accent, an emoji, punctuation without spaces, a mark of the vocabulary, unknown letters, and
# characters that nobody sees.
HARD = "Кот и\u0306 Мари\u0301я — в городе,naïve №7: 3,5 😀 а_б [SEP] 漢字 \u00a0ё́ \u200bко\u00adнец."
LONG = f"{'Кот видит дом, а Мария идёт в город. ' * 9}{HARD}"
CONTENT = {  # of config.json
    "label": {"architectures": ["BertForSequenceClassification"], "id2label": dict(enumerate("abc"))},
    "several": {"problem_type": "multi_label_classification", "thresholds": {"a": 0.2, "b": 0.9}},
    "tags": {"architectures": ["BertForTokenClassification"], "id2label": dict(enumerate(TAGS))},
    "question": {"architectures": ["BertForQuestionAnswering"]},
    "choice": {"architectures": ["BertForMultipleChoice"]},
    "mask": {"architectures": ["DistilBertForMaskedLM"]},
    "vector": {"architectures": ["DistilBertModel"]},
}
CONTENT["several"] |= CONTENT["label"]
CONTENT["pair"] = CONTENT["label"] | {"texts_at_once": 2}
TEXTS = {
    "label": [[HARD], [LONG]],
    "label-bytes": [["и [MASK]"], ["а  [MASK], и"], ["[MASK] и"]],
    "several": [["Кот видит дом."]],
    "pair": [["Кот идёт.", "Мария видит кота."], [HARD, LONG], [LONG, HARD], [LONG, LONG]],
    "tags": [[HARD], [LONG]],
    "tags-bytes": [[HARD], [LONG]],
    "tags-unigram": [["Кот Мария видит, а №7 конец."], ["Кот видит дом, а Мария идёт в город. " * 9]],
    "question": [["Кто видит дом?", HARD], [HARD, LONG]],
    "choice": [["Мария", "видит кота.", LONG, "идёт."]],
    "vector": [["Кот видит дом."], [LONG]],
    "mask": [["Кот [MASK] дом."], [f"[MASK], {LONG} [MASK][MASK]"]],
    "mask-int8": [["Кот [MASK] дом."], [f"[MASK] {LONG}"]],
}
BAD = [  # what is typed, and the text that is answered: nothing, unknown characters, a million
    ("", ""),
    ("漢字", "漢字"),
    ("кот " * 250_000, "кот " * 5_000),
]


@pytest.fixture(scope="module")
def folders(tokenizer, byte_tokenizer, unigram_tokenizer, tmp_path_factory):
    """Exported folders by name; masked LMs are real ones, in fp32 and int8."""
    made, kinds = {}, {"tags-bytes": byte_tokenizer, "label-bytes": byte_tokenizer, "tags-unigram": unigram_tokenizer}
    for name in TEXTS:
        made[name], own = tmp_path_factory.mktemp(name), kinds.get(name, tokenizer)
        save_tokenizer(own, made[name], vocab_txt=False)
        path = made[name] / "tokenizer.json"
        if name == "label-bytes":  # RoBERTa's mask takes the space before it
            whole = json.loads(path.read_text("utf-8"))
            for one in whole["added_tokens"]:
                one["lstrip"] = one["content"] == "[MASK]"
            write_json(path, whole)
        path = made[name] / "tokenizer_config.json"
        write_json(path, json.loads(path.read_text("utf-8")) | {"model_max_length": LENGTH})
        kind = name.split("-")[0]
        write_json(made[name] / "config.json", CONTENT[kind] | {"vocab_size": len(own)})
        if kind != "mask":
            save(table_model(kind, len(own)), made[name] / "model.onnx")
    shape = {"dim": 32, "n_layers": 1, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 64}
    model = lively(DistilBertForMaskedLM, DistilBertConfig(vocab_size=len(tokenizer), **shape))
    names = ("input_ids", "attention_mask")
    BACKENDS["onnx"].build(model, [batch((9, 16), len(tokenizer), names)] * 2, made["mask"])
    quantize_onnx(made["mask"] / "model.onnx", made["mask-int8"] / "model.onnx")
    return made


def table_model(kind, vocabulary):
    """A model whose logits are rows of a table: of each token, or the largest of a text's."""
    width = {"tags": len(TAGS), "question": 2, "choice": 1}.get(kind, 3)
    table = np.random.default_rng(0).normal(0, 3, (vocabulary, width)).astype(np.float32)
    table[0] = -9  # of padding
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["logits" if kind == "tags" else "rows"])]
    constants = [numpy_helper.from_array(table, "table")]
    shape, outputs = ["batch", "choices", "length"][: 3 if kind == "choice" else 2], ["logits"]
    if kind == "question":
        outputs = ["start_logits", "end_logits"]
        for column, name in enumerate(outputs):
            constants.append(numpy_helper.from_array(np.array(column), str(column)))
            nodes.append(helper.make_node("Gather", ["rows", str(column)], [name], axis=2))
    elif kind != "tags":
        outputs = ["sentence_embedding" if kind == "vector" else "logits"]
        axes = [2, 3] if kind == "choice" else [1]
        nodes += [helper.make_node("ReduceMax", ["rows"], outputs, axes=axes, keepdims=0)]
    inputs = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, shape)]
    found = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    made = helper.make_graph(nodes, kind, inputs, found, constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture(scope="module")
def page(folders, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page") / "new"
    write_page(folders["mask"], {"parameters": 1_000_000, "backend": "onnx"}, folder)
    return folder


@pytest.fixture(scope="module")
def seen(page, folders):
    """What a browser saw: `answers` of the models by name, `visits` of pages, and all `requests`."""
    for folder, file in product(folders.values(), page.iterdir()):
        if not (folder / file.name).exists():
            (folder / file.name).symlink_to(file)
    with served(page.parents[1]) as address:
        url = {name: f"{address}/{folder.name}/" for name, folder in folders.items()}
        visits = {name: {"url": url[name]} for name in ("label", "choice", "question", "mask", "tags")}
        visits["mask"] |= {"offline": True, "typed": [("Кот видит дом", "Кот видит дом")]}
        visits["mask"]["presses"] = [("Alt+h", "Кот видит [MASK]")]
        visits["tags"]["typed"] = BAD
        visits["no SIMD"] = {"url": url["mask"], "answers": False, "before": "WebAssembly.validate = () => false;"}
        visits["file"] = {"url": (page / "index.html").as_uri(), "answers": False}
        asked = {name: (url[name], texts) for name, texts in TEXTS.items()}
        found = run_script(Path(__file__).with_name("drive.mjs"), {"visits": visits, "folders": asked})
    own = ("http://127.0.0.1:", page.as_uri(), "data:", "blob:")
    assert found["requests"] and all(one.startswith(own) for one in found["requests"]), found["requests"]
    return found


@pytest.fixture
def answers(seen, folders):
    """A function: a name -> the texts, the browser's answer, and Python's for each."""

    def of(name):
        model = Model(folders[name])
        right = model.batch(TEXTS[name], batch_size=1)  # in int8 a score depends on its neighbours
        return list(zip(TEXTS[name], seen["answers"][name], right, strict=True))

    return of


@pytest.mark.parametrize("name", ["label", "label-bytes", "several", "pair"])
def test_labels(answers, name):
    """Also of texts that are cut, of a pair the longer one first."""
    for texts, found, right in answers(name):
        assert {one["label"]: one["score"] for one in found["scores"]} == pytest.approx(right["scores"], abs=1e-3)
        assert found["labels"] == (right["labels"] if name == "several" else [right["label"]])
        assert found["cut"] == (len("".join(texts)) > 40)


@pytest.mark.parametrize("name", ["tags", "tags-bytes", "tags-unigram"])
def test_entities(answers, name):
    """Of three kinds of tokenizers, of which only the Python library says the characters behind a token."""
    for _, found, right in answers(name):
        (entities, right), keys = (found["entities"], right["entities"]), ("type", "text")
        assert len(right) > 3
        assert [[one[key] for key in keys] for one in entities] == [[one[key] for key in keys] for one in right]
        assert [one["score"] for one in entities] == pytest.approx([one["score"] for one in right], abs=1e-3)


def test_an_answer_in_a_passage(answers):
    for (_, passage), found, right in answers("question"):
        assert found["text"] == right["answer"] and found["score"] == pytest.approx(right["score"], abs=1e-3)
        characters = passage.encode("utf-16-le")[2 * found["start"] : 2 * found["end"]]
        assert characters.decode("utf-16-le") == found["text"]


def test_a_choice(answers):
    for _, found, right in answers("choice"):
        assert found["choice"] == right["choice"] and found["scores"] == pytest.approx(right["scores"], abs=1e-3)


def test_a_vector(answers):
    for _, found, right in answers("vector"):
        assert found["vector"] == pytest.approx(right["vector"], abs=1e-3)


@pytest.mark.parametrize(("name", "tolerance"), [("mask", 1e-3), ("mask-int8", 1e-2)])
def test_guesses(answers, name, tolerance):
    """Of each mask, in the window with most tokens around it."""
    for _, found, right in answers(name):
        for mask, guesses in zip(found["masks"], right["masks"], strict=True):
            scores = [[one["score"] for one in guess] for guess in (mask["guesses"], guesses)]
            assert scores[0] == pytest.approx(scores[1], abs=tolerance)
            assert mask["guesses"][0]["token"] == guesses[0]["token"].removeprefix("##")


def test_it_fits_and_nothing_fails(seen):
    """On a phone, too."""
    for name, visit in seen["visits"].items():
        assert visit["widths"] == [360, 1280], name
        assert not visit["errors"] or name == "file", visit["errors"]  # modules of a file are refused


def test_bad_texts(seen):
    visit = seen["visits"]["tags"]
    nothing, unknown, _ = visit["answers"]
    assert nothing is None and unknown["unknown"] == 2
    assert "20\u00a0000" in visit["text"]  # of the million


def test_it_answers_without_a_network_and_hides_a_word(seen):
    assert "Кот видит" in seen["visits"]["mask"]["text"]


def test_it_says_why_it_does_not_start(seen):
    assert "python -m http.server" in seen["visits"]["file"]["text"]
    assert "слишком стар" in seen["visits"]["no SIMD"]["text"]
