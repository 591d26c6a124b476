"""Rows of eight of the tasks: what a line of a file, or a row on the Hub, is made into. RuCoS has its own file.

A row has `id`, a text; `idx`, by which submissions go; `label`, None where it is hidden; and what its function says.
The functions raise Wrong for a key that is absent or of another type and for an unknown label.
"""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from finetuning.formats.values import Wrong, label, number, text, value
from finetuning.russian_superglue.tasks import LABELS, QUERY

# The keys of the two texts.
PAIRS = {
    "lidirus": ("sentence1", "sentence2"),
    "terra": ("premise", "hypothesis"),
    "rcb": ("premise", "hypothesis"),
    "danetqa": ("question", "passage"),
}
WORD = re.compile(r"[\w\u0300\u0301]+")  # with marks of stress
# Years stand in brackets, too, so that a number of a sentence has two digits at most.
SENTENCE_NUMBER = re.compile(r"[^\S\n]*\(\d{1,2}\)[^\S\n]*")
QUOTED = re.compile(r'"\s*\(\d{1,2}\)')


def pair(task: str, raw: Mapping[str, Any], labelled: bool) -> dict:
    """Of PAIRS: `text`, `text_2`, and the name of the label."""
    first, second = (text(raw, name) for name in PAIRS[task])
    return {**_idx(raw), "text": first, "text_2": second, "label": _label_name(task, raw, labelled)}


def parus(raw: Mapping[str, Any], labelled: bool) -> dict:
    """`text`, `question`, one of QUERY, two `choices`, and the number of the right one as `label`."""
    question = text(raw, "question")
    if question not in QUERY:
        raise Wrong(f"question {question!r} is none of {', '.join(QUERY)}; mend the row")
    return {
        **_idx(raw),
        "text": text(raw, "premise"),
        "question": question,
        "choices": [text(raw, "choice1"), text(raw, "choice2")],
        "label": label(raw, LABELS["parus"], labelled, ("choice1", "choice2")),
    }


def muserc(raw: Mapping[str, Any], labelled: bool) -> dict:
    """A row is an answer. `idx` of passage, question, and answer, the question as `text`, `answer`, the passage as
    `text_2`, and the name of the label."""
    ids = value(raw, "idx", dict)
    idx = [number(ids, key) for key in ("paragraph", "question", "answer")]
    return {
        "id": "-".join(map(str, idx)),
        "idx": idx,
        "text": text(raw, "question"),
        "answer": text(raw, "answer"),
        "text_2": passage(value(raw, "paragraph", str)),
        "label": _label_name("muserc", raw, labelled, ("false", "true")),
    }


def muserc_answers(raw: Any) -> list[dict]:
    """A passage of a file, which nests questions and answers, as rows of the Hub."""
    whole, found = value(raw, "passage", dict), []
    for question in value(whole, "questions", list):
        for answer in value(question, "answers", list):
            idx = {"paragraph": number(raw), "question": number(question), "answer": number(answer)}
            texts = {"question": text(question, "question"), "answer": text(answer, "text")}
            found.append({"idx": idx, "paragraph": value(whole, "text", str), **texts, "label": answer.get("label")})
    return found


def passage(numbered: str) -> str:
    """A passage without the numbers of its sentences, and without the quotation marks that some stand in."""
    bare = numbered.strip()
    if QUOTED.match(bare):
        bare = bare[1:].removesuffix('"')
    return re.sub(r" ?\n ?", "\n", SENTENCE_NUMBER.sub(" ", bare)).strip()


def russe(raw: Mapping[str, Any], labelled: bool) -> dict:
    """`word`, `text`, `text_2`, the places of the word in them as `span` and `span_2`, and the name of the label."""
    row = {**_idx(raw), "word": text(raw, "word")}
    for which, ending in ((1, ""), (2, "_2")):
        sentence = row[f"text{ending}"] = value(raw, f"sentence{which}", str)
        start, end = number(raw, f"start{which}"), number(raw, f"end{which}")
        row[f"span{ending}"] = word_at(sentence, start, end, row["word"])
    return row | {"label": _label_name("russe", raw, labelled)}


def word_at(sentence: str, start: int, end: int, lemma: str) -> list[int]:
    """Where the complete word begins and ends of which a span is a part, or which it holds with what is around it.

    Of several words in the span the one that begins most like the lemma, of none the nearest one.
    Raises Wrong for a sentence without words.
    """
    words = [match.span() for match in WORD.finditer(sentence)]
    if not words:
        raise Wrong(f"no word in the sentence {sentence!r}; mend or delete the row")
    touched = [(first, last) for first, last in words if first < end and start < last]
    if not touched:
        return list(min(words, key=lambda span: max(span[0] - start, start - span[1])))
    alike = [len(os.path.commonprefix([sentence[slice(*span)].lower(), lemma.lower()])) for span in touched]
    return list(touched[alike.index(max(alike))])


def rwsd(raw: Mapping[str, Any], labelled: bool) -> dict:
    """`text`, the places of two phrases, `span` and `span_2`, the phrases, `span_text` and `span_2_text`, and the name
    of the label: whether the second speaks of the first. Files nest the phrases in `target`, the Hub does not."""
    target = raw if isinstance(raw, Mapping) and "span1_text" in raw else value(raw, "target", dict)
    row = {**_idx(raw), "text": value(raw, "text", str)}
    for which, name in ((1, "span"), (2, "span_2")):
        phrase = row[f"{name}_text"] = text(target, f"span{which}_text")
        row[name] = phrase_at(row["text"], phrase, number(target, f"span{which}_index"))
    return row | {"label": _label_name("rwsd", raw, labelled)}


def phrase_at(sentence: str, phrase: str, index: int) -> list[int]:
    """Where a phrase begins and ends: of its places, first those of complete words, the nearest to the word `index`.

    Where the sentence does not hold it, as many words from that one on as it has, without the punctuation around them.
    Words are what white space divides.
    """
    words = [match.span() for match in re.finditer(r"\S+", sentence)]
    if not words or not phrase:
        raise Wrong("no word in the sentence or the phrase; mend or delete the row")
    index = min(max(index, 0), len(words) - 1)
    start, literal = words[index][0], re.escape(phrase)
    for pattern in (rf"(?<!\w){literal}(?!\w)", literal):
        found = [match.span() for match in re.finditer(pattern, sentence, re.IGNORECASE)]
        if found:
            return list(min(found, key=lambda span: abs(span[0] - start)))
    end = words[min(index + len(phrase.split()), len(words)) - 1][1]
    inside = [match.span() for match in WORD.finditer(sentence, start, end)]
    return [inside[0][0], inside[-1][1]] if inside else [start, end]


def _idx(raw: Any) -> dict[str, Any]:
    return {"id": str(number(raw)), "idx": number(raw)}


def _label_name(task: str, raw: Mapping[str, Any], labelled: bool, others: Sequence[str] = ()) -> str | None:
    place = label(raw, LABELS[task], labelled, others)
    return None if place is None else LABELS[task][place]
