"""Which checkpoint a run goes on from, and which runs may; what is said where none can."""

import os
import subprocess
import sys
from dataclasses import dataclass

import pytest
from transformers import TrainingArguments

from distillation.config.command_line import key
from distillation.config.errors import UserError
from distillation.runs.checkpoint import checkpoints, mark_complete
from distillation.runs.files import write_json, write_text
from distillation.runs.resume import find_checkpoint, finished, inputs_of, is_over, start_run


def arguments(folder, checkpoint=None):
    return TrainingArguments(str(folder), resume_from_checkpoint=checkpoint, use_cpu=True)


@pytest.fixture
def find(tmp_path):
    """What a run in `tmp_path` finds."""
    return lambda value, recipe=None, inputs=None: find_checkpoint(
        arguments(tmp_path, value), recipe or {}, inputs or {}
    )


def write_checkpoint(folder):
    (folder / "shards").mkdir(parents=True)
    for name in ("model", "optimizer", "shards/0"):
        (folder / name).write_text("weights")


def test_the_newest_complete_checkpoint_by_number(tmp_path, caplog, find):
    """By name 9 would come after 10; 11 is not marked. A new run must not resume an older one's later checkpoint."""
    assert [find(value) for value in ("true", None, "false")] == [None] * 3
    for step in (9, 10, 11):
        write_checkpoint(tmp_path / f"checkpoint-{step}")
    mark_complete(tmp_path / "checkpoint-9")
    mark_complete(tmp_path / "checkpoint-10")
    (tmp_path / "checkpoint-best").mkdir()
    assert len(checkpoints(tmp_path)) == 3
    assert find("true") == str(tmp_path / "checkpoint-10")
    assert "checkpoint-11 is not complete and is skipped" in caplog.text
    assert find(str(tmp_path / "checkpoint-9")) == str(tmp_path / "checkpoint-9")
    with pytest.raises(UserError, match="`resume_from_checkpoint`.* is no complete checkpoint"):
        find(str(tmp_path / "checkpoint-11"))
    for value in (None, "false"):
        with pytest.raises(UserError, match="`output_dir`.*--resume_from_checkpoint true"):
            find(value)


def test_a_checkpoint_of_another_folder_is_of_the_same_recipe(tmp_path):
    start_run(arguments(tmp_path / "a"), {"weight_kl": 2.0}, {})
    write_checkpoint(tmp_path / "a" / "checkpoint-3")
    mark_complete(tmp_path / "a" / "checkpoint-3")
    other = arguments(tmp_path / "b", str(tmp_path / "a" / "checkpoint-3"))
    assert find_checkpoint(other, {"weight_kl": 2.0}, {}) == str(tmp_path / "a" / "checkpoint-3")
    with pytest.raises(UserError, match="holds a run with `weight_kl` 2.0, and this one has 1.0"):
        find_checkpoint(other, {"weight_kl": 1.0}, {})


def test_another_recipe_does_not_go_on(tmp_path, caplog, find):
    """What makes another model is refused; what another machine may need is logged."""
    recipe = {"weight_kl": 2.0, "seed": 1, "max_steps": 10, "output_dir": "here", "preprocessing_num_workers": 1}
    start_run(arguments(tmp_path), recipe, {})
    again = recipe | {"output_dir": "there"}
    assert find("true", again) is None and "goes on with" not in caplog.text
    for name, value in (("weight_kl", 1.0), ("seed", 2), ("learning_rate", 1.0), ("data_seed", 3)):
        with pytest.raises(UserError, match=f"`output_dir`.*`{name}`"):
            find("true", again | {name: value})
    find("true", again | {"max_steps": 20, "preprocessing_num_workers": 2, "logging_steps": 5})
    assert "the run goes on with `max_steps` 20, and started with 10" in caplog.text
    assert "`preprocessing_num_workers` 2" in caplog.text and "`logging_steps` 5" in caplog.text


