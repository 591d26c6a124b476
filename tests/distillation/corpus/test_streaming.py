"""A stream is the same corpus as the one in memory, in an order that a resumed run finds again."""

import gzip
import itertools
import json
import logging
import os
from collections import Counter
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import TrainingArguments

from distillation import run_teacher
from distillation.config.arguments import MaskingArguments, ObjectiveArguments
from distillation.config.corpus import DataArguments
from distillation.config.errors import UserError
from distillation.corpus.examples import CUTS_PER_LINE, Encoder, load_corpus
from distillation.corpus.masking import MaskingCollator
from distillation.corpus.streaming import Position, Stream, stream_corpus
from distillation.text import reading
from distillation.text.files import read_rows
from distillation.text.reading import Source, first_lines
from distillation.vocabularies.mapping import VocabularyMap
from tests import gradients

BLOCK = 64  # lines: seven blocks of the corpus


def write(folder, name, lines):
    """A corpus of one file, or a folder of two."""
    path = folder / name
    if name == "two.jsonl":
        path.mkdir()
        for part, some in enumerate((lines[:150], lines[150:])):
            Dataset.from_dict({"text": some}).to_json(path / f"{part}.jsonl", force_ascii=False)
    else:
        path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
    return path


def make_stream(path, tokenizer, **plan):
    source = Source(DataArguments(train_file=str(path)), BLOCK)
    return Stream(source, Encoder([tokenizer], "word", 32), frozenset(), **{"batch_size": 8, **plan})


def epoch_of(stream, shard=0, epoch=0):
    """The batches of a shard in one epoch."""
    rows = stream.read(shard, Position(epoch=epoch))
    return [batch for _, batch in itertools.takewhile(lambda item: item[0].epoch == epoch, rows)]


def contents(examples):
    """How often each example comes, whatever it is called and whenever."""
    names = sorted(set(examples[0]) - {"id", "epoch"})
    return Counter(tuple(tuple(np.ravel(example[name]).tolist()) for name in names) for example in examples)


def ids(batches):
    return [[example["id"] for example in batch] for batch in batches]


def collator_of(tokenizer):
    return MaskingCollator(tokenizer, MaskingArguments(), ObjectiveArguments(), seed=0)


def arguments_for(**training):
    return TrainingArguments("unused", use_cpu=True, report_to="none", max_steps=1, **training)


@pytest.mark.parametrize(("name", "ranks", "workers"), [("c.txt.gz", 1, 0), ("two.jsonl", 1, 2), ("two.jsonl", 3, 0)])
def test_an_epoch_of_all_shards_is_the_corpus(tmp_path, corpus_lines, tokenizer, byte_tokenizer, name, ranks, workers):
    """A block that two shards read, or none, would weigh its texts twice or lose them, and nothing would tell."""
    (tmp_path / "v.txt").write_text(f"Где столы?\n{corpus_lines[7]}\n", encoding="utf-8")
    data = DataArguments(str(write(tmp_path, name, corpus_lines)), str(tmp_path / "v.txt"))
    pair = [tokenizer, byte_tokenizer]
    encoder = Encoder(pair, "word", 32, "reduce", VocabularyMap(*pair))
    complete = load_corpus(data, encoder)
    corpus = stream_corpus(arguments_for(), data, encoder)
    assert contents(list(corpus.sample)) == contents(list(complete.train))
    assert corpus.validation[:] == complete.validation[:]
    assert corpus.validation_lines["text"][:] == ["Где столы?", corpus_lines[7]]
    stream = Stream(Source(data, BLOCK), encoder, corpus.train.held_out, 8, ranks=ranks, workers=workers)
    shares = [sum(epoch_of(stream, shard), []) for shard in range(stream.shards)]
    examples = sum(shares, [])
    assert all(shares) and contents(examples) == contents(list(complete.train))
    assert len({example["id"] for example in examples}) == len(examples)


