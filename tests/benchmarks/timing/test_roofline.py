"""The bound: operations and weights of a forward pass counted by hand."""

import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    DebertaV2Config,
    DebertaV2Model,
    DistilBertConfig,
    DistilBertModel,
)

from benchmarks.timing.roofline import Machine, measure_machine, work

LAYERS, WIDTH, INNER, TOKENS, BATCH, LENGTH = 3, 8, 20, 50, 2, 5
POSITIONS = BATCH * LENGTH
# Each product of m x k and k x n is 2 * m * k * n operations.
PROJECTIONS = LAYERS * 2 * POSITIONS * (4 * WIDTH * WIDTH + 2 * WIDTH * INNER)
MAPS = LAYERS * 2 * (2 * BATCH * LENGTH * LENGTH * WIDTH)  # queries by keys, and maps by values
HEAD = 2 * POSITIONS * (WIDTH * WIDTH + WIDTH * TOKENS)  # transform, vocabulary
LAYER = 4 * (WIDTH * WIDTH + WIDTH) + 2 * WIDTH * INNER + INNER + WIDTH + 2 * (2 * WIDTH)
WEIGHTS = LAYERS * LAYER + 2 * WIDTH  # and the norm of the embeddings, whose tables are looked up
HEAD_WEIGHTS = WIDTH * WIDTH + WIDTH + 2 * WIDTH + TOKENS * WIDTH + TOKENS
SIZES = dict(hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=2, intermediate_size=INNER)
DISTIL = DistilBertConfig(vocab_size=TOKENS, dim=WIDTH, n_layers=LAYERS, n_heads=2, hidden_dim=INNER)


@pytest.mark.parametrize("tied", [True, False])
def test_work_by_hand(tied):
    """Rows that are looked up cost nothing, but a product with the complete table reads all of it."""
    config = BertConfig(vocab_size=TOKENS, tie_word_embeddings=tied, **SIZES)
    with torch.device("meta"):
        bert, distilbert = BertModel(config, add_pooling_layer=False).eval(), DistilBertModel(DISTIL).eval()
        masked_lm = BertForMaskedLM(config).eval()
    assert work(bert, BATCH, LENGTH) == (PROJECTIONS + MAPS, WEIGHTS) == work(distilbert, BATCH, LENGTH)
    assert work(bert, 3 * BATCH, LENGTH) == (3 * (PROJECTIONS + MAPS), WEIGHTS)
    bias = 0 if tied else TOKENS  # one that nothing adds
    assert work(masked_lm, BATCH, LENGTH) == (PROJECTIONS + MAPS + HEAD, WEIGHTS + HEAD_WEIGHTS + bias)


def test_work_of_a_model_that_looks_for_padding():
    """DeBERTa looks for it in the ids where it gets no mask, and on `meta` there are none."""
    shape = dict(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    with torch.device("meta"):
        model = DebertaV2Model(DebertaV2Config(**shape))
    flops, weights = work(model, batch_size=1, length=4)
    products = 2 * 4 * (4 * 8 * 8 + 2 * 8 * 16) + 2 * (2 * 4 * 4 * 8)
    assert (flops, weights) == (products, model.num_parameters() - 50 * 8 - 512 * 8)


def test_the_slower_road_is_the_bound():
    """600 operations at 100 a second take 6 s; 40 weights at 10 bytes a second 16 s in fp32, 4 s in int8."""
    machine = Machine({"fp32": 100.0, "int8": 100.0}, 10.0)
    assert [machine.bound(600, 40, precision) for precision in ("fp32", "int8", "bf16")] == [16, 6, None]


def test_a_machine_is_measured_for_the_precisions_asked(small_machine):
    machine = measure_machine({"fp32", "int8"}, torch.device("cpu"))
    assert machine.flops.keys() == {"fp32", "int8"} and min(machine.bandwidth, *machine.flops.values()) > 1e6
