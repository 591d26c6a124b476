"""A page on the Hub: a static Space in one commit, in place of an earlier page and of nothing else."""

import pytest

from distillation.config.errors import UserError
from distillation.hub.space import push_space, reserve_space
from tests.hub_stand_in import OWNER, Stored

NAME = f"{OWNER}/demo"


@pytest.fixture
def page(tmp_path):
    folder = tmp_path / "page"
    folder.mkdir()
    for name in ("index.html", "page.json", "README.md", "model.onnx"):
        (folder / name).write_text(name)
    return folder


def test_a_page_replaces_an_earlier_one(hub, page):
    assert reserve_space("demo") == NAME and push_space(page, NAME).endswith(f"/spaces/{NAME}")
    (page / "model.onnx").replace(page / "other.onnx")
    assert reserve_space(NAME) == NAME and push_space(page, NAME)
    space = hub.repositories[NAME]
    assert space.sdk == "static" and len(space.commits) == 2
    assert space.files == {path.name: path.read_bytes() for path in page.iterdir()}


def test_anything_else_stays(hub):
    hub.repositories[NAME] = Stored(files={"app.py": b"", "README.md": b""})
    with pytest.raises(UserError, match=f"`hub_space_id`: {NAME} holds something else"):
        reserve_space("demo")


def test_a_refused_token(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(UserError, match="hub_space_id|token"):
        reserve_space("demo")
