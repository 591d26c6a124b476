"""Held-out lines are the same in every run, and none of them is trained on."""

import logging

import numpy as np
import pytest
from datasets import Dataset

from distillation.config.corpus import DataArguments
from distillation.config.errors import UserError
from distillation.text.sampling import evenly_spaced, load_held_out, load_split, split_validation, without_repeats


def as_dataset(*lines):
    return Dataset.from_dict({"text": list(map(str, lines))})


def test_the_split_depends_on_no_seed_and_takes_a_tenth_at_most():
    """Runs with other seeds compare only on the same held-out lines, and a small corpus must stay one."""
    lines = as_dataset(*range(57))
    train, first = split_validation(lines, 2000)
    np.random.seed(2)
    assert split_validation(lines, 2000)[1]["text"][:] == first["text"][:]
    assert sorted([*train["text"], *first["text"]]) == sorted(lines["text"])
    assert len(first) == 5 and len(split_validation(lines, 3)[1]) == 3
    with pytest.raises(UserError, match="`validation_file`"):
        split_validation(as_dataset(*"123456789"), 2000)


def test_no_line_to_train_on_repeats_one_that_is_held_out(caplog):
    """Web text repeats itself: what was learnt by heart would count as understood."""
    lines = as_dataset(*[n // 3 for n in range(90)])
    with caplog.at_level(logging.INFO, "distillation"):
        train, held_out = split_validation(lines, 9)
    apart = set(held_out["text"])
    left = [text for text in lines["text"] if text not in apart]
    assert sorted(train["text"]) == sorted(left)
    assert f"{90 - 9 - len(left)} lines are left out of training: they are held out" in caplog.text
    with pytest.raises(UserError, match="every line to train on is also held out"):
        without_repeats(as_dataset("да", "да"), as_dataset("да"))


def test_lines_of_a_file_of_ones_own_are_held_out_too(tmp_path):
    (tmp_path / "train.txt").write_text("да\nнет\nможет быть\n", "utf-8")
    (tmp_path / "held.txt").write_text("нет\nкто знает\n", "utf-8")
    files = {"train_file": str(tmp_path / "train.txt"), "validation_file": str(tmp_path / "held.txt")}
    train, held_out = load_split(DataArguments(**files))
    assert (train["text"][:], held_out["text"][:]) == (["да", "может быть"], ["нет", "кто знает"])
    assert load_held_out(DataArguments(**files))["text"][:] == held_out["text"][:]
    (tmp_path / "alone.txt").write_text("\n".join(map(str, range(20))), "utf-8")
    alone = DataArguments(train_file=str(tmp_path / "alone.txt"))
    assert load_held_out(alone)["text"][:] == load_split(alone)[1]["text"][:]  # and not all, as some were trained on
    (tmp_path / "train.csv").write_text("id;body\n1;да\n2;нет\n", "utf-8")
    files["train_file"] = str(tmp_path / "train.csv")
    assert load_split(DataArguments(**files, text_column="body"))[0]["text"][:] == ["да"]


def test_evenly_spaced_rows_are_of_the_whole_corpus():
    """The first lines of a sorted corpus say nothing of the rest."""
    assert evenly_spaced(as_dataset(*range(10)), 4)["text"][:] == ["0", "3", "6", "9"]
