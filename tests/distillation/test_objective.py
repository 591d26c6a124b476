"""Each term compares what the recipe says: layers, groups, positions."""

import math
from unittest import mock

import pytest
import torch

from distillation.config.arguments import ObjectiveArguments
from distillation.config.terms import TERMS
from distillation.losses import attention_loss
from distillation.models.mlm_head import Outputs
from distillation.models.teacher import targets_of
from distillation.objective import _renormalised, compared_layers, distillation_terms

OFF = {f"weight_{term}": 0.0 for term in TERMS}
MASK = torch.tensor([[True, True, False]])


def states(*values):
    """One tensor (1, 3, 2) a layer, filled with a value; padding holds another."""
    layers = [torch.full((1, 3, 2), float(value)) for value in values]
    for layer in layers:
        layer[:, 2] = 99.0
    return tuple(layers)


def comparing(compared):
    """The positions that are compared, as a batch has them."""
    return {"compared": compared, "compared_positions": compared.flatten().nonzero().squeeze(1)}


def terms(student, teacher, labels=None, **objective):
    groups = () if student.logits is None or teacher.logits is None else ((1, len(teacher.logits)),)
    batch = {"labels": labels, "groups": groups, "unlabelled": 0, **comparing(MASK)}
    objective = ObjectiveArguments(**{**OFF, **objective})
    layers = len(student.hidden_states or student.attentions or ())
    return distillation_terms(student, targets_of(teacher, objective, layers), batch, objective)


@pytest.mark.parametrize(
    ("view", "layers", "expected"),
    [("groups", (1, 3, 4, 6), (1 + 25) / 2), ("average", (1, 3, 4, 6, 3.5), 9)],
)
def test_hidden_mse_by_hand(view, layers, expected):
    """Student layers 1 and 0 against means 2 and 5; or means 0.5 and 3.5 over all layers, of any number."""
    outputs = Outputs(None, states(1, 0), None), Outputs(None, states(*layers), None)
    sums = terms(*outputs, weight_hidden_mse=1, hidden_layers=view)
    assert sums.keys() == {"hidden_mse"} and sums["hidden_mse"].item() == pytest.approx(2 * expected)


def test_cosine_of_the_last_layers_alone():
    """The first student layer is opposite to everything, and does not matter."""
    student = Outputs(None, states(-1, 1), None)
    sums = terms(student, Outputs(None, states(-1, -1, 1), None), weight_cosine=1, cosine_layers="last")
    assert sums["cosine"].item() == pytest.approx(0, abs=1e-6)
    sums = terms(student, Outputs(None, states(1, 1, 1, 1), None), weight_cosine=1)
    assert sums["cosine"].item() == pytest.approx(2 * (2 + 0) / 2)


def test_kl_pairs_the_first_positions():
    """The student has logits at more positions than the teacher: those of masked tokens outside the KL come last."""
    student = torch.tensor([[0.0, 0.0], [50.0, -50.0]], requires_grad=True)
    teacher = torch.tensor([[math.log(3), 0.0]])
    outputs, keys = [Outputs(logits, None, None) for logits in (student, teacher)], dict(weight_kl=1, weight_mlm=1)
    sums = terms(*outputs, labels=torch.tensor([-100, 0]), temperature=1.0, **keys)
    assert sums["kl"].item() == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5), rel=1e-5)
    assert sums["mlm"].item() == pytest.approx(0, abs=1e-6)
    (sums["kl"] + sums["mlm"]).backward()  # the rows of both terms overlap
    torch.testing.assert_close(student.grad, torch.tensor([[-0.25, 0.25], [0.0, 0.0]]))


def test_what_is_needed_follows_the_weights():
    """Eager attention and hidden states are paid for only where a term asks."""
    mlm = ObjectiveArguments(**{**OFF, "weight_mlm": 1})
    assert not (mlm.needs_teacher or mlm.needs("maps", "states", "predictions") or mlm.uses_groups)
    assert compared_layers(mlm, 3) == []
    four = ObjectiveArguments()
    assert four.terms == ("kl", "mlm", "cosine", "attention")
    assert four.needs_teacher and four.needs("maps") and four.needs("states") and four.uses_groups
    assert compared_layers(four, 3) == [0, 1, 2]
    last = ObjectiveArguments(cosine_layers="last", weight_attention=0)
    assert last.needs("states") and not last.uses_groups and compared_layers(last, 3) == [2]


