"""The Hub: what of a finished folder goes there, in one commit, and what is found out before a run begins.

A `target` says where: `TrainingArguments`, or the arguments of `run_publish.py`, with `hub_model_id` (with or without
its owner), `hub_token`, `hub_private_repo`, and `hub_revision` (a branch).
"""

import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import HFValidationError, LocalTokenNotFoundError, OfflineModeIsEnabled

from distillation.config.errors import UserError, one_line
from distillation.runs import files

# Of all that a folder holds only this may go to the Hub: never the teacher, an optimiser, projections, or pickled
# arguments.
PUBLISHED = (files.WEIGHTS, files.CARD, files.RESULTS, files.MEASURED, str(files.EXPORTED), "onnx/*.onnx")
PUBLISHED += ("config.json", "generation_config.json", "special_tokens_map.json", "vocab.txt", "tokenizer.json")
PUBLISHED += ("tokenizer_config.json",)
MAY_NAME_FOLDERS = (files.RESULTS, files.MEASURED, files.EXPORTED.name)  # of this machine
# What goes from the repository unless it is sent again: weights of another model must not stay beside these.
REPLACED = [*PUBLISHED, "*.safetensors", "*.bin", "*.onnx", "*.h5", "*.msgpack", "*.gguf", "*.pt"]


def reserve(target: Any, overwrite: bool, weights: Path | None = None) -> None:
    """Make sure of a repository, before a run or before a push: it is there, or made, and may be written. The owner is
    added to its name.

    overwrite: whether another model there may be replaced; weights: of the model that will be pushed; None if they are
    yet to be trained.

    Raises UserError for a refused token, a name that is another's, a repository that holds another model, and one
    that is public where a private one is wanted.
    """
    with _in_a_sentence(target):
        api, branch = HfApi(token=target.hub_token), target.hub_revision
        name = api.create_repo(target.hub_model_id, private=target.hub_private_repo, exist_ok=True).repo_id
        if branch:
            api.create_branch(name, branch=branch, exist_ok=True)
        api.auth_check(name, write=True)  # `create_repo` is content with a repository that others own
        found = api.model_info(name, revision=branch, files_metadata=True)
        if target.hub_private_repo and not found.private:
            raise UserError(
                f"`hub_private_repo`: {name} is there and public: make it private in its settings, or name another"
            )
        there = {file.rfilename: file.lfs and file.lfs.sha256 for file in found.siblings}
        same = weights is not None and there.get(weights.name) == files.sha256(weights)
        # A branch with nothing of its own is where the main one is, which stays as it is.
        empty = not there.keys() - {".gitattributes"} or (branch and found.sha == api.model_info(name).sha)
        if not (empty or same or overwrite):
            raise UserError(
                f"`hub_model_id`: {name} holds another model, or other files: name another repository, or replace "
                "them (their history stays) by `--hub_overwrite true`"
            )
    target.hub_model_id = name


def push(folder: Path, target: Any, overwrite: bool) -> str:
    """Put a finished folder on the Hub, in one commit; the repository's whole name.

    Raises UserError where it cannot be done; the folder stays as it is, and a second attempt sends what is missing.
    """
    with _in_a_sentence(target, _command(folder, target, overwrite)), tempfile.TemporaryDirectory() as staged:
        for path in published_files(folder):
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


def published_files(folder: Path) -> list[Path]:
    """The files of a folder that may leave the machine."""
    return sorted({path for pattern in PUBLISHED for path in folder.glob(pattern) if path.is_file()})


def _command(folder: Path, target: Any, overwrite: bool) -> str:
    """What publishes a finished folder; the token stays with its owner."""
    options: dict[str, Any] = {"checkpoint": folder, "hub_model_id": target.hub_model_id}
    options |= {name: getattr(target, name) for name in ("hub_private_repo", "hub_revision")}
    options["hub_overwrite"] = overwrite or None
    words = [[f"--{name}", str(value)] for name, value in options.items() if value is not None]
    return shlex.join(["python", "distillation/run_publish.py", *(word for both in words for word in both)])


@contextmanager
def _in_a_sentence(target: Any, again: str | None = None) -> Iterator[None]:
    """Make a sentence of whatever the Hub, or the way there, objects to. again: the command that pushes once more."""
    try:
        yield
    except Exception as error:  # the client raises many types, its transport more
        text = str(error) if isinstance(error, UserError) else _sentence(error, target)
        if again:
            print(file=sys.stderr)  # behind the bar of what was being sent
            text += f". The model is complete on this machine; to publish it: {again}"
        raise UserError(text) from None


def _sentence(error: Exception, target: Any) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    text, name = one_line(error).replace(target.hub_token or "\0", "***"), f"`hub_model_id` {target.hub_model_id!r}"
    if isinstance(error, OfflineModeIsEnabled):
        return "`push_to_hub`: HF_HUB_OFFLINE is set, which keeps the Hub away: unset it"
    if files.CARD in text:
        return f"the Hub refuses the card: give `license` and `language` as it knows them ({text})"
    if isinstance(error, HFValidationError):
        return f"{name} is no name of a repository: {text}"
    if isinstance(error, LocalTokenNotFoundError) or status == 401:
        return "the Hub refuses the token: give one that may write as `hub_token`, HF_TOKEN, or by `hf auth login`"
    if status in (403, 404, 409):
        return f"{name}: the name is another's, or the token may not write there ({text})"
    return f"{name}: the Hub cannot be reached, or failed; try again later ({text})"
