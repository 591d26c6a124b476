"""Rows of words in their sentences: one word in two senses (RUSSE), what a pronoun stands for (RWSD)."""

import os
import re
from collections.abc import Mapping
from typing import Any

from finetuning.russian_superglue.tasks import LABELS
from finetuning.russian_superglue.values import Wrong, label, number, text, value

WORD = re.compile(r"[\w\u0300\u0301]+")  # with marks of stress


def russe(raw: Mapping[str, Any], labelled: bool) -> dict:
    """`id`, `idx`, `word`, `text`, `text_2`, the places of the word in them as `span` and `span_2`, and `label`.

    Raises Wrong for an absent key, an unknown label, and a sentence without words.
    """
    idx, word = number(raw), text(raw, "word")
    texts = [value(raw, f"sentence{which}", str) for which in (1, 2)]
    spans = [
        word_at(sentence, number(raw, f"start{which}"), number(raw, f"end{which}"), word)
        for which, sentence in enumerate(texts, start=1)
    ]
    place = label(raw, LABELS["russe"], labelled)
    return {
        "id": str(idx),
        "idx": idx,
        "word": word,
        "text": texts[0],
        "text_2": texts[1],
        "span": spans[0],
        "span_2": spans[1],
        "label": None if place is None else LABELS["russe"][place],
    }


def word_at(sentence: str, start: int, end: int, lemma: str) -> list[int]:
    """Where the whole word begins and ends of which a span is a part, or which it holds with what stands around it.

    Of several words in the span the one that begins most like the lemma, of none the nearest one.

    Raises Wrong for a sentence without words.
    """
    words = [match.span() for match in WORD.finditer(sentence)]
    if not words:
        raise Wrong(f"no word in the sentence {sentence!r}; mend or delete the row")
    touched = [(first, last) for first, last in words if first < end and start < last]
    if not touched:
        return list(min(words, key=lambda span: max(span[0] - start, start - span[1])))
    return list(max(touched, key=lambda span: _alike(sentence[slice(*span)], lemma)))


def _alike(word: str, lemma: str) -> int:
    return len(os.path.commonprefix([word.lower(), lemma.lower()]))


def flat(raw: Any) -> list[Any]:
    """A row of RWSD as the Hub has it, where the keys of `target` stand beside the others.

    Raises Wrong for an absent `target`.
    """
    target = value(raw, "target", dict)
    return [{**raw, **target}]


def rwsd(raw: Mapping[str, Any], labelled: bool) -> dict:
    """`id`, `idx`, `text`, the places of two phrases, `span` and `span_2`, the phrases, `span_text` and `span_2_text`,
    and `label`, whether the second speaks of the first.

    Raises Wrong for an absent key and an unknown label.
    """
    idx, sentence = number(raw), value(raw, "text", str)
    phrases = [text(raw, f"span{which}_text") for which in (1, 2)]
    spans = [
        phrase_at(sentence, phrase, number(raw, f"span{which}_index")) for which, phrase in enumerate(phrases, start=1)
    ]
    place = label(raw, LABELS["rwsd"], labelled)
    return {
        "id": str(idx),
        "idx": idx,
        "text": sentence,
        "span": spans[0],
        "span_2": spans[1],
        "span_text": phrases[0],
        "span_2_text": phrases[1],
        "label": None if place is None else LABELS["rwsd"][place],
    }


def phrase_at(sentence: str, phrase: str, index: int) -> list[int]:
    """Where a phrase begins and ends: of its places, first those of whole words, the nearest to the word `index`.

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
