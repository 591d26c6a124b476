"""The trainer: exact over micro-batches, ranks, and resumptions; each term logged; nothing but the student saved."""

import copy
import functools
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cosine_similarity
from transformers import AutoModelForMaskedLM, AutoTokenizer

from distillation.config.errors import UserError
from distillation.config.terms import TERMS
from distillation.losses import kl_loss, mlm_loss
from distillation.student_trainer import PROJECTIONS
from tests import gradients

assert_same = functools.partial(gradients.assert_same, tolerance=1e-5)
alignments = pytest.mark.parametrize("alignment", ["same", "match", "reduce"])
STEP = dict(max_steps=1, learning_rate=0.0, max_grad_norm=0.0, train_sampling_strategy="sequential")


def gradients_of_one_step(trainer):
    (seen,) = gradients.of_each_step(trainer)
    return seen


def first_batch(trainer):
    return trainer.data_collator(list(trainer.train_dataset.select(range(8))))


@alignments
def test_accumulation_is_one_large_batch(make_trainer, alignment):
    """The Trainer multiplies such a loss by the number of micro-batches; means of means would not be the mean."""
    options = dict(alignment=alignment, **STEP)
    whole = make_trainer(**options)
    parts = make_trainer(per_device_train_batch_size=2, gradient_accumulation_steps=4, **options)
    counts = [int(whole.data_collator([row])["counts"][1]) for row in whole.train_dataset.select(range(8))]
    assert len(set(counts)) > 1, "the test needs uneven numbers of masked tokens"
    assert_same(gradients_of_one_step(parts), gradients_of_one_step(whole))
    for term in ("loss", *whole.objective.terms):
        assert parts.state.log_history[0][term] == pytest.approx(whole.state.log_history[0][term], rel=1e-5)


@pytest.mark.parametrize("alignment", ["match", "reduce"])
def test_batches_without_a_position_train_all_the_same(make_trainer, alignment):
    """Short texts, few masks, a small share of positions: a run must not end where a batch has none for the KL."""
    objective = dict(weight_kl=1, weight_mlm=0, weight_cosine=0, kl_positions="masked")
    masking = dict(masking_probability=1e-9)
    trainer = make_trainer(objective=objective, masking=masking, alignment=alignment, **STEP)
    assert not any(gradient.any() for gradient in gradients_of_one_step(trainer).values())
    assert trainer.state.log_history[0]["kl"] == 0 and trainer.evaluate()["eval_candidate_probability"] == 0


