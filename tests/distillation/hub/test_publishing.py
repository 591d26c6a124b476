"""What a card takes over from the model that another was made of."""

import pytest

from distillation.config.arguments import CardArguments
from distillation.hub import publishing as publish

CARD = "---\nlanguage: [ru, uk]\nlicense: cc-by-4.0\n---\n# teacher\n"


@pytest.fixture
def made_of(tmp_path):
    """The facts of a student whose teacher's card holds a text; None for no card."""
    teacher, student = tmp_path / "teacher", tmp_path / "student"
    for folder in (teacher, student):
        folder.mkdir()
    (student / "model.safetensors").write_bytes(b"12345")

    def facts(card, source=teacher, **options):
        if card is not None:
            (teacher / "README.md").write_text(card, encoding="utf-8")
        return publish.card_facts(student, str(source), CardArguments(**options))

    return facts


def test_languages_and_licence_are_the_teachers(made_of):
    """A student of a teacher under a licence that asks for something may not be given away under one that does not."""
    facts = made_of(CARD)
    assert facts["language"] == ["ru", "uk"] and facts["license"] == "cc-by-4.0" and facts["model_bytes"] == 5


def test_the_user_knows_better(made_of):
    facts = made_of(CARD, language=["be"], license="mit", base_model="me/teacher")
    assert (facts["language"], facts["license"], facts["base_model"]) == (["be"], "mit", "me/teacher")


@pytest.mark.parametrize("card", [None, "# no front matter", "---\n- [\n---\n", "\x00"])
def test_a_teacher_without_a_card(made_of, card):
    facts = made_of(card)
    assert (facts["language"], facts["license"], facts["base_model"]) == ("ru", "unknown", None)


def test_a_teacher_on_the_hub_that_cannot_be_asked(made_of):
    facts = made_of(None, source="someone/teacher")
    assert facts["base_model"] == "someone/teacher" and facts["license"] == "unknown"
