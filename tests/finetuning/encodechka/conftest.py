import pytest

from benchmarks import export
from tests.finetuning.board import write_board


@pytest.fixture(scope="session")
def board(tmp_path_factory):
    return write_board(tmp_path_factory.mktemp("encodechka") / "board")


@pytest.fixture(scope="session")
def exported_folder(teacher_folder, corpus_file, tmp_path_factory):
    """The teacher as a sentence encoder in ONNX, in single precision."""
    folder, keys = tmp_path_factory.mktemp("exported") / "encoder", {"task": "feature-extraction", "backend": "onnx"}
    keys |= {"model_name_or_path": teacher_folder, "output_dir": folder, "validation_file": corpus_file}
    export.main.__wrapped__([f"--{key}={value}" for key, value in keys.items()])
    return folder
