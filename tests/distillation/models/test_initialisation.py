"""First weights of the student, for every teacher whose layers can be copied."""

import logging
from types import SimpleNamespace

import pytest
import torch
import transformers

from distillation.config.errors import UserError
from distillation.models.initialisation import activation, initialise, intermediate_size

SHAPE = dict(vocab_size=50, hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64)
EXACT = dict(initializer_range=0.3, layer_norm_eps=1e-12)
OWN_SHAPE = dict(vocab_size=50, dim=16, n_layers=4, n_heads=2, hidden_dim=64, max_position_embeddings=12)
SPECIAL = dict(pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2)
TEACHERS = {
    "Bert": SHAPE | EXACT | dict(max_position_embeddings=12),
    "Roberta": SHAPE | EXACT | dict(max_position_embeddings=14),
    "XLMRoberta": SHAPE | EXACT | dict(max_position_embeddings=14),
    "DistilBert": OWN_SHAPE | dict(initializer_range=0.3),
}
TAKEN = {"random": (), "embeddings": ("distilbert.embeddings", "vocab_projector"), "average": ("",)}
WORDS = "distilbert.embeddings.word_embeddings.weight"


def masked_lm(name, config):
    return getattr(transformers, f"{name}ForMaskedLM")(getattr(transformers, f"{name}Config")(**config)).eval()


def student(layers=2, width=16, **changes):
    torch.manual_seed(1)
    return masked_lm("DistilBert", OWN_SHAPE | dict(dim=width, n_layers=layers, hidden_dim=4 * width) | changes)


def started(teacher, how, projection="pca", vocabulary=None, **shape):
    model = student(**shape)
    initialise(model, teacher, how, projection, vocabulary)
    return model


@pytest.fixture(params=TEACHERS)
def teacher(request):
    torch.manual_seed(0)
    model = masked_lm(request.param, TEACHERS[request.param])
    for parameter in model.parameters():  # biases and layer norms start as zeros and ones, which hide mistakes
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.tie_weights()
    return model


@pytest.mark.parametrize("how", ["average", "select"])
def test_a_student_of_full_depth_is_the_teacher(teacher, how):
    """One wrong matrix, transposition, position, or token type, and the predictions differ."""
    ids, mask = torch.randint(3, 50, (2, 9)), torch.ones(2, 9, dtype=torch.long)
    mask[1, 6:], ids[1, 6:] = 0, teacher.config.pad_token_id
    actual, expected = (
        m(input_ids=ids, attention_mask=mask).logits for m in (started(teacher, how, layers=4), teacher)
    )
    torch.testing.assert_close(actual[mask.bool()], expected[mask.bool()], rtol=1e-4, atol=1e-4)


def test_average_and_select_by_hand(teacher):
    """Of 4 teacher layers a student of 2 takes (0 + 1) / 2 and (2 + 3) / 2, or 1 and 3."""
    names = "attention.q_lin.weight", "attention.self.query.weight"
    query = [weight for name, weight in teacher.state_dict().items() if name.endswith(names)]
    averaged, selected = (started(teacher, how).state_dict() for how in ("average", "select"))
    for k in range(2):
        name = f"distilbert.transformer.layer.{k}.attention.q_lin.weight"
        torch.testing.assert_close(averaged[name], (query[2 * k] + query[2 * k + 1]) / 2)
        torch.testing.assert_close(selected[name], query[2 * k + 1])


@pytest.mark.parametrize("how", TAKEN)
def test_what_is_taken_and_what_stays_random(teacher, how):
    """The head stays tied, or the student would have a third more parameters; the teacher's own tensors are copied."""
    copy, untouched = started(teacher, how), student().state_dict()
    for name, weight in copy.state_dict().items():
        assert torch.equal(weight, untouched[name]) != name.startswith(TAKEN[how]), name
    words = copy.get_input_embeddings().weight
    assert copy.vocab_projector.weight is words and words is not teacher.get_input_embeddings().weight
    assert torch.equal(words, teacher.get_input_embeddings().weight) == (how != "random")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(width=32), "`student_hidden_size`.* is 32 and the teacher's 16.*student_initialisation: random"),
        (dict(n_heads=4), "`student_attention_heads`.* is 4 and the teacher's 2.*student_initialisation: embeddings"),
        (dict(n_heads=1), "`student_attention_heads`.* is 16 and the teacher's 8"),
        (dict(hidden_dim=65), "`student_intermediate_size`.* is 65 and the teacher's 64"),
    ],
)
def test_what_is_larger_than_the_teacher_is_refused_with_a_remedy_that_works(teacher, changes, message):
    with pytest.raises(UserError, match=message):
        started(teacher, "average", **changes)
    started(teacher, "random" if "width" in changes else "embeddings", **changes)