def test_results_of_an_earlier_run_are_taken_away(tmp_path):
    """A new run that is cut short would show the figures, the answers, and the export of the old one."""
    write_json(tmp_path / "all_results.json", {"recipe": {}})
    write_json(tmp_path / "onnx" / "export.json", {})
    assert finished(arguments(tmp_path, "true")) == {"recipe": {}} and finished(arguments(tmp_path)) is None
    start_run(arguments(tmp_path, "true"), {}, {})  # what was made of the same weights stays
    assert {path.name for path in tmp_path.iterdir()} == {"inputs.json", "recipe.json", "onnx"}
    start_run(arguments(tmp_path), {}, {})
    assert {path.name for path in tmp_path.iterdir()} == {"inputs.json", "recipe.json"}
    assert finished(arguments(tmp_path, "true")) is None
    write_json(tmp_path / "all_results.json", {"recipe": {}})
    write_json(tmp_path / "measured.json", {})
    start_run(arguments(tmp_path, "true"), {"max_steps": 9}, {})  # it goes on: the weights change
    assert {path.name for path in tmp_path.iterdir()} == {"inputs.json", "recipe.json"}


def test_two_runs_do_not_write_to_one_folder(tmp_path):
    """Started together, they would mix their checkpoints. In one process a run may follow another."""
    code = f"import sys, types; from {start_run.__module__} import start_run\n"
    code += "args = types.SimpleNamespace(output_dir=sys.argv[1], process_index=0, resume_from_checkpoint=None)\n"
    code += "start_run(args, {}, {})"
    start_run(arguments(tmp_path), {}, {})
    start_run(arguments(tmp_path), {}, {})
    for folder, message in ((tmp_path, "another run writes to"), (tmp_path / "other", "")):
        ended = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True)
        assert bool(ended.returncode) == bool(message) and message in ended.stderr
    descriptors = len(os.listdir("/proc/self/fd"))
    for name in "abc":
        start_run(arguments(tmp_path / name), {}, {})
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_run_does_not_end_before_its_checkpoint(tmp_path):
    write_checkpoint(tmp_path / "checkpoint-9")
    write_json(tmp_path / "checkpoint-9" / "trainer_state.json", {"global_step": 9, "epoch": 1.5})
    mark_complete(tmp_path / "checkpoint-9")
    for keys, message in (({"max_steps": 8}, "`max_steps` is 8, and"), ({"num_train_epochs": 1}, "is at 1.5 already")):
        for value in ("true", str(tmp_path / "checkpoint-9")):
            training = TrainingArguments(str(tmp_path), resume_from_checkpoint=value, use_cpu=True, **keys)
            with pytest.raises(UserError, match=message):
                find_checkpoint(training, {}, {})
    assert find_checkpoint(TrainingArguments(str(tmp_path), resume_from_checkpoint="true", max_steps=9), {}, {})


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "modules.json"])
def test_a_model_is_not_replaced(tmp_path, find, name):
    """A run that made it may go on; another script's folder, or the model to learn from, has no recipe."""
    (tmp_path / name).touch()
    for value in (None, "true"):
        with pytest.raises(UserError, match="`output_dir`.*holds a model or a tokenizer: name another folder"):
            find(value)
    start_run(arguments(tmp_path), {}, {})
    assert find("true") is None
    with pytest.raises(UserError, match="holds a model"):
        find(None)


@pytest.mark.parametrize("name", ["README.md", "all_results.json", "measured.json", "onnx"])
def test_files_that_no_run_has_written_are_not_replaced(tmp_path, find, name):
    (tmp_path / name).write_text("{}")
    with pytest.raises(UserError, match=f"`output_dir`.*has {name}, which is no run's: name another folder"):
        find(None)


@dataclass
class Arguments:
    train_file: str = key("", "Text.", path="corpus")
    model: str = key("", "Model.", path="source")
    name: str = key("", "No path.")
    labelled: str = key("", "Table.", path="local")


