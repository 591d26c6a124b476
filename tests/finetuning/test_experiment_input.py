"""What a user can get wrong ends with one sentence that names it and exit code 2, before anything is written."""

import json
import re
import shutil
from pathlib import Path

import pytest

from finetuning import run_collection3, run_paraphraser, run_rusentiment, run_sberquad
from finetuning.sets import rusentiment

MAINS = {
    "rusentiment": run_rusentiment.main,
    "paraphraser": run_paraphraser.main,
    "collection3": run_collection3.main,
    "sberquad": run_sberquad.main,
}


@pytest.fixture
def refused(tmp_path, teacher_folder, benchmarks, capsys):
    """A function that runs a script in vain and returns its sentence; None leaves a key out."""

    def run(name="rusentiment", **keys):
        output = tmp_path / "output"
        common = dict(model_name_or_path=teacher_folder, data_dir=benchmarks / name, output_dir=output, use_cpu="true")
        argv = []
        for key, value in {**common, "max_length": 48, "max_steps": 1, **keys}.items():
            if value is not None:
                argv += [f"--{key}", *(map(str, value) if isinstance(value, list) else [str(value)])]
        with pytest.raises(SystemExit) as caught:
            MAINS[name](argv)
        assert caught.value.code == 2
        said = capsys.readouterr().err
        assert "Traceback" not in said and said.count("error: ") == 1
        last = said.strip().splitlines()[-1]
        assert last.startswith("error: ") and len(last) < 700
        assert not output.exists() or output.is_file(), "nothing half-written"
        return last

    return run


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (dict(model_name_or_path=None), "`model_name_or_path` is missing"),
        (dict(learning_rat=1), "unknown key `learning_rat`; did you mean `learning_rate`"),
        (dict(metric_for_best_model="f2"), "`metric_for_best_model` is 'f2'.*f1_weighted"),
        (dict(seeds=[1, 1]), "`seeds` must be different"),
        (dict(seeds=[1, 2], push_to_hub="true", hub_model_id="me/model"), "`push_to_hub`.*`seeds`"),
        (dict(seeds=[1, 2], resume_from_checkpoint="some/checkpoint-1"), "`resume_from_checkpoint`.*`true`"),
        (dict(max_length=15), "`max_length` must be at least 16"),
        (dict(weight_kl=1), "`weight_kl` has no effect without `task_teacher`"),
        (dict(temperature="nan", task_teacher="x"), "`temperature` must be positive"),
        (dict(dataloader_drop_last="true"), "`dataloader_drop_last`"),
        (dict(early_stopping_patience=2, load_best_model_at_end="false"), "`load_best_model_at_end: true`"),
        (dict(label_smoothing_factor=0.1), "`label_smoothing_factor`"),
        (dict(train_parts="all"), "`train_parts`"),
        (dict(config="absent.yaml"), "absent.yaml cannot be read"),
        (dict(model_name_or_path="no/such/model"), "`model_name_or_path` 'no/such/model' does not exist"),
        (dict(data_dir="absent"), "`data_dir` 'absent' is no folder"),
    ],
    ids=str,
)
def test_keys(refused, keys, sentence):
    assert re.search(sentence, refused(**keys))


@pytest.mark.parametrize("name", MAINS)
def test_a_folder_of_something_else(refused, tmp_path, name):
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "notes.md").write_text("nothing")
    assert str(tmp_path / "else") in refused(name, data_dir=tmp_path / "else")


def test_an_output_that_is_a_file(refused, tmp_path):
    (tmp_path / "output").write_text("mine")
    assert "`output_dir`" in refused()
    assert (tmp_path / "output").read_text() == "mine"


POSTS = "rusentiment_random_posts.csv"
TAG = ("\tO\n", "\tB-BIRD\n", 1)


def half(text):
    """As an interrupted download leaves it."""
    return text[: text.rindex('"', 0, len(text) // 2) + 2]


@pytest.mark.parametrize(
    ("name", "file", "change", "sentence"),
    [
        ("rusentiment", "rusentiment_test.csv", lambda text: text + "angry,Ужас\n", r"test.csv:\d+: label 'angry'"),
        (
            "collection3",
            "valid.txt",
            lambda text: text.replace(*TAG),
            r"valid.txt:\d+: .*'B-BIRD'",
        ),
        ("sberquad", "train-v1.1.json", lambda text: text.replace('"text": "', '"text": "Нигде ', 1), "does not hold"),
        ("paraphraser", "paraphrases_gold.xml", lambda text: "<data/>", "gold.xml: no rows"),
        ("collection3", "test.txt", lambda text: "\n\n", "test.txt has no sentence"),
        ("rusentiment", POSTS, half, r"posts.csv:\d+: no CSV"),
        ("paraphraser", "paraphrases.xml", half, "paraphrases.xml: broken XML"),
        ("sberquad", "dev-v1.1.json", half, "dev-v1.1.json: broken JSON"),
        (
            "rusentiment",
            POSTS,
            lambda text: "label,text\nskip,Да\n",
            "too few different texts",
        ),
    ],
)
def test_files_that_are_damaged(refused, benchmarks, tmp_path, name, file, change, sentence):
    folder = shutil.copytree(benchmarks / name, tmp_path / "changed")
    text = (folder / file).read_text(encoding="utf-8")
    (folder / file).write_text(change(text), encoding="utf-8", newline="")
    assert re.search(sentence, refused(name, data_dir=folder))


@pytest.mark.parametrize("key", ["model_name_or_path", "task_teacher"])
def test_a_model_without_a_tokenizer(refused, tmp_path, teacher_folder, key):
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(Path(teacher_folder, name), bare)
    if key == "task_teacher":
        labels = rusentiment.LABELS
        config = json.loads((bare / "config.json").read_text())
        config["id2label"] = dict(enumerate(labels))
        config["label2id"] = {label: number for number, label in enumerate(labels)}
        (bare / "config.json").write_text(json.dumps(config))
        assert "fine-tune it on" in refused(task_teacher=bare)
    else:
        assert "tokenizer" in refused(model_name_or_path=bare)