def test_shards_of_a_hub_data_set_open_their_own_alone(tmp_path, corpus_lines, tokenizer, monkeypatch):
    """Each would download the whole of it."""
    stream = make_stream(write(tmp_path, "two.jsonl", corpus_lines), tokenizer, ranks=2)
    monkeypatch.setattr(stream.source, "hub", "a data set")
    monkeypatch.setattr(stream.source, "texts", lambda file, rows: [json.loads(row)["text"] for row in rows])
    stream.source.blocks = Mock(wraps=lambda file: [list(read_rows(stream.source.files[file], "text"))])
    epoch_of(stream, shard=1)
    assert {call.args for call in stream.source.blocks.call_args_list} == {(1,)}


def test_a_line_of_a_small_file_counts_as_much_as_one_of_a_large_file(tmp_path, corpus_lines, tokenizer):
    """Also where there is a file for each process: all read both."""
    (tmp_path / "corpus").mkdir()
    for name, lines in (("large", corpus_lines), ("small", corpus_lines[:5])):
        (tmp_path / "corpus" / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    stream = make_stream(tmp_path / "corpus", tokenizer, ranks=2)
    shares = [[example["id"] for batch in epoch_of(stream, shard) for example in batch] for shard in (0, 1)]
    assert len({*sum(shares, [])}) == len(sum(shares, [])), "none is repeated"
    assert len({number // CUTS_PER_LINE for number in sum(shares, [])}) == len(corpus_lines) + 5
    assert all(len(share) > 100 for share in shares)


def test_a_hub_data_set_is_read_by_its_shards(monkeypatch, corpus_lines):
    """A hundred files of the Hub must not be a single file to a hundred workers."""
    rows = Dataset.from_dict({"body": corpus_lines}).to_iterable_dataset(num_shards=4)
    monkeypatch.setattr(reading, "load_dataset", lambda *_, split, streaming: rows if streaming else 0)
    source = Source(DataArguments(dataset_name="somebody/something", text_column="body"), BLOCK)
    blocks = [[source.texts(file, rows) for rows in source.blocks(file)] for file in range(len(source))]
    assert [len(block) for block in blocks[0]] == [64, 36] and len(blocks) == 4
    assert sum(sum(blocks, []), []) == corpus_lines


def test_the_order_is_drawn_by_seed_epoch_and_block(tmp_path, corpus_file, corpus_lines, tokenizer):
    """One order for every epoch or block teaches the order; one that nothing repeats cannot be resumed."""
    stream = make_stream(corpus_file, tokenizer)
    first = ids(epoch_of(stream))
    assert ids(epoch_of(stream)) == first == ids(epoch_of(make_stream(corpus_file, tokenizer)))
    assert ids(epoch_of(make_stream(corpus_file, tokenizer, sampling="group_by_length"))) != first
    second = ids(epoch_of(stream, epoch=1))
    assert second != first and sorted(sum(second, [])) == sorted(sum(first, []))
    assert ids(epoch_of(make_stream(corpus_file, tokenizer, seed=1))) != first
    in_order = make_stream(corpus_file, tokenizer, sampling="sequential")
    assert sum(ids(epoch_of(in_order)), []) == sorted(sum(first, []))
    # The Trainer counts no epochs of a stream, and workers run ahead of it: an example itself has to know its epoch.
    drawn = [collator_of(tokenizer)(epoch_of(in_order, epoch=n)[0])["labels"].tolist() for n in (0, 1, 1)]
    assert drawn[0] != drawn[1] == drawn[2]
    files = make_stream(write(tmp_path, "two.jsonl", corpus_lines), tokenizer)
    firsts = {next(files.read(0, Position(epoch)))[1][0]["id"] // CUTS_PER_LINE % 2 for epoch in range(9)}
    assert firsts == {0, 1}, "the last file of one epoch is not always the last"
    (tmp_path / "c.txt").write_text("Где стол?\n" * 2 * BLOCK)
    batches = ids(epoch_of(make_stream(tmp_path / "c.txt", tokenizer)))
    places = [np.argsort(np.argsort(sum(block, []))).tolist() for block in (batches[:8], batches[8:])]
    assert places[0] != places[1] and len(places[0]) == len(places[1]) == BLOCK


@pytest.mark.parametrize("name", ["c.txt.gz", "two.jsonl"])
@pytest.mark.parametrize("ranks", [1, 3])
def test_the_rest_of_a_stream_is_the_same_from_anywhere(tmp_path, corpus_lines, tokenizer, name, ranks):
    """A run that is resumed must neither repeat nor miss a text, nor tokenize what it has behind it."""
    stream = make_stream(write(tmp_path, name, corpus_lines), tokenizer, ranks=ranks)
    tokenize, tokenized = stream._batches, []
    stream._batches = lambda position, *lines: tokenized.append(position[:3]) or tokenize(position, *lines)
    rows = stream.read(ranks - 1, Position())
    seen = [(*next(rows), tuple(tokenized)) for _ in range(60)]
    assert seen[-1][0].epoch >= 1
    for index in range(0, 57, 4):
        position, _, before = seen[index]
        tokenized.clear()
        rest = stream.read(ranks - 1, Position(*json.loads(json.dumps(position))))
        for expected, batch, _ in seen[index + 1 : index + 4]:
            here, again = next(rest)
            assert here == expected and ids([again]) == ids([batch])
        assert len(set(before) & set(tokenized)) <= 1


def test_workers_are_shards_that_take_turns(corpus_file, tokenizer):
    """Two workers read what two processes would, batch by batch."""
    stream = make_stream(corpus_file, tokenizer, workers=2)
    loader = iter(stream.loader(collator_of(tokenizer), arguments_for(dataloader_num_workers=2)))
    ranks = [make_stream(corpus_file, tokenizer, ranks=2, rank=rank) for rank in (0, 1)]
    expected = [stream.loader(collator_of(tokenizer), arguments_for()) for stream in ranks]
    for other in itertools.islice(itertools.chain.from_iterable(zip(*expected, strict=True)), 24):
        batch = next(loader)
        assert torch.equal(batch["labels"], other["labels"])
        assert torch.equal(batch["student"]["input_ids"], other["student"]["input_ids"])


def test_a_shard_without_a_block_waits_for_another_epoch_or_ends(tmp_path, tokenizer, corpus_file):
    """A tiny corpus is the first thing that a newcomer tries; a torn archive shows hours into a run."""
    (tmp_path / "a.txt").write_text("Где стол?\n" * 20)
    stream = make_stream(tmp_path / "a.txt", tokenizer, ranks=3)
    assert [next(stream.read(shard, Position()))[0].epoch for shard in range(3)] == [0, 1, 2]
    stream.advance(Position(epoch=3))
    assert stream.epoch == 3
    (tmp_path / "b.txt").write_text("\n\n")
    with pytest.raises(UserError, match="no usable line"):
        next(make_stream(tmp_path / "b.txt", tokenizer, ranks=2).read(1, Position()))
    (tmp_path / "torn.txt.gz").write_bytes(corpus_file.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"torn\.txt\.gz.* cannot be read as text"):
        epoch_of(make_stream(tmp_path / "torn.txt.gz", tokenizer))


# From a corpus to a trained student


@pytest.mark.parametrize(("workers", "sampling"), [(0, "random"), (2, "group_by_length")])
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(make_trainer, workers, sampling):
    """Resumed within a block, with an odd number of batches behind it: the workers have other turns then."""

    def make(folder, **changed):
        options = dict(dataloader_num_workers=workers, train_sampling_strategy=sampling, save_strategy="steps")
        options |= dict(save_steps=7, max_steps=12, learning_rate=1e-3, per_device_train_batch_size=12) | changed
        trainer = make_trainer(folder, masking=dict(rarity_smoothing=0.7), data=dict(streaming=True), **options)
        trainer.train_dataset.source.block = BLOCK
        return trainer

    uninterrupted = make("uninterrupted")
    uninterrupted.train()
    checkpoint = Path(uninterrupted.args.output_dir, "checkpoint-7")
    state = json.loads((checkpoint / "stream-0.json").read_text(encoding="utf-8"))
    assert state["consumed"] == 7 and all(0 < batches < 6 for *_, batches in state["positions"]), "within a block"
    resumed = make("resumed")
    resumed.train(resume_from_checkpoint=str(checkpoint))
    gradients.assert_same(*(dict(one.model.state_dict()) for one in (resumed, uninterrupted)), tolerance=1e-7)
    assert resumed.train_dataset.consumed == uninterrupted.train_dataset.consumed == 12, "no batch was passed over"
    assert {log["epoch"] for log in resumed.state.log_history} == {0}, "not the share of the steps since then"
    other = make("other", dataloader_num_workers=1, per_device_train_batch_size=9)
    with pytest.raises(UserError, match="place in the stream .*`dataloader_num_workers` 1.*_batch_size` 9"):
        other.train(resume_from_checkpoint=str(checkpoint))
    (checkpoint / "stream-0.json").unlink()
    with pytest.raises(UserError, match="place in the stream for processes 1.*`streaming` and as many processes"):
        resumed.train_dataset.load(checkpoint)


def test_held_out_lines_and_their_repeats_are_never_trained_on(tmp_path, corpus_lines, tokenizer, caplog):
    """The figures of an evaluation would be those of texts learnt by heart. Nothing of it is cached on disk."""
    lines = [*corpus_lines[:300], f" {corpus_lines[9]}\0"]  # cleaned, it is held out
    data = DataArguments(train_file=str(write(tmp_path, "c.txt.gz", lines)), validation_lines=20)
    before = set(Path(os.environ["HF_DATASETS_CACHE"]).rglob("*.arrow"))
    with caplog.at_level(logging.INFO, "distillation"):
        corpus = stream_corpus(arguments_for(), data, Encoder([tokenizer], "word", 128))
        corpus.train.source.block = BLOCK
        epochs = [sum(epoch_of(corpus.train, epoch=epoch), []) for epoch in (0, 1)]
    assert set(Path(os.environ["HF_DATASETS_CACHE"]).rglob("*.arrow")) == before
    apart = corpus.validation_lines["text"][:]
    assert apart == lines[9:200:10]
    expected = {tuple(tokenizer.encode(line)) for line in set(corpus_lines[:300]) - set(apart)}
    for examples in (corpus.sample, *epochs):
        assert {tuple(example["input_ids"]) for example in examples} == expected
    assert caplog.text.count("21 lines are left out of training: they are held out") == 1
    assert caplog.text.count("1 lines with NUL or control characters mended") == 2  # judged, and in the first epoch


def test_a_corpus_is_judged_by_its_first_lines(corpus_file, corpus_lines):
    """Read to its end, a corpus of a terabyte would never be begun."""
    source = Source(DataArguments(train_file=str(corpus_file)), BLOCK)
    blocks = source.blocks(0)
    source.blocks = lambda _: blocks
    assert first_lines(source, 200) == corpus_lines[:256]
    assert next(blocks) == corpus_lines[256:320], "what follows is not read yet"


@pytest.mark.parametrize(
    ("content", "keys", "message"),
    [
        ('{"text": "Где?"}\n', dict(train_sampling_strategy="batch_rebalance"), "group_by_length, sequential"),
        ('{"text": "Где?"}\n', dict(auto_find_batch_size=True), "leave `auto_find_batch_size` out"),
        ('{"text": "Где?"}\n', dict(save_strategy="epoch"), "set `save_strategy: steps`"),
        ('{"text": "Где?"}\n', dict(dataloader_drop_last=True), "leave `dataloader_drop_last` out"),
        ('{"text": "Где?"}\n', {}, "too few lines to set some aside.*`validation_file`"),
        ('{"body": "Где?"}\n', {}, "no column `text`; set `text_column`.*body"),
    ],
)
def test_bad_input_is_refused_at_the_start(tmp_path, tokenizer, content, keys, message):
    """Before hours of training."""
    (tmp_path / "c.jsonl").write_text(content)
    with pytest.raises(UserError, match=message):
        data = DataArguments(train_file=str(tmp_path / "c.jsonl"))
        stream_corpus(arguments_for(**keys), data, Encoder([tokenizer], "word", 128))


def test_a_tokenizer_that_needs_the_whole_corpus_refuses_a_stream(tmp_path, corpus_file, capsys):
    """Ignored, the key would fill the memory that it is meant to save."""
    with pytest.raises(SystemExit):
        run_teacher.main(["--output_dir", str(tmp_path), "--train_file", str(corpus_file), "--streaming", "true"])
    assert "`streaming` cannot train a tokenizer" in capsys.readouterr().err
