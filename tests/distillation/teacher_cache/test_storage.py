"""A cache is complete or not there; one of something else is refused."""

import copy
import errno
import hashlib
import os
import threading
from contextlib import nullcontext
from types import SimpleNamespace
from unittest.mock import DEFAULT, Mock

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


def terms(**changed):
    """A change of the objective."""
    objective = ObjectiveArguments(**{"weight_kl": 1.0, "weight_attention": 0, **changed})
    return lambda it: setattr(it, "objective", objective)


CHANGES = {
    "epochs": (lambda it: setattr(it.arguments, "teacher_cache_epochs", 2), None),
    "other and fewer terms": (terms(weight_kl=0.0, weight_hidden_mse=1.0), None),
    "clean": (terms(teacher_input="clean", kl_positions="all"), "`teacher_input`.*`kl_positions` 'masked' and not"),
    "temperature": (terms(temperature=1.0), "`temperature` 2.0 and not 1.0"),
    "more terms": (terms(weight_attention=1.0), "no attentions"),
    "masking": (lambda it: setattr(it.masking, "masking_probability", 0.3), "`masking_probability` 0.15 and not 0.3"),
    "config": (lambda it: setattr(it.teacher.config, "layer_norm_eps", 0.5), "another teacher: "),
    "weights": (lambda it: it.teacher.bert.encoder.layer[0].output.dense.bias.data[0].add_(1e-3), "another teacher: "),
    "tokenizer": (lambda it: it.tokenizers[0].add_tokens(["новое"]), "another tokenizers: "),
    "order": (lambda it: setattr(it.corpus, "train", it.corpus.train.select(range(9, -1, -1))), "another corpus: "),
    "numpy": (lambda it: None, "another numpy: "),  # its generators may draw other masks from the same seed
    "held out": (lambda it: setattr(it.corpus, "validation", it.corpus.train), "another corpus: "),
}


@pytest.fixture
def made_of(make_trainer, tmp_path):
    """The arguments of `open_cache`, to be changed."""
    trainer = make_trainer(objective=dict(weight_kl=1.0))
    train, held_out = trainer.train_dataset.select(range(10)), trainer.eval_dataset
    return SimpleNamespace(
        arguments=CacheArguments(str(tmp_path / "cache"), "samples"),
        objective=trainer.objective,
        masking=trainer.data_collator.masking,
        teacher=trainer.targets.model,
        student_layers=2,
        tokenizers=[copy.deepcopy(trainer.processing_class)],
        corpus=Corpus(train, held_out, held_out, train),
    )


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_a_cache_of_something_else_is_refused(made_of, monkeypatch, change, message):
    """A stale one trains towards answers to other questions, and no loss would show it: contents count, not names and
    dates of files. Other terms of the same layers need no new one."""
    open_cache(*vars(made_of).values())
    change(made_of)
    if message == "another numpy: ":
        monkeypatch.setattr(storage, "draw_actions", lambda *_: np.zeros(100, int))
    refused = pytest.raises(UserError, match=f"`teacher_cache` .* was made with .*{message}")
    with refused if message else nullcontext():
        open_cache(*vars(made_of).values())


@pytest.mark.parametrize(
    ("targets", "message"), [(None, "`vocabulary_map` 'ordered' and not 'pieces'"), ("states", None)]
)
def test_samples_are_of_one_set_of_candidates_and_states_of_all(made_of, targets, message):
    """Numbers of candidates would name other tokens. What enters the head serves any temperature, too."""
    made_of.arguments.teacher_cache_targets = targets
    terms(alignment="reduce")(made_of)
    open_cache(*vars(made_of).values())
    terms(alignment="reduce", vocabulary_map="ordered")(made_of)  # the default, written out
    open_cache(*vars(made_of).values())
    changed = dict(alignment="reduce", vocabulary_map="pieces", temperature=2.0 if message else 1.0)
    terms(**changed)(made_of)
    with pytest.raises(UserError, match=message) if message else nullcontext():
        open_cache(*vars(made_of).values())


def test_the_format_names_these_masks():
    """If this fails, masks or examples have changed, and a cache would hold answers to other questions: raise
    `storage.FORMAT` (and `FORMAT` of corpus/examples.py where the columns have changed), then this digest."""
    tokenizer = build_tokenizer([*SPECIAL_TOKENS, *"абвгде", *(f"##{c}" for c in "абвгде"), ",", "аб"])
    lines = Dataset.from_dict({"text": ["аб, вгд еа бабда", "где, а вад", "ба бе бв " * 9]})
    rows = list(tokenize(lines, Encoder([tokenizer], "word", 24)))
    objective = ObjectiveArguments(kl_positions="all", kl_position_fraction=0.5)
    batch = MaskingCollator(tokenizer, MaskingArguments(masking_unit="word"), objective, SEED)(rows)
    shown = [batch["teacher"]["input_ids"], batch["teacher_positions"].sort().values]
    digest = hashlib.sha256(repr([tensor.tolist() for tensor in shown]).encode()).hexdigest()[:16]
    assert (storage.FORMAT, digest) == (6, "995ba615f3dc301f")


def test_thousands_of_files_need_no_thousands_of_descriptors(make_trainer, tmp_path, monkeypatch):
    """A corpus of millions of lines has more parts than a process may open files."""
    monkeypatch.setattr(storage, "PART", 2)
    before = len(os.listdir("/proc/self/fd"))
    trainer = make_trainer(cache={}, objective=dict(weight_kl=1.0))
    files = len(list((tmp_path / "cache").iterdir()))
    assert files > 100 and len(os.listdir("/proc/self/fd")) < before + 50 and trainer.train_dataset[0]["cached"]


