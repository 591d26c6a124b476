"""What the demo's nine tasks ask about: examples of the grammar that the demo's models were trained on, each with an
answer that follows from its texts. An example has the keys of the official files but `idx`."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from distillation.demo.resolve import Grammar  # holds the state of the drawing: equal seeds give equal texts
from finetuning.demo.texts import Event, event

Example = dict[str, Any]
PRONOUNS = {"masculine": "он", "feminine": "она", "neuter": "оно"}


def terra(grammar: Grammar) -> Example:
    """Entailed is a part of the premise; not entailed is one with another thing or another deed."""
    told, entailed = event(grammar), grammar.random.random() < 0.5
    hypothesis = _part(grammar, told if entailed else _changed(grammar, told))
    label = "entailment" if entailed else "not_entailment"
    return {"premise": _story(grammar, [told])[0], "hypothesis": hypothesis, "label": label}


def lidirus(grammar: Grammar) -> Example:
    """As in TERRa; some are not entailed by a negation. With features, of which some have several values."""
    example = terra(grammar)
    example = {"sentence1": example["premise"], "sentence2": example["hypothesis"], "label": example["label"]}
    if grammar.random.random() < 0.2:
        told = event(grammar)
        denied = _capitalised(f"{told.who} не {told.did} {told.what}.")
        example = {"sentence1": told.statement(), "sentence2": denied, "label": "not_entailment"}
        return example | {"logic": grammar.pick(["Negation", "Negation;Conditionals"])}
    return example | {"lexical-semantics": "Lexical entailment"}


def rcb(grammar: Grammar) -> Example:
    """A part of the premise, its denial, or another deed of anybody."""
    told, label = event(grammar), grammar.pick(["entailment", "contradiction", "neutral"])
    hypothesis = _part(grammar, told)
    if label == "contradiction":
        hypothesis = _capitalised(f"{told.who} не {told.did} {told.what}.")
    elif label == "neutral":
        hypothesis = _part(grammar, _other(grammar, told))
    row = {"premise": _story(grammar, [told])[0], "label": label, "hypothesis": hypothesis, "verb": told.verb}
    return row | {"negation": "no_negation", "genre": "demo"}


def parus(grammar: Grammar) -> Example:
    """The right choice speaks of the thing of the premise, the other of another thing."""
    told, label = event(grammar), grammar.random.randrange(2)
    other = grammar.pick([thing for thing in grammar.things if thing != told.thing])
    right, wrong = (_quality(grammar, thing) for thing in (told.thing, other))
    choices = [wrong, right] if label else [right, wrong]
    row = {"premise": told.statement(), "choice1": choices[0], "choice2": choices[1]}
    return row | {"question": grammar.pick(["cause", "effect"]), "label": label}


def danetqa(grammar: Grammar) -> Example:
    """Whether the passage tells of the deed, or of another thing or deed of the same people."""
    told, yes = event(grammar), grammar.random.random() < 0.6
    asked = told if yes else _changed(grammar, told)
    question = _capitalised(f"{asked.did} ли {asked.who} {asked.what}?")
    return {"question": question, "passage": _story(grammar, [told])[0], "label": yes}


def russe(grammar: Grammar) -> Example:
    """A thing in two sentences has one sense if its adjective is one. Spans are exact."""
    thing, same = grammar.pick(grammar.things), grammar.random.random() < 0.4
    first, second = grammar.random.sample(grammar.qualities[thing], 2)
    row = {"idx": None, "word": thing.form("nominative")}
    for which, quality in enumerate((first, first if same else second), start=1):
        told, plural = event(grammar), grammar.many()
        noun = thing.form("accusative", plural)
        begin = f"{told.who} {told.did} {_adjective(grammar, quality, thing, 'accusative', plural)} "
        row[f"sentence{which}"] = _capitalised(begin + noun + grammar.pick(["", "", f" {told.where}", ", да"]))
        row |= {f"start{which}": len(begin), f"end{which}": len(begin + noun)}
    senses = {"gold_sense1": 1, "gold_sense2": 1 if same else 2}
    return row | {"label": same, **senses}


def rwsd(grammar: Grammar) -> Example:
    """A pronoun stands for the one of two nouns that it agrees with."""
    person, thing = grammar.pick(grammar.people), grammar.pick(grammar.things)
    while person.gender == thing.gender:
        thing = grammar.pick(grammar.things)
    meant, asked = grammar.pick([person, thing]), grammar.pick([person, thing])
    verb, noun = grammar.did(grammar.pick(grammar.deeds[person]), person, False), thing.form("accusative")
    quality = _adjective(grammar, grammar.pick(grammar.qualities[meant]), meant)
    pronoun = f"{PRONOUNS[meant.gender]} {grammar.did('был', meant, False)}"
    text = _capitalised(f"{person.form('nominative')} {verb} {noun}, потому что {pronoun} {quality}.")
    span = (text.split()[0], 0) if asked == person else (noun, 2)  # the word at 2 has a comma, the phrase has not
    target = {"span1_text": span[0], "span1_index": span[1], "span2_text": pronoun, "span2_index": 5}
    return {"text": text, "target": target, "label": asked == meant}


def muserc(grammar: Grammar) -> Example:
    """Who did it and what, with right answers from the passage and others that it does not hold."""
    first = event(grammar)
    told = [first, _other(grammar, first)]
    passage, sentences = _story(grammar, told)
    numbered = " ".join(f"({number}) {sentence}" for number, sentence in enumerate(sentences, start=1))
    questions = []
    for one in told:
        for question, right, nouns, case in (
            (f"Кто {one.verb} {one.what}?", one.who, grammar.people, "nominative"),
            (f"Что {one.did} {one.who}?", one.what, grammar.things, "accusative"),
        ):
            absent = [noun for noun in nouns if noun.forms().isdisjoint(re.findall(r"\w+", passage.lower()))]
            wrong = [noun.form(case) for noun in grammar.random.sample(absent, grammar.pick([1, 2, 3]))]
            answers = [(right, 1), (right.split()[-1], 1)][: 1 + (" " in right)] + [(text, 0) for text in wrong]
            grammar.random.shuffle(answers)
            questions.append((question, [(_capitalised(text) + ".", label) for text, label in answers]))
    return {"text": numbered, "questions": questions}


def rucos(grammar: Grammar) -> Example:
    """Which of the people of a passage did what the query tells with the place first."""
    first = event(grammar)
    told = [first, _other(grammar, first)]
    passage, sentences = _story(grammar, told)
    text = f"{passage}\n@highlight\n{grammar.pick(sentences)}"
    entities = []
    for one in told:
        places = [match.span() for match in re.finditer(rf"\b{one.who}\b", text, re.IGNORECASE)]
        entities += [{"start": start, "end": end} for start, end in places]
    asked = grammar.pick(told)
    query = _capitalised(" ".join([asked.where, asked.did, "@placeholder", asked.what]) + ".")
    answers = [span | {"text": text[span["start"] : span["end"]]} for span in entities]
    answers = [answer for answer in answers if answer["text"].lower() == asked.who]
    entities.sort(key=lambda span: span["start"])
    return {"text": text, "entities": entities, "query": query, "answers": answers}


EXAMPLES: dict[str, Callable[[Grammar], Example]] = {
    "lidirus": lidirus,
    "rcb": rcb,
    "parus": parus,
    "muserc": muserc,
    "terra": terra,
    "russe": russe,
    "rwsd": rwsd,
    "danetqa": danetqa,
    "rucos": rucos,
}


def distinct(grammar: Grammar, task: str, number: int) -> list[Example]:
    """That many examples, no two of which have the same texts."""
    found: dict[str, Example] = {}
    while len(found) < number:
        example = EXAMPLES[task](grammar)
        texts = [value for key, value in example.items() if isinstance(value, str) and key != "label"]
        found[" | ".join(texts) + str(example.get("target", ""))] = example
    return list(found.values())


def _part(grammar: Grammar, told: Event) -> str:
    """A sentence of some parts of a statement."""
    parts = grammar.pick([("who", "did", "what"), ("where", "did", "who"), ("who", "did", "where")])
    return _capitalised(" ".join(getattr(told, part) for part in parts) + ".")


def _changed(grammar: Grammar, old: Event) -> Event:
    """Another deed of the same people with another thing elsewhere."""
    new = old
    while new.thing == old.thing or new.verb == old.verb or new.where == old.where:
        new = event(grammar, old.person, old.several)
    return replace(new, who=old.who)


def _other(grammar: Grammar, old: Event) -> Event:
    """Another deed of other people with another thing elsewhere."""
    new = old
    while new.person == old.person or new.thing == old.thing or new.where == old.where or new.verb == old.verb:
        new = event(grammar)
    return new


def _quality(grammar: Grammar, thing: Any) -> str:
    first, second = grammar.random.sample(grammar.qualities[thing], 2)
    described = f"{_adjective(grammar, first, thing)} и {_adjective(grammar, second, thing)}"
    return _capitalised(f"{thing.form('nominative')} — {described}.")


def _adjective(grammar: Grammar, quality: str, noun: Any, case: str = "nominative", plural: bool = False) -> str:
    """An adjective, given in the masculine, in agreement with a noun that it suits."""
    phrase = ""
    while not phrase.startswith(quality.removesuffix("ый")):
        phrase = grammar.described(noun, case, plural)
    return phrase.split()[0]


def _story(grammar: Grammar, told: list[Event]) -> tuple[str, list[str]]:
    """The statements and one or two others in any order, as a text and as sentences."""
    others = [grammar.quality, grammar.possession, grammar.topic]
    sentences = [one.statement(place_first=grammar.random.random() < 0.5) for one in told]
    sentences += [_capitalised(grammar.pick(others)()) for _ in range(grammar.pick([1, 2]))]
    grammar.random.shuffle(sentences)
    return " ".join(sentences), sentences


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]
