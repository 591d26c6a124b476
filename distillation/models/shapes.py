"""Teacher and student models: loaded and checked, or built."""

import logging
from collections.abc import Iterator

import datasets
import torch
from transformers import BertConfig, DistilBertConfig, DistilBertForMaskedLM, PreTrainedConfig, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from distillation.config.arguments import ModelArguments, ObjectiveArguments
from distillation.config.errors import UserError
from distillation.config.teacher import TeacherArguments
from distillation.config.terms import TERMS
from distillation.models import loading
from distillation.models.initialisation import COPIED, activation, initialise, intermediate_size
from distillation.models.layer_groups import layer_groups
from distillation.models.mlm_head import Runner
from distillation.models.student import set_dropout
from distillation.models.tokenizer_file import SAMPLE
from distillation.vocabularies.mapping import VocabularyMap, normalised

logger = logging.getLogger(__name__)

POSITIONS = 512  # of a student that copies none
MIN_SHARED = 10  # a few digits and punctuation marks are in every vocabulary


def load_teacher(
    arguments: ModelArguments, objective: ObjectiveArguments, max_length: int
) -> tuple[PreTrainedModel, Tokenizer]:
    """Load the teacher, frozen, and its tokenizer; check that it has the outputs that the objective needs.

    Raises UserError for a model that is no masked LM, has no trained head, or has fewer positions than `max_length`;
    and, before its weights are loaded, for a student whose shape does not fit it.
    """
    name, key = arguments.teacher_name_or_path, "teacher_name_or_path"
    if name is None:
        raise UserError("`teacher_name_or_path` is missing: name the masked LM to learn from")
    config = loading.load_masked_lm_config(name, key)
    check_shape(arguments, objective, config)
    tokenizer, model = loading.load_tokenizer(name, key), loading.load_masked_lm(name, key, objective.needs("maps"))
    _check_reads(model, tokenizer, objective, max_length, name, key)
    return model.requires_grad_(False), tokenizer


def check_shape(arguments: ModelArguments, objective: ObjectiveArguments, teacher: PreTrainedConfig) -> None:
    """Raise UserError for the shape of a new student that contradicts itself, the objective, or this teacher."""
    if arguments.student_initialisation != "same_shape":
        shape = student_config(arguments, teacher, vocabulary_size=1, positions=1, padding=None)
        _check_student(shape, arguments, objective, teacher)


def load_student(
    arguments: ModelArguments,
    objective: ObjectiveArguments,
    teacher: PreTrainedModel,
    tokenizer: Tokenizer,
    max_length: int,
    vocabulary: VocabularyMap | None = None,
) -> PreTrainedModel:
    """The model in `student_vocabulary` as the student, as `student_initialisation: same_shape` asks for. Rows beyond
    its tokens go: terms compare as many as a new student has. `vocabulary` as for `build_student`.

    Raises UserError as `load_teacher` does, and for a shape that the objective cannot compare with the teacher's.
    """
    name, key = arguments.student_vocabulary, "student_vocabulary"
    student = loading.load_masked_lm(name, key, objective.needs("maps"), arguments.student_dropout)
    _check_reads(student, tokenizer, objective, max_length, name, key)
    _check_student(student.config, arguments, objective, teacher.config)
    rows = _row_count(teacher, vocabulary)
    if len(student.get_input_embeddings().weight) != rows:
        with loading.explain_load_errors(key, name, f"cannot have {rows:,} tokens"):
            student.resize_token_embeddings(rows)
    return student


def load_to_continue(
    name: str, objective: ObjectiveArguments, max_length: int
) -> tuple[PreTrainedModel, Tokenizer, list[str]]:
    """A masked LM that goes on training, its tokenizer, and the names of its new weights: those of a head that its
    checkpoint lacks. Raises UserError as `load_teacher` does, but for a head."""
    key = "model_name_or_path"
    tokenizer = loading.load_tokenizer(name, key)
    model, absent = loading.load_to_continue(name, key)
    weights = dict(model.named_parameters(remove_duplicate=False))  # a tied one has several names
    new = [one for one, weight in model.named_parameters() if any(weight is weights.get(other) for other in absent)]
    for one in new:
        if one.endswith("bias"):
            torch.nn.init.zeros_(weights[one])  # transformers leaves FNet's as the memory was
    _check_reads(model, tokenizer, objective, max_length, name, key)
    if new:
        logger.info("%s has no trained masked-LM head: a new one is trained, alone at first", name)
    return model, tokenizer, new


