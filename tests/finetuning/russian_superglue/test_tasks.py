"""What a model reads of each task, and what chooses a checkpoint of MuSeRC."""

import pytest

from finetuning.russian_superglue.tasks import QUERY, filled_queries, make_task, premise_and_choices


def muserc_row(number, label):
    row = {"id": str(number), "idx": [0, number // 2, number], "answer": "В Туле.", "label": label}
    return row | {"text": "Где живёт кот? ", "text_2": "Кот живёт в Туле. "}


def test_roc_auc_tells_where_the_official_figures_do_not():
    """Of two questions with a right answer each: "no" to all is worth nothing officially, and "yes" to all a lot."""
    rows = [muserc_row(number, str(number % 2)) for number in range(4)]
    for chances, figures in (((0.1, 0.4, 0.2, 0.3), (0, 0, 1)), ((0.9, 0.6, 0.8, 0.7), (2 / 3, 0, 0))):
        said = [{"prediction": str(int(chance > 0.5)), "scores": {"1": chance}} for chance in chances]
        scores = make_task("muserc").score(rows, said)
        assert (scores["f1a"], scores["exact_match"], scores["roc_auc"]) == pytest.approx(figures)
    assert make_task("muserc").score(rows[:1], said[:1])["roc_auc"] == 0.5  # one label: nothing to tell apart


LONG = "Кот живёт в Туле. " * 50


@pytest.mark.parametrize(
    ("name", "keys", "stay"),
    [
        ("muserc", {"text": "Где живёт кот? " * 20}, ["В Туле."]),  # the answer, however long the question
        ("muserc", {"answer": "В Туле. " * 20}, ["В Туле."]),  # of a long answer the start
        ("muserc", {"text_2": LONG}, ["Где живёт кот?", "В Туле."]),  # the question, however long the passage
        ("danetqa", {"text_2": LONG, "label": "true"}, ["Где живёт кот?"]),
    ],
)
def test_what_stays_of_long_texts(tokenizer, name, keys, stay):
    """Without the answer those of a question are one input with different labels; without a question there is none."""
    part = make_task(name).encode([muserc_row(0, "1") | keys], tokenizer, 64)
    (ids,) = part.inputs["input_ids"]
    shown = tokenizer.decode(ids).split("[SEP]")[0]
    assert shown.startswith("[CLS] Где") and len(ids) <= 64 and part.truncated == ("text_2" in keys)
    for text in stay:
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) in shown


def test_what_a_choice_is_read_with():
    parus = {"text": "Дождь.", "question": "effect", "choices": ["Мокро.", "Сухо."]}
    assert premise_and_choices(parus) == [(f"Дождь. {QUERY['effect']}", choice) for choice in parus["choices"]]
    assert "причин" in QUERY["cause"] and "результат" in QUERY["effect"]
    rucos = {"text": "Новость.", "query": "В @placeholder холодно.", "choices": ["Омск", "Сочи"]}
    assert filled_queries(rucos) == [(f"В {city} холодно.", "Новость.") for city in ("Омск", "Сочи")]
