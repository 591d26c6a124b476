"""A push from end to end against a stand-in of the Hub: what arrives, and what becomes of a run that may not push."""

import json
import shlex
import shutil

import pytest
import torch
from huggingface_hub import ModelCard, hf_hub_download
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, AutoTokenizer

from distillation import run, run_teacher
from distillation.hub import publishing as publish
from distillation.hub.push import published_files
from distillation.runs.files import sha256
from tests.hub import OWNER, TOKEN, Stored, _Handler

NAME = f"{OWNER}/tiny"
# What lies in a folder and is nobody's business.
PRIVATE = ["training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "recipe.json"]
PRIVATE += ["projections.safetensors", "teacher/model.safetensors", "checkpoint-2/model.safetensors", "runs/events"]
PRIVATE += ["pytorch_model.bin", "onnx/notes.txt", "test_predictions.jsonl", ".env", "model.safetensors.part"]


@pytest.fixture(scope="module")
def recipe(teacher_folder, corpus_file):
    argv = ["--teacher_name_or_path", str(teacher_folder), "--train_file", str(corpus_file), "--student_layers", "2"]
    argv += ["--max_steps", "2", "--save_steps", "1", "--max_length", "32", "--use_cpu", "true"]
    return [*argv, "--disable_tqdm", "true"]


@pytest.fixture(scope="module")
def finished(recipe, tmp_path_factory):
    """A student that nobody has pushed."""
    folder = tmp_path_factory.mktemp("finished") / "student"
    run.main([*recipe, "--output_dir", str(folder)])
    return folder


@pytest.fixture
def student(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "student")


def push(folder, *options, name="tiny"):
    publish.main(["--checkpoint", str(folder), "--hub_model_id", name, *options])


def refusal(capsys, *command):
    """What is said where a command ends with exit code 2, in one line that holds no token."""
    with pytest.raises(SystemExit) as ended:
        command[0](*command[1:])
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert TOKEN not in said.out + said.err
    (line,) = said.err.strip().splitlines()[-1:]
    assert line.startswith("error: ")
    return line


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_pushes_what_others_load(hub, recipe, tmp_path):
    output = tmp_path / "student"
    keys = ["--push_to_hub", "true", "--hub_model_id", "tiny", "--hub_private_repo", "true"]
    run.main([*recipe, *keys, "--output_dir", str(output)])
    stored = hub.repositories[NAME]
    assert stored.private and len(stored.commits) == 1
    assert set(stored.files) == {str(path.relative_to(output)) for path in published_files(output)}
    loaded, tokenizer = AutoModelForMaskedLM.from_pretrained(NAME), AutoTokenizer.from_pretrained(NAME)
    ours = load_file(output / "model.safetensors")
    theirs = loaded.state_dict()
    assert all(torch.equal(theirs[name], tensor) for name, tensor in ours.items())
    assert tokenizer.get_vocab() == AutoTokenizer.from_pretrained(output).get_vocab()
    card = ModelCard.load(NAME)
    assert card.data.pipeline_tag == "fill-mask" and f'model="{NAME}"' in card.text


def test_a_teacher_made_from_scratch(hub, corpus_file, tmp_path):
    argv = ["--train_file", str(corpus_file), "--layers", "1", "--hidden_size", "16", "--vocab_size", "300"]
    argv += ["--max_length", "32", "--max_steps", "1", "--use_cpu", "true", "--disable_tqdm", "true"]
    keys = ["--push_to_hub", "true", "--hub_model_id", "teacher", "--language", "ru", "uk", "--license", "mit"]
    run_teacher.main([*argv, *keys, "--output_dir", str(tmp_path / "teacher")])
    card = ModelCard.load(f"{OWNER}/teacher")
    assert card.data.language == ["ru", "uk"] and card.data.license == "mit"
    assert "trained from scratch" in card.text and "knowledge-distillation" not in card.data.tags


def test_nothing_else_leaves_the_machine(hub, student):
    for name in PRIVATE:
        path = student / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"secret")
    push(student)
    files = hub.repositories[NAME].files
    assert not set(PRIVATE) & set(files) and b"secret" not in files.values()
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json", "all_results.json"} <= set(files)
    everything = b"".join(content for file, content in files.items() if not file.endswith(".safetensors"))
    assert str(student.parent.parent).encode() not in everything, "how this machine is laid out"
    assert TOKEN.encode() not in everything


