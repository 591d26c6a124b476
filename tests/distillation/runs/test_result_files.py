"""Result files of other runs, and the models that they are of."""

from distillation.runs.result_files import find, matches


def test_a_model_is_known_by_the_end_of_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a/student", "b/student"):
        (tmp_path / name).mkdir(parents=True)
    assert matches("a/student", [str(tmp_path / "b/student"), str(tmp_path / "a/student")]) == [
        str(tmp_path / "a/student")
    ]
    assert matches("a/student", ["b/student"]) == []  # both are there, and two
    assert matches("there/x/tiny", ["here/x/tiny", "here/y/tiny", "tiny/x"]) == ["here/x/tiny"]
    assert matches("tiny", ["x/tiny", "y/tiny"]) == ["x/tiny", "y/tiny"]
    assert matches("tiny", ["x/small"]) == []


def test_files_of_unfinished_runs_do_not_count(tmp_path):
    for name in ("a/all_results.json", "a/checkpoint-2/all_results.json", "a/trainer_state.json", "b.json", "c.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    found = find([tmp_path, tmp_path / "b.json"])
    assert found == {(tmp_path / "a/all_results.json").resolve(): False, (tmp_path / "b.json").resolve(): True}
