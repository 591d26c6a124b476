"""RuCoS: news with entities, one of which a query leaves out."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from finetuning.formats.values import Wrong, number, text, value
from finetuning.metrics import normalised
from finetuning.russian_superglue.tasks import PLACEHOLDER

HIGHLIGHT = re.compile(r"\s*@highlight\s*")


def queries(raw: Any) -> list[dict]:
    """A row of the Hub for each query of a passage of a file, whose entities are places of its text.
    Raises Wrong for an absent key and for a passage without queries.
    """
    passage, found = value(raw, "passage", dict), []
    content = value(passage, "text", str)
    places = [(number(entity, "start"), number(entity, "end")) for entity in value(passage, "entities", list)]
    # As the official scripts read them: `end` is behind the last character.
    entities = [content[start : max(end, 0)] for start, end in places]
    for query in value(raw, "qas", list):
        texts = {"passage": content, "query": value(query, "query", str)}
        idx = {"passage": number(raw), "query": number(query)}
        found.append({"idx": idx, **texts, "entities": entities, "answers": _answers(query)})
    if not found:
        raise Wrong("`qas` is empty; fill it in or delete the row")
    return found


def _answers(query: Mapping[str, Any]) -> list[str]:
    """The texts of the answers, which the test file hides or leaves out."""
    answers = value(query, "answers", list) if query.get("answers") is not None else []
    return [value(answer, "text", str) for answer in answers]


def rucos(raw: Mapping[str, Any], labelled: bool) -> dict:
    """`id`, `idx`, the passage as `text`, `query`, `choices`, the right `answers`, the first right choice as `label`.

    `choices` are the distinct entities in order; the label is None where none of them is an answer. `idx` is the
    passage's, by which submissions go, since a passage has one query; `id` tells several apart.
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
    right = {normalised(answer) for answer in answers}
    return {
        "id": f"{idx}-{number(ids, 'query')}",
        "idx": idx,
        "text": HIGHLIGHT.sub("\n", value(raw, "passage", str)).strip(),
        "query": query,
        "choices": choices,
        "answers": answers,
        "label": next((place for place, choice in enumerate(choices) if normalised(choice) in right), None),
    }


def _distinct(surfaces: Iterable[Any]) -> list[str]:
    """Each text once as the metric compares them, by its first surface without the white space around it.

    Those of nothing but white space and punctuation are left out.
    """
    found: dict[str, str] = {}
    for surface in surfaces:
        if not isinstance(surface, str):
            raise Wrong(f"{type(surface).__name__} among the entities or answers; mend the row")
        found.setdefault(normalised(surface), surface.strip())
    found.pop("", None)
    return list(found.values())
