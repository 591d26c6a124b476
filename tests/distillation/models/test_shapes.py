"""Teachers that cannot teach are refused before any training; students have the shape that was asked for."""

import pytest
import torch
from transformers import AutoModelForMaskedLM, BertForMaskedLM, ModernBertConfig, ModernBertForMaskedLM

from distillation.config.arguments import OF_NEW_STUDENTS, ModelArguments, ObjectiveArguments
from distillation.config.errors import UserError
from distillation.models import loading
from distillation.models.shapes import build_student, check_shape, load_student, load_student_tokenizer, load_teacher
from distillation.vocabularies.mapping import VocabularyMap
from distillation.vocabularies.wordpiece import build_tokenizer

FOUR_TERMS, NO_MAPS = ObjectiveArguments(), ObjectiveArguments(weight_attention=0)


@pytest.fixture(scope="module")
def teacher(teacher_folder):
    return load_teacher(ModelArguments(teacher_name_or_path=str(teacher_folder)), FOUR_TERMS, max_length=32)


def build(teacher, objective=FOUR_TERMS, **keys):
    return build_student(ModelArguments(**{"student_layers": 2} | keys), objective, *teacher)


def test_a_teacher_is_frozen_and_gives_its_maps(teacher, teacher_folder):
    """Without the attention term the fast implementation stays: eager attention costs half as much again."""
    model, tokenizer = teacher
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    assert len(model(**tokenizer("он", return_tensors="pt"), output_attentions=True).attentions) == 4
    arguments = ModelArguments(teacher_name_or_path=str(teacher_folder))
    assert load_teacher(arguments, NO_MAPS, 32)[0].config._attn_implementation == "sdpa"
    with pytest.raises(UserError, match="`max_length` 65 exceeds the 64 positions"):
        load_teacher(arguments, FOUR_TERMS, 65)


def test_a_student_has_no_thousands_of_positions_that_nothing_trains(teacher):
    """Those of a BERT are copied; of a ModernBERT with 8,192 none is."""
    model, tokenizer = teacher
    shape = dict(hidden_size=32, intermediate_size=32, num_hidden_layers=4, num_attention_heads=4)
    ids = dict.fromkeys([f"{name}_token_id" for name in ("pad", "bos", "eos", "cls", "sep")], 0)
    config = ModernBertConfig(vocab_size=len(tokenizer), **shape, **ids)
    other = ModernBertForMaskedLM(config)
    for length, positions in ((64, 512), (1024, 1024)):
        keys = ModelArguments(student_layers=2, student_initialisation="random")
        student = build_student(keys, NO_MAPS, other, tokenizer, max_length=length)
        assert student.config.max_position_embeddings == positions
    assert build(teacher).config.max_position_embeddings == model.config.max_position_embeddings == 64


def test_another_vocabulary_is_refused_by_content(teacher, tokenizer, tmp_path):
    """With two entries swapped the ids would mean other tokens, without any error; so would lower-casing."""
    arguments = ModelArguments(student_vocabulary=str(tmp_path))
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    swapped = build_tokenizer([*tokens[:-2], tokens[-1], tokens[-2]])
    lowered = type(teacher[1])(vocab=teacher[1].get_vocab(), do_lower_case=True)
    for other, message in ((swapped, "`student_vocabulary` has 300 tokens.*298 agree"), (lowered, "in another way")):
        other.save_pretrained(tmp_path)
        with pytest.raises(UserError, match=message):
            load_student_tokenizer(arguments, FOUR_TERMS, teacher[1])
    teacher[1].save_pretrained(tmp_path)
    assert load_student_tokenizer(arguments, FOUR_TERMS, teacher[1])[0].get_vocab() == teacher[1].get_vocab()
    assert load_student_tokenizer(ModelArguments(), FOUR_TERMS, teacher[1]) == (teacher[1], None)


def test_the_student_trains_without_attention_dropout_and_has_it_in_its_config(teacher):
    """Maps are returned after dropout: the term would compare noise."""
    for objective, attention, dropout in ((FOUR_TERMS, "eager", 0), (NO_MAPS, "sdpa", 0.1)):
        student = build(teacher, objective)
        assert student.config._attn_implementation == attention and student.config.attention_dropout == 0.1
        assert all(layer.attention.dropout.p == dropout for layer in student.distilbert.transformer.layer)
    student = build(teacher, NO_MAPS, student_dropout=0.25)
    rates = {module.p for module in student.modules() if isinstance(module, torch.nn.Dropout)}
    assert rates == {0.25} and (student.config.dropout, student.config.attention_dropout) == (0.1, 0.1)


