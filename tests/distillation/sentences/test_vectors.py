"""Kept vectors are the teacher's, and those of nothing else."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from distillation.config.errors import UserError
from distillation.models.sentence_encoder import load_sentence_encoder
from distillation.runs.files import alone_with
from distillation.sentences import vectors
from distillation.sentences.vectors import load_vectors, principal

TEXTS = ["Он пришёл домой.", "Да", "Она ушла поздно вечером", "Да"]


def test_a_row_is_the_vector_of_its_text(encoder, tmp_path):
    found = load_vectors(tmp_path / "kept", TEXTS, encoder, "query: ", batch_size=3)
    expected = encoder.encode([f"query: {text}" for text in TEXTS], normalize_embeddings=True)
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_they_are_made_once(encoder, tmp_path, monkeypatch):
    first = load_vectors(tmp_path / "kept", TEXTS, encoder)
    monkeypatch.setattr(type(encoder), "encode", None)
    np.testing.assert_array_equal(load_vectors(tmp_path / "kept", TEXTS, encoder), first)


def test_a_draft_of_a_run_that_was_killed_is_removed(encoder, tmp_path):
    """It is as large as what is kept."""
    (tmp_path / "kept" / ".kept-killed").mkdir(parents=True)
    load_vectors(tmp_path / "kept", TEXTS, encoder)
    assert not list((tmp_path / "kept").glob(".kept-*"))


def test_a_run_waits_for_another_that_makes_them(encoder, tmp_path, monkeypatch):
    """Else both make them, and the second ends in an error."""
    made, begun = load_vectors(tmp_path / "made", TEXTS, encoder), threading.Event()

    def waiting(*arguments, **keys):
        begun.set()
        return alone_with(*arguments, **keys)

    monkeypatch.setattr(vectors, "alone_with", waiting)
    (tmp_path / "kept").mkdir()
    with ThreadPoolExecutor() as pool:
        with alone_with(tmp_path / "kept" / "vectors.json", wait=True):
            later = pool.submit(load_vectors, tmp_path / "kept", TEXTS, encoder)
            assert begun.wait(60)
            monkeypatch.setattr(type(encoder), "encode", None)
            for file in (tmp_path / "made").iterdir():
                file.rename(tmp_path / "kept" / file.name)
        np.testing.assert_array_equal(later.result(), made)


def test_runs_of_other_seeds_read_them(teacher_folder, tmp_path):
    """The library gives a BERT without a pooler a random one, which would make it another teacher for each seed."""
    for seed in range(2):
        torch.manual_seed(seed)
        load_vectors(tmp_path / "kept", TEXTS, load_sentence_encoder(str(teacher_folder), "teacher_name_or_path"))


@pytest.mark.parametrize("name", ["corpus", "prompt", "teacher", "config", "length"])
def test_those_of_something_else_are_refused(encoder, tmp_path, name):
    load_vectors(tmp_path / "kept", TEXTS, encoder)
    texts, prompt = TEXTS[::-1] if name == "corpus" else TEXTS, "query: " if name == "prompt" else ""
    if name == "teacher":
        with torch.no_grad():
            next(encoder.parameters())[0, 0] += 1
    if name == "config":  # the same weights compute something else
        encoder[0].auto_model.config.hidden_act, name = "relu", "teacher"
    if name == "length":  # the same weights read less of a text
        encoder.max_seq_length, name = encoder.max_seq_length - 1, "teacher"
    with pytest.raises(UserError, match=f"another {name}: name another folder"):
        load_vectors(tmp_path / "kept", texts, encoder, prompt)


def test_a_folder_of_other_files_and_a_torn_one_are_refused(encoder, tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(UserError, match="not empty"):
        load_vectors(tmp_path, TEXTS, encoder)
    load_vectors(tmp_path / "kept", TEXTS, encoder)
    (tmp_path / "kept" / "vectors.npy").write_bytes(b"")
    with pytest.raises(UserError, match="is damaged"):
        load_vectors(tmp_path / "kept", TEXTS, encoder)


def test_principal_directions_keep_what_is_longest():
    vectors = np.array([[3.0, 0, 0], [-3, 0, 0], [0, 0, 2], [0, 0.1, 0]], dtype=np.float16)
    found = principal(vectors, 2)
    np.testing.assert_allclose(abs(found), [[1, 0], [0, 0], [0, 1]], atol=1e-6)