def test_the_onnx_model_goes_along(hub, student, tmp_path, capsys):
    exported = tmp_path / "exported"
    exported.mkdir()
    (exported / "model.onnx").write_bytes(b"graph")
    weights = sha256(student / "model.safetensors")
    found = {"model": str(student), "backend": "onnx-int8", "weights": weights, "bytes": {"model.onnx": 5}}
    found |= {"largest_difference": 0.125, "agreement": 0.75, "compared": "8 hidden tokens"}
    (exported / "export.json").write_text(json.dumps(found), encoding="utf-8")
    push(student, "--onnx", str(exported))
    files = hub.repositories[NAME].files
    assert files["onnx/model_int8.onnx"] == b"graph" and json.loads(files["onnx/export.json"])["model"] == "student"
    assert "onnx/model_int8.onnx" in files["README.md"].decode() and "75.00%" in files["README.md"].decode()
    assert open(hf_hub_download(NAME, "onnx/model_int8.onnx"), "rb").read() == b"graph"
    (exported / "export.json").write_text(json.dumps(found | {"weights": "others"}), encoding="utf-8")
    assert "`onnx`" in refusal(capsys, push, student, "--onnx", str(exported))


@pytest.mark.parametrize(
    "name, token, said",
    [("tiny", "hf_wrong", "token"), ("someone/tiny", TOKEN, "another's"), ("no name!", TOKEN, "`hub_model_id`")],
    ids=["refused token", "another's name", "no name"],
)
def test_a_run_that_may_not_push_ends_before_it_trains(hub, recipe, tmp_path, capsys, monkeypatch, name, token, said):
    """Days later it would be too late."""
    monkeypatch.setenv("HF_TOKEN", token)
    keys = ["--push_to_hub", "true", "--hub_model_id", name, "--output_dir", str(tmp_path / "student")]
    assert said in refusal(capsys, run.main, [*recipe, *keys])
    assert not (tmp_path / "student").exists()


def test_a_repository_of_others_that_all_can_see(hub, student, capsys):
    """To make it is no error for the Hub's client, and days later the push would be one."""
    hub.repositories["someone/tiny"] = Stored()
    assert "another's" in refusal(capsys, lambda: push(student, name="someone/tiny"))


def test_a_run_that_goes_on_is_checked_too(hub, recipe, student, capsys, monkeypatch):
    """Jobs that may be stopped always say that they go on."""
    keys = ["--push_to_hub", "true", "--hub_model_id", "tiny", "--resume_from_checkpoint", "true"]
    keys += ["--output_dir", str(student)]
    with monkeypatch.context() as patch:
        patch.setenv("HF_TOKEN", "hf_wrong")
        assert "refuses the token" in refusal(capsys, run.main, [*recipe, *keys])
    run.main([*recipe, *keys])
    assert f'model="{NAME}"' in ModelCard.load(NAME).text


def test_what_was_measured_of_an_earlier_model_is_not_this_ones(hub, recipe, finished, tmp_path):
    output = tmp_path / "student"
    output.mkdir()
    (output / "onnx").mkdir()
    for name in ("measured.json", "onnx/export.json"):
        (output / name).write_text('{"scores": [{"model": "this model"}]}')
    (output / "onnx" / "model.onnx").write_bytes(b"another")
    run.main([*recipe, "--output_dir", str(output), "--push_to_hub", "true", "--hub_model_id", "tiny"])
    assert not {"measured.json", "onnx/export.json", "onnx/model.onnx"} & set(hub.repositories[NAME].files)


