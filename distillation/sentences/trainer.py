"""What a student of sentence vectors learns: the teacher's vectors, and pairs of texts of one meaning."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import Dense, Normalize
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import BatchSampler
from transformers import TrainingArguments

from distillation.config.errors import UserError
from distillation.models.loading import explain_load_errors
from distillation.runs.resumable_trainer import ResumableTrainer
from distillation.runs.sampling import grouped_batches
from distillation.sentences.vectors import of_length_1, principal
from distillation.text.files import LOST, check_file, corpus_files, format_of, read_rows, texts_of

SAMPLE = 10_000  # texts from which the first weights are computed
PAIR = ("anchor", "positive")  # columns of a file of pairs


class VectorLoss(nn.Module):
    """1 - cosine of the student's vector and the teacher's, the mean of a batch; and the squared difference of the
    similarities that its texts have with each other.

    The squared difference of two vectors of length 1 is twice the first term: it would be no other loss.
    """

    def __init__(
        self,
        student: SentenceTransformer,
        vectors: np.ndarray,
        directions: np.ndarray | None = None,
        weight_similarity: float = 0.0,
    ):
        """vectors: (texts, width) of the teacher, of length 1; directions: (width, dimension), those of them that the
        student learns."""
        super().__init__()
        self.model, self.vectors, self.weight = student, vectors, weight_similarity
        self.directions = None if directions is None else torch.from_numpy(directions)

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> dict[str, Tensor]:
        """labels: (batch,), the rows of `vectors`. Returns the weighted terms."""
        (features,) = sentence_features
        student = F.normalize(self.model(features)["sentence_embedding"].float(), dim=-1)
        whole = torch.from_numpy(self.vectors[labels.cpu().numpy()]).to(student)
        teacher = whole if self.directions is None else F.normalize(whole @ self.directions.to(student), dim=-1)
        terms = {"cosine": 1 - (student * teacher).sum(-1).mean()}
        if self.weight:
            terms["similarity"] = self.weight * F.mse_loss(student @ student.T, whole @ whole.T)
        return terms


def fit_width(
    student: SentenceTransformer, texts: list[str], vectors: np.ndarray, dimension: int
) -> np.ndarray | None:
    """Make the student's vectors `dimension` wide, and of length 1. vectors: (texts, width) of the teacher.

    Returns (width, dimension), the teacher's principal directions, which the student learns; None for all of them as
    they are. A student of that width gets no layer that could turn its vectors, so the directions are turned to them.
    """
    directions = None
    if dimension < vectors.shape[1]:
        directions = principal(vectors, dimension)
        if student.get_embedding_dimension() == dimension:
            directions = directions @ rotation(student, texts, project(vectors, directions)).T
    add_layers(student, texts, project(vectors, directions))
    return directions


def add_layers(student: SentenceTransformer, texts: list[str], vectors: np.ndarray) -> None:
    """Make the student's vectors as wide as `vectors` (texts, dimension) and of length 1.

    The dense layer begins as the rotation that brings the vectors of these texts nearest to `vectors`. A regression
    would bring them nearer, with weights so large that dropout and the first steps undo it.
    """
    width, dimension = student.get_embedding_dimension(), vectors.shape[1]
    if width != dimension:
        weights = torch.from_numpy(rotation(student, texts, vectors).T.copy())
        dense = Dense(width, dimension, bias=False, activation_function=nn.Identity(), init_weight=weights)
        student.append(dense.to(student.device))
    if not isinstance(student[-1], Normalize):
        student.append(Normalize())


def rotation(student: SentenceTransformer, texts: list[str], vectors: np.ndarray) -> np.ndarray:
    """(student's width, dimension): turns the student's vectors of texts nearest to `vectors` (texts, dimension)."""
    own = student.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    left, _, right = np.linalg.svd(own.T @ vectors, full_matrices=False)
    return (left @ right).astype(np.float32)


def project(vectors: np.ndarray, directions: np.ndarray | None) -> np.ndarray:
    """Vectors (texts, width) along some directions (width, dimension), of length 1; as they are for None."""
    return vectors if directions is None else of_length_1(vectors @ directions)


def read_pairs(pattern: str) -> Dataset:
    """The rows of files that have a text in both columns of `PAIR`. Raises UserError for files without one."""
    columns, files = {}, corpus_files(pattern)
    if any(format_of(file) == ".txt" for file in files):
        raise UserError(f"`pairs_file` {pattern!r} has plain text: a table has the columns {' and '.join(PAIR)}")
    for column in PAIR:
        for file in files:
            check_file(file, column, "pairs have the columns `anchor` and `positive`: rename two of")
        columns[column] = list(
            chain.from_iterable(texts_of(file, list(read_rows(file, column)), column) for file in files)
        )
    rows = [row for row in zip(*columns.values(), strict=True) if all(text.strip() and text != LOST for text in row)]
    if not rows:
        raise UserError(f"`pairs_file` {pattern!r} has no row with a text in both of {' and '.join(PAIR)}")
    return Dataset.from_dict(dict(zip(PAIR, zip(*rows, strict=True), strict=True)))


class ByLength(DefaultBatchSampler):
    """Batches of texts of similar length; the library has none."""

    def __iter__(self) -> Iterator[list[int]]:
        lengths = np.array([len(text) for text in self.sampler["text"]])
        batches = grouped_batches(lengths, self.batch_size, np.random.default_rng((self.seed, self.epoch)))
        return (batch.tolist() for batch in batches[: len(self)])


class VectorTrainer(ResumableTrainer, SentenceTransformerTrainer):
    """The library's trainer, with batches of texts of similar length, and a card that shows no texts of the corpus."""

    def get_batch_sampler(self, dataset: Dataset, batch_size: int, drop_last: bool, **options: Any) -> BatchSampler:
        if dataset is self.train_dataset["vectors"] and self.args.train_sampling_strategy == "group_by_length":
            return ByLength(dataset, batch_size, drop_last, **options)
        drop_last &= any(dataset is one for one in self.train_dataset.values())  # all held-out texts are measured
        return super().get_batch_sampler(dataset, batch_size, drop_last, **options)

    def get_multi_dataset_batch_sampler(self, *args: Any, **options: Any) -> BatchSampler:
        """The order of the training texts. A resumed epoch's loader hides it from accelerate's call of `set_epoch`."""
        sampler = super().get_multi_dataset_batch_sampler(*args, **options)
        self.epoch_start.drawing.append(sampler)
        return sampler

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """Save without pickled arguments, which hold the Hub's token."""
        self.model.save_pretrained(output_dir or self.args.output_dir)

    def _load_from_checkpoint(self, checkpoint_path: str) -> None:
        """Load without a report of the pooler, which no checkpoint has: it would tell the user to train it."""
        with explain_load_errors("resume_from_checkpoint", checkpoint_path):
            super()._load_from_checkpoint(checkpoint_path)

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Do nothing: the callback would put texts of the corpus on the card."""


def make_trainer(
    student: SentenceTransformer,
    training: TrainingArguments,
    loss: VectorLoss,
    parts: tuple[list[str], list[str]],
    pairs: Dataset | None = None,
) -> VectorTrainer:
    """parts: the texts to train on, and the held-out ones, in the order of the loss's vectors."""
    train, held_out = (Dataset.from_dict({"text": texts}) for texts in parts)
    train = train.add_column("label", np.arange(len(train)))
    held_out = held_out.add_column("label", np.arange(len(train), len(train) + len(held_out)))
    learned, losses = {"vectors": train}, {"vectors": loss}
    if pairs:
        learned["pairs"], losses["pairs"] = pairs, MultipleNegativesRankingLoss(student)
    return VectorTrainer(
        model=student,
        args=training,
        train_dataset=learned,
        eval_dataset={"vectors": held_out},
        loss=losses,
    )
