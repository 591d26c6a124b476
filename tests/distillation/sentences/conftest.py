import pytest

from distillation.models.sentence_encoder import load_sentence_encoder


@pytest.fixture
def encoder(teacher_folder):
    """A sentence encoder of 32 numbers with random weights."""
    return load_sentence_encoder(str(teacher_folder), "model_name_or_path").eval()
