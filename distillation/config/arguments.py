"""What a recipe can say, one dataclass per concern. Every field of `TrainingArguments` is a key as well."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, make_dataclass
from typing import TYPE_CHECKING, Literal

from distillation.config import training
from distillation.config.command_line import check_values, key
from distillation.config.corpus import DataArguments
from distillation.config.errors import UserError
from distillation.config.terms import TERMS

if TYPE_CHECKING:
    from transformers import TrainingArguments


@dataclass
class ModelArguments:
    """The teacher, and the shape and first weights of the student."""

    teacher_name_or_path: str | None = key(None, "Masked LM to learn from: Hub id, folder, or `demo`.", path="model")
    student_vocabulary: str | None = key(
        None, "Tokenizer: folder, Hub id, `demo`; by default the teacher's.", path="source"
    )
    student_layers: int | None = key(None, "Transformer layers; by default half of the teacher's.", least=1)
    student_hidden_size: int | None = key(None, "Width of the student; by default the teacher's.", least=1)
    student_attention_heads: int | None = key(None, "Its attention heads; by default the teacher's.", least=1)
    student_intermediate_size: int | None = key(
        None, "Its feed-forward width; by default the teacher's, or of a narrower student 4 x its width.", least=1
    )
    student_dropout: float | None = key(
        None, "Dropout while it is distilled; by default that of its config, 0.1 for a new student.", least=0, below=1
    )
    student_initialisation: Literal["average", "select", "embeddings", "random", "same_shape"] = key(
        "average",
        "First weights: mean or last of each group of teacher layers, teacher's embeddings alone, or random; "
        "`same_shape`: the model in `student_vocabulary`, in its own shape.",
    )
    init_projection: Literal["crop", "pca"] | None = key(
        None,
        "Coordinates of the teacher that a narrower student takes: the first, or the principal ones; chosen by the "
        "share of width that stays unless given.",
    )

    def __post_init__(self):
        check_values(self)
        if self.student_initialisation == "same_shape":
            if self.student_vocabulary is None:
                raise UserError("`student_initialisation: same_shape` is a model: name it as `student_vocabulary`")
            given = [name for name in OF_NEW_STUDENTS if getattr(self, name) is not None]
            if given:
                raise UserError(f"`student_initialisation: same_shape` gives the shape: leave `{given[0]}` out")


OF_NEW_STUDENTS = (
    "student_layers",
    "student_hidden_size",
    "student_attention_heads",
    "student_intermediate_size",
    "init_projection",
)


@dataclass
class MaskingArguments:
    """Which tokens are hidden from the models."""

    masking_unit: Literal["token", "word"] = key("token", "What is masked: single tokens, or whole words.")
    masking_probability: float = key(
        0.15,
        "Share of words or tokens to predict; 80 % are masked, 10 % replaced at random, 10 % left.",
        above=0,
        below=1,
    )
    rarity_smoothing: float = key(0.0, "Exponent a: draw a token with weight count ** -a (XLM: 0.7).", least=0)

    def __post_init__(self):
        check_values(self)


# A key `weight_<name>` for each term.
Weights = make_dataclass(
    "Weights",
    [(f"weight_{t.name}", float, key(t.weight, f"Weight of the term: {t.meaning}.", least=0)) for t in TERMS.values()],
)


def _of_layers(name: str, ways: str) -> str:
    """The help of a key that terms name in `layers`."""
    return f"Layers that {' and '.join(term for term in TERMS if TERMS[term].layers == name)} compares: {ways}"


@dataclass
class ObjectiveArguments(Weights):
    """The weighted terms of the loss. A term with weight 0 is neither computed nor logged."""

    alignment: Literal["same", "match", "reduce"] = key(
        "same",
        "`same`: one vocabulary; `match`: two, compared at tokens that both have; `reduce`: two, compared in the "
        "teacher's vocabulary.",
    )
    temperature: float = key(2.0, "Divides both models' logits before the softmax of the KL.", above=0)
    vocabulary_map: Literal["ordered", "pieces", "pieces_logsumexp", "shared"] | None = key(
        None,
        "How `reduce` scores a teacher token: by its pieces in order (the default), by pooled pieces, or only where "
        "both vocabularies have it.",
    )
    reduce_pooling: Literal["mean", "sum"] | None = key(
        None, "How `reduce` pools the places of pieces; by default `mean`."
    )
    kl_positions: Literal["masked", "all"] | None = key(
        None, "Tokens that the KL compares; by default `masked` for one vocabulary, else `all`."
    )
    kl_position_fraction: float = key(
        1.0, "Random share of these tokens that the KL uses: cheaper, and unbiased.", above=0, most=1
    )
    cosine_layers: Literal["groups", "last"] = key(
        "groups", _of_layers("cosine_layers", "each student layer with its group's mean, or the last of both models.")
    )
    hidden_layers: Literal["groups", "average"] = key(
        "groups", _of_layers("hidden_layers", "each with its group's mean, or the means of all layers.")
    )
    teacher_input: Literal["masked", "clean"] = key("masked", "Whether the teacher reads masked or clean text.")
    mlm_inputs: Literal["own", "both"] = key(
        "own", "Inputs of the masked-LM term: the student's own, or also the second of `reduce` (without a teacher)."
    )

    def __post_init__(self):
        if self.kl_positions is None:
            self.kl_positions = "masked" if self.alignment == "same" else "all"
        check_values(self)
        if not self.terms:
            raise UserError("every weight is 0: give at least one of " + ", ".join(f"`weight_{t}`" for t in TERMS))
        if self.alignment != "reduce" and (self.vocabulary_map or self.reduce_pooling):
            raise UserError("`vocabulary_map` and `reduce_pooling` need `alignment: reduce`: set it, or omit them")
        if self.reduce_pooling and self.vocabulary_map in (None, "ordered"):
            raise UserError("`vocabulary_map: ordered` pools nothing: leave `reduce_pooling` out, or change the map")
        if self.teacher_input == "clean" and self.kl_positions == "masked" and self.weight_kl:
            raise UserError(
                "`teacher_input: clean` with `kl_positions: masked` harms the student, which learns the answers: set "
                "`teacher_input: masked` or `kl_positions: all`"
            )
        made_of = self.alignment, self.terms, self.teacher_input
        if self.mlm_inputs == "both" and made_of != ("reduce", ("mlm",), "masked"):
            raise UserError(
                "`mlm_inputs: both` works without a teacher only: set `alignment: reduce`, `teacher_input: masked`, "
                "and every weight but `weight_mlm` to 0, or leave it out"
            )

    def weight(self, term: str) -> float:
        """The weight of a term."""
        return getattr(self, f"weight_{term}")

    @property
    def terms(self) -> tuple[str, ...]:
        """The terms that count."""
        return tuple(term for term in TERMS if self.weight(term))

    def needs(self, *what: str) -> bool:
        """Whether any term needs one of these; see `Term.needs`."""
        return any(TERMS[term].needs in what for term in self.terms)

    @property
    def needs_teacher(self) -> bool:
        """Whether any term compares with the teacher; without, this is plain masked-LM training."""
        return any(TERMS[term].needs != "labels" for term in self.terms)

    @property
    def alignment_in_use(self) -> str:
        """The alignment; `same` if nothing is compared and no second input is read."""
        return self.alignment if self.needs_teacher or self.mlm_inputs == "both" else "same"

    @property
    def hidden_views(self) -> tuple[str, ...]:
        """The ways in which terms compare layers: means of `groups`, the `last`, or the `average` of all."""
        return tuple(dict.fromkeys(self.view(term) for term in self.terms if TERMS[term].needs == "states"))

    def view(self, term: str) -> str:
        """The way in which a term of hidden states compares layers."""
        return getattr(self, TERMS[term].layers)

    @property
    def uses_groups(self) -> bool:
        """Whether a term compares a student layer with its group of teacher layers."""
        return self.needs("maps") or "groups" in self.hidden_views


@dataclass
class CacheArguments:
    """The teacher's outputs for a corpus, cached on disk."""

    teacher_cache: str | None = key(None, "Folder of the cache: filled once, then read in place of the teacher.")
    teacher_cache_targets: Literal["samples", "states"] | None = key(
        None,
        "What it keeps of a prediction: samples, 128 bytes for one temperature (the default with two vocabularies), "
        "or the states that enter the teacher's head, a byte a number for all temperatures (the default with one).",
    )
    teacher_cache_epochs: int = key(1, "Maskings of the corpus in the cache; epochs cycle through them.", least=1)

    def __post_init__(self):
        check_values(self)
        for name in ("teacher_cache_targets", "teacher_cache_epochs"):
            if self.teacher_cache is None and getattr(self, name) != getattr(CacheArguments, name):
                raise UserError(f"`{name}` needs a cache: name its folder as `teacher_cache`")


