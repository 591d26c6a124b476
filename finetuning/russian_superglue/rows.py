"""Rows of eight of the tasks: what a line of a file, or a row on the Hub, is made into. RuCoS has its own file.

A row has `id`, a text; `idx`, by which submissions go; `label`, None where it is hidden; and what its function says.
The functions raise Wrong for a key that is absent or of another type and for an unknown label.
"""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from finetuning.formats.values import Wrong, label, number, text, value
from finetuning.russian_superglue.tasks import LABELS

# The keys of the two texts.
PAIRS = {
    "lidirus": ("sentence1", "sentence2"),
    "terra": ("premise", "hypothesis"),
    "rcb": ("premise", "hypothesis"),
    "danetqa": ("question", "passage"),
}
QUESTIONS = ("cause", "effect")
WORD = re.compile(r"[\w\u0300\u0301]+")  # with marks of stress
# Years stand in brackets, too, so that a number of a sentence has two digits at most.
SENTENCE_NUMBER = re.compile(r"[^\S\n]*\(\d{1,2}\)[^\S\n]*")
QUOTED = re.compile(r'"\s*\(\d{1,2}\)')


def pair(task: str, raw: Mapping[str, Any], labelled: bool) -> dict:
    """Of PAIRS: `text`, `text_2`, and the name of the label."""
    first, second = PAIRS[task]
    texts = {"text": text(raw, first), "text_2": text(raw, second)}
    return {**_idx(raw), **texts, "label": _label_name(task, raw, labelled)}


def parus(raw: Mapping[str, Any], labelled: bool) -> dict:
    """`text`, `question`, one of QUESTIONS, two `choices`, and the number of the right one as `label`."""
    question = text(raw, "question")
    if question not in QUESTIONS:
        raise Wrong(f"question {question!r} is none of {', '.join(QUESTIONS)}; mend the row")
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
    for question in _members(whole, "questions"):
        for answer in _members(question, "answers"):
            idx = {"paragraph": number(raw), "question": number(question), "answer": number(answer)}
            texts = {"question": text(question, "question"), "answer": text(answer, "text")}
            found.append({"idx": idx, "paragraph": value(whole, "text", str), **texts, "label": answer.get("label")})
    return found


def _members(holder: Any, key: str) -> list:
    members = value(holder, key, list)
    if not members:
        raise Wrong(f"`{key}` is empty; fill it in or delete the row")
    return members


def passage(numbered: str) -> str:
    """A passage without the numbers of its sentences, and without the quotation marks that some stand in."""
    bare = numbered.strip()
    if QUOTED.match(bare):
        bare = bare[1:].removesuffix('"')
    return re.sub(r" ?\n ?", "\n", SENTENCE_NUMBER.sub(" ", bare)).strip()


def russe(raw: Mapping[str, Any], labelled: bool) -> dict:
    """`word`, `text`, `text_2`, the places of the word in them as `span` and `span_2`, and the name of the label."""
    word = text(raw, "word")
    texts = [value(raw, f"sentence{which}", str) for which in (1, 2)]
    spans = [
        word_at(sentence, number(raw, f"start{which}"), number(raw, f"end{which}"), word)
        for which, sentence in enumerate(texts, start=1)
    ]
    places = {"text": texts[0], "text_2": texts[1], "span": spans[0], "span_2": spans[1]}
    return {**_idx(raw), "word": word, **places, "label": _label_name("russe", raw, labelled)}


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
    return list(max(touched, key=lambda span: _common_start(sentence[slice(*span)], lemma)))


def _common_start(word: str, lemma: str) -> int:
    return len(os.path.commonprefix([word.lower(), lemma.lower()]))


def rwsd(raw: Mapping[str, Any], labelled: bool) -> dict:
    """`text`, the places of two phrases, `span` and `span_2`, the phrases, `span_text` and `span_2_text`, and the name
    of the label: whether the second speaks of the first. Files nest the phrases in `target`, the Hub does not."""
    target = raw if isinstance(raw, Mapping) and "span1_text" in raw else value(raw, "target", dict)
    sentence, phrases = value(raw, "text", str), [text(target, f"span{which}_text") for which in (1, 2)]
    spans = [
        phrase_at(sentence, phrase, number(target, f"span{which}_index"))
        for which, phrase in enumerate(phrases, start=1)
    ]
    places = {"span": spans[0], "span_2": spans[1], "span_text": phrases[0], "span_2_text": phrases[1]}
    return {**_idx(raw), "text": sentence, **places, "label": _label_name("rwsd", raw, labelled)}


def phrase_at(sentence: str, phrase: str, index: int) -> list[int]:
    """Where a phrase begins and ends: of its places, first those of complete words, the nearest to the word `index`.

    Where the sentence does not hold it, as many words from that one on as it has, without the punctuation around them.
    Words are what white space divides.
    """
    words = [match.span() for match in re.finditer(r"\S+", sentence)]
    if not words:
        return [0, 0]
    index = min(max(index, 0), len(words) - 1)
    start = words[index][0]
    literal = re.escape(phrase)
    for pattern in (rf"(?<!\w){literal}(?!\w)", literal) if phrase else ():
        found = [match.span() for match in re.finditer(pattern, sentence, re.IGNORECASE)]
        if found:
            return list(min(found, key=lambda span: abs(span[0] - start)))
    end = words[min(index + max(len(phrase.split()), 1), len(words)) - 1][1]
    inside = [match.span() for match in WORD.finditer(sentence, start, end)]
    return [inside[0][0], inside[-1][1]] if inside else [start, end]


def _idx(raw: Any) -> dict[str, Any]:
    idx = number(raw)
    return {"id": str(idx), "idx": idx}


def _label_name(task: str, raw: Mapping[str, Any], labelled: bool, others: Sequence[str] = ()) -> str | None:
    place = label(raw, LABELS[task], labelled, others)
    return None if place is None else LABELS[task][place]
