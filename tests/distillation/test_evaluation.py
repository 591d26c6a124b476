"""The figures of held-out text, against a slow calculation and against models whose answers are known."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models
from transformers import AutoModelForMaskedLM, BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from distillation.corpus.masking import EVALUATION_SEED, KEEP, draw_actions
from distillation.evaluation import evaluate_masked_lm, fill_in, held_out_examples
from distillation.vocabularies.wordpiece import SPECIAL_TOKENS, build_tokenizer


@pytest.fixture(scope="module")
def lines(corpus_lines):
    """Some lines so short that nothing is hidden in them, and one to cut."""
    lines = [*corpus_lines[:60], *"абвгдежзиклмно", " ".join(corpus_lines[60:80])]
    return Dataset.from_dict({"text": lines})


@pytest.fixture
def teacher(teacher_folder):
    return AutoModelForMaskedLM.from_pretrained(teacher_folder).eval()


def always(tokenizer, token):
    """A model that answers every question with one token, nearly surely."""
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    model = BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), **shape))
    with torch.no_grad():
        model.cls.predictions.bias[tokenizer.convert_tokens_to_ids(token)] = 100
    return model


@torch.no_grad()
def slowly(model, tokenizer, examples):
    """Example by example and word by word, with the logits of the complete sequence."""
    losses, hits, words, characters = [], [], [], 0
    for row in examples:
        words_of_row = len(row["word_characters"])
        drawn = draw_actions(words_of_row, None, 0.15, np.random.default_rng((EVALUATION_SEED, row["id"]))) != KEEP
        ids = torch.tensor([row["input_ids"]])
        masked = ids.clone()
        masked[0, [i for i, word in enumerate(row["word_ids"]) if word >= 0 and drawn[word]]] = tokenizer.mask_token_id
        logits = model(input_ids=masked, attention_mask=torch.ones_like(masked)).logits[0]
        for word in np.flatnonzero(drawn):
            places = [i for i, other in enumerate(row["word_ids"]) if other == word]
            losses += [-float(logits[i].log_softmax(-1)[ids[0, i]]) for i in places]
            right = [int(logits[i].argmax()) == int(ids[0, i]) != tokenizer.unk_token_id for i in places]
            hits += right
            words.append(all(right))
            characters += row["word_characters"][word]
    return {
        "loss": sum(losses) / len(losses),
        "loss_per_character": sum(losses) / characters,
        "masked_token_accuracy": sum(hits) / len(hits),
        "masked_word_accuracy": sum(words) / len(words),
        "masked_tokens": len(hits),
        "masked_words": len(words),
        "masked_characters": characters,
    }


@pytest.mark.parametrize("batch_size", [1, 7])
def test_equals_a_slow_calculation_in_every_batch_size(lines, teacher, tokenizer, batch_size):
    """Padding, or batches in which nothing is hidden, must not change a figure that papers compare. In the middle of
    training dropout is off, and on again for the rest."""
    (examples,) = held_out_examples(lines, [tokenizer], 32)
    expected = slowly(teacher, tokenizer, examples)
    assert expected["masked_words"] > 40
    teacher.train(batch_size == 7)
    assert evaluate_masked_lm(teacher, tokenizer, examples, batch_size) == pytest.approx(expected, rel=1e-4)
    assert teacher.training is (batch_size == 7)


def test_words_of_several_tokens_are_right_as_a_whole(lines, tokenizer):
    """A model that knows one ending gets tokens right and no word; one that knows the full stop, which is a word."""
    (examples,) = held_out_examples(lines, [tokenizer], 32)
    tokens = Counter(tokenizer.convert_ids_to_tokens([i for ids in examples["input_ids"] for i in ids]))
    ending = next(token for token, _ in tokens.most_common() if token.startswith("##"))
    for token, some_words in ((ending, False), (".", True)):
        model = always(tokenizer, token)
        found = evaluate_masked_lm(model, tokenizer, examples)
        assert found == pytest.approx(slowly(model.eval(), tokenizer, examples), rel=1e-4)
        assert found["masked_token_accuracy"] > 0 and (found["masked_word_accuracy"] > 0) == some_words
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    even = evaluate_masked_lm(model, tokenizer, examples)  # hand-worked: log(vocabulary) nats for each token
    per_character = math.log(300) * even["masked_tokens"] / even["masked_characters"]
    assert (even["loss"], even["loss_per_character"]) == pytest.approx((math.log(300), per_character))


@pytest.mark.parametrize(("word", "answer", "right"), [("да ", "да", 1), ("нет ", "[UNK]", 0)])
def test_a_perfect_model_is_right_everywhere_but_at_unknown_words(word, answer, right):
    """Were the true tokens or the positions off by one, no model could reach 1; did unknown tokens count, a tokenizer
    that knows nothing would make every model perfect."""
    tokenizer = build_tokenizer([*SPECIAL_TOKENS, "да"])
    (examples,) = held_out_examples(Dataset.from_dict({"text": [word * n for n in range(1, 40)]}), [tokenizer], 64)
    found = evaluate_masked_lm(always(tokenizer, answer), tokenizer, examples, 8)
    assert (found["masked_token_accuracy"], found["masked_word_accuracy"]) == (right, right)
    assert found["loss"] == pytest.approx(0, abs=1e-6)
    assert found["masked_tokens"] == found["masked_words"] == found["masked_characters"] / len(word.strip()) > 80


def test_all_tokenizers_hide_the_same_words(lines, tokenizer, byte_tokenizer, unigram_tokenizer):
    """Models of different vocabularies compare only on the same questions."""
    tokenizers = [tokenizer, byte_tokenizer, unigram_tokenizer]
    examples = held_out_examples(lines, tokenizers, 48)
    assert len({tuple(rows["id"]) for rows in examples}) == 1
    pairs = zip(tokenizers, examples, strict=True)
    found = [evaluate_masked_lm(always(reader, "[MASK]"), reader, rows) for reader, rows in pairs]
    for name in ("masked_words", "masked_characters"):
        assert len({figures[name] for figures in found}) == 1
    assert len({figures["masked_tokens"] for figures in found}) > 1
    assert all(max(map(len, rows["input_ids"])) <= 48 for rows in examples)


def test_what_else_is_evaluated_changes_no_figure(lines, tokenizer, byte_tokenizer):
    """Beside tokens that hold the space before their word, or lie in several words, a WordPiece's figures were others.
    A word that shares a token with its neighbours is hidden with them, or part of it would be seen."""
    pieces = ["[UNK]", "...", " мыла", "у...", *sorted(set("".join(lines["text"]) + "Мама мыла раму..."))]
    glued = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=0))
    glued.add_special_tokens(["[PAD]", "[MASK]"])
    glued = PreTrainedTokenizerFast(tokenizer_object=glued, pad_token="[PAD]", mask_token="[MASK]", unk_token="[UNK]")
    texts = Dataset.from_dict({"text": ["Мама мыла раму..."] * 60})
    (alone,) = held_out_examples(texts, [tokenizer], 64)
    beside, others, _ = held_out_examples(texts, [tokenizer, glued, byte_tokenizer], 64)
    assert list(alone) == list(beside)
    assert alone["word_characters"][0] == others["word_characters"][0] == [4, 4, 4, 1, 1, 1]
    (row,) = {tuple(ids) for ids in others["word_ids"]}
    assert glued.convert_ids_to_tokens(others["input_ids"][0])[-4:] == ["р", "а", "м", "у..."]
    assert row == (0, 0, 0, 0, 1, -1, 2, 2, 2, 2)  # "у..." lies in "раму" and in three full stops

    def predict(batch, positions):
        hidden = batch["input_ids"][0] == glued.mask_token_id
        assert len(set(hidden[6:])) == 1 and hidden.any()
        return torch.zeros(len(positions), len(glued))

    generators = (np.random.default_rng((EVALUATION_SEED, example["id"])) for example in others)
    drawn = [(draw_actions(6, None, 0.15, generator) != KEEP).any() for generator in generators]
    found = fill_in(predict, glued, others.select(np.flatnonzero(drawn)), 1)
    known = fill_in(lambda _, positions: torch.zeros(len(positions), 300), tokenizer, alone, 8)
    assert found["masked_words"] == known["masked_words"] > 0
    # A drawn full stop hides "раму" and all stops, of 4 + 3 characters; a token of it costs log(tokens) nats.
    hidden = 0
    for example in others:
        actions = draw_actions(6, None, 0.15, np.random.default_rng((EVALUATION_SEED, example["id"]))) != KEEP
        hidden += 4 * actions[:2].sum() + 7 * actions[2:].any()
    loss = found["masked_tokens"] * math.log(len(glued))
    assert found["loss_per_character"] == pytest.approx(loss / hidden)
    assert found["masked_characters"] == hidden > known["masked_characters"]


def test_a_word_of_which_a_cut_leaves_no_token_is_no_question(tokenizer, byte_tokenizer):
    """An example of one character, which one tokenizer reads as a part of the token before the cut."""
    texts = Dataset.from_dict({"text": [f"\u200b{'❤️' * count} да" for count in range(1, 60)]})
    readers = [tokenizer, byte_tokenizer]
    for reader, rows in zip(readers, held_out_examples(texts, readers, 16), strict=True):
        figures = evaluate_masked_lm(always(reader, "[MASK]"), reader, rows)
        assert math.isfinite(figures["loss"]) and figures["masked_words"] > 0


def test_any_model_gets_the_same_questions(lines, teacher, tokenizer):
    """Also one that is no PyTorch model: it must not see the words, and fills in all that are hidden."""
    (examples,) = held_out_examples(lines, [tokenizer], 32)

    @torch.no_grad()
    def predict(batch, positions):
        assert batch.keys() == {"input_ids", "attention_mask"} and all(one.dtype == np.int64 for one in batch.values())
        assert positions.tolist() == np.flatnonzero(batch["input_ids"] == tokenizer.mask_token_id).tolist()
        assert np.array_equal(batch["attention_mask"] == 0, batch["input_ids"] == tokenizer.pad_token_id)
        return teacher(**{name: torch.from_numpy(one) for name, one in batch.items()}).logits.flatten(0, 1)[positions]

    found = fill_in(predict, tokenizer, examples, 16)
    assert found == pytest.approx(evaluate_masked_lm(teacher, tokenizer, examples, 16), rel=1e-5)
