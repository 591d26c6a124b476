"""Pushes a page to the Hub as a static Space: files that are served as they are."""

from pathlib import Path

from huggingface_hub import HfApi

from distillation.config.errors import UserError
from distillation.hub.push import in_a_sentence

KEY = "hub_space_id"
MARK = "page.json"  # every page has it


def reserve_space(name: str) -> str:
    """Make a Space, or check that it exists and may be written; returns its complete name.

    Raises UserError for a refused token, another's name, and a Space that holds anything but a page.
    """
    with in_a_sentence(KEY, name):
        api = HfApi()
        name = api.create_repo(name, repo_type="space", space_sdk="static", exist_ok=True).repo_id
        api.auth_check(name, repo_type="space", write=True)
        there = {file.rfilename for file in api.space_info(name).siblings} - {".gitattributes", "README.md"}
        # A new static Space may hold the Hub's own example.
        if there - {"index.html", "style.css"} and MARK not in there:
            raise UserError(f"`{KEY}`: {name} holds something else: name another Space")
    return name


def push_space(folder: Path, name: str) -> str:
    """Push a page in one commit, and delete the files of an earlier one; returns the address of the Space."""
    again = f"hf upload {name} {folder} . --repo-type space"
    with in_a_sentence(KEY, name, again=again):
        message = "A model that answers in the browser"
        HfApi().upload_folder(
            repo_id=name, repo_type="space", folder_path=folder, delete_patterns="*", commit_message=message
        )
    return f"https://huggingface.co/spaces/{name}"
