"""Keys that hang together."""

import pytest
from transformers import TrainingArguments

from distillation.config.arguments import check_best
from distillation.config.corpus import DataArguments
from distillation.config.errors import UserError


@pytest.mark.parametrize("chosen", ["mlm", "eval_kl", "loss"])
def test_the_best_checkpoint_has_the_smallest_figure(chosen, tmp_path):
    """The Trainer takes the largest of any figure whose name does not end in `loss`."""
    training = TrainingArguments(str(tmp_path), metric_for_best_model=chosen, use_cpu=True)
    check_best(training, ["mlm", "kl"])
    assert training.greater_is_better is False


def test_what_saves_the_best_checkpoint_has_a_figure_to_choose_by(tmp_path):
    training = TrainingArguments(
        str(tmp_path), save_strategy="best", eval_strategy="steps", eval_steps=1, use_cpu=True
    )
    check_best(training, ["mlm", "kl"])
    assert training.metric_for_best_model == "loss"
    training.metric_for_best_model = "accuracy"
    with pytest.raises(UserError, match="`metric_for_best_model` is 'accuracy'; choose one of .*mlm.*, loss"):
        check_best(training, ["mlm", "kl"])


@pytest.mark.parametrize("files", [{"train_file": "a.txt"}, {"train_file": "A.TXT", "validation_file": "b.txt.gz"}])
def test_a_column_of_plain_text_alone_is_refused(files):
    """It may be a table with this ending, whose whole rows would be the texts."""
    with pytest.raises(UserError, match=r"`text_column` .review.: plain text .*a.*leave .* out, or rename"):
        DataArguments(text_column="review", **files)
    DataArguments(**files)
    for other in ({"validation_file": "b.csv"}, {"train_file": "a.jsonl"}, {"train_file": "folder"}):
        DataArguments(text_column="review", **files | other)
    DataArguments(text_column="review", dataset_name="some/thing", validation_file="b.txt")
