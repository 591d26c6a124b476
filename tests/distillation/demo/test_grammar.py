"""The Russian of the embedded demo: right forms, and agreement in what is generated."""

import itertools
import re

import pytest

from distillation.demo.grammar import CASES, Grammar, Noun, adjective, generate

FORMS = {  # nominative, genitive, dative, accusative, instrumental, prepositional; singular, then plural
    Noun("студент", "masculine", True): (
        "студент студента студенту студента студентом студенте",
        "студенты студентов студентам студентов студентами студентах",
    ),
    Noun("моряк", "masculine", True): (
        "моряк моряка моряку моряка моряком моряке",
        "моряки моряков морякам моряков моряками моряках",
    ),
    Noun("журнал", "masculine", False): (
        "журнал журнала журналу журнал журналом журнале",
        "журналы журналов журналам журналы журналами журналах",
    ),
    Noun("соседк", "feminine", True): (
        "соседка соседки соседке соседку соседкой соседке",
        "соседки соседок соседкам соседок соседками соседках",
    ),
    Noun("певиц", "feminine", True): (
        "певица певицы певице певицу певицей певице",
        "певицы певиц певицам певиц певицами певицах",
    ),
    Noun("газет", "feminine", False): (
        "газета газеты газете газету газетой газете",
        "газеты газет газетам газеты газетами газетах",
    ),
    Noun("болот", "neuter", False): (
        "болото болота болоту болото болотом болоте",
        "болота болот болотам болота болотами болотах",
    ),
}
PEOPLE = {
    "": "студент инженер министр монтёр водолаз актёр президент фотограф кассир моряк",
    "а": "актриса балерина учительница певица соседка бабушка дама художница",
    "и": "студенты инженеры министры монтёры водолазы актёры президенты фотографы кассиры моряки "
    "актрисы балерины учительницы певицы соседки бабушки дамы художницы",
}
ENDINGS = {word: ending for ending, words in PEOPLE.items() for word in words.split()}
VERBS = "увидел купил потерял описал проверил получил выбрал показал забыл нарисовал работал говорил мечтал"
VERB = re.compile("|".join(VERBS.split()))
ADJECTIVE = {"": "ый", "а": "ая", "и": "ые"}


@pytest.fixture(scope="module")
def lines():
    return list(generate(3000, seed=11))


@pytest.mark.parametrize("noun", FORMS, ids=lambda noun: noun.stem)
def test_nouns_in_all_cases(noun):
    """A wrong ending would teach the demo's model a language that nobody speaks."""
    for plural, forms in enumerate(FORMS[noun]):
        assert [noun.form(case, bool(plural)) for case in CASES] == forms.split()
    assert noun.forms() == set(" ".join(FORMS[noun]).split())


def test_every_noun_has_its_dictionary_form():
    """The stems are cut off the listed words: what is cut must come back."""
    grammar = Grammar(0)
    singular = {noun.form("nominative") for noun in grammar.people}
    assert singular == set(PEOPLE[""].split() + PEOPLE["а"].split())
    assert {noun.form("nominative", True) for noun in grammar.people} == set(PEOPLE["и"].split())
    assert len(grammar.places) == 6


@pytest.mark.parametrize(
    ("stem", "gender", "animate", "plural", "forms"),
    [
        ("студент", "masculine", True, False, "новый нового новому нового новым новом"),
        ("стол", "masculine", False, False, "новый нового новому новый новым новом"),
        ("газет", "feminine", False, False, "новая новой новой новую новой новой"),
        ("болот", "neuter", False, False, "новое нового новому новое новым новом"),
        ("студент", "masculine", True, True, "новые новых новым новых новыми новых"),
        ("болот", "neuter", False, True, "новые новых новым новые новыми новых"),
    ],
)
def test_adjectives_agree_in_gender_number_case_and_animacy(stem, gender, animate, plural, forms):
    """The accusative follows what is animate, in the plural of every gender."""
    noun = Noun(stem, gender, animate)
    assert [adjective("новый", noun, case, plural) for case in CASES] == forms.split()


def test_past_verbs_and_adjectives_agree_with_their_subject(lines):
    """Agreement at a distance is what the demo's model has to learn; where it fails there is nothing to learn."""
    checked = adjectives = 0
    for line in lines:
        words = re.findall(r"\w+", line.lower())
        verbs = [i for i, word in enumerate(words) if VERB.match(word)]
        if not verbs:
            continue
        (verb,) = verbs
        # The subject stands before the verb or, behind a place, after it and perhaps an adjective.
        places = [verb - 1, *range(verb + 1, min(verb + 3, len(words)))]
        subject = next(i for i in places if words[i] in ENDINGS)
        ending = ENDINGS[words[subject]]
        assert VERB.sub("", words[verb]) == ending, line
        checked += 1
        before = words[subject - 1] if subject and subject - 1 != verb else ""
        if before:
            assert before.endswith(ADJECTIVE[ending]), line
            adjectives += 1
    assert checked > 1000 and adjectives > 300


def test_numerals_govern_number_and_case(lines):
    """Two and three take the genitive singular, five and seven the genitive plural."""
    counted = [match for line in lines if (match := re.search(r"есть (\w+) (\w+)\.", line))]
    forms = {(match[1] in ("два", "три"), match[2]) for match in counted}
    few, many = ({form for small, form in forms if small is which} for which in (True, False))
    assert {"журнала", "газеты", "болота"} & few and {"журналов", "газет", "болот"} & many
    assert not few & many


def test_lines_are_distinct_and_look_like_sentences(lines):
    """A line that comes twice may be both trained on and set aside."""
    assert len(set(lines)) == len(lines) == 3000
    assert all(re.fullmatch(r"[А-ЯЁ][а-яё—,?. А-Я]+\.", line) for line in lines)
    assert all("  " not in line for line in lines)


def test_equal_seeds_give_equal_lines(lines):
    """The demo's figures can be compared only if everybody's corpus is the same."""
    assert list(generate(300, seed=11)) == lines[:300]
    assert list(itertools.islice(generate(10**6, seed=11), 300)) == lines[:300]
    assert list(generate(300, seed=12)) != lines[:300]


def test_habits_are_those_of_the_language_and_not_of_one_corpus():
    """Lines set aside from one corpus, or generated with another seed, are of the same language."""
    assert Grammar(1).objects == Grammar(2).objects
    assert Grammar(1).deeds == Grammar(2).deeds