def vocabulary(special_ids=()):
    """Student tokens 0 and 1 are teacher tokens 3 and 2; 2 spells teacher tokens 4 (twice) and 5; 3 nothing."""
    pieces = torch.zeros(6, 4)
    pieces[3, 0] = pieces[2, 1] = pieces[5, 2] = pieces[5, 0] = 1
    pieces[4, 2] = 2
    shared = dict(shared_student_ids=torch.tensor([0, 1]), shared_teacher_ids=torch.tensor([3, 2]))
    return SimpleNamespace(pieces=pieces.to_sparse(), **shared, special_ids=special_ids)


def test_a_student_with_another_vocabulary(teacher):
    """Words and bias are translated; an unknown token is like the others, and never predicted."""
    copy = started(teacher, "average", vocabulary=vocabulary(), vocab_size=4)
    rows, words = teacher.get_input_embeddings().weight, copy.get_input_embeddings().weight
    torch.testing.assert_close(words[:3], torch.stack([rows[3], rows[2], (2 * rows[4] + rows[5]) / 3]))
    assert words[3].norm() < 3 * words[:3].norm(dim=1).max() and words[3].any()
    ends = ("predictions.bias", "head.bias", "projector.bias")
    old, new = next(v for k, v in teacher.state_dict().items() if k.endswith(ends)), copy.vocab_projector.bias
    torch.testing.assert_close(new[:3], torch.stack([old[3], old[2], (2 * old[4] + old[5]) / 3]))
    assert new[3] == new[:3].min()
    # [MASK] may be spelt otherwise, and no teacher token has it as a piece: its role counts, or else its name.
    pairs = [(3, 1), (3, 0)]
    special = started(teacher, "average", vocabulary=vocabulary(pairs), vocab_size=4).get_input_embeddings().weight
    torch.testing.assert_close(special, torch.cat([words[:3], rows[1:2]]))
    words = started(teacher, "average", "crop", vocabulary(), width=8, vocab_size=4).get_input_embeddings().weight
    expected, actual = (rows[3] - rows[2])[:8], words[0] - words[1]  # differences do not depend on the mean
    torch.testing.assert_close(actual / actual.norm(), expected / expected.norm())


@pytest.mark.parametrize(
    ("name", "config", "width", "message"),
    [
        ("ModernBert", SPECIAL, 16, "random"),
        ("Electra", dict(embedding_size=12), 8, "word embeddings are;"),
        ("Electra", dict(embedding_size=6), 8, "of another width"),
    ],
)
def test_of_layers_that_do_not_fit_only_the_embeddings_are_taken(caplog, name, config, width, message):
    """Silence would let a user believe in a copy. Embeddings of a width of their own are projected if wide enough."""
    teacher, untouched = masked_lm(name, SHAPE | config), student(width=width).state_dict()
    with caplog.at_level(logging.WARNING):
        copy = started(teacher, "average", width=width)
    assert name.lower() in caplog.text and message in caplog.text
    taken = {name for name, weight in copy.state_dict().items() if not torch.equal(weight, untouched[name])}
    assert taken == (set() if "another" in message else {WORDS, "vocab_projector.weight"})
    assert width == 8 or torch.equal(copy.vocab_projector.weight, teacher.get_input_embeddings().weight)


@pytest.mark.parametrize(
    ("name", "key", "width"),
    [
        ("DistilBert", "activation", {"hidden_dim": 24}),
        ("ModernBert", "hidden_activation", {"intermediate_size": 24}),
        ("Bert", "hidden_act", {"intermediate_size": 24}),
        ("Funnel", "hidden_act", {"d_inner": 24}),
        ("Esm", None, {"intermediate_size": 24}),
        ("Flaubert", None, {"emb_dim": 6}),
    ],
)
def test_activation_and_width_go_by_several_names(name, key, width):
    """A teacher that says `relu` under another name would be copied into a student that computes gelu. ESM and XLM
    say none, and XLM no width either."""
    config = getattr(transformers, f"{name}Config")(**({key: "relu"} if key else {}) | width)
    assert activation(config) == ("relu" if key else "gelu") and intermediate_size(config) == 24


@pytest.mark.parametrize(("epsilon", "most"), [(1e-5, 1e-3), (1e-12, 1e-5)])
def test_another_epsilon_of_layer_norms_changes_little(epsilon, most):
    """RoBERTa's is 1e-5, and a DistilBERT's config cannot hold it."""
    torch.manual_seed(0)
    teacher = masked_lm("Roberta", TEACHERS["Roberta"] | {"layer_norm_eps": epsilon})
    ids, copy = torch.randint(3, 50, (2, 9)), started(teacher, "select", layers=4)
    expected, actual = teacher(ids).logits, copy(ids).logits
    assert (actual - expected).abs().max() < most * expected.abs().max()
