"""A cache gives what the teacher gave, epoch by epoch; it is whole or not there; one of something else is refused."""

import copy
import errno
import functools
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForMaskedLM, TrainerState

from distillation import run
from distillation.config.arguments import CacheArguments
from distillation.config.errors import UserError
from distillation.corpus.examples import Corpus
from distillation.teacher_cache import kept
from distillation.teacher_cache import storage as cache_code
from distillation.teacher_cache import targets as cached
from distillation.teacher_cache.storage import CHECKSUM, SEED, TeacherCache, open_cache
from tests import gradients

STEP = dict(max_steps=1, learning_rate=0.0, max_grad_norm=0.0, per_device_train_batch_size=8)
alignments = pytest.mark.parametrize("alignment", ["same", "match", "reduce"])
assert_same = functools.partial(gradients.assert_same, tolerance=1e-5)


def first_step(trainer):
    """The gradients and the log of one step."""
    (seen,) = gradients.of_each_step(trainer)
    return seen, trainer.state.log_history[0]


def halved(trainer):
    """A trainer with the masks of a cache, whose teacher says what a cache would hold of it."""
    trainer.data_collator.seed = SEED
    cached._ready_for_the_kl(trainer)
    run = trainer.targets

    def targets(inputs):
        found = run(inputs)
        found.logits = found.logits.half()
        found.hidden_states = {view: [s.half() for s in states] for view, states in found.hidden_states.items()}
        found.attentions = [maps.half() for maps in found.attentions]
        return found

    trainer.targets = targets
    return trainer


@alignments
def test_a_cached_step_is_the_step_with_the_teacher(make_trainer, alignment):
    """Loss and every gradient, for all five terms: what was kept of one position must not be read at another."""
    objective = dict(weight_kl=2.0, weight_attention=100.0, weight_hidden_mse=0.5, hidden_layers="average")
    options = dict(objective=objective, alignment=alignment, **STEP)
    expected, its_log = first_step(halved(make_trainer("with", **options)))
    trainer = make_trainer("without", cache={}, **options)
    assert trainer.teacher is None
    seen, log = first_step(trainer)
    assert_same(seen, expected)
    for term in ("loss", *trainer.objective.terms):
        assert log[term] == pytest.approx(its_log[term], rel=1e-5)


@alignments
def test_only_half_precision_is_lost(make_trainer, alignment):
    """Against the trainer as it is."""
    options = dict(alignment=alignment, **STEP)
    plain = make_trainer("with", **options)
    plain.data_collator.seed = SEED
    expected, its_log = first_step(plain)
    trainer = make_trainer("without", cache={}, **options)
    seen, log = first_step(trainer)
    gradients.assert_same(seen, expected, tolerance=0.01)
    for term in plain.objective.terms:
        assert log[term] == pytest.approx(its_log[term], rel=2e-3)
    evaluated, expected = trainer.evaluate(), plain.evaluate()
    for term in plain.objective.terms:
        assert evaluated[f"eval_{term}"] == pytest.approx(expected[f"eval_{term}"], rel=2e-3)


