"""The files of encodechka with a few rows, made up so that each task can be scored."""

import csv
import json

WORDS = ("кот", "дом", "лес", "суп", "мяч", "сад")


def rows_of_file(answers, columns, count=24):
    """Texts of two words; the answers go around."""
    texts = [f"{WORDS[n % 6]} {WORDS[n // 6 % 6]} {n}" for n in range(count)]
    return [
        columns,
        *([*[f"{text} {side}" for side in columns[:-1]], answers[n % len(answers)]] for n, text in enumerate(texts)),
    ]


def write_board(folder):
    """Write all files of the board into a new folder."""
    folder.mkdir(parents=True)
    tables = {
        "stsb_dev": rows_of_file(("5.0", "1.5", "3"), ("sentence1", "sentence2", "similarity_score")),
        "para_gold": rows_of_file(("-1", "0", "1"), ("text_1", "text_2", "class")),
        "xnli_ru": rows_of_file(("entailment", "neutral"), ("sentence1", "sentence2", "gold_label")),
    }
    for part in ("train", "test"):
        tables[f"SentiRuEval2016_small_{part}"] = rows_of_file(("-1", "0", "1"), ("text", "answer"))
        tables[f"toxic_{part}"] = rows_of_file(("0", "1"), ("text", "toxic"))
        tables[f"inappropriate_{part}"] = rows_of_file(("0", "1"), ("text", "y"))
        tables[f"intents_{part}"] = rows_of_file(("play", "cook"), ("text", "answer", "label"))
    for name, rows in tables.items():
        with open(folder / f"{name}.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    marked = {"texts": [f"Там живёт Иван {word}." for word in WORDS], "labels": [[["Person", 10, 14]]] * 6}
    for name in ("factru", "rudrec"):
        (folder / f"{name}.json").write_text(json.dumps(marked), "utf-8")
    (folder / "sentences_sample.txt").write_text("Он пришёл.\n\nОна ушла.\n", "utf-8")
    return folder
