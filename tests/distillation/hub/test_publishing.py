"""What a card takes over from the model that another was made of."""

import pytest
from transformers import TrainingArguments

from distillation.config.arguments import CardArguments, PushArguments
from distillation.config.errors import UserError
from distillation.hub import publishing
from distillation.hub.publishing import card_facts

CARD = "---\nlanguage: [ru, uk]\nlicense: cc-by-4.0\n---\n# teacher\n"
KNOWN = {"language": ["be"], "license": "mit", "base_model": "me/teacher"}


@pytest.mark.parametrize(
    ("card", "given", "expected"),
    [
        # Of a teacher under a licence that asks for something no student may be given away under one that does not.
        (CARD, {}, (["ru", "uk"], "cc-by-4.0", None)),
        (CARD, KNOWN, tuple(KNOWN.values())),
        ("---\n- [\n---\n", {}, ("ru", "unknown", None)),
        ("---\nlanguage: ~\nlicense: null\n---\n", {}, ("ru", "unknown", None)),  # templates have such lines
        ("\ufeff---\r\nlanguage: on\r\nlicense: 'mit '\r\n---\r\n", {}, ("on", "mit", None)),
    ],
)
def test_languages_and_licence_are_the_teachers_unless_the_user_knows_better(tmp_path, card, given, expected):
    for file, text in (("model.safetensors", "12345"), ("README.md", card)):
        (tmp_path / file).write_text(text, encoding="utf-8")
    facts = card_facts(tmp_path, str(tmp_path), CardArguments(**given))
    assert (facts["language"], facts["license"], facts["base_model"], facts["model_bytes"]) == (*expected, 5)
    assert card_facts(tmp_path, "someone/asleep", CardArguments())["base_model"] == "someone/asleep"


@pytest.mark.parametrize(("resumed", "may"), [(None, False), ("false", False), ("true", True), ("some/one", True)])
def test_a_resumed_run_may_replace_what_it_has_pushed(monkeypatch, tmp_path, resumed, may):
    reserved = []
    monkeypatch.setattr(publishing, "reserve", lambda training, overwrite: reserved.append(overwrite))
    training = TrainingArguments(str(tmp_path), push_to_hub=True, resume_from_checkpoint=resumed, use_cpu=True)
    publishing.check_push(training, PushArguments())
    assert reserved == [may]


def test_norwegian_is_no_boolean_and_a_licence_of_its_own_keeps_its_name(tmp_path, monkeypatch):
    """YAML 1.1 reads `no` as false. `license: other` means nothing without the rest; its link may be a file beside the
    teacher's card."""
    card = "---\nlanguage:\n- ru\n- no\nlicense: other\nlicense_name: own\nlicense_link: LICENSE.md\n---\n"
    for file, text in (("model.safetensors", "12345"), ("README.md", card)):
        (tmp_path / file).write_text(text, encoding="utf-8")
    monkeypatch.setattr(publishing, "hf_hub_download", lambda *_: tmp_path / "README.md")
    facts = card_facts(tmp_path, "me/teacher", CardArguments())
    assert (facts["language"], facts["license"], facts["license_name"]) == (["ru", "no"], "other", "own")
    assert facts["license_link"] == "https://huggingface.co/me/teacher/blob/main/LICENSE.md"
    assert card_facts(tmp_path, str(tmp_path), CardArguments())["license_link"] == "LICENSE.md"
    assert "license_name" not in card_facts(tmp_path, "me/teacher", CardArguments(license="mit"))


def test_a_language_is_a_code():
    """The Hub would refuse the card after the training."""
    assert CardArguments(language=["ru", "zh-Hant", "multilingual"])
    with pytest.raises(UserError, match="`language` 'русский' is no code"):
        CardArguments(language=["русский"])