def test_a_pass_that_a_full_disk_ends_goes_on(make_trainer, tmp_path, monkeypatch):
    """Met or foreseen: hours of the teacher are not lost, and half a file does not pass for a complete one."""
    monkeypatch.setattr(storage, "PART", 50)
    with monkeypatch.context() as patch:
        patch.setattr(storage.shutil, "disk_usage", lambda folder: SimpleNamespace(free=10))
        with pytest.raises(UserError, match="GiB more.*are free"):
            make_trainer("foreseen", cache={"teacher_cache": str(tmp_path / "small")})
    complete = make_trainer("complete", cache={"teacher_cache": str(tmp_path / "complete")})
    files = len(list((tmp_path / "complete").glob("*.arrow")))
    full = OSError(errno.ENOSPC, "No space left on device")
    rows = Mock(wraps=storage._rows, side_effect=[DEFAULT] * 3 + [full] + [DEFAULT] * files)
    monkeypatch.setattr(storage, "_rows", rows)
    with pytest.raises(UserError, match="cannot be written .No space left"):
        make_trainer("torn", cache={})
    names = sorted(file.name for file in (tmp_path / "cache").glob("[!.]*"))
    assert names == ["cache.json", *(f"epoch-0-0000{n}.arrow" for n in range(3))]
    with pytest.raises(UserError, match="begun with more terms"):  # its files would lack columns
        make_trainer("fewer", cache={}, objective=dict(weight_kl=1.0))
    again = make_trainer("again", cache={})
    assert rows.call_count == 1 + files, "of the torn pass, only the file that was not finished is made again"
    assert again.train_dataset.epochs[0].equals(complete.train_dataset.epochs[0])


def test_a_batch_has_no_more_tokens_than_one_of_the_longest_examples():
    """Memory is for these; short examples together are faster. An example too long for a batch has one of its own."""
    assert storage._batches([5, 1, 1, 3, 2, 8], 6) == [[1, 2, 4], [3], [0], [5]]


class Pass:
    """A pass over seven examples in three files, by one of several processes."""

    def __init__(self, folder, meanwhile=lambda: None):
        """meanwhile: called whenever the teacher is asked."""
        self.cache, self.meanwhile, self.asked = TeacherCache(str(folder), {"holds": ["states"]}), meanwhile, []
        self.examples = Dataset.from_dict({"length": [3, 1, 2, 5, 4, 2, 7]})

    def query(self, chosen):
        self.meanwhile()
        self.asked.extend(example["length"] for example in chosen)
        return [{"states": np.array([example["length"]], np.uint8)} for example in chosen]

    def fill(self, rank=0, ranks=1, wait=False):
        self.cache.fill("epoch-0", self.examples, 3, self.query, rank, ranks, wait)
        return self.asked

    def rows(self):
        return [row for (row,) in self.cache.rows("epoch-0", 7)["states"].to_pylist()]


def test_processes_share_the_work(tmp_path, monkeypatch):
    """Ranks, or runs: each file is written once. The second process comes while the first is at its first file."""
    monkeypatch.setattr(storage, "PART", 3)
    for name, ranks in (("ranks", 2), ("runs", 1)):
        second = Pass(tmp_path / name)
        first = Pass(tmp_path / name, lambda second=second, ranks=ranks: second.fill(ranks - 1, ranks))
        assert sorted(first.fill(0, ranks)) == [1, 2, 3] and sorted(second.asked) == [2, 4, 5, 7]
        assert first.rows() == second.rows() == first.examples["length"]
        assert not [file for file in os.listdir(tmp_path / name) if file.startswith(".")]


def test_a_process_that_is_killed_is_replaced(tmp_path, monkeypatch):
    """Else other runs would wait for it for ever."""
    monkeypatch.setattr(storage, "PART", 3)
    holds, kill = os.pipe(), os.pipe()
    first = Pass(tmp_path / "cache", lambda: (os.write(holds[1], b"."), os.read(kill[0], 1), os._exit(1)))
    if (child := os.fork()) == 0:
        first.fill()
    os.read(holds[0], 1)
    second = Pass(tmp_path / "cache")
    second.fill()
    with pytest.raises(UserError, match="is incomplete"):
        second.rows()
    threading.Timer(0.1, os.write, (kill[1], b".")).start()
    second.fill(wait=True)
    os.waitpid(child, 0)
    assert second.rows() == first.examples["length"] and sorted(second.asked) == sorted(second.rows())


def test_a_folder_that_is_no_cache_or_a_torn_one_is_refused(make_trainer, tmp_path):
    """Nothing of a folder that holds something else is overwritten."""
    folder, thesis = tmp_path / "cache", tmp_path / "thesis.txt"
    thesis.write_text("years of work")
    for place in (tmp_path, thesis):
        with pytest.raises(UserError, match="no cache and no empty folder"):
            make_trainer(cache={"teacher_cache": str(place)})
    make_trainer(cache={})
    assert thesis.read_text() == "years of work"
    file = folder / "epoch-0-00000.arrow"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(UserError, match="is incomplete"):
        make_trainer("torn", cache={})
    (folder / "cache.json").write_text("{")
    with pytest.raises(UserError, match="cache.json cannot be read"):
        make_trainer("torn", cache={})
    with pytest.raises(UserError, match="name its folder as `teacher_cache`"):
        CacheArguments(teacher_cache_epochs=3)
