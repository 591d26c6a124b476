"""A push from end to end against a stand-in of the Hub: what arrives, and what becomes of a run that may not push."""

import json
import shlex
import shutil
from unittest.mock import Mock

import pytest
import torch
from huggingface_hub import ModelCard, hf_hub_download
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, AutoTokenizer

from distillation import run, run_publish
from distillation.runs.files import sha256, write_json, write_text
from tests.hub_stand_in import OWNER, TOKEN, Stored

NAME = f"{OWNER}/tiny"
# Files of a folder that are nobody's business.
PRIVATE = ("training_args.bin", "projections.safetensors", "teacher/model.safetensors", "runs/events", ".env")
PRIVATE += ("pytorch_model.bin", "onnx/notes.txt", "test_predictions.jsonl", "model.safetensors.part")
EARLIER = ("measured.json", "onnx/export.json", "onnx/model.onnx")
PUBLISHED = {"README.md", "all_results.json", "config.json", "model.safetensors", "tokenizer.json"}
PUBLISHED |= {"tokenizer_config.json", "vocab.txt"}


@pytest.fixture(scope="module")
def recipe(teacher_folder, corpus_file):
    argv = [f"--teacher_name_or_path={teacher_folder}", f"--train_file={corpus_file}", "--student_layers=2"]
    return [*argv, "--max_steps=2", "--save_steps=1", "--max_length=32", "--use_cpu", "--disable_tqdm=true"]


