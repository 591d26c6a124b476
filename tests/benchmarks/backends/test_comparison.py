"""What an export costs is seen: in logits, in predictions, and in the figures that people know."""

import pytest
import transformers as hf
from datasets import Dataset

from benchmarks.backends.comparison import compare_masked_lm, compare_on_lines
from tests.benchmarks.tiny_models import SHAPE, blind, lively, running


def test_hidden_words(tokenizer, teacher_folder, corpus_lines):
    """A difference that changes no prediction is seen, and one that does. Of 16 one-word lines often none is hidden:
    there is nothing to compare then, and nothing wrong."""
    model = hf.AutoModelForMaskedLM.from_pretrained(teacher_folder).eval()

    def compare(deployed, texts):
        return compare_masked_lm(model, deployed, tokenizer, Dataset.from_dict({"text": texts}), 64)

    short = compare(running(model), ["кот"] * 300)
    assert (short["agreement"], short["largest_difference"]) == (1, 0) and short["exported"] == short["pytorch"]
    louder = compare(running(model, lambda inputs, outputs: [outputs[0] + 0.5]), corpus_lines[:60])
    assert louder["largest_difference"] == pytest.approx(0.5, rel=1e-4) and louder["agreement"] == 1
    wrong = compare(blind(model), corpus_lines[:60])
    assert wrong["largest_difference"] > 0.1 and wrong["agreement"] < 1
    assert wrong["pytorch"] == louder["pytorch"] != wrong["exported"]


@pytest.mark.parametrize(
    ("model_class", "labels", "count"),
    [
        (hf.BertForSequenceClassification, 70, 40),
        (hf.BertForQuestionAnswering, 2, 80),
        (hf.BertForTokenClassification, 70, None),
        (hf.BertForMultipleChoice, 2, 3),  # of 16, 16, and 8 lines the likeliest
    ],
)
def test_lines_of_text(model_class, labels, count, tokenizer, corpus_lines):
    """Scores of padding are no predictions, and what an exported model has there does not matter; the mask does."""
    config = hf.BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, num_labels=labels, **SHAPE)
    model, texts = lively(model_class, config), corpus_lines[:40]
    model.config.architectures = [model_class.__name__]
    count = count or sum(len(ids) for ids in tokenizer(texts)["input_ids"])

    def noise_in_padding(inputs, outputs):
        for one in outputs:
            if one.shape[:2] == inputs["input_ids"].shape:
                one[inputs["attention_mask"] == 0] = 1e3
        return outputs

    lines = Dataset.from_dict({"text": texts})
    found = compare_on_lines(model, running(model, noise_in_padding), tokenizer, lines, 64)
    assert found["compared"] == f"{count:,} predictions on lines of text"
    assert (found["agreement"], found["largest_difference"]) == (1, 0)
    wrong = compare_on_lines(model, blind(model), tokenizer, lines, 64)
    assert wrong["largest_difference"] > 0.1 and (wrong["agreement"] < 1 or count == 3)
