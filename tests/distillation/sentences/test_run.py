"""The script from end to end: what it leaves, and what it learns again."""

import logging
import os
import re
import shutil
import signal
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from sentence_transformers import SentenceTransformerTrainer
from transformers import BertConfig, BertForMaskedLM

from distillation.config.errors import Stopped, UserError
from distillation.models.loading import save_pretrained
from distillation.models.sentence_encoder import load_sentence_encoder
from distillation.run_publish import main as publish
from distillation.run_sentences import main
from distillation.runs.checkpoint import is_complete
from distillation.runs.files import read_json
from distillation.sentences.trainer import VectorLoss, VectorTrainer
from finetuning.encodechka.encoders import load
from tests import launched
from tests.traceable import leaves, untraceable


@pytest.fixture(scope="module")
def student_folder(tmp_path_factory, tokenizer):
    """A masked LM of one layer and 16 units."""
    folder = tmp_path_factory.mktemp("student")
    torch.manual_seed(1)
    shape = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **shape)
    save_pretrained(BertForMaskedLM(config), tokenizer, folder)
    return folder


@pytest.fixture(scope="module")
def call(student_folder, teacher_folder, corpus_file):
    """A function that runs the script; its keywords are keys."""

    def run(output, **keys):
        keys = dict(model_name_or_path=student_folder, teacher_name_or_path=teacher_folder) | keys
        keys = dict(train_file=corpus_file, output_dir=output, use_cpu="true", max_length=16, max_steps=8) | keys
        keys = dict(per_device_train_batch_size=16, learning_rate=3e-3, disable_tqdm="true", report_to="none") | keys
        return main.__wrapped__([f"--{key}={value}" for key, value in keys.items()])

    return run


@pytest.fixture(scope="module")
def finished(call, tmp_path_factory):
    """A student of 8 numbers, and its figures."""
    folder = tmp_path_factory.mktemp("sentences") / "output"
    return folder, call(folder, dimension=8, weight_similarity=0.5, save_steps=4, save_total_limit=2)


def test_a_student_learns_and_is_a_folder_of_the_library(finished):
    folder, results = finished
    assert results["heldout_loss"] < results["heldout_loss_before"] and results["steps"] == 8
    model = load_sentence_encoder(str(folder), "model")
    vectors = model.encode(["Он пришёл", "Да"])
    assert vectors.shape == (2, results["dimension"]) == (2, 8)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(load(str(folder)).sentences(["Он пришёл", "Да"])["own"], vectors, atol=1e-5)
    assert model.max_seq_length == 16


def test_a_student_as_wide_as_the_vectors_begins_near_them(call, finished, tmp_path):
    """The teacher's principal numbers can stand in any order and turn: those that fit the student are learned."""
    results = call(tmp_path / "output", dimension=16, teacher_vectors=finished[0] / "teacher_vectors", max_steps=1)
    assert results["dimension"] == 16 and results["heldout_loss_before"] < 0.4


def test_the_teachers_own_layers_begin_near_it(call, finished, teacher_folder, tmp_path):
    """All of them give its vectors, but for texts that the student cuts; without half of them others."""
    keys = dict(model_name_or_path=teacher_folder, teacher_vectors=finished[0] / "teacher_vectors", max_steps=1)
    whole, half = call(tmp_path / "whole", **keys), call(tmp_path / "half", student_layers=2, **keys)
    assert 4 * whole["heldout_loss_before"] < half["heldout_loss_before"]
    assert half["parameters"] < whole["parameters"]


def test_the_card_tells_what_was_measured_and_no_text_of_the_corpus(finished, corpus_lines):
    folder, results = finished
    publish.__wrapped__([f"--checkpoint={folder}", "--license=mit", "--language=be"])
    card, found = ModelCard.load(folder / "README.md"), read_json(folder / "all_results.json")
    assert not any(line in card.content for line in corpus_lines if len(line) > 20)
    data = card.data
    assert (data.library_name, data.license, data.language) == ("sentence-transformers", "mit", ["be"])
    assert {"sentence-similarity", "knowledge-distillation"} <= {*data.tags}
    known = [*leaves(found), *leaves([read_json(folder / name) for name in ("config.json", "tokenizer_config.json")])]
    known.append(found["teacher_parameters"] / found["parameters"])
    text = card.text.split("```yaml")[0]
    assert untraceable(re.sub(r"(?<=with transformers ).*?(?=;)", "", text), known) == []
    assert f"{results['heldout_loss']:.4f}, and was {results['heldout_loss_before']:.4f} before" in text
    assert "and 0.5 times the squared difference" in text and "masked language" not in text