def _check_reads(
    model: PreTrainedModel, tokenizer: Tokenizer, objective: ObjectiveArguments, max_length: int, name: str, key: str
) -> None:
    """Raise UserError for a model that cannot read its tokenizer's output, `max_length` tokens at once, or lacks
    outputs that the objective needs. `key` named both."""
    loading.check_rows(tokenizer, model, name, key, max_length)
    sample = dict(tokenizer(SAMPLE[0], return_tensors="pt", truncation=True, max_length=max_length))
    with loading.explain_load_errors(key, name, "cannot be run"):
        Runner(model).check(sample, objective.needs("maps"), objective.needs("states"))


def teacher_config(
    arguments: TeacherArguments, vocabulary_size: int, positions: int, padding: int | None
) -> BertConfig:
    """The shape of a teacher that is trained from scratch. padding: id of the padding token."""
    return BertConfig(
        vocab_size=vocabulary_size,
        hidden_size=arguments.hidden_size,
        num_hidden_layers=arguments.layers,
        num_attention_heads=arguments.attention_heads,
        intermediate_size=arguments.intermediate_size or 4 * arguments.hidden_size,
        hidden_dropout_prob=arguments.dropout,
        attention_probs_dropout_prob=arguments.dropout,
        max_position_embeddings=positions,
        pad_token_id=padding,
    )


