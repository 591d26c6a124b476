"""The command that tries architectures: two of them, one of which gives maps of half of its heads."""

import pytest

from benchmarks import architectures
from distillation.config.errors import UserError
from distillation.runs.files import read_json


def test_two_architectures(tmp_path, capsys, monkeypatch):
    run = architectures.outcome

    def outcome(script, argv):
        return "yes" if "export" in script else run(script, argv)  # an export takes seconds

    monkeypatch.setattr(architectures, "outcome", outcome)
    path = tmp_path / "found.json"
    architectures.main.__wrapped__(["--names", "bert", "convbert", "--output", str(path)])
    found = read_json(path)
    assert set(found["bert"].values()) == {"yes"}
    refused = {column for column, result in found["convbert"].items() if result != "yes"}
    assert refused == {"with maps", "gives layers"} and found["convbert"]["with maps"].startswith("no: `weight_attent")
    assert "| convbert | yes | yes | no | no | yes |" in capsys.readouterr().out
    with pytest.raises(UserError, match="`names`: invalid choice: .gpt."):
        architectures.main.__wrapped__(["--names", "gpt"])