@pytest.mark.parametrize("alignment", ["match", "reduce"])
def test_all_terms_across_vocabularies_by_loops(alignment):
    """One position, one pair, one layer at a time: two examples, the second with padding in both models."""
    torch.manual_seed(0)
    length, width, heads = 5, 3, 2
    if alignment == "match":
        index = torch.tensor([[0, -1, 1, 2, 3], [0, 2, -1, -1, -1]])
        compared = torch.tensor([[True, True, True, True], [True, False, True, False]])
    else:  # the second token of the first example is not compared, but looked at
        index = torch.tensor([[0, 1, 1, 2, 3], [0, 1, 2, -1, -1]])
        compared = torch.tensor([[True, False, True, True], [True, True, True, False]])

    def outputs(rows, length, layers):
        states = torch.randn(layers, 2, length, width)
        maps = torch.randn(layers, 2, heads, length, length).softmax(-1)
        return Outputs(torch.randn(rows, 7), tuple(states), tuple(maps))

    student, teacher = outputs(4, length, 2), outputs(2, 4, 4)
    batch = {"teacher_index": index, "groups": ((1, 1), (2, 1)), "unlabelled": 2, **comparing(compared)}
    batch["labels"] = torch.tensor([-100, -100, 2, 3])
    vocabulary_kl = mock.Mock(return_value=torch.tensor(7.0))
    objective = ObjectiveArguments(alignment=alignment, weight_hidden_mse=1.0, temperature=3.0)
    sums = distillation_terms(student, targets_of(teacher, objective, 2, vocabulary_kl), batch, objective)

    ((logits, states, groups, temperature), _) = vocabulary_kl.call_args
    assert sums["kl"].item() == 7 and torch.equal(logits, student.logits[:3])
    assert states is teacher.logits and groups == batch["groups"] and temperature == 3.0
    mlm = -sum(student.logits[i].log_softmax(-1)[label].item() for i, label in ((2, 2), (3, 3)))
    assert sums["mlm"].item() == pytest.approx(mlm, rel=1e-5)
    cosine = mse = attention = 0.0
    for layer, group in enumerate([(0, 1), (2, 3)]):
        for b in range(2):
            places = [i for i in range(4) if compared[b, i]]
            pieces = {i: [s for s in range(length) if index[b, s] == i] for i in range(4)}
            for i in places:
                state = sum(student.hidden_states[layer][b, s] for s in pieces[i]) / len(pieces[i])
                target = sum(teacher.hidden_states[k][b, i] for k in group) / 2
                cosine += (1 - torch.dot(state, target) / state.norm() / target.norm()).item() / 2
                mse += ((state - target) ** 2).mean().item() / 2
                for head in range(heads):
                    looked, wanted = {}, {}
                    for j in places:
                        maps = student.attentions[layer][b, head]
                        looked[j] = sum(maps[s, t] for s in pieces[i] for t in pieces[j]).item() / len(pieces[i])
                        wanted[j] = [teacher.attentions[k][b, head, i, j].item() for k in group]
                    ours = theirs = 1.0
                    if alignment == "match":
                        ours, theirs = sum(looked.values()), sum(sum(w) for w in wanted.values()) / 2
                    for j in places:
                        attention += (looked[j] / ours - sum(wanted[j]) / 2 / theirs) ** 2 / heads / 2
    assert sums["cosine"].item() == pytest.approx(cosine, rel=1e-5)
    assert sums["hidden_mse"].item() == pytest.approx(mse, rel=1e-5)
    assert sums["attention"].item() == pytest.approx(attention, rel=1e-5)


def test_padding_of_renormalised_maps_reaches_no_gradient():
    maps = torch.full((1, 2, 3, 3), 1 / 3)
    maps[..., 2, :] = maps[..., 2] = math.nan
    normalised = _renormalised(maps.requires_grad_(), MASK)
    torch.testing.assert_close(normalised[..., :2, :2], torch.full((1, 2, 2, 2), 0.5))
    attention_loss(normalised, torch.zeros_like(maps), MASK).backward()
    assert maps.grad.isfinite().all()