def test_a_token_that_is_given_is_not_told(hub, student, capsys, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    push(student, "--hub_token", TOKEN)
    assert TOKEN not in "".join(capsys.readouterr())
    assert all(TOKEN.encode() not in content for content in contents(student).values())
    assert "hub_token" in refusal(capsys, push, student, "--hub_token", "hf_wrong")

    def failing(*arguments, **options):
        raise OSError(f"sent {TOKEN} and was cut")

    monkeypatch.setattr("huggingface_hub.HfApi.create_commit", failing)
    assert "***" in refusal(capsys, push, student, "--hub_token", TOKEN)


def test_a_name_that_another_model_has(hub, recipe, student, capsys):
    """The Hub's own client would put one model in the place of the other without a word."""
    other = Stored(files={"model.safetensors": b"other", "pytorch_model.bin": b"old", "LICENSE": b"mine"})
    hub.repositories[NAME] = other
    before = dict(other.files)
    assert "holds another model" in refusal(capsys, push, student)
    keys = ["--push_to_hub", "true", "--hub_model_id", "tiny", "--output_dir", str(student.parent / "new")]
    assert "holds another model" in refusal(capsys, run.main, [*recipe, *keys])
    assert other.files == before and not (student.parent / "new").exists()
    push(student, "--hub_overwrite", "true")
    assert other.files["model.safetensors"] == (student / "model.safetensors").read_bytes()
    assert "pytorch_model.bin" not in other.files, "the weights of another model beside these"
    assert other.files["LICENSE"] == b"mine"


def test_a_public_repository_where_a_private_one_is_wanted(hub, student, capsys):
    push(student)
    assert "public" in refusal(capsys, push, student, "--hub_private_repo", "true")


@pytest.mark.parametrize("part", ["/large/", "/commit/", "/preupload/"])
def test_a_cut_connection_loses_nothing_and_can_be_tried_again(hub, student, capsys, part):
    student = student.rename(student.parent / "my student")
    before = contents(student)
    hub.cut = lambda method, path: part in path
    said = refusal(capsys, push, student, "--hub_private_repo", "true")
    assert not hub.repositories[NAME].files, "half of a model on the Hub"
    hub.cut = lambda method, path: False
    _, command = said.split("to publish it: python -m distillation.hub.publishing ")
    publish.main(shlex.split(command))
    assert hub.repositories[NAME].private, "a model that nobody should see"
    assert hub.uploads == 1, "what had arrived was sent once more"
    assert len(hub.repositories[NAME].commits) == 1
    after = contents(student)
    assert {path: after[path] for path in before if path.name != "README.md"} == {
        path: content for path, content in before.items() if path.name != "README.md"
    }
    AutoModelForMaskedLM.from_pretrained(NAME)


def test_the_same_model_again_with_what_was_measured_since(hub, student, tmp_path):
    push(student)
    results = {"task": "letters", "metric": "accuracy", "model": str(student), "seed": 1, "test_accuracy": 0.625}
    results |= {"recipe": {}}
    (tmp_path / "all_results.json").write_text(json.dumps(results), encoding="utf-8")
    push(student, "--results", str(tmp_path / "all_results.json"))
    assert "0.6250" in hub.repositories[NAME].files["README.md"].decode()
    push(student)
    assert "0.6250" in hub.repositories[NAME].files["README.md"].decode(), "the next push forgot the scores"


def test_a_mirror_that_answers_no_questions(hub, student, monkeypatch):
    """It takes repositories and commits, and knows no more of the Hub's interface."""
    monkeypatch.setattr("tests.hub._Handler.ROUTES", [one for one in _Handler.ROUTES if one[0] != "GET"])
    push(student)
    assert hub.repositories[NAME].files


def test_a_branch(hub, student):
    other = Stored(files={"model.safetensors": b"other", "onnx/model.onnx": b"old"})
    hub.repositories[NAME] = other
    push(student, "--hub_revision", "trial")
    assert other.files == {"model.safetensors": b"other", "onnx/model.onnx": b"old"}
    trial = other.branches["trial"]
    assert trial["model.safetensors"] == (student / "model.safetensors").read_bytes()
    assert "onnx/model.onnx" not in trial, "what the branch began with is another model's"


def test_without_a_repository_only_the_card_is_written(hub, student):
    publish.main(["--checkpoint", str(student), "--license", "cc-by-4.0"])
    assert ModelCard.load(student / "README.md").data.license == "cc-by-4.0" and not hub.repositories


def test_what_is_no_finished_folder(hub, finished, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "missing", finished / "checkpoint-2"):
        assert "`checkpoint`" in refusal(capsys, push, folder)
    assert not hub.repositories
