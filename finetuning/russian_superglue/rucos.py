"""RuCoS: news with entities, one of which a query leaves out."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from finetuning import metrics
from finetuning.formats.values import Wrong, number, text, value
from finetuning.russian_superglue.tasks import PLACEHOLDER

HIGHLIGHT = re.compile(r"\s*@highlight\s*")


class QueryScores(metrics.AnswerScores):
    """Those of SQuAD as shares of 1. A query without a right answer counts 0, since no entity is empty."""

    names = ("f1", "exact_match")

    def _compute(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
        return {name: figure / 100 for name, figure in super()._compute(predictions, references).items()}


def queries(raw: Any) -> list[dict]:
    """A row of the Hub for each query of a passage of a file, whose entities are places of its text."""
    passage, found = value(raw, "passage", dict), []
    content = value(passage, "text", str)
    places = [(number(entity, "start"), number(entity, "end")) for entity in value(passage, "entities", list)]
    # The official scripts take `end` to be behind the last character, the reader of the sister task ReCoRD takes it to
    # be that character: whichever ends more words here.
    word_ends = {match.end() for match in re.finditer(r"\w+", content)}
    more = sum(end + 1 in word_ends for _, end in places) > sum(end in word_ends for _, end in places)
    entities = [content[start : max(end + more, 0)] for start, end in places]
    for query in value(raw, "qas", list):
        idx = {"passage": number(raw), "query": number(query)}
        shown = {"answers": query.get("answers") or []}  # the test file hides them or leaves them out
        answers = [value(answer, "text", str) for answer in value(shown, "answers", list)]
        texts = {"passage": content, "query": value(query, "query", str)}
        found.append({"idx": idx, **texts, "entities": entities, "answers": answers})
    return found


def make(raw: Mapping[str, Any], labelled: bool) -> dict:
    """`id`, `idx`, the passage as `text`, `query`, `choices`, the right `answers`, the first right choice as `label`.

    `choices` are the distinct entities in order; the label is None where none of them is an answer. `idx` is the
    passage's, by which submissions go, since a passage has one query; `id` is unique for each query.
    Raises Wrong for an absent key, a query that leaves nothing out, no entity, and no answer if `labelled`.
    """
    ids, query = value(raw, "idx", dict), text(raw, "query")
    idx = number(ids, "passage")
    if PLACEHOLDER not in query:
        raise Wrong(f"the query has no {PLACEHOLDER}; mend the query or delete the row")
    choices, answers = (_distinct(value(raw, key, list)) for key in ("entities", "answers"))
    if not choices:
        raise Wrong("no entity; fill in `entities` or delete the row")
    if labelled and not answers:
        raise Wrong("no `answers`; fill them in or delete the row")
    return {
        "id": f"{idx}-{number(ids, 'query')}",
        "idx": idx,
        "text": HIGHLIGHT.sub("\n", value(raw, "passage", str)).strip(),
        "query": query,
        "choices": list(choices.values()),
        "answers": list(answers.values()),
        "label": next((place for place, choice in enumerate(choices) if choice in answers), None),
    }


def _distinct(surfaces: Sequence[str]) -> dict[str, str]:
    """By what the metric compares of a text, its first surface without the white space around it; texts of nothing but
    punctuation are left out."""
    found: dict[str, str] = {}
    for surface in surfaces:
        found.setdefault(metrics.normalised(surface), surface.strip())
    found.pop("", None)
    return found
