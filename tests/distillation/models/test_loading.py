"""What a saved model and its tokenizer know."""

import os

import pytest
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

from distillation.models.loading import load_masked_lm, save_pretrained


def test_a_saved_tokenizer_knows_how_much_the_model_reads(student_vocabulary, tmp_path):
    """A vocabulary is trained for longer texts: truncated to that, they would ask for positions that are none."""
    tokenizer = AutoTokenizer.from_pretrained(student_vocabulary)
    shape = dict(vocab_size=len(tokenizer), hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
    save_pretrained(BertForMaskedLM(BertConfig(**shape, max_position_embeddings=24)), tokenizer, tmp_path)
    saved = AutoTokenizer.from_pretrained(tmp_path)
    assert len(saved("кошка " * 50, truncation=True)["input_ids"]) == 24


@pytest.mark.parametrize("umask", [0o022, 0o027])
def test_saved_files_are_readable_as_the_umask_says(umask, teacher_folder, tmp_path):
    """safetensors writes weights for their owner alone: a server under another account could not read the model."""
    before = os.umask(umask)
    try:
        model = load_masked_lm(str(teacher_folder), "key")
        save_pretrained(model, AutoTokenizer.from_pretrained(teacher_folder), tmp_path / "saved")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "saved").iterdir()}
    assert "model.safetensors" in modes and set(modes.values()) == {0o666 & ~umask}
