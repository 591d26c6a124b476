"""SberQuAD from its files under any of their names, and from the Hub."""

import gzip
import json

import datasets
import pytest
from datasets import Dataset

from distillation.config.errors import UserError
from finetuning.formats.squad import FILES, HUB, read
from tests.finetuning.squad_rows import ANSWERED, OTHER, articles, flat

PARTS = {"train": [ANSWERED, OTHER], "test": [OTHER]}


@pytest.mark.parametrize(("names", "packed"), zip(FILES, (False, True, False), strict=True))
def test_files_of_every_name(tmp_path, names, packed):
    for part, rows in PARTS.items():
        lines = "".join(json.dumps(flat(row)) + "\n" for row in rows)
        text = (lines if names[part].endswith("l") else json.dumps(articles(*rows))).encode()
        path = tmp_path / (f"{names[part]}.gz" if packed else names[part])
        path.write_bytes(gzip.compress(text) if packed else text)
    assert read(str(tmp_path)) == PARTS
    path.unlink()
    with pytest.raises(UserError, match=f"lacks {names['test']}; looked for {names['train']}, {names['test']}"):
        read(str(tmp_path))


def test_the_hub_gives_the_same_rows(monkeypatch):
    """Its ids are numbers, its part for development is called validation, and the answers of its test are hidden."""
    rows = [flat(ANSWERED, int), flat(OTHER, int)]
    hidden = Dataset.from_list([{"id": 3, "context": "", "question": ""}])
    loaded = {"test": hidden, "validation": Dataset.from_list(rows[1:]), "train": Dataset.from_list(rows)}
    monkeypatch.setattr(datasets, "load_dataset", lambda name: loaded)
    assert read(HUB) == PARTS