def test_a_student_of_the_same_shape_is_the_model_itself(teacher, teacher_folder):
    """In its own architecture, trainable, and without dropout in the maps that are compared."""
    arguments = ModelArguments(student_initialisation="same_shape", student_vocabulary=str(teacher_folder))
    student = load_student(arguments, FOUR_TERMS, *teacher, 32)
    for name, weight in teacher[0].state_dict().items():
        assert torch.equal(weight, student.state_dict()[name])
    assert all(p.requires_grad for p in student.parameters())
    assert student.config._attn_implementation == "eager" and student.config.attention_probs_dropout_prob == 0.1
    assert all(layer.attention.self.dropout.p == 0 for layer in student.bert.encoder.layer)
    assert all(layer.output.dropout.p == 0.1 for layer in student.bert.encoder.layer)
    with pytest.raises(UserError, match="`max_length` 65 exceeds the 64 positions of `student_vocabulary`"):
        load_student(arguments, FOUR_TERMS, *teacher, 65)


def test_a_student_of_the_same_shape_has_a_row_for_each_token(teacher, teacher_folder, tmp_path):
    """Many models are saved with more: no term could be compared with the teacher's."""
    model = AutoModelForMaskedLM.from_pretrained(teacher_folder)
    model.resize_token_embeddings(len(teacher[1]) + 7)
    loading.save_pretrained(model, teacher[1], tmp_path)
    arguments = ModelArguments(student_initialisation="same_shape", student_vocabulary=str(tmp_path))
    inputs = teacher[1]("он", return_tensors="pt")
    for vocabulary in (None, VocabularyMap(teacher[1], teacher[1])):
        student = load_student(arguments, NO_MAPS, *teacher, 32, vocabulary)
        torch.testing.assert_close(student(**inputs).logits, teacher[0](**inputs).logits)


@pytest.mark.parametrize(
    ("shape", "message"), [({"num_hidden_layers": 3}, "4 teacher layers"), ({"num_attention_heads": 8}, "has 8 heads")]
)
def test_a_student_of_the_same_shape_that_cannot_be_compared(teacher, tmp_path, shape, message):
    """`student_layers` and `student_attention_heads` would be no remedy: they have to be left out."""
    config = type(teacher[0].config)(**teacher[0].config.to_dict() | shape)
    loading.save_pretrained(BertForMaskedLM(config), teacher[1], tmp_path)
    arguments = ModelArguments(student_initialisation="same_shape", student_vocabulary=str(tmp_path))
    with pytest.raises(UserError, match=f"`student_vocabulary`.*{message}") as caught:
        load_student(arguments, FOUR_TERMS, *teacher, 32)
    assert not any(f"`{name}`" in str(caught.value) for name in OF_NEW_STUDENTS)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "name it as `student_vocabulary`"),
        (dict(student_vocabulary="a", student_layers=2), "leave `student_layers`"),
    ],
)
def test_a_student_of_the_same_shape_has_no_other(keys, message):
    with pytest.raises(UserError, match=message):
        ModelArguments(student_initialisation="same_shape", **keys)


def test_shapes_follow_the_recipe(teacher):
    shape = dict(student_layers=4, student_hidden_size=24, student_attention_heads=4, student_intermediate_size=40)
    config = build(teacher, **shape, student_initialisation="random").config
    assert (config.n_layers, config.dim, config.n_heads, config.hidden_dim) == (4, 24, 4, 40)
    assert (config.vocab_size, config.max_position_embeddings, config.pad_token_id) == (300, 64, 0)


def test_a_narrower_student_starts_from_the_teacher(teacher):
    """The keys of the recipe must reach the first weights."""
    rows = teacher[0].get_input_embeddings().weight
    cropped = (rows - rows.mean(0))[:, :16]
    for projection in ("crop", "pca"):
        words = build(teacher, student_hidden_size=16, init_projection=projection).get_input_embeddings().weight
        assert torch.allclose(words, cropped * (0.02 / cropped.std())) == (projection == "crop")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (dict(student_layers=3), "`student_layers`: 4 teacher layers do not divide into 3"),
        (dict(student_attention_heads=2), "`student_attention_heads` asks for 2 heads and the teacher has 4"),
        (dict(student_hidden_size=30), r"`student_attention_heads` \(4\) must divide `student_hidden_size` \(30\)"),
    ],
)
def test_shapes_that_contradict_are_refused(teacher, keys, message):
    with pytest.raises(UserError, match=message):
        check_shape(ModelArguments(**{"student_layers": 2} | keys), FOUR_TERMS, teacher[0].config)


def test_a_shape_is_refused_before_the_teacher_is_loaded(teacher_folder, monkeypatch):
    monkeypatch.setattr(loading, "load_masked_lm", None)
    arguments = ModelArguments(teacher_name_or_path=str(teacher_folder), student_layers=3)
    remedy = "set `student_initialisation: embeddings` and `cosine_layers: last` and `weight_attention: 0`$"
    with pytest.raises(UserError, match=remedy):
        load_teacher(arguments, FOUR_TERMS, 32)


def test_layers_need_not_divide_where_nothing_is_grouped(teacher):
    """The remainder is refused only when a term or an initialisation uses groups."""
    arguments = ModelArguments(student_layers=3, student_initialisation="embeddings")
    check_shape(arguments, ObjectiveArguments(cosine_layers="last", weight_attention=0), teacher[0].config)