@dataclass
class CardArguments:
    """The model card: facts that no run can measure."""

    language: list[str] = key([], "Languages of the model; by default those of its base model, or ru.")
    license: str | None = key(None, "Licence; by default that of its base model.")
    base_model: str | None = key(None, "Hub id of the base model, if that was given as a folder.")

    def __post_init__(self):
        for code in self.language:
            if not re.fullmatch(r"[a-z]{2,3}(-\w+)*|multilingual", code):
                raise UserError(f"`language` {code!r} is no code that the Hub knows: name codes such as ru or en")


@dataclass
class PushArguments(CardArguments):
    """The model card, and whether a push may replace another model."""

    hub_overwrite: bool = key(False, "Let a push replace another model in its repository, whose history keeps it.")


def check_masking(masking: MaskingArguments, objective: ObjectiveArguments) -> None:
    """Raise UserError for masks that two vocabularies cannot share."""
    if objective.alignment != "same" and masking.masking_unit != "word":
        raise UserError(
            f"`alignment: {objective.alignment}` needs `masking_unit: word`: the same characters must "
            "be hidden from both models"
        )


def check_best(training: "TrainingArguments", terms: Sequence[str]) -> None:
    """Choose the best checkpoint by the smallest figure. Raise UserError for one that is neither the loss nor in
    `terms`."""
    metric, known = training.metric_for_best_model, [*terms, "loss"]
    if metric is not None and metric.removeprefix("eval_") not in known:
        raise UserError(f"`metric_for_best_model` is {metric!r}; choose one of {', '.join(known)}")
    if training.save_strategy == "best" and training.eval_strategy == "no":
        raise UserError("`save_strategy: best` never saves without an evaluation: set `eval_strategy` as well")
    if training.save_strategy == "best":
        training.metric_for_best_model = metric or "loss"
    training.greater_is_better = False  # the Trainer would take the largest of a name without "loss"


# Of run.py.
ARGUMENTS = (ModelArguments, DataArguments, MaskingArguments, ObjectiveArguments, CacheArguments, PushArguments)


def recipe_keys() -> dict[str, str]:
    """The names of all keys of a recipe, without help."""
    names = (name for one in ARGUMENTS for name in one.__dataclass_fields__)
    return dict.fromkeys([*names, *training.keys()], "")
