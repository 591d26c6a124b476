"""Measures how well a masked LM fills in hidden words of held-out text. Every comparison uses these figures.

Mask tokens hide 15 % of the words. The text alone decides which ones: all models fill in the same words. The loss per
token depends on the vocabulary. Loss per character (white space apart) and word accuracy compare across vocabularies,
roughly: the number of mask tokens reveals the number of pieces of a word, and a token that lies in several words hides
all of them. Neither depends on what else is evaluated, but for lines that are cut: the first tokenizer to need it cuts
them for all.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from datasets import Dataset
from torch import Tensor
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from distillation.config.errors import UserError
from distillation.corpus.examples import Encoder, lengths, tokenize
from distillation.corpus.masking import EVALUATION_SEED, KEEP, draw_actions
from distillation.models.mlm_head import Runner

PROBABILITY = 0.15
ROWS = ("id", "input_ids", "word_ids", "word_characters")


def held_out_examples(lines: Dataset, tokenizers: Sequence[PreTrainedTokenizerBase], max_length: int) -> list[Dataset]:
    """One data set for each tokenizer; the same row has the same characters and words in each.

    Raises UserError for a text too short to hide a word of.
    """
    prefixes = [f"{index}_" for index in range(len(tokenizers))]
    joint = tokenize(lines, Encoder(tokenizers, "text", max_length, prefixes=prefixes))
    if not any((_drawn(row["id"], row["word_characters"]) != KEEP).any() for row in joint):
        raise UserError("the held-out text is too short to hide a word: give more of it as `validation_file`")
    joint = joint.select(np.argsort(lengths(joint), kind="stable"))  # batches of little padding
    return [
        joint.select_columns(["id", f"{prefix}input_ids", f"{prefix}word_ids", "word_characters"]).rename_columns(
            {f"{prefix}input_ids": "input_ids", f"{prefix}word_ids": "word_ids"}
        )
        for prefix in prefixes
    ]


@torch.no_grad()
def evaluate_masked_lm(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, examples: Dataset, batch_size: int = 64
) -> dict[str, float]:
    """Fill in hidden words; `runs.files.METRICS`, and the numbers of hidden tokens, words, and characters.

    loss: nats per hidden token; loss_per_character: the same sum per hidden character that is no white space. The
    unknown token is never right. A word is right if all its tokens are.

    examples: one of `held_out_examples`.
    """
    was_training = model.training
    runner = Runner(model.eval())

    def predict(inputs: dict[str, np.ndarray], positions: np.ndarray) -> Tensor:
        inputs = {name: torch.from_numpy(array).to(model.device) for name, array in inputs.items()}
        return runner(inputs, torch.from_numpy(positions).to(model.device), False, False).logits

    figures = fill_in(predict, tokenizer, examples, batch_size)
    model.train(was_training)
    return figures


def fill_in(
    predict: Callable[[dict[str, np.ndarray], np.ndarray], Tensor],
    tokenizer: PreTrainedTokenizerBase,
    examples: Dataset,
    batch_size: int,
) -> dict[str, float]:
    """The figures of `evaluate_masked_lm` for any model.

    predict: (`input_ids` and `attention_mask` of a batch, n positions in it, flattened) -> logits (n, vocabulary)
    """
    losses, hits, words, queries = [], [], [], []
    characters = word_count = 0
    for start in tqdm(range(0, len(examples), batch_size), desc="Evaluating", leave=False):
        batch, positions, truth, word, query, size = _hide(examples[start : start + batch_size], tokenizer)
        characters += size
        logits = predict(batch, positions).float()
        target = torch.from_numpy(truth).to(logits.device)
        losses.append(F.cross_entropy(logits, target, reduction="none").double().cpu().numpy())
        hits.append((logits.argmax(-1) == target).cpu().numpy() & (truth != tokenizer.unk_token_id))
        words.append(word + word_count)
        queries.append(query + word_count)
        word_count += int(word.max(initial=-1)) + 1  # a batch of short examples may have no hidden word
    losses, hits, words, queries = map(np.concatenate, (losses, hits, words, queries))
    complete = np.bincount(words, weights=~hits) == 0
    return {
        "loss": float(losses.mean()),
        "loss_per_character": float(losses.sum() / characters),
        "masked_token_accuracy": float(hits.mean()),
        "masked_word_accuracy": float(complete[queries].mean()),
        "masked_tokens": len(hits),
        "masked_words": len(queries),
        "masked_characters": int(characters),
    }


def _drawn(key: int, sizes: Sequence[int]) -> np.ndarray:
    """The action of each word of an example, the same for every model."""
    return draw_actions(len(sizes), None, PROBABILITY, np.random.default_rng((EVALUATION_SEED, key)))


def _hide(rows: dict[str, list], tokenizer: PreTrainedTokenizerBase):
    """A padded batch with hidden words; the flat positions, true tokens, and word numbers of the hidden tokens; the
    word numbers of the hidden words, and their characters."""
    shape = (len(rows["id"]), max(map(len, rows["input_ids"])))
    ids = np.full(shape, tokenizer.pad_token_id)
    attention_mask, word = np.zeros(shape, dtype=np.int64), np.full(shape, -1)
    characters, words, queries = 0, 0, [np.zeros(0, dtype=np.int64)]
    for row, (key, tokens, word_ids, sizes) in enumerate(zip(*(rows[c] for c in ROWS), strict=True)):
        drawn, word_ids = _drawn(key, sizes) != KEEP, np.asarray(word_ids)
        known = np.unique(word_ids[word_ids >= 0])  # words that share a token have the number of the first
        places = np.searchsorted(known, np.arange(len(drawn)), "right") - 1
        first = np.append(known, -1)[places]  # of each word; -1 for a word without a token, which a cut may leave
        query = first[drawn & (first >= 0)]
        ids[row, : len(tokens)] = tokens
        attention_mask[row, : len(tokens)] = 1
        word[row, : len(tokens)] = np.where(np.isin(word_ids, query), words + word_ids, -1)
        queries.append(words + query)
        words += len(sizes)
        # Also of words that share a token with a drawn one.
        characters += np.asarray(sizes, dtype=np.int64)[np.isin(first, query)].sum()
    positions = np.flatnonzero(word >= 0)
    truth = ids.ravel()[positions]
    ids.ravel()[positions] = tokenizer.mask_token_id
    batch = {"input_ids": ids, "attention_mask": attention_mask}
    return batch, positions, truth, word.ravel()[positions], np.concatenate(queries), characters
