"""A cache is complete or not there; one of something else is refused."""

import copy
import errno
import functools
import hashlib
import os
from types import SimpleNamespace

import numpy as np
import pytest
from datasets import Dataset

from distillation.config.arguments import CacheArguments, MaskingArguments, ObjectiveArguments
from distillation.config.errors import UserError
from distillation.corpus.examples import Corpus, Encoder, tokenize
from distillation.corpus.masking import MaskingCollator
from distillation.teacher_cache import storage
from distillation.teacher_cache.storage import SEED, TeacherCache, open_cache
from distillation.vocabularies.wordpiece import SPECIAL_TOKENS, build_tokenizer


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(cache={"teacher_cache_epochs": 2}), None),
        (dict(objective=dict(weight_kl=1.0, temperature=1.0)), None),
        (dict(objective=dict(weight_kl=1.0, weight_hidden_mse=1.0)), None),
        (dict(objective=dict(weight_kl=0.0)), None),
        (dict(model=dict(student_hidden_size=16, student_initialisation="random")), None),
        (dict(objective=dict(weight_kl=1.0, teacher_input="clean", kl_positions="all")), "`teacher_input`"),
        (dict(objective=dict(weight_kl=1.0, kl_position_fraction=0.5)), "`kl_position_fraction`"),
        (dict(objective=dict(weight_kl=1.0, kl_positions="all")), "`kl_positions` 'masked' and not 'all'"),
        (dict(masking=dict(masking_probability=0.3)), "`masking_probability` 0.15 and not 0.3"),
        (dict(objective=dict(weight_kl=1.0, weight_attention=1.0)), "no attentions"),
    ],
    ids=str,
)
def test_a_cache_of_something_else_is_refused(make_trainer, change, message):
    """A stale one trains towards answers to other questions, and no loss would show it. Another student of the same
    teacher, or fewer terms, need no new one."""
    options = {"objective": dict(weight_kl=1.0), "cache": {}}
    make_trainer(**options)
    if message is None:
        make_trainer("again", **{**options, **change})
        return
    with pytest.raises(UserError, match=f"`teacher_cache` .* was made with .*{message}"):
        make_trainer("again", **{**options, **change})


@pytest.mark.parametrize("change", ["config", "weights", "tokenizers", "order", "validation", "numpy"])
def test_whatever_else_an_output_depends_on_is_noticed(make_trainer, tmp_path, monkeypatch, change):
    """By contents: names and dates of files do not tell."""
    trainer = make_trainer()
    corpus = Corpus(trainer.train_dataset, trainer.eval_dataset, trainer.eval_dataset, trainer.train_dataset)
    teacher, tokenizer = trainer.teacher.model, trainer.processing_class

    def open_it():
        masking, arguments = trainer.data_collator.masking, CacheArguments(str(tmp_path / "cache"))
        return open_cache(arguments, trainer.objective, masking, teacher, 2, [tokenizer], corpus)

    open_it(), open_it()
    if change == "config":
        teacher.config.layer_norm_eps = 0.5
    elif change == "weights":
        teacher.bert.encoder.layer[0].output.dense.bias.data[0] += 1e-3
    elif change == "tokenizers":
        tokenizer = copy.deepcopy(tokenizer)
        tokenizer.add_tokens(["новое"])
    elif change == "order":
        corpus.train = corpus.train.select([1, 0, *range(2, len(corpus.train))])
    elif change == "validation":
        corpus.validation = corpus.validation.select(range(len(corpus.validation) - 1))
    else:
        monkeypatch.setattr(storage, "draw_actions", lambda *_: np.zeros(100, int))
    named = {"config": "teacher", "weights": "teacher", "order": "corpus", "validation": "corpus"}.get(change, change)
    with pytest.raises(UserError, match=f"was made with another {named}: "):
        open_it()


def test_the_format_names_these_masks():
    """If this fails, masks or examples have changed, and a cache would hold answers to other questions: raise
    `storage.FORMAT` (and `FORMAT` of corpus/examples.py where the columns have changed), then this digest."""
    tokenizer = build_tokenizer([*SPECIAL_TOKENS, *"абвгде", *(f"##{c}" for c in "абвгде"), ",", "аб"], 64)
    lines = Dataset.from_dict({"text": ["аб, вгд еа бабда", "где, а вад", "ба бе бв " * 9]})
    rows = list(tokenize(lines, Encoder([tokenizer], "word", 24)))
    objective = ObjectiveArguments(kl_positions="all", kl_position_fraction=0.5)
    batch = MaskingCollator(tokenizer, MaskingArguments(masking_unit="word"), objective, SEED)(rows)
    shown = [batch["teacher"]["input_ids"], batch["teacher_positions"].sort().values]
    digest = hashlib.sha256(repr([tensor.tolist() for tensor in shown]).encode()).hexdigest()[:16]
    assert (storage.FORMAT, digest) == (3, "d46576d8bebe06b9")


