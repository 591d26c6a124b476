"""What a page is made of is looked for before an export begins."""

import subprocess

import pytest

from benchmarks import export
from benchmarks.page import writing
from distillation.config.errors import UserError


@pytest.fixture
def packages(monkeypatch, tmp_path):
    """Stand-ins for the npm packages, which are not there yet."""
    monkeypatch.setattr(writing, "SOURCES", tmp_path)

    def install(*_, **__):
        for name in (writing.WASM, *writing.PACKAGES):
            path = tmp_path / "node_modules" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
        return subprocess.CompletedProcess([], 0)

    return install


def test_packages_are_installed_where_asked(packages, monkeypatch):
    with pytest.raises(UserError, match="--page_install true"):
        writing.check_packages(install=False)
    monkeypatch.setattr(writing.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match=r"needs node and npm: install Node\.js"):
        writing.check_packages(install=True)
    monkeypatch.setattr(writing.shutil, "which", lambda name: name)
    failed = subprocess.CompletedProcess([], 1, stderr="npm error network")
    monkeypatch.setattr(writing.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(UserError, match="npm error network"):
        writing.check_packages(install=True)
    monkeypatch.setattr(writing.subprocess, "run", packages)
    writing.check_packages(install=True)
    writing.check_packages(install=False)


def test_a_page_needs_onnx(teacher_folder, tmp_path, capsys):
    argv = [f"--model_name_or_path={teacher_folder}", f"--output_dir={tmp_path / 'new'}", "--page=true"]
    with pytest.raises(SystemExit):
        export.main([*argv, "--backend=openvino"])
    assert "choose onnx-int8" in capsys.readouterr().err and not (tmp_path / "new").exists()


def test_a_tokenizer_that_its_library_does_not_read():
    steps = {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Nmt"}]}
    content = {"normalizer": steps, "pre_tokenizer": None, "model": {"type": "BPE"}}
    with pytest.raises(UserError, match="normalizer of the tokenizer is Nmt"):
        writing.check_tokenizer(content)
    writing.check_tokenizer(content | {"normalizer": steps["normalizers"][0]})
