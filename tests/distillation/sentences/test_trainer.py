"""The loss by hand, the layers that a student gets, and pairs."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformerTrainingArguments
from torch import nn

from distillation.config.errors import UserError
from distillation.sentences.trainer import VectorLoss, add_layers, make_trainer, project, read_pairs

TEXTS = [f"Он пришёл {word} домой" for word in ("сам", "рано", "поздно", "пешком", "вчера", "бегом", "ночью", "тихо")]


class Fixed(nn.Module):
    """Gives vectors as a sentence encoder does."""

    def __init__(self, *vectors):
        super().__init__()
        self.vectors = nn.Parameter(torch.tensor(vectors))

    def forward(self, features):
        return {"sentence_embedding": self.vectors}


def test_the_loss_by_hand():
    """Labels are rows of the teacher's vectors: of (1, 0) for both, cosines 1 and 0 give 0.5."""
    student = Fixed([2.0, 0.0], [0.0, 3.0])
    teacher = np.array([[0, 1], [1, 0]], dtype=np.float16)
    terms = VectorLoss(student, teacher, weight_similarity=10.0)([{}], torch.tensor([1, 1]))
    assert terms["cosine"].item() == pytest.approx(0.5)
    # Similarities: of the student the identity, of the teacher all 1: two of four differ by 1.
    assert terms["similarity"].item() == pytest.approx(10 * 0.5)
    sum(terms.values()).backward()
    assert student.vectors.grad.abs().sum() > 0


def test_a_student_of_fewer_numbers_learns_the_teacher_along_some_directions():
    student, teacher = Fixed([1.0], [-1.0]), np.array([[0.6, 0.8], [-0.6, 0.8]], dtype=np.float16)
    terms = VectorLoss(student, teacher, np.array([[1.0], [0.0]], dtype=np.float32))([{}], torch.tensor([0, 1]))
    assert terms.keys() == {"cosine"} and terms["cosine"].item() == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(project(teacher, np.array([[1.0], [0.0]])), [[1], [-1]])


def test_a_wider_teacher_gets_a_layer_that_begins_at_its_vectors(encoder):
    """The teacher here is the student, turned in a wider space: the layer finds the turn."""
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(40, 32)))
    vectors = encoder.encode(TEXTS, normalize_embeddings=True) @ turn.T
    add_layers(encoder, TEXTS, vectors.astype(np.float32))
    np.testing.assert_allclose(encoder.encode(TEXTS), vectors, atol=1e-4)


def test_a_student_of_the_teachers_width_gets_none(encoder):
    before = encoder.encode(TEXTS, normalize_embeddings=True)
    add_layers(encoder, TEXTS, before)
    np.testing.assert_allclose(encoder.encode(TEXTS), before, atol=1e-6)
    assert len(encoder) == 3


def test_batches_hold_texts_of_about_one_length(encoder, tmp_path):
    """Otherwise half of a batch may be padding."""
    texts = [f"{'да ' * (1 + number % 16)}{number}" for number in range(512)]
    options = dict(output_dir=tmp_path, use_cpu=True, per_device_train_batch_size=8, report_to="none")
    training = SentenceTransformerTrainingArguments(**options, train_sampling_strategy="group_by_length")
    trainer = make_trainer(encoder, training, VectorLoss(encoder, np.zeros((520, 32))), (texts, texts[:8]))
    batches = list(trainer.get_train_dataloader())
    masks = [batch[name] for batch in batches for name in batch if name.endswith("attention_mask")]
    assert sum(len(mask) for mask in masks) == 512
    assert sum(mask.sum() for mask in masks) > 0.9 * sum(mask.numel() for mask in masks)
    assert sorted(row for batch in batches for row in batch["label"].tolist()) == list(range(512))
    sizes = [mask.shape[1] for mask in masks]
    assert sum(a > b for a, b in pairwise(sizes)) > 16 < sum(a < b for a, b in pairwise(sizes)), (
        "in no order of lengths"
    )


def test_pairs_lose_rows_with_an_empty_side(tmp_path):
    rows = [{"anchor": "а", "positive": "б"}, {"anchor": " ", "positive": "б"}, {"anchor": "в", "positive": "г"}]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_pairs(str(path)).to_list() == [rows[0], rows[2]]
    csv = tmp_path / "pairs.csv"
    csv.write_text("anchor,positive\n" + "а,б\n" * 40 + "а,б,в\n")  # it cannot be read, and is no pair
    assert read_pairs(str(csv)).to_list() == [rows[0]] * 40
    path.write_text(json.dumps(rows[1]))
    with pytest.raises(UserError, match="no row with a text in both"):
        read_pairs(str(path))
    path.with_suffix(".txt").write_text("а\n")  # a line that is a pair with itself would teach nothing
    with pytest.raises(UserError, match="has plain text: a table has the columns anchor and positive"):
        read_pairs(str(path.with_suffix(".txt")))
    csv.write_text("query,answer\nа,б\n", encoding="utf-8")
    with pytest.raises(UserError, match="no column `anchor`; .* rename two of"):
        read_pairs(str(csv))
    path.write_text(json.dumps({"text": "а"}))
    with pytest.raises(UserError, match="`anchor`"):
        read_pairs(str(path))