def student_config(
    arguments: ModelArguments, teacher: PreTrainedConfig, vocabulary_size: int, positions: int, padding: int | None
) -> DistilBertConfig:
    """The student's shape; the teacher's, where the recipe gives none. padding: id of the padding token. Raises
    UserError for shapes that contradict each other."""
    width = arguments.student_hidden_size or teacher.hidden_size
    heads = arguments.student_attention_heads or getattr(teacher, "num_attention_heads", None)
    if heads is None:
        raise UserError(f"`student_attention_heads` is missing: a {teacher.model_type} teacher does not have them")
    inner = arguments.student_intermediate_size
    if inner is None:
        inner = intermediate_size(teacher) if width == teacher.hidden_size else 4 * width
    if width % heads:
        raise UserError(f"`student_attention_heads` ({heads}) must divide `student_hidden_size` ({width})")
    return DistilBertConfig(
        vocab_size=vocabulary_size,
        max_position_embeddings=positions,
        n_layers=arguments.student_layers or max(teacher.num_hidden_layers // 2, 1),
        n_heads=heads,
        dim=width,
        hidden_dim=inner,
        activation=activation(teacher),
        pad_token_id=padding,
    )


def build_student(
    arguments: ModelArguments,
    objective: ObjectiveArguments,
    teacher: PreTrainedModel,
    tokenizer: Tokenizer,
    max_length: int = POSITIONS,
    vocabulary: VocabularyMap | None = None,
) -> PreTrainedModel:
    """A DistilBERT student with its first weights. `vocabulary` maps the teacher's tokens to another tokenizer's.
    It has as many positions as the teacher; where these are not copied, 512 at most or `max_length`.

    Its config has the published dropout, whatever it is distilled with (`set_dropout`). Raises UserError for a shape
    that cannot take the teacher's weights as `student_initialisation` asks; `load_teacher` has checked the others.
    """
    size, positions = _row_count(teacher, vocabulary), loading.position_count(teacher)
    if teacher.config.model_type not in COPIED:  # they would stay random behind the longest example
        positions = min(positions, max(POSITIONS, max_length))
    config = student_config(arguments, teacher.config, size, positions, tokenizer.pad_token_id)
    config._attn_implementation = "eager" if objective.needs("maps") else "sdpa"
    before = set_dropout(config, arguments.student_dropout, objective.needs("maps"))
    student = DistilBertForMaskedLM(config)
    student.config.update(before)
    initialise(student, teacher, arguments.student_initialisation, arguments.init_projection, vocabulary)
    return student


def _row_count(teacher: PreTrainedModel, vocabulary: VocabularyMap | None) -> int:
    """How many tokens a student predicts: those of its own tokenizer, or all that the teacher has rows for."""
    return vocabulary.student_size if vocabulary else len(teacher.get_input_embeddings().weight)


def _check_student(
    student: PreTrainedConfig, arguments: ModelArguments, objective: ObjectiveArguments, teacher: PreTrainedConfig
) -> None:
    """Raise UserError for a student that cannot be compared with this teacher, or cannot start from its layers."""
    same_shape = arguments.student_initialisation == "same_shape"
    if objective.needs("maps") and (heads := student.num_attention_heads) != teacher.num_attention_heads:
        whose = "the model in `student_vocabulary` has" if same_shape else "`student_attention_heads` asks for"
        raise UserError(
            f"`weight_attention` compares maps head by head, but {whose} {heads} heads and the teacher has "
            f"{teacher.num_attention_heads}: make them equal, or set `weight_attention: 0`"
        )
    if objective.uses_groups or arguments.student_initialisation in ("average", "select"):
        try:
            layer_groups(teacher.num_hidden_layers, student.num_hidden_layers)
        except ValueError as error:
            key = "student_vocabulary" if same_shape else "student_layers"
            without = " and ".join(dict.fromkeys(_without_groups(arguments, objective)))
            raise UserError(f"`{key}`: {error}; choose a divisor, or set {without}") from None


def _without_groups(arguments: ModelArguments, objective: ObjectiveArguments) -> Iterator[str]:
    """The settings that need no groups of layers, in place of those that do."""
    if arguments.student_initialisation in ("average", "select"):
        yield "`student_initialisation: embeddings`"
    others = {"cosine_layers": "last", "hidden_layers": "average"}
    for term in objective.terms:
        if TERMS[term].needs == "maps":
            yield f"`weight_{term}: 0`"
        elif TERMS[term].needs == "states" and objective.view(term) == "groups":
            yield f"`{TERMS[term].layers}: {others[TERMS[term].layers]}`"


def load_student_tokenizer(
    arguments: ModelArguments, objective: ObjectiveArguments, teacher_tokenizer: Tokenizer
) -> tuple[Tokenizer, VocabularyMap | None]:
    """The tokenizer that the recipe names for the student, or the teacher's; the map between the two if they differ.

    Raises UserError if `alignment: same` would compare different tokens, or if two vocabularies share hardly any.
    """
    tokenizer = teacher_tokenizer
    if arguments.student_vocabulary is not None:
        try:
            tokenizer = loading.load_tokenizer(arguments.student_vocabulary, "student_vocabulary")
        except UserError as error:
            same_shape = arguments.student_initialisation == "same_shape"
            maker = "run_trimming.py makes one of the teacher" if same_shape else "run_vocabulary.py trains one"
            raise UserError(f"{error}; distillation/{maker} on a corpus") from None
    if objective.alignment != "same":
        return tokenizer, map_vocabularies(tokenizer, teacher_tokenizer)
    if tokenizer is not teacher_tokenizer:
        _check_same_vocabulary(tokenizer, teacher_tokenizer)
    return tokenizer, None


def map_vocabularies(tokenizer: Tokenizer, teacher_tokenizer: Tokenizer) -> VocabularyMap:
    """How the teacher's tokens are spelt in the student's; logs how many. Raises UserError if hardly any is shared."""
    try:
        vocabulary = VocabularyMap.cached(tokenizer, teacher_tokenizer, datasets.config.HF_DATASETS_CACHE)
    except ValueError as error:
        raise UserError(f"`student_vocabulary` and the teacher's tokenizer cannot be aligned: {error}") from None
    mapped, shared = len(vocabulary.mapped_teacher_ids), len(vocabulary.shared_teacher_ids)
    logger.info(
        "vocabularies: %s of the teacher's %s tokens can be spelt in the student's %s (%s are in both)",
        *(f"{count:,}" for count in (mapped, vocabulary.teacher_size, vocabulary.student_size, shared)),
    )
    readings = [normalised(loading.PROBE, t.backend_tokenizer.normalizer) for t in (tokenizer, teacher_tokenizer)]
    # A student that lower-cases what its teacher does not reads the teacher's tokens all the same.
    if readings[0] != normalised(readings[1], tokenizer.backend_tokenizer.normalizer):
        logger.warning(
            "the student's tokenizer reads %r as %r, the teacher's as %r: words that they read differently are not "
            "compared",
            loading.PROBE,
            *readings,
        )
    if shared < MIN_SHARED:
        raise UserError(
            f"`student_vocabulary` shares {shared} tokens with the teacher's vocabulary: train one on a corpus of the "
            "teacher's language, in its case and accents, with run_vocabulary.py"
        )
    return vocabulary


def _check_same_vocabulary(tokenizer: Tokenizer, teacher_tokenizer: Tokenizer) -> None:
    """Raise UserError unless both turn text into the same ids: contents are compared, not sizes."""
    student, teacher = tokenizer.get_vocab(), teacher_tokenizer.get_vocab()
    if student != teacher:
        raise UserError(
            f"`student_vocabulary` has {len(student):,} tokens and the teacher's {len(teacher):,}, of which "
            f"{len(student.items() & teacher.items()):,} agree in token and id: `alignment: same` needs one "
            "vocabulary; set `alignment: match` or `reduce`, or leave `student_vocabulary` out to keep the teacher's"
        )
    if tokenizer(list(SAMPLE))["input_ids"] != teacher_tokenizer(list(SAMPLE))["input_ids"]:
        raise UserError(
            "`student_vocabulary` has the teacher's tokens but splits text in another way (case, accents, or special "
            "tokens): leave it out to keep the teacher's tokenizer"
        )
