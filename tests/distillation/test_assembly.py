"""A teacher that goes on training: its shape, a new head, candidates; the same however it is split or interrupted."""

import functools
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForMaskedLM, BertModel, EsmConfig, EsmForMaskedLM, TrainingArguments

from distillation import assembly
from distillation.config.arguments import MaskingArguments
from distillation.config.corpus import DataArguments
from distillation.config.errors import UserError
from distillation.config.teacher import TeacherArguments
from distillation.models.sampled_softmax import SampledSoftmax
from distillation.runs.new_weights import NewWeightsFirst
from tests import gradients, launched
from tests.distillation.runs.tiny import At

assert_same = functools.partial(gradients.assert_same, tolerance=1e-5)
OPTIONS = dict(use_cpu=True, disable_tqdm=True, report_to="none", save_strategy="no", seed=1, max_steps=20)
OPTIONS |= dict(learning_rate=1e-3, train_sampling_strategy="sequential")
STEP = dict(max_steps=1, learning_rate=0.0, max_grad_norm=0.0)


@pytest.fixture
def encoder_folder(tmp_path, teacher_folder):
    """The teacher without its head."""
    shutil.copytree(teacher_folder, tmp_path / "encoder")
    BertModel.from_pretrained(teacher_folder, add_pooling_layer=False).save_pretrained(tmp_path / "encoder")
    return tmp_path / "encoder"


@pytest.fixture
def make_run(tmp_path, corpus_file, monkeypatch):
    """A function that builds a run from a checkpoint, without dropout; draws: of candidates, None for all tokens."""

    def make(source, folder="run", draws=None, max_length=32, **training):
        torch.manual_seed(0)
        monkeypatch.setattr(assembly, "LARGE", 50_000 if draws is None else 100)
        monkeypatch.setattr(assembly, "SampledSoftmax", functools.partial(SampledSoftmax, draws=draws))
        teacher, data = TeacherArguments(str(source)), DataArguments(str(corpus_file), max_length=max_length)
        args = TrainingArguments(str(tmp_path / folder), **OPTIONS | training)
        launched.as_on_gpus(args)
        run = assembly.build_teacher_run(teacher, data, MaskingArguments(masking_unit="word"), args)
        for module in run.trainer.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        return run

    return make


def weights(trainer):
    return {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}