def test_labels_that_have_changed_do_not_go_on(tmp_path):
    """Also in the middle of a large table: a label that was put right leaves its size."""
    table = tmp_path / "labelled.csv"
    table.write_text("x" * 2**22)
    before = inputs_of([Arguments(labelled=str(table))])
    table.write_text("x" * 2**21 + "y" + "x" * (2**21 - 1))
    assert inputs_of([Arguments(labelled=str(table))]) != before


def test_a_file_that_has_changed_does_not_go_on(tmp_path, find):
    """A corpus in its middle aside: it may be too large to be read for this."""
    corpus, model = tmp_path / "corpus", tmp_path / "model"
    corpus.mkdir(), model.mkdir()
    texts = [corpus / "a.txt", corpus / "b.TXT", model / "model.safetensors"]
    (model / "config.json").touch()
    long = "x" * 3 * 2**20
    for file in texts:
        file.write_text(long)
    (model / "README.md").touch()
    keys = [Arguments(str(corpus), str(model), "there"), Arguments(str(corpus / "[ab].*"), "owner/name")]
    before = [inputs_of([one]) for one in keys]
    assert before[0].keys() == {"train_file", "model"} and before[1] == {"train_file": before[0]["train_file"]}
    (model / "README.md").write_text("A card says nothing of the outputs.")
    (corpus / ".git").mkdir()
    for name in (".hidden.txt", ".git/a.txt", "run.log"):
        (corpus / name).touch()
    assert [inputs_of([one]) for one in keys] == before
    recipe = {"train_file": "corpus", "model": "model"}
    start_run(arguments(tmp_path), recipe, before[0])
    assert find("true", recipe, before[0]) is None
    for changed, file in (("train_file", texts[1]), ("model", texts[2])):
        for text in (f"{long}x", f"y{long[1:]}", f"{long[1:]}y"):
            file.write_text(text)
            with pytest.raises(UserError, match=f"`{changed}`.* has changed since the run"):
                find("true", recipe, inputs_of(keys[:1]))
        file.write_text(long)


def test_data_in_a_folder_a_part_that_have_changed_do_not_go_on(tmp_path):
    """Those of a run that lies beside them do not count."""
    for name in ("train/a.ann", "test/a.ann", "out/test_predictions.txt", "out/recipe.json"):
        write_text(tmp_path / name, "{}")
    before = inputs_of([Arguments(model=str(tmp_path))])
    write_text(tmp_path / "out" / "test_predictions.txt", "others")
    assert inputs_of([Arguments(model=str(tmp_path))]) == before
    write_text(tmp_path / "test" / "a.ann", "others")
    assert inputs_of([Arguments(model=str(tmp_path))]) != before


def test_a_finished_run_is_left_as_it_is(tmp_path, find):
    """Without a checkpoint there is nothing to go on from, and what else is asked for is not passed over."""
    recipe = {"max_steps": 10}
    write_json(tmp_path / "all_results.json", {"recipe": recipe})
    with pytest.raises(UserError, match="holds a finished run: name another folder; `--resume_from_checkpoint true`"):
        find(None)
    resumed = arguments(tmp_path, "true")
    assert is_over(resumed, recipe, None) and is_over(resumed, recipe, "checkpoint-10")
    assert not is_over(resumed, {"max_steps": 20}, "checkpoint-10")
    assert not is_over(arguments(tmp_path / "new", "true"), recipe, None)
    with pytest.raises(UserError, match="`max_steps`"):
        is_over(resumed, {"max_steps": 20}, None)
    resumed.push_to_hub = True
    with pytest.raises(UserError, match="run_publish.py --checkpoint"):
        is_over(resumed, recipe, None)


def test_a_folder_that_cannot_be_written(tmp_path):
    """Before training, or as soon as it shows: to the superuser nothing looks so."""
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="`output_dir`.*is a file: name a folder"):
        find_checkpoint(arguments(tmp_path / "file" / "run"), {}, {})
    (tmp_path / "run" / "all_results.json").mkdir(parents=True)
    with pytest.raises(UserError, match="`output_dir`.*cannot be written.*name another folder"):
        start_run(arguments(tmp_path / "run"), {}, {})