def test_epochs_come_in_turn_with_masks_of_their_own_and_of_no_seed(make_trainer):
    """Unsaid, a later epoch would hide other words than those that the teacher was asked about."""
    cache, seen = {"teacher_cache_epochs": 2}, []
    trainer, other = make_trainer(cache=cache), make_trainer("other", cache=cache, seed=7)
    for one, epoch in ((trainer, 0), (trainer, 1), (trainer, 2), (trainer, 3), (other, 0)):
        one.callback_handler.on_epoch_begin(one.args, TrainerState(epoch=epoch), one.control)
        seen.append(one.data_collator([one.train_dataset[i] for i in range(20)])["student"]["input_ids"])
    for a, b, alike in ((0, 1, False), (0, 2, True), (1, 3, True), (0, 4, True)):
        assert torch.equal(seen[a], seen[b]) == alike


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(make_trainer):
    """In the second epoch, which has masks of its own, on a cache that is there already."""
    options = dict(
        cache={"teacher_cache_epochs": 2},
        alignment="match",
        per_device_train_batch_size=64,
        max_steps=10,
        learning_rate=1e-3,
        save_strategy="steps",
        save_steps=8,
    )
    whole = make_trainer("whole", **options)
    whole.train()
    resumed = make_trainer("resumed", **options)
    resumed.train(resume_from_checkpoint=str(Path(whole.args.output_dir, "checkpoint-8")))
    assert whole.state.epoch > 1
    gradients.assert_same(dict(resumed.model.state_dict()), dict(whole.model.state_dict()), tolerance=1e-7)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (dict(cache={"teacher_cache_epochs": 2}), None),
        (dict(objective=dict(weight_kl=1.0, teacher_input="clean", kl_positions="all")), "`kl_positions`"),
        (dict(objective=dict(weight_kl=1.0, kl_position_fraction=0.5)), "`kl_position_fraction`"),
        (dict(masking=dict(masking_probability=0.3)), "`masking_probability` 0.15 and not 0.3"),
        (dict(objective=dict(weight_kl=1.0, temperature=1.0)), None),
        (dict(objective=dict(weight_kl=1.0, kl_positions="all")), "`kl_positions`"),
        (dict(objective=dict(weight_kl=1.0, weight_attention=1.0)), "no attentions"),
        (dict(objective=dict(weight_kl=1.0, weight_hidden_mse=1.0)), None),
        (dict(objective=dict(weight_kl=0.0)), "a KL"),
        (dict(model=dict(student_hidden_size=16, student_initialisation="random")), None),
    ],
    ids=str,
)
def test_a_cache_of_something_else_is_refused(make_trainer, change, named):
    """A stale one trains towards answers to other questions, and no loss would show it. Another student of the same
    teacher, or fewer terms, need no new one."""
    options = {"objective": dict(weight_kl=1.0), "cache": {}}
    make_trainer(**options)
    if named is None:
        make_trainer("again", **{**options, **change})
        return
    with pytest.raises(UserError, match=f"`teacher_cache` .* was made with .*{named}"):
        make_trainer("again", **{**options, **change})


def test_a_run_without_layers_reads_a_cache_with_them(make_trainer):
    """Of a fuller cache it needs the KL's part alone, whatever the groups of the teacher's layers."""
    make_trainer(objective=dict(weight_kl=1.0, weight_cosine=1.0), cache={})
    make_trainer("again", objective=dict(weight_kl=1.0, weight_cosine=0.0), cache={}).train()


def test_another_teacher_or_corpus_is_noticed(make_trainer, tmp_path):
    """By their contents: names and dates of files do not tell."""
    make_trainer(cache={})
    trainer = make_trainer("other")
    with torch.no_grad():
        trainer.teacher.model.bert.encoder.layer[0].output.dense.bias[0] += 1e-3
    path = tmp_path / "cache" / "cache.json"
    known = json.loads(path.read_text())
    assert cache_code._digest(cache_code._weights(trainer.teacher.model)) != known["teacher"]
    assert cache_code._digest(cache_code._contents(trainer.train_dataset)) == known["corpus"][0]
    swapped = trainer.train_dataset.select([1, 0, *range(2, len(trainer.train_dataset))])
    assert cache_code._digest(cache_code._contents(swapped)) != known["corpus"][0]


@pytest.mark.parametrize("change", ["config", "tokenizer", "validation"])
def test_what_else_a_prediction_depends_on_is_noticed(make_trainer, teacher_folder, tmp_path, change):
    """An activation, a tokenizer, the held-out lines: the weights and the corpus may be the same."""
    trainer = make_trainer()
    corpus = Corpus(trainer.train_dataset, trainer.eval_dataset, trainer.eval_dataset, trainer.train_dataset)
    teacher, tokenizer = trainer.teacher.model, trainer.processing_class

    def open_it():
        masking, arguments = trainer.data_collator.masking, CacheArguments(str(tmp_path / "cache"))
        return open_cache(arguments, trainer.objective, masking, teacher, 2, [tokenizer], corpus)

    open_it(), open_it()
    if change == "config":
        teacher.config.layer_norm_eps = 0.5
    elif change == "tokenizer":
        tokenizer = copy.deepcopy(tokenizer)
        tokenizer.add_tokens(["новое"])
    else:
        corpus.validation = corpus.validation.select(range(len(corpus.validation) - 1))
    expected = {"config": "teacher", "tokenizer": "tokenizers", "validation": "corpus"}
    with pytest.raises(UserError, match=f"was made with another {expected[change]}: "):
        open_it()


