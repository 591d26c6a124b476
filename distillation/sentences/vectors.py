"""The vectors that a teacher gives to the texts of a corpus, on disk: made once, read by any number of students."""

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from tokenizers import Tokenizer
from tqdm.auto import tqdm

from distillation.config.errors import UserError
from distillation.models.teacher import identity
from distillation.runs.files import alone_with, digest, is_free, read_json, remove_drafts, replacing, write_json
from distillation.runs.precision import faster_in_bf16

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

DESCRIPTION, VECTORS = "vectors.json", "vectors.npy"
BLOCK = 4096  # texts that are sorted by length together


def load_vectors(
    folder: str | Path, texts: list[str], teacher: "SentenceTransformer", prompt: str = "", batch_size: int = 64
) -> np.ndarray:
    """(texts, dimension) in half precision, mapped into memory; rows of length 1. They are made if there is no folder,
    completely or not at all, on a CPU in bf16 if that is faster.

    prompt: stands before each text. Raises UserError for a folder of another teacher, prompt, or corpus.
    """
    folder, name = Path(folder), f"`teacher_vectors` {str(folder)!r}"
    config = getattr(getattr(teacher[0], "auto_model", None), "config", None)
    config = {} if config is None else config.to_dict()
    made_of = {
        "teacher": digest(chain([str(teacher).encode(), _reading(teacher)], identity(teacher, config))),
        "prompt": prompt,
        "dimension": teacher.get_embedding_dimension(),
        "corpus": digest(f"{text}\n".encode() for text in texts),
    }
    if not (folder / DESCRIPTION).exists():
        if not is_free(folder):
            raise UserError(f"{name} holds no vectors of a teacher and is not empty: name a new folder")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise UserError(f"{name} lies below a file: name another place") from None
        with alone_with(folder / DESCRIPTION, wait=True):  # another student may need the same ones now
            if not (folder / DESCRIPTION).exists():
                remove_drafts(folder)
                with replacing(folder, last=DESCRIPTION) as draft:
                    draft.mkdir()
                    _write(draft / VECTORS, texts, teacher, prompt, batch_size)
                    write_json(draft / DESCRIPTION, made_of)
    found = read_json(folder / DESCRIPTION)
    others = [key for key, value in made_of.items() if not isinstance(found, dict) or found.get(key) != value]
    if others:
        raise UserError(
            f"{name} was made with another {' and another '.join(others)}: name another folder for this run"
        )
    try:
        vectors = np.load(folder / VECTORS, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        vectors = None
    if vectors is None or vectors.shape != (len(texts), made_of["dimension"]):
        raise UserError(f"{name} is damaged: remove it, and start again")
    return vectors


def _reading(teacher: "SentenceTransformer") -> bytes:
    """How a teacher cuts texts into tokens, and how many it reads; its modules and weights do not say so."""
    backend = getattr(teacher.tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend = Tokenizer.from_str(backend.to_str())
        backend.no_truncation()  # set by what was read last
        backend.no_padding()
    return f"{backend and backend.to_str()} {teacher.max_seq_length}".encode()


def _write(path: Path, texts: list[str], teacher: "SentenceTransformer", prompt: str, batch_size: int) -> None:
    shape, options = (len(texts), teacher.get_embedding_dimension()), {"batch_size": batch_size, "prompt": prompt}
    vectors = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)

    def encode(block: list[str]) -> np.ndarray:
        return of_length_1(teacher.encode(block, show_progress_bar=False, **options).astype(np.float32))

    is_bf16 = teacher.device.type == "cpu" and faster_in_bf16(lambda: encode(texts[:batch_size]))
    with torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
        for start in tqdm(range(0, len(texts), BLOCK), desc="Teacher", unit="block"):
            vectors[start : start + BLOCK] = encode(texts[start : start + BLOCK])
    vectors.flush()


def of_length_1(vectors: np.ndarray) -> np.ndarray:
    """Vectors (texts, width), each divided by its length."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-9)


def principal(vectors: np.ndarray, dimension: int) -> np.ndarray:
    """(width, dimension): the directions, at right angles, along which the vectors (texts, width) are longest."""
    vectors = vectors.astype(np.float32)  # those on disk have half of that, too little for sums
    return np.linalg.eigh(vectors.T @ vectors)[1][:, ::-1][:, :dimension].copy()
