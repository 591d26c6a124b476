"""Pushes a finished folder to the Hub in one commit, and checks the repository before a run.

A `target` says where: `TrainingArguments`, or the arguments of `run_publish.py`, with `hub_model_id` (with or without
its owner), `hub_token`, `hub_private_repo`, and `hub_revision` (a branch).
"""

import logging
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import HFValidationError, LocalTokenNotFoundError

from distillation.config.errors import UserError, one_line
from distillation.runs import files

UNKNOWN = "unknown"  # the licence of a card where neither the user nor the base model names one
# Nothing else of a folder may go to the Hub: no teacher, optimiser, projections, or pickled arguments.
PUBLISHED = (
    files.WEIGHTS,
    files.CARD,
    files.RESULTS,
    files.MEASURED,
    str(files.EXPORTED),
    "onnx/*.onnx",
    "onnx/model.py",
)
PUBLISHED += ("config.json", "generation_config.json", "special_tokens_map.json", "vocab.txt", "tokenizer.json")
PUBLISHED += ("tokenizer_config.json", "modules.json", "*sentence*.json", "[0-9]_*/*")  # the last: sentence encoders
MAY_NAME_FOLDERS = (files.RESULTS, files.MEASURED, files.EXPORTED.name)  # of this machine
# Files that the commit deletes unless it replaces them: weights of another model must not stay beside these.
REPLACED = [*PUBLISHED, "*.safetensors", "*.bin", "*.onnx", "*.h5", "*.msgpack", "*.gguf", "*.pt"]

logger = logging.getLogger(__name__)


def reserve(target: Any, overwrite: bool, weights: Path | None = None) -> None:
    """Make a repository, or check that it exists and may be written, before a run or a push; complete its name.

    overwrite: whether another model there may be replaced; weights: of the model to push; None before training.

    Raises UserError for a refused token, a name that is another's, a repository that holds another model, and a public
    one where a private one is wanted.
    """
    with in_a_sentence("hub_model_id", target.hub_model_id, target.hub_token):
        api, branch = HfApi(token=target.hub_token), target.hub_revision
        name = api.create_repo(target.hub_model_id, private=target.hub_private_repo, exist_ok=True).repo_id
        if branch:
            api.create_branch(name, branch=branch, exist_ok=True)
        api.auth_check(name, write=True)  # `create_repo` accepts an existing repository of others
        found = api.model_info(name, revision=branch, files_metadata=True)
        if target.hub_private_repo and not found.private:
            raise UserError(
                f"`hub_private_repo`: {name} exists and is public: make it private in its settings, or name another"
            )
        there = {file.rfilename: file.lfs and file.lfs.sha256 for file in found.siblings}
        same = weights is not None and there.get(weights.name) == files.sha256(weights)
        # A new branch starts at the commit of the main one. It may be replaced, because the main one does not change.
        empty = not there.keys() - {".gitattributes"} or (branch and found.sha == api.model_info(name).sha)
        if not (empty or same or overwrite):
            raise UserError(
                f"`hub_model_id`: {name} holds another model, or other files: name another repository, or replace "
                "them (their history stays) by `--hub_overwrite true`"
            )
    target.hub_model_id = name


def push(folder: Path, target: Any, overwrite: bool) -> str:
    """Push a finished folder to the Hub, in one commit; returns the repository's complete name.

    Raises UserError if that fails. The folder does not change, and a second attempt sends what is missing.
    """
    if files.read_json(folder / files.RESULTS).get("license") == UNKNOWN:
        logger.warning("the card says `license: unknown`: name it by `run_publish.py --license apache-2.0`")
    where, again = ("hub_model_id", target.hub_model_id, target.hub_token), _command(folder, target, overwrite)
    with in_a_sentence(*where, again), tempfile.TemporaryDirectory() as staged:
        for path in {path for pattern in PUBLISHED for path in folder.glob(pattern) if path.is_file()}:
            copy = Path(staged, path.relative_to(folder))
            if path.name in MAY_NAME_FOLDERS:
                files.write_json(copy, files.without_folders(files.read_json(path)))
            else:
                copy.parent.mkdir(exist_ok=True)
                copy.symlink_to(path.resolve())
        reserve(target, overwrite, folder / files.WEIGHTS)
        HfApi(token=target.hub_token).upload_folder(
            repo_id=target.hub_model_id,
            folder_path=staged,
            revision=target.hub_revision,
            delete_patterns=REPLACED,
            commit_message="Model, tokenizer, card, and results",
        )
    return target.hub_model_id


def _command(folder: Path, target: Any, overwrite: bool) -> str:
    """The command that publishes a finished folder, without the token."""
    options: dict[str, Any] = {"checkpoint": folder, "hub_overwrite": overwrite or None}
    options |= {name: getattr(target, name) for name in ("hub_model_id", "hub_private_repo", "hub_revision")}
    words = [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
    return shlex.join(["python", "distillation/run_publish.py", *words])


@contextmanager
def in_a_sentence(key: str, name: str, token: str | None = None, again: str | None = None) -> Iterator[None]:
    """Raise a UserError for any error of the Hub or the connection. key, name: of the repository; token: not to be
    shown; again: the command for another attempt."""
    try:
        yield
    except Exception as error:  # the client raises many types, its transport more
        text = str(error) if isinstance(error, UserError) else _sentence(error, key, name, token)
        if again:
            print(file=sys.stderr)  # below the progress bar
            text += f". The model is complete on this machine; to publish it: {again}"
        raise UserError(text) from None


def _sentence(error: Exception, key: str, name: str, token: str | None) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    text, name = one_line(error).replace(token or "\0", "***"), f"`{key}` {name!r}"
    if files.CARD in text:
        return f"the Hub refuses the card: give `license` and `language` as it knows them ({text})"
    if isinstance(error, LocalTokenNotFoundError) or status == 401:
        return "the Hub refuses the token: give one that may write as `hub_token`, HF_TOKEN, or by `hf auth login`"
    if status in (403, 404, 409):
        return f"{name}: the name belongs to another owner, or the token may not write there ({text})"
    if isinstance(error, HFValidationError):
        return f"{name} cannot be the name of a repository ({text})"
    return f"{name}: the Hub cannot be reached, or it failed ({text})"
