"""What a model reads of each task, and what chooses a checkpoint of MuSeRC."""

import pytest

from finetuning.russian_superglue.tasks import QUERY, filled_queries, make_task, premise_and_choices


def muserc_row(number, label, scale=1):
    row = {"id": str(number), "idx": [0, number // 2, number], "answer": "В Туле.", "label": label}
    return row | {"text": "Где живёт кот? " * scale, "text_2": "Кот живёт в Туле. " * scale}


@pytest.mark.parametrize(
    ("chances", "figures"), [((0.1, 0.4, 0.2, 0.3), (0, 0, 1)), ((0.9, 0.6, 0.8, 0.7), (2 / 3, 0, 0))]
)
def test_roc_auc_tells_where_the_official_figures_do_not(chances, figures):
    """Of two questions with a right answer each: "no" to all is worth nothing officially, and "yes" to all a lot."""
    rows = [muserc_row(number, str(number % 2)) for number in range(4)]
    said = [{"prediction": str(int(chance > 0.5)), "scores": {"1": chance}} for chance in chances]
    scores = make_task("muserc").score(rows, said)
    assert (scores["f1a"], scores["exact_match"], scores["roc_auc"]) == pytest.approx(figures)
    assert make_task("muserc").score(rows[:1], said[:1])["roc_auc"] == 0.5  # one label: nothing to tell apart


def test_the_answer_stays_however_long_the_question(tokenizer):
    """Without it the answers of a question are one input with different labels. Of a long answer the start stays."""
    for row in (muserc_row(0, "1", scale=20), muserc_row(0, "1") | {"answer": "В Туле. " * 20}):
        (ids,) = make_task("muserc").encode([row], tokenizer, 64).inputs["input_ids"]
        asked = tokenizer.decode(ids).split("[SEP]")[0]
        assert tokenizer.decode(tokenizer("В Туле.", add_special_tokens=False)["input_ids"]) in asked
        assert asked.startswith("[CLS] Где") and len(ids) <= 64


@pytest.mark.parametrize("name", ["muserc", "danetqa"])
def test_the_question_stays_however_long_the_passage(tokenizer, name):
    """Without the question there is nothing to answer."""
    row = muserc_row(0, "1" if name == "muserc" else "true") | {"text_2": "Кот живёт в Туле. " * 50}
    encoded = make_task(name).encode([row], tokenizer, 64)
    query = tokenizer.decode(tokenizer(row["text"], add_special_tokens=False)["input_ids"])
    assert encoded.truncated == 1 and query in tokenizer.decode(encoded.inputs[0]["input_ids"])


def test_what_a_choice_is_read_with():
    parus = {"text": "Дождь.", "question": "effect", "choices": ["Мокро.", "Сухо."]}
    assert premise_and_choices(parus) == [(f"Дождь. {QUERY['effect']}", choice) for choice in parus["choices"]]
    assert "причин" in QUERY["cause"] and "результат" in QUERY["effect"]
    rucos = {"text": "Новость.", "query": "В @placeholder холодно.", "choices": ["Омск", "Сочи"]}
    assert filled_queries(rucos) == [(f"В {city} холодно.", "Новость.") for city in ("Омск", "Сочи")]