def test_masked_lm_on_both_inputs_is_the_mean_over_both(make_trainer):
    """Against the whole student's own cross-entropy on the rows of both, without any teacher."""
    objective = dict(weight_kl=0, weight_mlm=1, weight_cosine=0, weight_attention=0, mlm_inputs="both")
    trainer = make_trainer(alignment="reduce", objective=objective, **STEP)
    assert trainer.targets is None
    trainer.train()
    batch = first_batch(trainer)
    assert len(batch["student"]["input_ids"]) == 16
    with torch.no_grad():
        logits = trainer.model.model(**batch["student"]).logits.flatten(0, 1)[batch["positions"]]
    expected = torch.nn.functional.cross_entropy(logits, batch["labels"]).item()
    assert trainer.state.log_history[0]["mlm"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("alignment", ["match", "reduce"])
def test_terms_across_vocabularies_are_those_of_the_whole_models(make_trainer, alignment):
    """Logged figures against full logits of both models: positions, rows, and counts that are out of step show."""
    trainer = make_trainer(alignment=alignment, **STEP)
    trainer.train()
    first = trainer.state.log_history[0]
    batch = first_batch(trainer)
    known = trainer.data_collator.vocabulary
    with torch.no_grad():
        student = trainer.model.model(**batch["student"], output_hidden_states=True)
        teacher = trainer.targets.model(**batch["teacher"], output_hidden_states=True)
    rows = student.logits.flatten(0, 1)[batch["positions"]].log_softmax(-1)
    theirs, kl, row = teacher.logits.flatten(0, 1)[batch["teacher_positions"]], 0.0, 0
    for position, k in enumerate(k for k, count in batch["groups"] for _ in range(count)):
        ids = known.mapped_teacher_ids[known.piece_counts[known.mapped_teacher_ids] == k]
        pieces = known.pieces_of(ids).reshape(-1, k)
        scores = sum(rows[row + j, pieces[:, j]] for j in range(k))
        kl, row = kl + kl_loss(scores, theirs[position, ids], 2.0).item(), row + k
    assert first["kl"] == pytest.approx(kl / len(theirs), rel=1e-4)
    assert first["mlm"] == pytest.approx(mlm_loss(rows, batch["labels"]).item(), rel=1e-4)
    cosine, compared = 0.0, batch["compared"].nonzero().tolist()
    for row, position in compared:
        pieces = (batch["teacher_index"][row] == position).nonzero().squeeze(1)
        for layer in range(2):
            state = student.hidden_states[1 + layer][-8:][row, pieces].mean(0)
            target = sum(teacher.hidden_states[1 + 2 * layer + k][row, position] for k in range(2))
            cosine += (1 - cosine_similarity(state, target, 0)).item() / 2
    assert first["cosine"] == pytest.approx(cosine / len(compared), rel=1e-4)


def test_gradient_checkpointing_gives_the_same_gradients(make_trainer):
    """The Trainer asks its model for it, and the wrapper is no transformers model."""
    saving = make_trainer(gradient_checkpointing=True, **STEP)
    assert_same(gradients_of_one_step(saving), gradients_of_one_step(make_trainer(**STEP)))
    assert any(getattr(module, "gradient_checkpointing", False) for module in saving.model.modules())


def test_the_loss_is_the_weighted_sum_of_what_is_logged(make_trainer):
    """A term under another's name, weight, or count would still look like a falling loss. Here the KL has many more
    positions than the masked-LM term, and the teacher reads the clean text: inputs mixed up show as well."""
    terms = dict(weight_kl=2.0, weight_attention=100.0, kl_positions="all", teacher_input="clean")
    trainer = make_trainer(objective=terms, **STEP)
    trainer.train()
    first, batch, terms = trainer.state.log_history[0], first_batch(trainer), trainer.objective.terms
    weighted = sum(trainer.objective.weight(term) * first[term] for term in terms)
    assert len(terms) == 4 and first["loss"] == pytest.approx(weighted, rel=1e-4)
    with torch.no_grad():
        teacher = trainer.targets.model(**batch["teacher"], output_hidden_states=True, output_attentions=True)
        student = trainer.model.model(**batch["student"], output_hidden_states=True, output_attentions=True)
    student_rows = student.logits.flatten(0, 1)[batch["positions"]]
    teacher_rows = teacher.logits.flatten(0, 1)[batch["teacher_positions"]]
    assert first["kl"] == pytest.approx(kl_loss(student_rows[: len(teacher_rows)], teacher_rows, 2.0).item(), rel=1e-4)
    assert first["mlm"] == pytest.approx(mlm_loss(student_rows, batch["labels"]).item(), rel=1e-4)
    # The slow obvious reference: one token, one pair at a time.
    cosine, attention, tokens, pairs = 0.0, 0.0, 0, 0
    for row, length in enumerate(batch["student"]["attention_mask"].sum(1).tolist()):
        for layer, group in enumerate([(0, 1), (2, 3)]):
            target = sum(teacher.hidden_states[1 + k][row] for k in group) / 2
            maps = sum(teacher.attentions[k][row] for k in group) / 2
            for i in range(length):
                cosine += (1 - cosine_similarity(student.hidden_states[1 + layer][row, i], target[i], 0)).item() / 2
                difference = student.attentions[layer][row, :, i, :length] - maps[:, i, :length]
                attention += difference.square().mean(0).sum().item() / 2
        tokens, pairs = tokens + length, pairs + length**2
    assert first["cosine"] == pytest.approx(cosine / tokens, rel=1e-4)
    assert first["attention"] == pytest.approx(attention / pairs, rel=1e-4)


@alignments
def test_half_precision_is_for_the_teacher_too(make_trainer, alignment):
    """accelerate casts what it prepares, which is the student; the teacher is most of a step."""
    trainer = make_trainer(alignment=alignment, bf16=True, max_steps=1)
    trainer.train()
    batch = first_batch(trainer)
    dtypes, layer = [], next(m for m in trainer.targets.model.modules() if isinstance(m, torch.nn.Linear))
    layer.register_forward_hook(lambda layer, _, output: dtypes.append(output.dtype))
    trainer.outputs(trainer.model, batch)
    assert dtypes == [torch.bfloat16]
    metrics = trainer.evaluate()
    assert 0 < metrics["eval_kl"] < 10 and 0 < metrics.get("eval_candidate_probability", 1) <= 1


@alignments
def test_gradients_reach_the_student_and_never_the_teacher(make_trainer, alignment):
    """A teacher that learns drifts towards its student and every term goes to zero."""
    trainer = make_trainer(max_steps=3, learning_rate=1e-2, alignment=alignment)
    models = trainer.targets.model, trainer.model
    before = [copy.deepcopy(model.state_dict()) for model in models]
    trainer.train()
    teacher, student = (
        [torch.equal(weight, old[name]) for name, weight in model.state_dict().items()]
        for model, old in zip(models, before, strict=True)
    )
    assert all(teacher) and not any(student) and not trainer.targets.model.training
    assert all(p.grad is None and not p.requires_grad for p in trainer.targets.model.parameters())


@pytest.mark.parametrize(
    ("alignment", "objective"),
    [
        ("same", dict(weight_kl=0, weight_cosine=0)),
        ("same", dict(weight_kl=1, weight_mlm=0, weight_cosine=0)),
        ("same", dict(weight_kl=1, kl_positions="all", kl_position_fraction=0.5, teacher_input="clean")),
        ("same", dict(weight_kl=0, weight_mlm=0, weight_cosine=1, cosine_layers="last")),
        ("same", dict(weight_kl=0, weight_mlm=1, weight_cosine=0, weight_hidden_mse=1, hidden_layers="average")),
        ("match", dict(weight_mlm=0, weight_cosine=0)),
        ("reduce", dict(weight_mlm=0, weight_cosine=0, vocabulary_map="pieces", reduce_pooling="sum")),
        ("reduce", dict(weight_kl=0, weight_mlm=0, teacher_input="clean")),
    ],
    ids=str,
)
def test_every_objective_learns(make_trainer, alignment, objective):
    """Each term alone and each switch: trained on one batch, its loss falls."""
    options = dict(per_device_train_batch_size=32, max_steps=12, learning_rate=5e-3, lr_scheduler_type="constant")
    trainer = make_trainer(alignment=alignment, objective=objective, **options)
    trainer.train()
    losses = [log["loss"] for log in trainer.state.log_history if "loss" in log]
    assert sum(losses[-4:]) < sum(losses[:4])
    assert trainer.state.log_history[0].keys() & TERMS.keys() == set(trainer.objective.terms)


@alignments
@pytest.mark.parametrize("batch_size", [1, 7])
def test_evaluation_does_not_depend_on_the_batch(make_trainer, batch_size, alignment):
    """Means of batch means weigh a token by the company it is in."""
    trainer = make_trainer(per_device_eval_batch_size=batch_size, alignment=alignment)
    reference = make_trainer(per_device_eval_batch_size=16, alignment=alignment).evaluate()
    generator = torch.get_rng_state()
    metrics = trainer.evaluate()
    assert torch.equal(torch.get_rng_state(), generator), "a resumed run may not repeat it, and draws on"
    figures = {f"eval_{name}" for name in ("loss", "candidate_probability", *trainer.objective.terms)}
    for name in figures & reference.keys():
        assert metrics[name] == pytest.approx(reference[name], rel=1e-5)
    weighted = sum(trainer.objective.weight(term) * metrics[f"eval_{term}"] for term in trainer.objective.terms)
    assert metrics["eval_loss"] == pytest.approx(weighted, rel=1e-5), "what chooses the best checkpoint"


def test_what_is_saved_is_the_student_alone(make_trainer):
    """The point of a run is a folder that `AutoModelForMaskedLM` and `AutoTokenizer` open, without foreign keys. The
    projections of a narrower one train too; a checkpoint has them beside it, and is of no use to another shape."""
    options = dict(max_steps=2, save_strategy="steps", save_steps=2)
    trainer = make_trainer(model=dict(student_hidden_size=16, student_initialisation="random"), **options)
    before = copy.deepcopy(trainer.model.projections.state_dict())
    trainer.train()
    trainer.save_model()
    folder = Path(trainer.args.output_dir)
    projections = load_file(folder / "checkpoint-2" / PROJECTIONS)
    for name, weight in trainer.model.projections.state_dict().items():
        assert torch.equal(weight, projections[name]) and not torch.equal(weight, before[name])
    assert not (folder / PROJECTIONS).exists() and not list(folder.rglob("training_args.bin"))
    for saved in (folder, folder / "checkpoint-2"):
        model, loading = AutoModelForMaskedLM.from_pretrained(saved, output_loading_info=True)
        assert not loading["missing_keys"] and not loading["unexpected_keys"]
        for name, weight in trainer.model.model.state_dict().items():
            assert torch.equal(model.state_dict()[name], weight)
        assert AutoTokenizer.from_pretrained(saved).get_vocab() == trainer.processing_class.get_vocab()
    config = json.loads((folder / "config.json").read_text())
    assert config["attention_dropout"] == 0.1, "the published value, although training compared maps without dropout"
    assert not config.get("output_attentions") and not config.get("output_hidden_states")
    for model in ({}, dict(student_hidden_size=24, student_initialisation="random")):
        with pytest.raises(UserError, match="resume_from_checkpoint.*another model"):
            make_trainer("wide", model=model).train(resume_from_checkpoint=str(folder / "checkpoint-2"))


def test_measured_results_and_masks_of_the_second_epoch(make_trainer):
    """The figures of all_results.json. Unless it learns the epoch, the collator hides the same words in each."""
    trainer = make_trainer(max_steps=3, per_device_train_batch_size=200, logging_steps=2)
    trainer.train()
    assert trainer.state.epoch > 1 and int(trainer.data_collator.epoch) == 1
    results = trainer.measured()
    for term in trainer.objective.terms:
        assert results[f"train_{term}"] > 0 and results[f"eval_{term}"] > 0
    assert sum("mlm" in log for log in trainer.state.log_history) == 1, "the third step is not logged"
    assert results["steps"] == 3 and results["train_tokens_per_second"] > 0 and results["peak_memory_mib"] > 0
    untrained = make_trainer("untrained", num_train_epochs=0)
    untrained.train()
    assert untrained.measured()["train_tokens_per_second"] == 0


def test_rare_tokens_are_drawn_where_the_recipe_says_so(make_trainer):
    """Weights that never reach the collator would leave the published masking undone, silently."""
    assert make_trainer().data_collator.token_weights is None
    weights = make_trainer("rare", masking=dict(rarity_smoothing=0.7)).data_collator.token_weights
    assert len(weights) == 300 and weights.max() == 1 and 0 < weights.min() < 0.1