def test_a_pass_that_cannot_be_written_ends_with_a_sentence(make_trainer, tmp_path, monkeypatch):
    """A full disk, met or foreseen: nothing torn is left."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage, "PART", 50)
    with monkeypatch.context() as patch:
        patch.setattr(storage.shutil, "disk_usage", lambda folder: SimpleNamespace(free=10))
        with pytest.raises(UserError, match="GiB more.*are free"):
            make_trainer("foreseen", cache={"teacher_cache": str(tmp_path / "small")})
    monkeypatch.setattr(storage.pa.ipc, "new_file", full)
    with pytest.raises(UserError, match="cannot be written .No space left"):
        make_trainer("met", cache={})
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["cache.json"]


def test_thousands_of_files_need_no_thousands_of_descriptors(make_trainer, tmp_path, monkeypatch):
    """A corpus of millions of lines has more parts than a process may open files."""
    monkeypatch.setattr(storage, "PART", 2)
    before = len(os.listdir("/proc/self/fd"))
    trainer = make_trainer(cache={}, objective=dict(weight_kl=1.0))
    assert len(list((tmp_path / "cache").iterdir())) > 100
    assert len(os.listdir("/proc/self/fd")) < before + 50 and trainer.train_dataset[0]["cached"]


def test_an_interrupted_pass_goes_on_and_leaves_nothing_torn(make_trainer, tmp_path, monkeypatch):
    """Hours of the teacher must not be lost, and half a file must not pass for a complete one."""
    monkeypatch.setattr(storage, "PART", 50)
    whole = make_trainer("whole", cache={"teacher_cache": str(tmp_path / "whole")})
    queried = []
    rows = storage._rows

    def stops(examples, *others):
        queried.append(len(examples))
        if len(queried) == 4:
            raise KeyboardInterrupt
        return rows(examples, *others)

    monkeypatch.setattr(storage, "_rows", stops)
    with pytest.raises(KeyboardInterrupt):
        make_trainer("torn", cache={})
    names = sorted(file.name for file in (tmp_path / "cache").iterdir())
    assert names == ["cache.json", *(f"epoch-0-0000{n}.arrow" for n in range(3))]
    with pytest.raises(UserError, match="begun with more terms"):  # its files would lack columns
        make_trainer("fewer", cache={}, objective=dict(weight_kl=1.0))
    again = make_trainer("again", cache={})
    assert len(queried) == 4 + len(list((tmp_path / "cache").glob("*.arrow"))) - 3
    for index in (0, 60, 170, len(whole.train_dataset) - 1):
        mine, expected = (trainer.train_dataset[index]["cached"] for trainer in (again, whole))
        assert mine.keys() == expected.keys()
        assert all((mine[name] == expected[name]).all() for name in mine)


def test_ranks_share_the_work(tmp_path, monkeypatch):
    """Each file is written once, whichever rank does it."""
    monkeypatch.setattr(storage, "PART", 3)
    examples = Dataset.from_dict({"length": [3, 1, 2, 5, 4, 2, 7]})
    written = {0: [], 1: []}

    def query(rank, chosen):
        written[rank] += [example["length"] for example in chosen]
        return [{"states": np.array([example["length"]], np.float16)} for example in chosen]

    cache = TeacherCache(str(tmp_path / "shared"), {"holds": ["states"]})
    for rank in (1, 0):
        cache.fill("epoch-0", examples, 2, functools.partial(query, rank), rank, 2)
    assert sorted(written[0]) == [1, 2, 3, 7] and sorted(written[1]) == [2, 4, 5]
    assert cache.rows("epoch-0", 7)["states"].to_pylist() == [[n] for n in examples["length"]]


def test_a_folder_that_is_no_cache_or_a_torn_one_is_refused(make_trainer, tmp_path):
    """Nothing of a folder that holds something else is overwritten."""
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="no cache and no empty folder"):
        make_trainer(cache={})
    assert [file.name for file in folder.iterdir()] == ["thesis.txt"]
    with pytest.raises(UserError, match="no cache and no empty folder"):
        make_trainer(cache={"teacher_cache": str(folder / "thesis.txt")})
    (folder / "thesis.txt").unlink()
    make_trainer(cache={})
    file = folder / "epoch-0-00000.arrow"
    complete = file.read_bytes()
    file.write_bytes(complete[: len(complete) // 2])
    with pytest.raises(UserError, match="is incomplete"):
        make_trainer("torn", cache={})
    (folder / "cache.json").write_text("{")
    with pytest.raises(UserError, match="cache.json cannot be read"):
        make_trainer("torn", cache={})


def test_sizes_that_cannot_be_are_refused():
    with pytest.raises(UserError, match="`teacher_cache_epochs` must be at least 1"):
        CacheArguments("folder", teacher_cache_epochs=0)
    with pytest.raises(UserError, match="`teacher_cache`"):
        CacheArguments(teacher_cache_epochs=3)
