"""What the demo's benchmarks ask about: labelled texts of the grammar that the demo's models were trained on."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from distillation.demo.resolve import Grammar  # holds the state of the drawing: equal seeds give equal texts

# Words, by their beginnings, that make a text positive or negative.
GOOD = tuple("красив добр умн весёл интересн полезн нарисовал".split())
BAD = tuple("стар чёрн скромн потерял забыл".split())
LABELS = {"neutral": 0.3, "positive": 0.2, "negative": 0.2, "skip": 0.15, "speech": 0.15}  # and their shares
ORGANISATIONS = "завод почта государство издательство".split()


@dataclass(frozen=True)
class Event:
    """Who did what and where, as phrases; `verb` is the masculine, `person` and `thing` are nouns."""

    person: Any
    several: bool
    verb: str
    thing: Any
    who: str
    did: str
    what: str
    where: str

    def parts(self, place_first: bool = False) -> list[str]:
        """The names of the phrases in one of two orders."""
        return ["where", "did", "who", "what"] if place_first else ["who", "did", "what", "where"]

    def statement(self, place_first: bool = False) -> str:
        """A sentence."""
        return _capitalised(" ".join(getattr(self, part) for part in self.parts(place_first)) + ".")


def event(grammar: Grammar, person: Any = None, several: bool | None = None) -> Event:
    """A deed somewhere, of somebody given or of anybody."""
    person = person or grammar.pick(grammar.people)
    several = grammar.random.random() < 0.3 if several is None else several
    verb, thing = grammar.pick(grammar.deeds[person]), grammar.pick(grammar.objects[person])
    who, did = grammar.described(person, "nominative", several), grammar.did(verb, person, several)
    what = grammar.described(thing, "accusative", grammar.many())
    where = "в " + grammar.described(grammar.pick(grammar.places), "prepositional", False)
    return Event(person, several, verb, thing, who, did, what, where)


def posts(grammar: Grammar, number: int) -> list[tuple[str, str]]:
    """Distinct posts as label and text; some of them have line breaks."""
    labels = [label for label, share in LABELS.items() for _ in range(round(share * number))]
    found: dict[str, str] = {}
    for index, label in enumerate(labels):
        text = _post(grammar, label)
        if index % 25 == 0:
            text += "\n" + _post(grammar, label)
        if index % 50 == 10:
            text += "\n"
        while text in found:
            text = _post(grammar, label)
        found[text] = label
    rows = [(label, text) for text, label in found.items()]
    grammar.random.shuffle(rows)
    return rows


def feeling(text: str) -> str | None:
    """The label of a well-formed text that thanks for nothing; None for a single hint and for mixed feelings."""
    words = re.findall(r"\w+", text.lower())
    good, bad = (sum(word.startswith(stems) for word in words) for stems in (GOOD, BAD))
    labels = {(True, False): "positive", (False, True): "negative", (False, False): "neutral"}
    return labels.get((good > 0, bad > 0)) if good + bad != 1 else None


def _post(grammar: Grammar, label: str) -> str:
    if label == "speech":
        whom = grammar.described(grammar.pick(grammar.people), "accusative", grammar.many())
        gift = grammar.described(grammar.pick(grammar.things), "accusative", grammar.many())
        return grammar.pick([f"Спасибо за {gift}.", f"Благодарю {whom} за {gift}.", f"Поздравляю {whom}."])
    line = grammar.line()
    if label == "skip":
        if grammar.random.random() < 0.5:  # a fragment
            return line[: grammar.random.randrange(4, len(line) - 4)].rstrip()
        words = line.split()
        while " ".join(words) == line:
            grammar.random.shuffle(words)
        return " ".join(words)
    while feeling(line) != label:
        line = grammar.line()
    return line


def pairs(grammar: Grammar, number: int) -> list[tuple[str, str, str]]:
    """Distinct pairs as class and two texts: 1, the same with the place moved to the front; 0, the same deed with
    another kind or number of things; -1, something else about the same people or the same thing."""
    found: dict[tuple[str, str], str] = {}
    while len(found) < number:
        first, label = event(grammar), grammar.pick(["-1", "-1", "0", "0", "1"])
        if label == "1":
            second = first.statement(place_first=True)
        else:
            second = _changed(grammar, first) if label == "0" else _other(grammar, first)
        found[first.statement(), second] = label
    return [(label, *texts) for texts, label in found.items()]


def _changed(grammar: Grammar, old: Event) -> str:
    """The same deed, its thing of another kind or number."""
    what = old.what
    while what == old.what:
        what = grammar.described(old.thing, "accusative", grammar.many())
    return replace(old, what=what).statement()


def _other(grammar: Grammar, old: Event) -> str:
    """Another deed of the same people, or any line about the thing."""
    if grammar.random.random() < 0.4:
        new = old
        while new.thing == old.thing or new.verb == old.verb:
            new = event(grammar, old.person, old.several)
        return replace(new, who=old.who).statement(place_first=grammar.random.random() < 0.5)
    forms, line = old.thing.forms(), ""
    while forms.isdisjoint(re.findall(r"\w+", line)) or old.verb in line:
        line = grammar.line()
    return line


def sentences(grammar: Grammar, number: int) -> list[list[tuple[str, str]]]:
    """Distinct sentences as words and tags: people are PER, what «в» stands before is LOC, and else an organisation is
    ORG; an adjective before the noun belongs to it."""
    organisations = [noun for noun in grammar.things if noun.form("nominative") in ORGANISATIONS]
    nouns = {"PER": grammar.people, "LOC": grammar.places, "ORG": organisations}
    forms = {kind: {form for noun in of_kind for form in noun.forms()} for kind, of_kind in nouns.items()}
    stems = tuple(word.removesuffix("ый") for word in grammar.adjectives)
    found: dict[str, list[tuple[str, str]]] = {}
    while len(found) < number:
        line = grammar.line()
        words = re.findall(r"\w+|[^\w\s]", line)
        lower, tags = [word.lower() for word in words], ["O"] * len(words)
        for place, word in enumerate(lower):
            first = place - (place > 0 and lower[place - 1].startswith(stems))
            located = first > 0 and lower[first - 1] == "в"
            for kind in ("PER", "LOC" if located else "ORG"):
                if word in forms[kind]:
                    tags[first : place + 1] = [f"B-{kind}", f"I-{kind}"][: place + 1 - first]
        found[line] = list(zip(words, tags, strict=True))
    return list(found.values())


def paragraphs(grammar: Grammar, questions: int, told: set[str]) -> Iterator[tuple[str, list[tuple[str, str, int]]]]:
    """Contexts with that many questions in all, each with its answer and the place of the answer's first character.

    told: contexts not to tell again; those told are added.
    """
    while questions:
        context, asked = "", []
        for statement in _story(grammar):
            context += " " if context else ""
            if isinstance(statement, Event):
                place_first = grammar.random.random() < 0.5
                asked += _questions(statement, place_first, len(context))
                context += statement.statement(place_first)
            else:
                context += _capitalised(statement)
        if context in told:
            continue
        told.add(context)
        asked = grammar.random.sample(asked, min(3, questions))
        questions -= len(asked)
        yield context, [(question, context[start:end], start) for question, start, end in asked]


def _story(grammar: Grammar) -> list[Event | str]:
    """Two to four statements: a deed that is asked about, perhaps another of other people and things so that each
    question has one answer, and what else there is to tell."""
    statements: list[Event | str] = [event(grammar)]
    if grammar.random.random() < 0.25:
        new = old = statements[0]
        while new.person == old.person or new.thing == old.thing:
            new = event(grammar)
        statements.append(new)
    others = [grammar.quality, grammar.possession, grammar.topic]
    statements += [grammar.pick(others)() for _ in range(grammar.pick([1, 2]))]
    grammar.random.shuffle(statements)
    return statements


def _questions(told: Event, place_first: bool, start: int) -> Iterator[tuple[str, int, int]]:
    """One question about each of three parts of a statement that begins at `start`, and where the part lies."""
    asking = {
        "who": f"Кто {told.verb} {told.what}?",
        "what": f"Что {told.did} {told.who}?",
        "where": f"Где {told.who} {told.did} {told.what}?",
    }
    for part in told.parts(place_first):
        end = start + len(getattr(told, part))
        if part in asking:
            yield asking[part], start, end
        start = end + 1


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]
