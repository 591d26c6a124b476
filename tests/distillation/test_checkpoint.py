"""Which checkpoint a run continues from, and what a saved one knows."""

import json

import pytest
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM, TrainingArguments

from distillation.checkpoint import checkpoint_to_resume, newest_checkpoint, save_pretrained
from distillation.recipe import RecipeError


@pytest.fixture
def run(tmp_path):
    """Whole checkpoints 9 and 10, and newer folders that are torn in different ways."""
    for step in (9, 10, 11, 12, 13):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if step != 11:
            (folder / "model.safetensors").write_bytes(b"weights")
        state = json.dumps({"global_step": step})
        if step != 12:
            (folder / "trainer_state.json").write_text(state[:5] if step == 13 else state)
    (tmp_path / "checkpoint-best").mkdir()
    return tmp_path


def resume(folder, value):
    return checkpoint_to_resume(TrainingArguments(str(folder), resume_from_checkpoint=value, use_cpu=True))


def test_the_newest_whole_one_by_number(run, caplog):
    """By name 9 would come after 10; 11 has no weights, 12 no state, 13 half a state."""
    assert newest_checkpoint(str(run)) == str(run / "checkpoint-10")
    for step in (11, 12, 13):
        assert f"checkpoint-{step} is not whole" in caplog.text


def test_the_word_true_and_paths(run, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    assert resume(run, "true") == str(run / "checkpoint-10")
    assert resume(run, str(run / "checkpoint-9")) == str(run / "checkpoint-9")
    assert resume(empty, "true") is None and resume(run, None) is None and resume(run, "false") is None


@pytest.mark.parametrize("name", ["checkpoint-13", "nothing"])
def test_a_path_without_a_whole_checkpoint_is_refused(run, name):
    with pytest.raises(RecipeError, match="`resume_from_checkpoint`"):
        resume(run, str(run / name))


def test_a_saved_tokenizer_knows_how_much_the_model_reads(student_vocabulary, tmp_path):
    """A vocabulary is trained for longer texts: truncated to that, they would ask for positions that are none."""
    tokenizer = AutoTokenizer.from_pretrained(student_vocabulary)
    shape = dict(vocab_size=len(tokenizer), hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
    save_pretrained(BertForMaskedLM(BertConfig(**shape, max_position_embeddings=24)), tokenizer, tmp_path)
    saved = AutoTokenizer.from_pretrained(tmp_path)
    assert len(saved("кошка " * 50, truncation=True)["input_ids"]) == 24