@pytest.fixture(scope="module")
def finished(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "student"
    run.main([*recipe, "--output_dir", str(folder)])
    return folder


@pytest.fixture
def student(finished, tmp_path):
    """A student that nobody has pushed."""
    return shutil.copytree(finished, tmp_path / "student")


def push(folder, *options):
    run_publish.main(["--checkpoint", str(folder), "--hub_model_id", "tiny", *options])


@pytest.fixture
def refusal(capsys):
    """Calls what ends with exit code 2; its message, one line that holds no token."""

    def call(command, *arguments):
        with pytest.raises(SystemExit) as ended:
            command(*arguments)
        printed = capsys.readouterr()
        assert ended.value.code == 2 and TOKEN not in printed.out + printed.err
        return printed.err.strip().splitlines()[-1]

    return call


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_pushes_what_others_load_and_nothing_else(hub, recipe, tmp_path):
    """Nor what was measured of an earlier model in the same folder."""
    output = tmp_path / "student"
    for name in (*EARLIER, *PRIVATE):
        write_text(output / name, '{"scores": [{"model": "secret"}]}')
    write_text(output / "recipe.json", "{}")  # of the run that left these
    keys = ["--push_to_hub", "true", "--hub_model_id", "tiny", "--hub_private_repo", "true"]
    run.main([*recipe, *keys, "--output_dir", str(output)])
    stored = hub.repositories[NAME]
    assert stored.private and len(stored.commits) == 1
    assert stored.files.keys() == PUBLISHED and (output / "checkpoint-2").exists()
    everything = b"".join(content for file, content in stored.files.items() if not file.endswith(".safetensors"))
    assert not any(text.encode() in everything for text in ("secret", str(tmp_path.parent), TOKEN))
    found, tokenizer = AutoModelForMaskedLM.from_pretrained(NAME).state_dict(), AutoTokenizer.from_pretrained(NAME)
    assert all(torch.equal(found[name], tensor) for name, tensor in load_file(output / "model.safetensors").items())
    assert tokenizer.get_vocab() == AutoTokenizer.from_pretrained(output).get_vocab()
    card = ModelCard.load(NAME)
    assert card.data.pipeline_tag == "fill-mask" and f'model="{NAME}"' in card.text


def test_a_run_that_may_not_push_ends_before_it_trains(hub, recipe, tmp_path, refusal, monkeypatch):
    """Days later it would be too late. Jobs that may be stopped always have the option to resume."""
    keys = ["--push_to_hub", "true", "--resume_from_checkpoint", "true", "--output_dir", str(tmp_path / "student")]
    for name, token, message in (
        ("someone/tiny", TOKEN, "another owner"),
        ("no name!", TOKEN, "`hub_model_id`"),
        ("tiny", "hf_wrong", "refuses the token"),
    ):
        monkeypatch.setenv("HF_TOKEN", token)
        assert message in refusal(run.main, [*recipe, *keys, "--hub_model_id", name])
        assert not (tmp_path / "student").exists()


def test_a_name_that_another_model_has(hub, recipe, student, refusal):
    """The Hub's own client would put one model in the place of the other without a word."""
    before = {"model.safetensors": b"other", "pytorch_model.bin": b"old", "LICENSE": b"mine"}
    other = hub.repositories[NAME] = Stored(files=dict(before))
    assert "holds another model" in refusal(push, student)
    assert "public" in refusal(push, student, "--hub_private_repo", "true")
    keys = ["--push_to_hub", "true", "--hub_model_id", "tiny", "--output_dir", str(student.parent / "new")]
    assert "holds another model" in refusal(run.main, [*recipe, *keys])
    assert not (student.parent / "new").exists()
    push(student, "--hub_revision", "trial")  # a branch, which begins with the files of the other model
    assert other.files == before
    push(student, "--hub_overwrite", "true")
    for files in (other.branches["trial"], other.files):
        assert files["model.safetensors"] == (student / "model.safetensors").read_bytes()
        assert "pytorch_model.bin" not in files and files["LICENSE"] == b"mine"


@pytest.mark.parametrize("part", ["/large/", "/commit/", "/preupload/"])
def test_a_cut_connection_loses_nothing_and_can_be_tried_again(hub, student, refusal, part):
    student = student.rename(student.parent / "my student")
    before = contents(student)
    hub.cut = lambda method, path: part in path
    message = refusal(push, student, "--hub_private_repo", "true")
    assert not hub.repositories[NAME].files, "half of a model on the Hub"
    hub.cut = lambda method, path: False
    run_publish.main(shlex.split(message.split("to publish it: python distillation/run_publish.py ")[1]))
    assert hub.repositories[NAME].private, "a model that nobody should see"
    assert hub.uploads == 1, "what had arrived was sent once more"
    assert contents(student) | {student / "README.md": b""} == before | {student / "README.md": b""}


def test_a_sentence_encoder_goes_with_its_modules(hub, student):
    """Without its pooling it would be another encoder."""
    modules = {"modules.json", "config_sentence_transformers.json", "1_Pooling/config.json"}
    for name in modules:
        write_text(student / name, "{}")
    push(student)
    assert modules <= hub.repositories[NAME].files.keys()


def test_a_token_that_is_given_is_not_told(hub, student, refusal, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.HfApi.create_commit", Mock(side_effect=OSError(f"sent {TOKEN} and was cut")))
    assert "***" in refusal(push, student, "--hub_token", TOKEN)
    assert all(TOKEN.encode() not in content for content in contents(student).values())


def test_what_was_measured_since_goes_along(hub, student, tmp_path, refusal):
    """And stays for the next push, also beside speed: scores of a model fine-tuned from it, and its ONNX model."""
    known = {"model": str(student), "weights": sha256(student / "model.safetensors")}
    score = {"task": "letters", "metric": "accuracy", "seed": 1, "test_accuracy": 0.625, "recipe": {}}
    write_json(tmp_path / "tuned" / "all_results.json", score | known)
    export = {"backend": "onnx-int8", "bytes": {"model.onnx": 5}, "largest_difference": 0.125, "agreement": 0.75}
    export |= {"compared": "8 hidden tokens", "task": "fill-mask"} | known
    write_text(tmp_path / "exported" / "model.onnx", "graph")
    write_text(tmp_path / "exported" / "model.py", "code")
    write_json(tmp_path / "exported" / "export.json", export)
    options = ["--results", str(tmp_path / "tuned"), "--onnx", str(tmp_path / "exported")]
    timing = {"head": "masked-lm", "backend": "torch", "device": "cpu", "batch_size": 1, "sequence_length": 8}
    timing |= {"parameters": 12, "seconds": [0.25], "mib": 1.5, "steady": True, "source": str(student)}
    write_json(tmp_path / "speed.json", {"hardware": {"cpu": "Some"}, "rows": [timing]})
    push(student)
    for further in (options, [], ["--results", str(tmp_path / "speed.json")]):
        push(student, *further)
        stored = hub.repositories[NAME].files
        card = stored["README.md"].decode()
        assert "0.6250" in card and "onnx/model_int8.onnx" in card and "75.00%" in card
    assert "250.00" in card
    assert json.loads(stored["onnx/export.json"])["model"] == "student"
    for name, content in ("model_int8.onnx", b"graph"), ("model_quantized.onnx", b"graph"), ("model.py", b"code"):
        assert open(hf_hub_download(NAME, f"onnx/{name}"), "rb").read() == content
    for other in {"weights": "others"}, {"task": "feature-extraction"}:
        write_json(tmp_path / "exported" / "export.json", export | other)
        assert "`onnx`" in refusal(push, student, *options)


def test_without_a_repository_only_the_card_is_written_and_only_of_a_finished_folder(hub, student, tmp_path, refusal):
    run_publish.main(["--checkpoint", str(student), "--license", "cc-by-4.0"])
    assert ModelCard.load(student / "README.md").data.license == "cc-by-4.0"
    for folder in (tmp_path, tmp_path / "missing"):
        assert "`checkpoint`" in refusal(push, folder)
    assert not hub.repositories
