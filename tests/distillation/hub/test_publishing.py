"""What a card takes over from the model that another was made of."""

import pytest

from distillation.config.arguments import CardArguments
from distillation.hub.publishing import card_facts

CARD = "---\nlanguage: [ru, uk]\nlicense: cc-by-4.0\n---\n# teacher\n"
KNOWN = {"language": ["be"], "license": "mit", "base_model": "me/teacher"}


@pytest.mark.parametrize(
    ("card", "source", "given", "expected"),
    [
        # Of a teacher under a licence that asks for something no student may be given away under one that does not.
        (CARD, "teacher", {}, (["ru", "uk"], "cc-by-4.0", None)),
        (CARD, "teacher", KNOWN, tuple(KNOWN.values())),
        (None, "teacher", {}, ("ru", "unknown", None)),
        ("---\n- [\n---\n", "teacher", {}, ("ru", "unknown", None)),
        (None, "someone/asleep", {}, ("ru", "unknown", "someone/asleep")),
    ],
)
def test_languages_licence_and_name_are_the_teachers_unless_the_user_knows_better(
    tmp_path, monkeypatch, card, source, given, expected
):
    monkeypatch.chdir(tmp_path)
    for folder in ("teacher", "student"):
        (tmp_path / folder).mkdir()
    (tmp_path / "student" / "model.safetensors").write_bytes(b"12345")
    if card is not None:
        (tmp_path / "teacher" / "README.md").write_text(card, encoding="utf-8")
    facts = card_facts(tmp_path / "student", source, CardArguments(**given))
    assert (facts["language"], facts["license"], facts["base_model"], facts["model_bytes"]) == (*expected, 5)
