"""The Hub: what of a finished folder goes there, in one commit, and what is found out before a run begins."""

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
)
from transformers import TrainingArguments

from distillation.recipe import RecipeError, one_line
from distillation.results import without_folders

# All that may go to the Hub: never the teacher, an optimiser, projections, or pickled arguments.
PUBLISHED = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "model-*-of-*.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "README.md",
    "all_results.json",
    "measured.json",
    "onnx/*.onnx",
    "onnx/export.json",
)
RESULT_FILES = ("all_results.json", "measured.json", "export.json")  # those that may name folders of this machine
WEIGHTS = ("*.safetensors", "*.bin", "*.onnx")


@dataclass(frozen=True)
class Repository:
    """Where a model goes, and on which terms."""

    name: str  # with or without its owner
    token: str | None = field(default=None, repr=False)
    private: bool | None = None
    revision: str | None = None  # a branch
    overwrite: bool = False  # whether it may replace another model

    @classmethod
    def of(cls, training: TrainingArguments, overwrite: bool) -> "Repository":
        """The one that a run's arguments name."""
        return cls(
            training.hub_model_id, training.hub_token, training.hub_private_repo, training.hub_revision, overwrite
        )

    def prepared(self, weights: Path | None) -> tuple[str, list[str]]:
        """Make sure that it is there; its whole name, and the files of another model that have to go.

        weights: of the model that will be pushed; None if they are yet to be trained.

        Raises RecipeError for a refused token, a name that is another's, a repository that holds other weights, and
        one that is public where a private one is wanted.
        """
        api = HfApi(token=self.token)
        name = api.create_repo(self.name, private=self.private, exist_ok=True).repo_id
        if self.revision:
            api.create_branch(name, branch=self.revision, exist_ok=True)
        try:
            api.auth_check(name, write=True)  # `create_repo` is content with a repository that others own
            found = api.model_info(name, revision=self.revision, files_metadata=True)
        except HfHubHTTPError as error:
            if error.response.status_code != 404:
                raise
            return name, []  # a mirror that does not know the question, for the repository is there
        if self.private and not found.private:
            raise RecipeError(
                f"`hub_private_repo`: {name} is there and public: make it private in its settings, or name another"
            )
        there = {file.rfilename: file.lfs.sha256 if file.lfs else None for file in found.siblings}
        same = weights is not None and there.get(weights.name) == sha256(weights)
        if same or not any(fnmatch(file, pattern) for file in there for pattern in WEIGHTS):
            return name, []
        if not self.overwrite:
            raise RecipeError(
                f"`hub_model_id`: {name} holds another model: name another repository, or replace that model (its "
                "history keeps it) by `--hub_overwrite true`"
            )
        return name, [file for file in there if any(fnmatch(file, pattern) for pattern in (*PUBLISHED, *WEIGHTS))]

    @contextmanager
    def told(self, folder: Path | None = None) -> Iterator[None]:
        """Make a sentence of whatever the Hub, or the way there, objects to.

        folder: the finished model, which is not lost.
        """
        try:
            yield
        except Exception as error:  # the client raises many types, its transport more
            text = str(error) if isinstance(error, RecipeError) else self._sentence(error)
            if folder is not None:
                print(file=sys.stderr)  # behind the bar of what was being sent
                text += f". The model is whole in {folder}: `python -m distillation.publish --checkpoint {folder} "
                text += f"--hub_model_id {self.name}` publishes it"
            raise RecipeError(text) from None

    def _sentence(self, error: Exception) -> str:
        status = getattr(getattr(error, "response", None), "status_code", None)
        said = one_line(error).replace(self.token or "\0", "***")
        if isinstance(error, OfflineModeIsEnabled):
            return "`push_to_hub`: HF_HUB_OFFLINE is set, which keeps the Hub away: unset it"
        if isinstance(error, HFValidationError):
            return f"`hub_model_id` {self.name!r} is no name of a repository: {said}"
        if isinstance(error, LocalTokenNotFoundError) or status == 401:
            return "the Hub refuses the token: give one that may write as `hub_token`, HF_TOKEN, or by `hf auth login`"
        if status in (403, 404, 409):
            return f"`hub_model_id` {self.name!r}: the name is another's, or the token may not write there ({said})"
        return f"`hub_model_id` {self.name!r}: the Hub did not answer as it should, try again later ({said})"


def check(repository: Repository, weights: Path | None = None) -> str:
    """Before a run, or before a finished one is pushed: the whole name of the repository.

    Raises RecipeError as `Repository.prepared` does.
    """
    with repository.told():
        return repository.prepared(weights)[0]


def push(folder: Path, repository: Repository) -> str:
    """Put a finished folder on the Hub, in one commit; the repository's whole name.

    Raises RecipeError where it cannot be done; the folder stays as it is, and a second attempt sends what is missing.
    """
    with repository.told(folder):
        name, old = repository.prepared(folder / "model.safetensors")
        files = {str(path.relative_to(folder)): path for path in published_files(folder)}
        operations = [CommitOperationAdd(file, _content(path)) for file, path in files.items()]
        operations += [CommitOperationDelete(file) for file in old if file not in files]
        HfApi(token=repository.token).create_commit(
            name,
            operations,
            commit_message="Model, tokenizer, card, and results",
            revision=repository.revision,
        )
    return name


def published_files(folder: Path) -> list[Path]:
    """The files of a folder that may leave the machine."""
    return sorted({path for pattern in PUBLISHED for path in folder.glob(pattern) if path.is_file()})


def _content(path: Path) -> Path | bytes:
    if path.name not in RESULT_FILES:
        return path
    values = without_folders(json.loads(path.read_text(encoding="utf-8")))
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()


def sha256(path: Path) -> str:
    """As the Hub knows a large file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
