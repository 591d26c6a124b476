"""A generator of a small Russian corpus with grammar to learn: gender, number, case, person, and who does what.

Every line is drawn from templates. Adjectives, verbs, pronouns, and numerals agree with their nouns, often at a
distance; which objects a person deals with is a matter of habit, so that context tells more than grammar alone.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

CASES = ("nominative", "genitive", "dative", "accusative", "instrumental", "prepositional")
PLURAL = "plural"

# Endings of the six cases, singular then plural. Where the accusative is None it is the genitive of what is animate,
# else the nominative.
NOUN_ENDINGS = {
    "masculine": (("", "а", "у", None, "ом", "е"), ("ы", "ов", "ам", None, "ами", "ах")),
    "feminine": (("а", "ы", "е", "у", "ой", "е"), ("ы", "", "ам", None, "ами", "ах")),
    "neuter": (("о", "а", "у", "о", "ом", "е"), ("а", "", "ам", None, "ами", "ах")),
}
ADJECTIVE_ENDINGS = {
    "masculine": ("ый", "ого", "ому", None, "ым", "ом"),
    "feminine": ("ая", "ой", "ой", "ую", "ой", "ой"),
    "neuter": ("ое", "ого", "ому", "ое", "ым", "ом"),
    PLURAL: ("ые", "ых", "ым", None, "ыми", "ых"),
}
PAST_ENDINGS = {"masculine": "", "feminine": "а", "neuter": "о", PLURAL: "и"}
PRONOUNS = {"masculine": "он", "feminine": "она", "neuter": "оно", PLURAL: "они"}
DEMONSTRATIVES = {"masculine": "этот", "feminine": "эта", "neuter": "это", PLURAL: "эти"}
PERSONS = {"я": "ю", "ты": "ешь", "мы": "ем", "вы": "ете", "они": "ют"}

PEOPLE = {
    "masculine": "студент инженер министр монтёр водолаз актёр президент фотограф кассир моряк",
    "feminine": "актриса балерина учительница певица соседка бабушка дама художница",
}
THINGS = {
    "masculine": "стол журнал телефон билет роман чемодан договор автобус завод экзамен магазин мотор",
    "feminine": "газета картина машина ракета монета комната школа почта больница работа конфета гитара",
    "neuter": "лекарство блюдо болото слово место правило чувство средство государство издательство",
}
ADJECTIVES = (
    "новый старый красивый белый чёрный красный добрый умный весёлый сильный интересный полезный важный скромный"
)
PAST_VERBS = "увидел купил потерял описал проверил получил выбрал показал забыл нарисовал"
PRESENT_VERBS = "чита покупа обсужда собира выбира изуча проверя вспомина"
PLACES = "комната школа магазин больница автобус издательство"
PREPOSITIONS = {"без": "genitive", "для": "genitive", "по": "dative", "с": "instrumental", "о": "prepositional"}
NUMERALS = {
    "два": ("genitive", False),
    "три": ("genitive", False),
    "пять": ("genitive", True),
    "семь": ("genitive", True),
}
# What the plain endings would spell wrongly after к and ц, and genitives plural with a vowel of their own.
SPELLING = {"кы": "ки", "цой": "цей"}
FLEETING = {"соседк": "соседок", "бабушк": "бабушек"}


@dataclass(frozen=True)
class Noun:
    """A noun of one of three genders by its stem."""

    stem: str
    gender: str
    animate: bool

    def form(self, case: str, plural: bool = False) -> str:
        """The noun in a case and number."""
        endings = NOUN_ENDINGS[self.gender][plural]
        index = CASES.index(case)
        ending = endings[index]
        if ending is None:
            return self.form("genitive" if self.animate else "nominative", plural)
        form = self.stem + ending
        if plural and case == "genitive":
            form = FLEETING.get(self.stem, form)
        for wrong, right in SPELLING.items():
            form = form.replace(wrong, right)
        return form

    def forms(self) -> set[str]:
        """Every form that the noun has."""
        return {self.form(case, plural) for case in CASES for plural in (False, True)}

    def agreement(self, plural: bool) -> str:
        """What adjectives and past verbs agree with: the gender, or the plural."""
        return PLURAL if plural else self.gender


def _nouns(table: dict[str, str], animate: bool) -> list[Noun]:
    endings = {"masculine": "", "feminine": "а", "neuter": "о"}
    return [
        Noun(word.removesuffix(endings[gender]) if endings[gender] else word, gender, animate)
        for gender, words in table.items()
        for word in words.split()
    ]


def adjective(word: str, noun: Noun, case: str, plural: bool) -> str:
    """An adjective, given in the masculine, in agreement with a noun."""
    endings = ADJECTIVE_ENDINGS[noun.agreement(plural)]
    ending = endings[CASES.index(case)]
    if ending is None:
        ending = endings[1 if noun.animate else 0]
    return word.removesuffix("ый") + ending


class Grammar:
    """Draws lines. Equal seeds give equal lines."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.people, self.things = _nouns(PEOPLE, True), _nouns(THINGS, False)
        self.adjectives, self.past, self.present = ADJECTIVES.split(), PAST_VERBS.split(), PRESENT_VERBS.split()
        self.places = [noun for noun in self.things if noun.form("nominative") in PLACES.split()]
        habits = random.Random(1)  # of the language, not of one corpus
        self.objects = {person: habits.sample(self.things, 3) for person in self.people}
        self.qualities = {thing: habits.sample(self.adjectives, 3) for thing in self.people + self.things}
        self.deeds = {person: habits.sample(self.past, 3) for person in self.people}

    def line(self) -> str:
        """One line of text: a statement or a short dialogue."""
        template = self.random.choice(
            [self.deed, self.deed, self.where, self.possession, self.dialogue, self.quality, self.topic]
        )
        text = template()
        return text[0].upper() + text[1:]

    def deed(self) -> str:
        """Somebody did something to a thing, perhaps somewhere."""
        person, plural = self.pick(self.people), self.random.random() < 0.3
        verb = self.did(self.pick(self.deeds[person]), person, plural)
        thing = self.pick(self.objects[person])
        words = [self.described(person, "nominative", plural), verb, self.described(thing, "accusative", self.many())]
        if self.random.random() < 0.4:
            place = "в " + self.described(self.pick(self.places), "prepositional", False)
            words = [place, words[1], words[0], words[2]] if self.random.random() < 0.5 else [*words, place]
        return " ".join(words) + "."

    def where(self) -> str:
        """A question and an answer with a pronoun."""
        thing, plural = self.pick(self.things), self.many()
        agreement = thing.agreement(plural)
        place = self.described(self.pick(self.places), "prepositional", False)
        return f"где {self.described(thing, 'nominative', plural)}? — {PRONOUNS[agreement].capitalize()} в {place}."

    def possession(self) -> str:
        """A numeral that governs the case and number of what is counted."""
        person = self.pick(self.people)
        numeral = self.pick(list(NUMERALS))
        case, plural = NUMERALS[numeral]
        owner = self.described(person, "genitive", self.many())
        return f"у {owner} есть {numeral} {self.pick(self.objects[person]).form(case, plural)}."

    def dialogue(self) -> str:
        """A question to one person and the answer in another person."""
        verb, thing = self.pick(self.present), self.pick(self.things)
        asked, answering = self.pick([("ты", "я"), ("вы", "мы"), ("они", "они")])
        described = self.described(thing, "accusative", self.many())
        other = self.described(self.pick(self.things), "accusative", self.many())
        reply = self.pick(
            [f"Да, {answering} {verb}{PERSONS[answering]}", f"Нет, {answering} {verb}{PERSONS[answering]} {other}"]
        )
        return f"{asked} {verb}{PERSONS[asked]} {described}? — {reply}."

    def quality(self) -> str:
        """A demonstrative, a noun, and an adjective that agree."""
        thing, plural = self.pick(self.things + self.people), self.many()
        first, second = self.random.sample(self.qualities[thing], 2)
        demonstrative = DEMONSTRATIVES[thing.agreement(plural)]
        predicate = (
            f"{adjective(first, thing, 'nominative', plural)} и {adjective(second, thing, 'nominative', plural)}"
        )
        return f"{demonstrative} {thing.form('nominative', plural)} — {predicate}."

    def topic(self) -> str:
        """Prepositions that govern cases."""
        person, plural = self.pick(self.people), self.many()
        preposition = self.pick(list(PREPOSITIONS))
        thing = self.pick(self.objects[person])
        verb = self.did(self.pick(["работал", "говорил", "мечтал"]), person, plural)
        governed = self.described(thing, PREPOSITIONS[preposition], self.many())
        if preposition == "о" and governed[0] in "аэиоу":
            preposition = "об"
        if preposition == "с" and governed[0] == "с" and governed[1] not in "аеиоуыя":
            preposition = "со"
        return f"{self.described(person, 'nominative', plural)} {verb} {preposition} {governed}."

    def did(self, verb: str, person: Noun, plural: bool) -> str:
        """A past verb, given in the masculine, in agreement with who did it."""
        return verb + PAST_ENDINGS[person.agreement(plural)]

    def described(self, noun: Noun, case: str, plural: bool) -> str:
        """The noun, often with an adjective that suits it."""
        form = noun.form(case, plural)
        if self.random.random() < 0.6:
            return f"{adjective(self.pick(self.qualities[noun]), noun, case, plural)} {form}"
        return form

    def many(self) -> bool:
        """Whether to speak of several."""
        return self.random.random() < 0.35

    def pick(self, options: list):
        """One of the options, evenly."""
        return self.random.choice(options)


def generate(lines: int, seed: int) -> Iterator[str]:
    """Distinct lines of text, so that none set aside was trained on. Equal arguments give equal lines."""
    grammar = Grammar(seed)
    seen: set[str] = set()
    while len(seen) < lines:
        line = grammar.line()
        if line not in seen:
            seen.add(line)
            yield line
