"""The Hub: what of a finished folder goes there, in one commit, and what is found out before a run begins."""

import dataclasses
import json
import shlex
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

from distillation.config.errors import UserError, one_line
from distillation.runs.files import EXPORTED, MEASURED, RESULTS, WEIGHTS, sha256, without_folders

# Of all that a folder holds only this may go to the Hub: never the teacher, an optimiser, projections, or pickled
# arguments.
PUBLISHED = (
    "config.json",
    "generation_config.json",
    WEIGHTS,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "README.md",
    RESULTS,
    MEASURED,
    str(EXPORTED),
    "onnx/*.onnx",
)
MAY_NAME_FOLDERS = {RESULTS, MEASURED, EXPORTED.name}  # of this machine
OTHER_WEIGHTS = ("*.safetensors", "*.bin", "*.onnx", "*.h5", "*.msgpack", "*.gguf", "*.pt")
NOBODYS = {".gitattributes"}  # what the Hub puts into an empty repository


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

    def command(self, folder: Path) -> str:
        """What publishes a finished folder here; the token stays with its owner."""
        words = [
            "python",
            "-m",
            "distillation.hub.publishing",
            "--checkpoint",
            str(folder),
            "--hub_model_id",
            self.name,
        ]
        if self.private is not None:
            words += ["--hub_private_repo", str(self.private).lower()]
        if self.revision:
            words += ["--hub_revision", self.revision]
        if self.overwrite:
            words += ["--hub_overwrite", "true"]
        return shlex.join(words)


def reserve(repository: Repository, weights: Path | None = None) -> Repository:
    """Make sure of a repository, before a run or before a push: it is there, or made, and may be written.

    weights: of the model that will be pushed; None if they are yet to be trained. Returns it with its whole name.

    Raises UserError for a refused token, a name that is another's, a repository that holds another model, and one
    that is public where a private one is wanted.
    """
    with _told(repository):
        return _reserved(repository, weights)[0]


def push(folder: Path, repository: Repository) -> str:
    """Put a finished folder on the Hub, in one commit; the repository's whole name.

    Raises UserError where it cannot be done; the folder stays as it is, and a second attempt sends what is missing.
    """
    contents = {str(path.relative_to(folder)): _content(path) for path in published_files(folder)}
    with _told(repository, folder):
        repository, others = _reserved(repository, folder / WEIGHTS)
        operations = [CommitOperationAdd(file, content) for file, content in contents.items()]
        operations += [CommitOperationDelete(file) for file in others if file not in contents]
        HfApi(token=repository.token).create_commit(
            repository.name,
            operations,
            commit_message="Model, tokenizer, card, and results",
            revision=repository.revision,
        )
    return repository.name


def published_files(folder: Path) -> list[Path]:
    """The files of a folder that may leave the machine."""
    return sorted({path for pattern in PUBLISHED for path in folder.glob(pattern) if path.is_file()})


def _content(path: Path) -> Path | bytes:
    if path.name not in MAY_NAME_FOLDERS:
        return path
    values = without_folders(json.loads(path.read_text(encoding="utf-8")))
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()


def _reserved(repository: Repository, weights: Path | None) -> tuple[Repository, list[str]]:
    """The repository with its whole name, and the files there that a model of ours would leave behind."""
    api = HfApi(token=repository.token)
    name = api.create_repo(repository.name, private=repository.private, exist_ok=True).repo_id
    if repository.revision:
        api.create_branch(name, branch=repository.revision, exist_ok=True)
    repository = dataclasses.replace(repository, name=name)
    try:
        api.auth_check(name, write=True)  # `create_repo` is content with a repository that others own
        found = api.model_info(name, revision=repository.revision, files_metadata=True)
    except HfHubHTTPError as error:
        if error.response.status_code != 404:
            raise
        return repository, []  # a mirror that does not know the question, for the repository is there
    if repository.private and not found.private:
        raise UserError(
            f"`hub_private_repo`: {name} is there and public: make it private in its settings, or name another"
        )
    there = {file.rfilename: file.lfs.sha256 if file.lfs else None for file in found.siblings}
    same = weights is not None and there.get(weights.name) == sha256(weights)
    # A branch with nothing of its own is where the main one is, which stays as it is.
    empty = not there.keys() - NOBODYS or (repository.revision and found.sha == api.model_info(name).sha)
    if not (empty or same or repository.overwrite):
        raise UserError(
            f"`hub_model_id`: {name} holds another model, or other files: name another repository, or replace them "
            "(their history stays) by `--hub_overwrite true`"
        )
    ours = (*PUBLISHED, *OTHER_WEIGHTS)
    return repository, [file for file in there if any(fnmatch(file, pattern) for pattern in ours)]


@contextmanager
def _told(repository: Repository, folder: Path | None = None) -> Iterator[None]:
    """Make a sentence of whatever the Hub, or the way there, objects to.

    folder: the finished model, which is not lost.
    """
    try:
        yield
    except Exception as error:  # the client raises many types, its transport more
        text = str(error) if isinstance(error, UserError) else _sentence(error, repository)
        if folder is not None:
            print(file=sys.stderr)  # behind the bar of what was being sent
            text += f". The model is whole in {folder}; to publish it: {repository.command(folder)}"
        raise UserError(text) from None


def _sentence(error: Exception, repository: Repository) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    said = one_line(error).replace(repository.token or "\0", "***")
    if isinstance(error, OfflineModeIsEnabled):
        return "`push_to_hub`: HF_HUB_OFFLINE is set, which keeps the Hub away: unset it"
    if "README.md" in said:
        return f"the Hub refuses the card: give `license` and `language` as it knows them ({said})"
    if isinstance(error, HFValidationError):
        return f"`hub_model_id` {repository.name!r} is no name of a repository: {said}"
    if isinstance(error, LocalTokenNotFoundError) or status == 401:
        return "the Hub refuses the token: give one that may write as `hub_token`, HF_TOKEN, or by `hf auth login`"
    if status in (403, 404, 409):
        return f"`hub_model_id` {repository.name!r}: the name is another's, or the token may not write there ({said})"
    return f"`hub_model_id` {repository.name!r}: the Hub cannot be reached, or failed; try again later ({said})"
