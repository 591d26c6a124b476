"""PyTorch as it is (sdpa attention), or compiled."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from benchmarks.backends.graph import OUTPUTS
from benchmarks.backends.registry import Arrays, Backend, Run
from distillation.models.loading import load_as_saved


def build(backend: Backend, model: PreTrainedModel, samples: Iterable[Arrays], folder: Path) -> None:
    """See `Backend`."""
    model.to(_dtype(backend)).save_pretrained(folder)


def open_model(backend: Backend, folder: Path, threads: int, device: str) -> Run:
    """See `Backend`."""
    torch.set_num_threads(threads)
    model = load_as_saved(str(folder), "models", dtype=_dtype(backend)).to(device)
    run = torch.compile(model) if backend.name == "compile" else model

    @torch.inference_mode()
    def call(inputs: Arrays) -> Sequence[Any]:
        outputs = run(**{name: torch.from_numpy(array).to(device) for name, array in inputs.items()})
        return [outputs[name] for name in OUTPUTS if name in outputs]

    return call


def _dtype(backend: Backend) -> torch.dtype:
    return torch.bfloat16 if backend.precision == "bf16" else torch.float32
