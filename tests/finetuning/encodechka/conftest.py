import pytest

from tests.finetuning.board import write_board


@pytest.fixture(scope="session")
def board(tmp_path_factory):
    return write_board(tmp_path_factory.mktemp("encodechka") / "board")