def changed(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_it_goes_on_from_the_checkpoint(make_run, teacher_folder):
    """With its own tokenizer, all weights train, and what is saved loads as the same class."""
    run = make_run(teacher_folder, max_steps=2)
    saved, before = load_file(teacher_folder / "model.safetensors"), weights(run.trainer)
    assert all(torch.equal(before[f"model.{name}"], saved[name]) for name in saved if f"model.{name}" in before)
    run.trainer.train()
    assert changed(before, weights(run.trainer)) == before.keys() and not run.from_scratch
    run.trainer.save_model()
    assert AutoModelForMaskedLM.from_pretrained(run.trainer.args.output_dir).config.num_hidden_layers == 4


def test_a_new_head_is_trained_alone_at_first(make_run, encoder_folder):
    """In 1 of 20 steps; then all weights, embeddings too."""
    trainer = make_run(encoder_folder).trainer
    before, seen = weights(trainer), []
    for step in (1, 2):
        trainer.add_callback(At(step, lambda: seen.append(changed(before, weights(trainer)))))
    trainer.train()
    head = {name for name in before if name.startswith("model.cls")}
    assert seen == [head, {*before}] and len(head) == 5


def test_all_tokens_as_candidates_are_the_full_softmax(make_run, teacher_folder):
    """Gradient and logged loss; then few candidates, whose labels would be wrong if they were out of step."""
    full, sampled = make_run(teacher_folder, **STEP).trainer, make_run(teacher_folder, draws=10**9, **STEP).trainer
    assert full.sampled is None and sampled.sampled.probability.min() == 1
    assert_same(*(gradients.of_each_step(one)[0] for one in (sampled, full)))
    assert sampled.state.log_history[0]["train_loss"] == pytest.approx(full.state.log_history[0]["train_loss"])
    few = make_run(teacher_folder, draws=60, **STEP).trainer
    few.train()
    batch = few.data_collator([few.train_dataset[index] for index in range(8)])
    with torch.no_grad():
        logits = few.model.model(**batch["student"]).logits.flatten(0, 1)[batch["positions"]]
    ids, log_probability = few.sampled.draw(0, torch.isin(torch.arange(300), batch["labels"]))
    assert batch["labels"].unique().numel() < len(ids) < 200
    normaliser = (logits[:, ids] - log_probability).logsumexp(-1)
    expected = (normaliser - logits.gather(1, batch["labels"][:, None]).squeeze(1)).mean().item()
    assert few.state.log_history[0]["train_loss"] == pytest.approx(expected, rel=1e-5)


def test_candidates_do_not_depend_on_the_split(make_run, encoder_folder, tmp_path):
    """One process with batches of 8 is 4 micro-batches of 2, and two ranks with all or a part of the weights."""

    def ends(folder, batch_size, parts):
        options = dict(optim="sgd", learning_rate=0.05, lr_scheduler_type="constant")
        split = dict(per_device_train_batch_size=batch_size, gradient_accumulation_steps=parts)
        trainer = make_run(encoder_folder, folder, draws=60, **options, **split).trainer
        trainer.train()
        state = trainer.accelerator.get_state_dict(trainer.model)
        if trainer.is_world_process_zero():
            state = {name: tensor.clone() for name, tensor in state.items()}
            save_file(state, tmp_path / f"{folder}.safetensors")

    launched.run([{}], tmp_path / "log", ends, "one", 8, 1)
    launched.run([{}], tmp_path / "log", ends, "parts", 2, 4)
    for launch in ("two_cpu_ranks", "fsdp"):
        launched.run(launched.ranks(2, launch), tmp_path / "log", ends, launch, 2, 2)
    one, *others = (load_file(tmp_path / f"{n}.safetensors") for n in ("one", "parts", "two_cpu_ranks", "fsdp"))
    for other in others:
        assert_same(other, one)


def test_a_resumed_run_ends_as_an_undisturbed_one(make_run, encoder_folder):
    """To the bit: from the end of the head's step, from among candidates, from where all tokens begin."""
    steps = 1, 3, 18
    whole = make_run(encoder_folder, draws=60).trainer
    for step in steps:
        whole.add_callback(At(step, lambda: setattr(whole.control, "should_save", True)))
    whole.train()
    for step in steps:
        resumed = make_run(encoder_folder, f"from-{step}", draws=60).trainer
        resumed.train(f"{whole.args.output_dir}/checkpoint-{step}")
        assert not changed(weights(whole), weights(resumed)), step


def test_what_cannot_go_on_is_refused(make_run, teacher_folder, encoder_folder):
    with pytest.raises(UserError, match="`max_length` 65 exceeds the 64 positions"):
        make_run(teacher_folder, max_length=65)
    for key, value in (("layers", 6), ("vocab_size", 16_000), ("dropout", 0.0), ("tokenizer_name_or_path", "x")):
        with pytest.raises(UserError, match=f"`{key}`.*`model_name_or_path`.*leave"):
            TeacherArguments("model", **{key: value})
    with pytest.raises(UserError, match="`tokenizer_name_or_path` has its own vocabulary"):
        TeacherArguments(tokenizer_name_or_path="x", vocab_size=5000)
    encoder = AutoModel.from_pretrained(encoder_folder)
    encoder.config.num_hidden_layers = 5
    encoder.config.save_pretrained(encoder_folder)
    with pytest.raises(UserError, match="lacks trained weights for bert.encoder.layer.4"):
        make_run(encoder_folder)


def test_what_is_new_is_the_head_alone(make_run, teacher_folder, encoder_folder):
    def first(run):
        return [one for one in run.trainer.callback_handler.callbacks if isinstance(one, NewWeightsFirst)]

    assert not first(make_run(teacher_folder))
    (callback,) = first(make_run(encoder_folder))
    assert {name.split(".")[1] for name in callback.names} == {"cls"}


def test_a_new_head_knows_the_counts(make_run, encoder_folder):
    """A bias moves by a learning rate a step: it would take thousands of steps. Every example has a [CLS] and a [SEP],
    which are never to be predicted."""
    run = make_run(encoder_folder)
    trainer, tokenizer = run.trainer, run.tokenizers[0]
    counts = torch.bincount(torch.tensor(sum(trainer.train_dataset["input_ids"][:], [])), minlength=300)
    assert counts.argmax() in tokenizer.all_special_ids
    counts[tokenizer.all_special_ids] = 0
    torch.testing.assert_close(trainer.model.model.cls.predictions.decoder.bias, counts.clamp(min=1).log())


def test_weights_without_a_gradient(make_run, teacher_folder, tmp_path):
    """ESM predicts contacts too: unless told of such weights, DDP stops in the second step. BERT has none."""
    shutil.copytree(teacher_folder, tmp_path / "esm")
    shape = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    config = EsmConfig(vocab_size=300, mask_token_id=4, pad_token_id=0, max_position_embeddings=66, **shape)
    EsmForMaskedLM(config).save_pretrained(tmp_path / "esm")
    for folder, expected in ((teacher_folder, False), (tmp_path / "esm", True)):
        assert make_run(folder).trainer.args.ddp_find_unused_parameters == expected
