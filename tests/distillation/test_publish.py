"""What leaves the machine: a card whose figures are the run's, and no file that nobody asked for."""

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.utils import filter_repo_objects
from transformers import TrainingArguments

from distillation import publish
from distillation.arguments import ModelArguments, ObjectiveArguments

FIGURES = {
    "teacher": dict(loss=1.25, loss_per_character=0.5, masked_token_accuracy=0.75, masked_word_accuracy=0.625),
    "student": dict(loss=2.5, loss_per_character=1.0, masked_token_accuracy=0.5, masked_word_accuracy=0.375),
}
RESULTS = dict(
    parameters=1_234_567, steps=8, train_seconds=16.0, train_tokens_per_second=32.0, processes=1, device="CPU"
)


def card(teacher):
    return ModelCard(publish.model_card("tiny", RESULTS | {"recipe": {"teacher_name_or_path": teacher}}, FIGURES))


def test_card_of_a_teacher_on_the_hub():
    made = card("someone/teacher")
    assert made.data.base_model == "someone/teacher" and made.data.pipeline_tag == "fill-mask"
    assert "| student | 2.5000 | 1.0000 | 0.5000 | 0.3750 |" in made.text
    assert "1,234,567 parameters, distilled from `someone/teacher`" in made.text


def test_card_of_a_teacher_on_disk(tmp_path):
    """A path of this machine is no model on the Hub: the Hub would refuse the card."""
    made = card(str(tmp_path))
    assert made.data.base_model is None and f"distilled from `{tmp_path.name}`" in made.text


def test_card_without_a_teacher():
    assert "trained from scratch" in card(None).text


def test_table_by_hand():
    rows = publish.held_out_table(FIGURES).splitlines()
    assert rows[0].split() == "held-out text loss loss per character token accuracy word accuracy".split()
    assert rows[2].split() == ["student", "2.5000", "1.0000", "50.0%", "37.5%"]


def test_a_recipe_holds_what_was_set_and_no_token(tmp_path):
    training = TrainingArguments(str(tmp_path), learning_rate=0.25, hub_token="secret", use_cpu=True)
    recipe = publish.recipe_of([ModelArguments(student_layers=3), ObjectiveArguments()], training)
    assert recipe["student_layers"] == 3 and recipe["weight_kl"] == 2.0 and recipe["learning_rate"] == 0.25
    assert "secret" not in str(recipe) and "adam_beta1" not in recipe


def test_a_push_takes_the_model_and_nothing_else(tmp_path, monkeypatch):
    """The Trainer's own push would take optimiser states and pickled arguments along."""
    calls = {}

    class Hub:
        def __init__(self, token):
            calls["token"] = token

        def create_repo(self, name, **options):
            calls["repository"] = (name, options)
            return type("Repository", (), {"repo_id": f"me/{name}"})

        def upload_folder(self, **options):
            calls["upload"] = options

    monkeypatch.setattr(publish, "HfApi", Hub)
    training = TrainingArguments(
        str(tmp_path), hub_model_id="tiny", hub_private_repo=True, hub_token="secret", use_cpu=True
    )
    publish.push(tmp_path, training)
    assert calls["token"] == "secret" and calls["repository"] == ("tiny", {"private": True, "exist_ok": True})
    wanted = ["config.json", "model.safetensors", "tokenizer.json", "vocab.txt", "README.md", "all_results.json"]
    unwanted = [
        "checkpoint-2/model.safetensors",
        "optimizer.pt",
        "training_args.bin",
        "trainer_state.json",
        "runs/events",
    ]
    upload = calls["upload"]
    kept = filter_repo_objects(
        wanted + unwanted, allow_patterns=upload["allow_patterns"], ignore_patterns=upload["ignore_patterns"]
    )
    assert list(kept) == wanted


def test_files_are_written_whole_or_not_at_all(tmp_path):
    (tmp_path / "results").write_text("before")
    with pytest.raises(UnicodeEncodeError):
        publish.write(tmp_path / "results", "\ud800")
    assert (tmp_path / "results").read_text() == "before"
