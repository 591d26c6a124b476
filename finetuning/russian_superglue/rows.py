"""Rows of eight of the tasks: what a line of a file, or a row on the Hub, is made into. RuCoS has its own file.

The functions raise Wrong for a key that is absent or of another type.
"""

import os
import re
from typing import Any

from finetuning.formats.values import Wrong, number, text, value
from finetuning.russian_superglue.tasks import LABELS, NO_YES, QUERY

# The keys of `text` and `text_2`, which are all that a row of these tasks has.
PAIRS = {
    "lidirus": ("sentence1", "sentence2"),
    "terra": ("premise", "hypothesis"),
    "rcb": ("premise", "hypothesis"),
    "danetqa": ("question", "passage"),
}
HUB_LABELS = {"parus": ("choice1", "choice2"), "muserc": NO_YES}  # where the Hub has other names for the same labels
WORD = re.compile(r"[\w\u0300\u0301]+")  # with marks of stress
# Years stand in brackets, too, so that a number of a sentence has two digits at most.
SENTENCE_NUMBER = re.compile(r"[^\S\n]*\(\d{1,2}\)[^\S\n]*")
QUOTED = re.compile(r'"\s*\(\d{1,2}\)')


def make(task: str, raw: Any, labelled: bool) -> dict:
    """A row: `id`, a text; `idx`, by which submissions go; what the function of its task says; and `label`.

    The label is a name, of PARus a number. In the file or on the Hub it may be a name, its place, or a truth value,
    each as such or as a string.
    labelled: whether the row must have one; else it is None where there is none, or -1 as on the Hub.
    """
    pairs = zip(("text", "text_2"), PAIRS.get(task, ()), strict=False)
    row = MAKERS[task](raw) if task in MAKERS else {name: text(raw, key) for name, key in pairs}
    found, names = raw.get("label"), LABELS[task]
    numbers = map(str, range(len(names)))
    known = {name: place for of in (HUB_LABELS.get(task, ()), numbers, names) for place, name in enumerate(of)}
    place = known.get(str(found).strip().lower())  # so that JSON's true and the string are one
    if place is None and (labelled or found not in (None, -1)):
        raise Wrong(f"label {found!r} is none of {', '.join(names)}; mend the row")
    label = place if place is None or task == "parus" else names[place]
    idx = row.get("idx") or number(raw)
    return {"id": "-".join(map(str, idx)) if task == "muserc" else str(idx), "idx": idx} | row | {"label": label}


def parus(raw: Any) -> dict:
    """`text`, `question`, one of QUERY, and two `choices`."""
    question = text(raw, "question")
    if question not in QUERY:
        raise Wrong(f"question {question!r} is none of {', '.join(QUERY)}; mend the row")
    choices = [text(raw, "choice1"), text(raw, "choice2")]
    return {"text": text(raw, "premise"), "question": question, "choices": choices}


def muserc(raw: Any) -> dict:
    """An answer: `idx` of passage, question, and answer; `text`, the question; `answer`; `text_2`, the passage."""
    ids, texts = value(raw, "idx", dict), {"text": text(raw, "question"), "answer": text(raw, "answer")}
    idx = [number(ids, key) for key in ("paragraph", "question", "answer")]
    return {"idx": idx, **texts, "text_2": passage(value(raw, "paragraph", str))}


def muserc_answers(raw: Any) -> list[dict]:
    """A passage of a file, which nests questions and answers, as rows of the Hub."""
    nested, found = value(raw, "passage", dict), []
    for question in value(nested, "questions", list):
        for answer in value(question, "answers", list):
            idx = {"paragraph": number(raw), "question": number(question), "answer": number(answer)}
            texts = {"question": text(question, "question"), "answer": text(answer, "text")}
            found.append({"idx": idx, "paragraph": value(nested, "text", str), **texts, "label": answer.get("label")})
    return found


def passage(numbered: str) -> str:
    """A passage without the numbers of its sentences, and without the quotation marks that some stand in."""
    bare = numbered.strip()
    if QUOTED.match(bare):
        bare = bare[1:].removesuffix('"')
    return re.sub(r" ?\n ?", "\n", SENTENCE_NUMBER.sub(" ", bare)).strip()


def russe(raw: Any) -> dict:
    """`word`, `text`, `text_2`, the places of the word in them as `span` and `span_2`."""
    row = {"word": text(raw, "word")}
    for which, ending in ((1, ""), (2, "_2")):
        sentence = row[f"text{ending}"] = value(raw, f"sentence{which}", str)
        start, end = number(raw, f"start{which}"), number(raw, f"end{which}")
        row[f"span{ending}"] = word_at(sentence, start, end, row["word"])
    return row


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


def rwsd(raw: Any) -> dict:
    """`text`, two phrases, `span_text` and `span_2_text`, and their places, `span` and `span_2`. The second speaks of
    the first or does not. Files nest the phrases in `target`, the Hub does not."""
    row = {"text": value(raw, "text", str)}
    target = raw if "span1_text" in raw else value(raw, "target", dict)
    for which, name in ((1, "span"), (2, "span_2")):
        phrase = row[f"{name}_text"] = text(target, f"span{which}_text")
        row[name] = phrase_at(row["text"], phrase, number(target, f"span{which}_index"))
    return row


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


MAKERS = {"parus": parus, "muserc": muserc, "russe": russe, "rwsd": rwsd}