def test_answers_to_other_masks_are_not_trained_on(make_trainer, monkeypatch):
    """Another version of the masking, or of numpy's generators, hides other words than the teacher was asked about."""
    objective = dict(weight_kl=1.0, kl_positions="all")
    trainer = make_trainer(objective=objective, cache={})
    trainer.data_collator.collate.seed += 1
    with pytest.raises(UserError, match="made of other masks"):
        trainer.data_collator([trainer.train_dataset[i] for i in range(8)])


@alignments
def test_batches_without_a_position_train_all_the_same(make_trainer, alignment):
    """Of short texts with few masks, hours into a run."""
    objective = dict(weight_kl=1, weight_mlm=0, weight_cosine=0, kl_positions="masked")
    masking = dict(masking_probability=1e-9)
    trainer = make_trainer(objective=objective, masking=masking, alignment=alignment, cache={}, **STEP)
    assert not any(gradient.any() for gradient in first_step(trainer)[0].values())


def test_a_pass_that_cannot_be_written_ends_with_a_sentence(make_trainer, tmp_path, monkeypatch):
    """A full disk, met or foreseen, and states that half precision cannot hold: nothing torn is left."""
    room = SimpleNamespace(free=10)
    monkeypatch.setattr(cache_code, "PART", 50)
    with monkeypatch.context() as patch:
        patch.setattr(cache_code.shutil, "disk_usage", lambda folder: room)
        with pytest.raises(UserError, match="GiB more.*are free"):
            make_trainer("foreseen", cache={"teacher_cache": str(tmp_path / "small")})
    with monkeypatch.context() as patch:
        patch.setattr(cache_code.pa.ipc, "new_file", _full)
        with pytest.raises(UserError, match="cannot be written .No space left"):
            make_trainer("met", cache={})
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["cache.json"]
    huge = kept._compact(torch.tensor([1e5]))
    assert not torch.isfinite(torch.from_numpy(huge)).all()
    monkeypatch.setattr(kept, "_compact", lambda tensor: huge)
    with pytest.raises(UserError, match="half precision"):
        make_trainer("huge", cache={})


def _full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_thousands_of_files_need_no_thousands_of_descriptors(make_trainer, tmp_path, monkeypatch):
    """A corpus of millions of lines has more parts than a process may open files."""
    monkeypatch.setattr(cache_code, "PART", 2)
    before = len(os.listdir("/proc/self/fd"))
    trainer = make_trainer(cache={}, objective=dict(weight_kl=1.0))
    assert len(list((tmp_path / "cache").iterdir())) > 100
    assert len(os.listdir("/proc/self/fd")) < before + 50 and trainer.train_dataset[0]["kept"]


def test_the_command_fills_a_cache_and_another_student_reads_it(tmp_path, teacher_folder, corpus_file, monkeypatch):
    """From a recipe's key to a student that loads; a cache and a stream exclude each other."""
    argv = ["--teacher_name_or_path", str(teacher_folder), "--train_file", str(corpus_file), "--student_layers", "2"]
    argv += ["--use_cpu", "true", "--disable_tqdm", "true", "--max_length", "32", "--max_steps", "2"]
    argv += ["--weight_cosine", "0", "--weight_attention", "0", "--teacher_cache", str(tmp_path / "cache")]
    run.main([*argv, "--output_dir", str(tmp_path / "first")])
    monkeypatch.setattr(cache_code, "_rows", None)  # nothing is asked again
    other = ["--student_hidden_size", "16", "--student_layers", "4", "--seed", "3", "--temperature", "1"]
    run.main([*argv, *other, "--output_dir", str(tmp_path / "second")])
    assert AutoModelForMaskedLM.from_pretrained(tmp_path / "second").config.n_layers == 4
    with pytest.raises(SystemExit):
        run.main([*argv, "--streaming", "true", "--output_dir", str(tmp_path / "third")])
    assert not (tmp_path / "third").exists()


