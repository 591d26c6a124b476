"""Two questions as the readers have them, and in the layouts of files and of the Hub."""

CONTEXT = "\ufeffКот спит. \r\nПёс и кот едят."
ANSWERED = {"id": "1", "context": CONTEXT, "question": "Кто спит?", "answers": [{"text": "Кот", "start": 1}]}
OTHER = ANSWERED | {"id": "2", "question": "Кто ест?", "answers": [{"text": "Пёс и кот", "start": 13}]}


def flat(row, kind=str):
    """A row of the reader as a row of the Hub."""
    answers = {"text": [a["text"] for a in row["answers"]], "answer_start": [a["start"] for a in row["answers"]]}
    return row | {"id": kind(row["id"]), "answers": answers, "title": "SberChallenge"}


def articles(*rows):
    """Rows of the reader as SQuAD's object; neighbours with the same context are one paragraph."""
    paragraphs = []
    for row in rows:
        if not paragraphs or paragraphs[-1]["context"] != row["context"]:
            paragraphs.append({"context": row["context"], "qas": []})
        answers = [{"text": a["text"], "answer_start": a["start"]} for a in row["answers"]]
        paragraphs[-1]["qas"].append({"id": row["id"], "question": row["question"], "answers": answers})
    return {"data": [{"title": "SberChallenge", "paragraphs": paragraphs}], "version": "1.1"}
