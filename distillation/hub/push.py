"""The Hub: what of a finished folder goes there, in one commit, and what is found out before a run begins."""

import dataclasses
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import HfApi
from huggingface_hub.errors import HFValidationError, LocalTokenNotFoundError, OfflineModeIsEnabled

from distillation.config.errors import UserError, one_line
from distillation.runs.files import (
    CARD,
    EXPORTED,
    MEASURED,
    RESULTS,
    WEIGHTS,
    read_json,
    sha256,
    without_folders,
    write_json,
)

if TYPE_CHECKING:
    from transformers import TrainingArguments

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
    CARD,
    RESULTS,
    MEASURED,
    str(EXPORTED),
    "onnx/*.onnx",
)
MAY_NAME_FOLDERS = (RESULTS, MEASURED, EXPORTED.name)  # of this machine
# What goes from the repository unless it is sent again: weights of another model must not stay beside these.
REPLACED = [*PUBLISHED, "*.safetensors", "*.bin", "*.onnx", "*.h5", "*.msgpack", "*.gguf", "*.pt"]


@dataclass(frozen=True)
class Repository:
    """Where a model goes, and on which terms."""

    name: str  # with or without its owner
    token: str | None = field(default=None, repr=False)
    private: bool | None = None
    revision: str | None = None  # a branch
    overwrite: bool = False  # whether it may replace another model

    @classmethod
    def of(cls, training: "TrainingArguments", overwrite: bool) -> "Repository":
        """The one that a run's arguments name."""
        options = training.hub_token, training.hub_private_repo, training.hub_revision
        return cls(training.hub_model_id, *options, overwrite)

    def command(self, folder: Path) -> str:
        """What publishes a finished folder here; the token stays with its owner."""
        words = ["python", "distillation/run_publish.py", "--checkpoint", str(folder), "--hub_model_id", self.name]
        words += ["--hub_private_repo", str(self.private).lower()] if self.private is not None else []
        words += ["--hub_revision", self.revision] if self.revision else []
        return shlex.join(words + ["--hub_overwrite", "true"] * self.overwrite)


def reserve(repository: Repository, weights: Path | None = None) -> Repository:
    """Make sure of a repository, before a run or before a push: it is there, or made, and may be written.

    weights: of the model that will be pushed; None if they are yet to be trained. Returns it with its whole name.

    Raises UserError for a refused token, a name that is another's, a repository that holds another model, and one
    that is public where a private one is wanted.
    """
    with _in_a_sentence(repository):
        api = HfApi(token=repository.token)
        name = api.create_repo(repository.name, private=repository.private, exist_ok=True).repo_id
        if repository.revision:
            api.create_branch(name, branch=repository.revision, exist_ok=True)
        api.auth_check(name, write=True)  # `create_repo` is content with a repository that others own
        found = api.model_info(name, revision=repository.revision, files_metadata=True)
        if repository.private and not found.private:
            raise UserError(
                f"`hub_private_repo`: {name} is there and public: make it private in its settings, or name another"
            )
        there = {file.rfilename: file.lfs and file.lfs.sha256 for file in found.siblings}
        same = weights is not None and there.get(weights.name) == sha256(weights)
        # A branch with nothing of its own is where the main one is, which stays as it is.
        empty = not there.keys() - {".gitattributes"} or (
            repository.revision and found.sha == api.model_info(name).sha
        )
        if not (empty or same or repository.overwrite):
            raise UserError(
                f"`hub_model_id`: {name} holds another model, or other files: name another repository, or replace "
                "them (their history stays) by `--hub_overwrite true`"
            )
    return dataclasses.replace(repository, name=name)


def push(folder: Path, repository: Repository) -> str:
    """Put a finished folder on the Hub, in one commit; the repository's whole name.

    Raises UserError where it cannot be done; the folder stays as it is, and a second attempt sends what is missing.
    """
    with _in_a_sentence(repository, folder), tempfile.TemporaryDirectory() as staged:
        for path in published_files(folder):
            copy = Path(staged, path.relative_to(folder))
            if path.name in MAY_NAME_FOLDERS:
                write_json(copy, without_folders(read_json(path)))
            else:
                copy.parent.mkdir(exist_ok=True)
                copy.symlink_to(path.resolve())
        repository = reserve(repository, folder / WEIGHTS)
        HfApi(token=repository.token).upload_folder(
            repo_id=repository.name,
            folder_path=staged,
            revision=repository.revision,
            delete_patterns=REPLACED,
            commit_message="Model, tokenizer, card, and results",
        )
    return repository.name


def published_files(folder: Path) -> list[Path]:
    """The files of a folder that may leave the machine."""
    return sorted({path for pattern in PUBLISHED for path in folder.glob(pattern) if path.is_file()})


@contextmanager
def _in_a_sentence(repository: Repository, folder: Path | None = None) -> Iterator[None]:
    """Make a sentence of whatever the Hub, or the way there, objects to.

    folder: the finished model, which is not lost.
    """
    try:
        yield
    except Exception as error:  # the client raises many types, its transport more
        text = str(error) if isinstance(error, UserError) else _sentence(error, repository)
        if folder is not None:
            print(file=sys.stderr)  # behind the bar of what was being sent
            text += f". The model is complete in {folder}; to publish it: {repository.command(folder)}"
        raise UserError(text) from None


def _sentence(error: Exception, repository: Repository) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    text, name = one_line(error).replace(repository.token or "\0", "***"), f"`hub_model_id` {repository.name!r}"
    if isinstance(error, OfflineModeIsEnabled):
        return "`push_to_hub`: HF_HUB_OFFLINE is set, which keeps the Hub away: unset it"
    if CARD in text:
        return f"the Hub refuses the card: give `license` and `language` as it knows them ({text})"
    if isinstance(error, HFValidationError):
        return f"{name} is no name of a repository: {text}"
    if isinstance(error, LocalTokenNotFoundError) or status == 401:
        return "the Hub refuses the token: give one that may write as `hub_token`, HF_TOKEN, or by `hf auth login`"
    if status in (403, 404, 409):
        return f"{name}: the name is another's, or the token may not write there ({text})"
    return f"{name}: the Hub cannot be reached, or failed; try again later ({text})"