def test_an_interrupted_pass_goes_on_and_leaves_nothing_torn(make_trainer, tmp_path, monkeypatch):
    """Hours of the teacher must not be lost, and half a file must not pass for a whole one."""
    monkeypatch.setattr(cache_code, "PART", 50)
    whole = make_trainer("whole", cache={"teacher_cache": str(tmp_path / "whole")})
    asked = []
    rows = cache_code._rows

    def stops(examples, *others):
        asked.append(len(examples))
        if len(asked) == 4:
            raise KeyboardInterrupt
        return rows(examples, *others)

    monkeypatch.setattr(cache_code, "_rows", stops)
    with pytest.raises(KeyboardInterrupt):
        make_trainer("torn", cache={})
    names = sorted(file.name for file in (tmp_path / "cache").iterdir())
    assert names == ["cache.json", *(f"epoch-0-0000{n}.arrow" for n in range(3))]
    with pytest.raises(UserError, match="begun with more terms"):  # its files would lack columns
        make_trainer("fewer", cache={}, objective=dict(weight_kl=1.0))
    again = make_trainer("again", cache={})
    assert len(asked) == 4 + len(list((tmp_path / "cache").glob("*.arrow"))) - 3
    for index in (0, 60, 170, len(whole.train_dataset) - 1):
        ours, theirs = (trainer.train_dataset[index]["kept"] for trainer in (again, whole))
        assert ours.keys() == theirs.keys()
        assert all((ours[name] == theirs[name]).all() for name in ours)


def test_ranks_share_the_work(tmp_path, monkeypatch):
    """Each file is written once, whichever rank does it."""
    monkeypatch.setattr(cache_code, "PART", 3)
    examples = Dataset.from_dict({"length": [3, 1, 2, 5, 4, 2, 7]})
    written = {0: [], 1: []}

    def ask(rank, chosen):
        written[rank] += [example["length"] for example in chosen]
        lengths = [torch.tensor([example["length"]]).numpy() for example in chosen]
        return [{"candidates": length, CHECKSUM: length} for length in lengths]

    cache = TeacherCache(str(tmp_path / "shared"), {"holds": ["candidates"]})
    for rank in (1, 0):
        cache.fill("epoch-0", examples, 2, functools.partial(ask, rank), rank, 2)
    assert sorted(written[0]) == [1, 2, 3, 7] and sorted(written[1]) == [2, 4, 5]
    assert [row["candidates"].tolist() for row in cache.rows("epoch-0", 7)] == [[n] for n in examples["length"]]


def test_what_is_no_cache_or_incomplete_is_refused(make_trainer, tmp_path):
    """Nothing of a folder that holds something else is overwritten."""
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="not empty and no cache"):
        make_trainer(cache={})
    assert [file.name for file in folder.iterdir()] == ["thesis.txt"]
    with pytest.raises(UserError, match="is a file"):
        make_trainer(cache={"teacher_cache": str(folder / "thesis.txt")})
    (folder / "thesis.txt").unlink()
    make_trainer(cache={})
    file = folder / "epoch-0-00000.arrow"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="is incomplete"):
        make_trainer("torn", cache={})
    (folder / "cache.json").write_text("{")
    with pytest.raises(UserError, match="cache.json cannot be read"):
        make_trainer("torn", cache={})


def test_sizes_that_cannot_be_are_refused():
    with pytest.raises(UserError, match="`teacher_cache_epochs` must be at least 1"):
        CacheArguments("cache", 0)
    with pytest.raises(UserError, match="`teacher_cache`"):
        CacheArguments(teacher_cache_epochs=3)
