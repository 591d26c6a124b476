"""Texts with the character spans of their entities, as labelling tools export them in JSON lines."""

import logging
import unicodedata
from collections.abc import Iterable
from typing import Any

from finetuning.formats.values import Wrong, collect, value, without_halves
from finetuning.tasks.bio_spans import encode, spans_of_words, words_of

NAMES = ("spans", "entities", "label", "labels")  # what tools call the spans
KEYS = (("start", "start_offset"), ("end", "end_offset"), ("label", "type", "labels"))  # and what is in one
ANSWER, REFUSED = "answer", ("reject", "ignore")  # of Prodigy: rows that were not accepted

logger = logging.getLogger(__name__)


def rows(name: str, raws: Iterable[tuple[str, Any]], text_column: str, spans_column: str | None) -> list[dict]:
    """A row for each text: `id`, its number from 1; `text`; `words`, the spans of words and single signs; `tags`.

    A span is a list of start, end, and label, or an object with these; of the text it takes whole words. Of spans that
    share a word the longest stays. The log says how many are dropped, how many begin or end inside a word, and how
    many texts have no such key: they are taken as texts without an entity. Half of a surrogate pair becomes U+FFFD.
    spans_column: None for one of NAMES. Rows that were rejected in Prodigy are left out, and counted.
    Raises UserError with the place of a span that is none, or is not in its text.
    """
    dropped, lacking, widened, count, made = 0, 0, [], 0, []
    names = [spans_column] if spans_column else NAMES
    raws = list(raws)
    accepted = [(place, raw) for place, raw in raws if raw.get(ANSWER) not in REFUSED]
    if rejected := len(raws) - len(accepted):
        logger.warning("%s: %d rows whose `%s` is no `accept` are left out", name, rejected, ANSWER)

    def make(raw: Any) -> list[dict]:
        nonlocal dropped, lacking, count
        text = without_halves(value(raw, text_column, str))[0]
        lacking += raw.keys().isdisjoint(names)
        found = next((raw[one] for one in names if raw.get(one) is not None), [])
        if not isinstance(found, list):
            raise Wrong(f"the spans are {type(found).__name__} and no list of [start, end, label]")
        entities, words = [_entity(span, text) for span in found], words_of(text)
        spans = spans_of_words(entities, words)
        starts, ends = ({word[side] for word in words} for side in (0, 1))
        count += len(entities)
        widened.extend(text[start:end] for start, end, _ in entities if start not in starts or end not in ends)
        dropped += len(entities) - len(spans)
        made.append({"id": str(len(made) + 1), "text": text, "words": words, "tags": encode(spans, len(words))})
        return made[-1:]

    found = collect(name, accepted, make)
    if lacking:
        logger.warning("%s: %d rows have no `%s`: taken as texts without an entity", name, lacking, "`, `".join(names))
    if widened:
        logger.warning(
            "%s: %d of %d entities begin or end inside a word, and take the whole: are `start` and `end` right? The "
            "first: %r",
            name,
            len(widened),
            count,
            widened[0],
        )
    if dropped:
        logger.warning("%s: %d entities dropped, as they overlap longer ones or hold no word", name, dropped)
    return found


def _entity(span: Any, text: str) -> tuple[int, int, str]:
    """Start, end, and label of a span. Raises Wrong."""
    parts = span
    if isinstance(span, dict):
        parts = [next((span[name] for name in names if name in span), None) for names in KEYS]
        if isinstance(parts[2], list) and len(parts[2]) == 1:  # as Label Studio has it
            parts[2] = parts[2][0]
    if not isinstance(parts, list) or [type(part) for part in parts] != [int, int, str] or not parts[2].strip():
        raise Wrong(f"the span {span!r} is no [start, end, label]; mend it")
    start, end, label = parts
    if not 0 <= start < end <= len(text):
        raise Wrong(f"the span {span!r} is not in the text, which has {len(text):,} characters; mend it")
    return start, end, unicodedata.normalize("NFC", label).strip()