def test_a_run_is_resumed_and_another_is_refused(finished, call, monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    folder, results = finished
    assert (folder / "checkpoint-4").exists() and not list(folder.rglob("training_args.bin"))  # it would hold a token
    for name in ("all_results.json", "modules.json", "model.safetensors"):
        (folder / name).unlink()  # as if it had been killed between its last checkpoint and its end
    again = call(folder, dimension=8, weight_similarity=0.5, save_steps=4, resume_from_checkpoint="true")
    assert again["heldout_loss"] == pytest.approx(results["heldout_loss"]) and again["steps"] == 8
    assert again["heldout_loss_before"] == results["heldout_loss_before"]
    assert "newly initialized" not in caplog.text  # the pooler, which nobody needs
    with pytest.raises(UserError, match="`dimension` 8"):
        call(folder, dimension=9, weight_similarity=0.5, resume_from_checkpoint="true")


@pytest.mark.parametrize("sampling", ["random", "group_by_length"])
def test_two_ranks_train_one_model_and_resume_in_the_second_epoch(call, finished, tmp_path, sampling):
    """The library's evaluation would leave each rank with gradients of its own, or measure whole batches alone."""
    keys = dict(dimension=8, teacher_vectors=finished[0] / "teacher_vectors", train_sampling_strategy=sampling)
    keys |= dict(max_steps=14, save_steps=12, lr_scheduler_type="constant", resume_from_checkpoint="true")

    def ends(folder):
        def train(trainer, *args, train=VectorTrainer.train, **options):
            train(trainer, *args, **options)
            assert 1 < trainer.state.epoch < 2
            weights = sum(weight.double().abs().sum().item() for weight in trainer.model.parameters())
            (folder / f"rank-{os.environ['RANK']}").write_text(str(weights))
            texts = sum(len(batch["label"]) for batch in trainer.get_eval_dataloader("vectors"))
            (folder / f"texts-{os.environ['RANK']}").write_text(str(texts))

        VectorTrainer.train = train  # in a fork
        call(folder, **keys)

    launched.run(launched.ranks(2), tmp_path / "log", ends, tmp_path / "run")
    found = [(tmp_path / "run" / f"rank-{rank}").read_text() for rank in (0, 1)]
    assert found[0] == found[1]
    texts = [int((tmp_path / "run" / f"texts-{rank}").read_text()) for rank in (0, 1)]
    assert sum(texts) >= read_json(tmp_path / "run" / "all_results.json")["heldout_texts"]
    (tmp_path / "run" / "all_results.json").unlink()
    shutil.rmtree(tmp_path / "run" / "checkpoint-14")
    launched.run(launched.ranks(2), tmp_path / "log", ends, tmp_path / "run")
    assert (tmp_path / "run" / "rank-0").read_text() == found[0]


def test_ctrl_c_writes_a_checkpoint(call, finished, tmp_path, monkeypatch):
    def forward(loss, *args, forward=VectorLoss.forward):
        if loss.model.training:
            signal.raise_signal(signal.SIGINT)
            monkeypatch.undo()
        return forward(loss, *args)

    monkeypatch.setattr(VectorLoss, "forward", forward)
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(Stopped, match="stopped by Ctrl-C after step 2"):
            call(tmp_path, dimension=8, teacher_vectors=finished[0] / "teacher_vectors")
    finally:
        signal.signal(signal.SIGINT, former)
    assert is_complete(tmp_path / "checkpoint-2")


def test_pairs_are_learned_as_well(call, finished, tmp_path, corpus_lines):
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("".join(f'{{"anchor": "слово {n}", "positive": "число {n}"}}\n' for n in range(40)), "utf-8")
    kept = finished[0] / "teacher_vectors"
    results = call(tmp_path / "output", pairs_file=pairs, teacher_vectors=kept, max_steps=2)
    assert results["dimension"] == 32 and not (tmp_path / "output" / "teacher_vectors").exists()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"dimension": 33}, "more than the teacher's 32"),
        ({"push_to_hub": "true", "hub_model_id": "me/x"}, "hub_model_id"),
        ({"streaming": "true"}, "streaming"),
        ({"data_seed": 1}, "`data_seed` has no effect"),
        ({"train_sampling_strategy": "sequential"}, "`train_sampling_strategy` may be"),
        ({"metric_for_best_model": "accuracy"}, "choose one of vectors_loss, loss"),
        ({"save_strategy": "best"}, "never saves without an evaluation"),
    ],
)
def test_what_cannot_be_done_is_refused(call, tmp_path, keys, message):
    with pytest.raises(UserError, match=message):
        call(tmp_path / "output", **keys)
    assert not (tmp_path / "output").exists()


def test_the_best_checkpoint_has_the_smallest_loss(call, tmp_path):
    call(tmp_path, max_steps=2, load_best_model_at_end="true", eval_strategy="steps", eval_steps=1, save_steps=1)
    state = read_json(tmp_path / "checkpoint-2" / "trainer_state.json")
    losses = [log["eval_vectors_loss"] for log in state["log_history"] if "eval_vectors_loss" in log]
    assert state["best_metric"] == min(losses[1:]), "there is no checkpoint of step 0"


def test_the_last_weights_are_not_taken_for_the_best(call, tmp_path, monkeypatch):
    """The library's trainer only logs that the best checkpoint cannot be read."""
    monkeypatch.setattr(SentenceTransformerTrainer, "_load_from_checkpoint", Mock(side_effect=OSError("no weights")))
    keys = dict(load_best_model_at_end="true", eval_strategy="steps", eval_steps=1, save_steps=1)
    with pytest.raises(UserError, match="checkpoint-1' cannot be loaded: no weights"):
        call(tmp_path, max_steps=1, **keys)


def test_a_run_without_a_finite_loss_saves_no_model(call, tmp_path):
    with pytest.raises(UserError, match="not finite"):
        call(tmp_path, max_steps=3, save_steps=1, learning_rate=1e38, lr_scheduler_type="constant")
    with pytest.raises(UserError, match="held-out loss is not finite"):
        call(tmp_path / "short", max_steps=1, learning_rate=1e30, lr_scheduler_type="constant", save_strategy="no")
    assert not list(tmp_path.rglob("modules.json"))


def test_modules_with_code_of_their_own_are_refused(finished, call, tmp_path):
    copied = tmp_path / "planted"
    copied.mkdir()
    for path in finished[0].iterdir():
        (copied / path.name).symlink_to(path)
    (copied / "modules.json").unlink()
    modules = read_json(finished[0] / "modules.json")
    modules[1]["type"] = "planted.Pooling"
    (copied / "modules.json").write_text(str(modules).replace("'", '"'))
    with pytest.raises(UserError, match="teacher_name_or_path"):
        call(tmp_path / "output", teacher_name_or_path=copied)
