"""The bound: operations and weights of a forward pass counted by hand, and the slower of two roads."""

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertModel, DistilBertConfig, DistilBertModel

from benchmarks.timing import roofline
from benchmarks.timing.roofline import Machine, measure_machine, work

LAYERS, HEADS, WIDTH, INNER, TOKENS, BATCH, LENGTH = 3, 2, 8, 20, 50, 2, 5
POSITIONS = BATCH * LENGTH
# Each product of m x k and k x n is 2 * m * k * n operations.
PROJECTIONS = LAYERS * 2 * POSITIONS * (4 * WIDTH * WIDTH + 2 * WIDTH * INNER)
MAPS = LAYERS * 2 * (2 * BATCH * LENGTH * LENGTH * WIDTH)  # queries by keys, and maps by values
HEAD = 2 * POSITIONS * (WIDTH * WIDTH + WIDTH * TOKENS)  # transform, vocabulary
LAYER = 4 * (WIDTH * WIDTH + WIDTH) + 2 * WIDTH * INNER + INNER + WIDTH + 2 * (2 * WIDTH)
WEIGHTS = LAYERS * LAYER + 2 * WIDTH  # and the norm of the embeddings, whose tables are looked up
HEAD_WEIGHTS = WIDTH * WIDTH + WIDTH + 2 * WIDTH + TOKENS * WIDTH + TOKENS


SIZES = {"vocab_size": TOKENS, "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
SIZES |= {"intermediate_size": INNER, "max_position_embeddings": 16}


def skeleton(model_class, config, **more):
    with torch.device("meta"):
        return model_class(config, **more).eval()


def test_an_encoder_by_hand():
    """The work grows with the batch, the weights do not."""
    encoder = skeleton(BertModel, BertConfig(**SIZES), add_pooling_layer=False)
    assert work(encoder, BATCH, LENGTH) == (PROJECTIONS + MAPS, WEIGHTS)
    assert work(encoder, 3 * BATCH, LENGTH) == (3 * (PROJECTIONS + MAPS), WEIGHTS)
    config = DistilBertConfig(vocab_size=TOKENS, dim=WIDTH, n_layers=LAYERS, n_heads=HEADS, hidden_dim=INNER)
    assert work(skeleton(DistilBertModel, config), BATCH, LENGTH) == (PROJECTIONS + MAPS, WEIGHTS)


@pytest.mark.parametrize("tied", [True, False])
def test_a_projection_reads_its_table(tied):
    """Rows that are looked up cost nothing, but a product with the whole table reads all of it."""
    model = skeleton(BertForMaskedLM, BertConfig(tie_word_embeddings=tied, **SIZES))
    bias = 0 if tied else TOKENS  # one that nothing adds
    assert work(model, BATCH, LENGTH) == (PROJECTIONS + MAPS + HEAD, WEIGHTS + HEAD_WEIGHTS + bias)


def test_the_slower_road_is_the_bound():
    """600 operations at 100 a second take 6 s; 40 weights at 10 bytes a second 16 s in fp32, 4 s in int8."""
    machine = Machine({"fp32": 100.0, "int8": 100.0}, 10.0)
    assert machine.bound(600, 40, "fp32") == 16
    assert machine.bound(600, 40, "int8") == 6
    assert machine.bound(600, 40, "bf16") is None


def test_a_machine_is_measured_for_the_precisions_asked(monkeypatch):
    monkeypatch.setattr(roofline, "SIDE", 64)
    monkeypatch.setattr(roofline, "COPIED", 2**16)
    machine = measure_machine({"fp32", "bf16", "int8"}, torch.device("cpu"))
    assert machine.flops.keys() == {"fp32", "bf16", "int8"} and all(rate > 1e6 for rate in machine.flops.values())
    assert machine.bandwidth > 1e6
    assert measure_machine({"fp32"}, torch.device("cpu")).flops.keys() == {"fp32"}
