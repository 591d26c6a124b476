"""Distil a sentence encoder: a student learns the vectors that a teacher gives to whole texts.

python distillation/run_sentences.py --config distillation/recipes/tiny-5k-sentences.yaml \\
    --model_name_or_path outputs/tiny-5k --teacher_name_or_path TEACHER --train_file sentences.txt

Teacher and student need no token in common. The teacher's vectors are computed once and kept. The output is a
folder of sentence-transformers.
"""

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from distillation.config.arguments import PushArguments, check_best
from distillation.config.command_line import REQUIRED, key
from distillation.config.corpus import TextArguments
from distillation.config.errors import Diverged, UserError, cli_entry
from distillation.config.recipe import parse_recipe

if TYPE_CHECKING:
    from transformers import TrainingArguments

    from distillation.sentences.trainer import VectorTrainer


@dataclass
class SentencesArguments:
    """The two models, and what the student learns."""

    model_name_or_path: str = key(
        REQUIRED, "Student: a checkpoint, or a sentence encoder; a Hub id or folder.", path="model"
    )
    teacher_name_or_path: str = key(REQUIRED, "Sentence encoder, or any encoder: a Hub id or folder.", path="model")
    pooling: Literal["mean", "cls"] | None = key(
        None, "How states become a vector in a teacher that is no sentence encoder; by default `mean`."
    )
    teacher_prompt: str = key("", "Stands before each text that the teacher reads, such as `query: ` of E5.")
    teacher_vectors: str | None = key(
        None, "Folder that keeps the teacher's vectors, for other students too; by default in `output_dir`."
    )
    student_layers: int | None = key(
        None, "Layers of the student that are kept: the last of each of so many groups; by default all.", least=1
    )
    student_dropout: float | None = key(
        None, "Dropout of the student while it learns; by default its config's.", least=0, below=1
    )
    dimension: int | None = key(None, "Numbers of a vector; by default as many as the teacher's.", least=1)
    weight_similarity: float = key(
        0.0, "Weight of the squared difference of similarities within a batch; that of the cosine is 1.", least=0
    )
    pairs_file: str | None = key(
        None, "Pairs of texts of one meaning to learn as well: columns `anchor` and `positive`.", path="corpus"
    )


ARGUMENTS = (SentencesArguments, TextArguments, PushArguments)


def training_class() -> "type[TrainingArguments]":
    """The library's subclass of TrainingArguments."""
    from sentence_transformers import SentenceTransformerTrainingArguments

    return SentenceTransformerTrainingArguments


@cli_entry
def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Parse, load, keep the teacher's vectors, train, save."""
    arguments, data_args, card_args, training = parse_recipe(*ARGUMENTS, argv=argv, training=training_class)
    from distillation.demo.resolve import resolve_demo  # heavy imports only where the arguments are right
    from distillation.hub.publishing import check_push
    from distillation.hub.push import push
    from distillation.runs import files, resume
    from distillation.runs.checkpoint import explain_write_errors

    check_best(training, ["vectors_loss"])
    if training.metric_for_best_model:
        training.metric_for_best_model = "vectors_loss"  # the only figure
    resolve_demo(data_args)
    keys = [arguments, data_args]
    recipe, inputs = files.recipe_of(keys, training), resume.inputs_of(keys)
    checkpoint = resume.find_checkpoint(training, recipe, inputs)
    if resume.is_over(training, recipe, checkpoint):
        return resume.finished(training)
    if training.train_sampling_strategy not in ("random", "group_by_length"):
        raise UserError("`train_sampling_strategy` may be random or group_by_length here")
    if training.data_seed is not None:
        raise UserError("`data_seed` has no effect here: set `seed`")
    check_push(training, card_args)
    training.eval_on_start = True  # a call of `evaluate` would have accelerate prepare the model without DDP
    trainer, facts = build_run(arguments, data_args, training)
    resume.start_run(training, recipe, inputs)
    trainer.train(resume_from_checkpoint=checkpoint)
    after, name = trainer.evaluate(), "eval_vectors_loss"
    if not math.isfinite(after[name]):
        raise Diverged(
            "the held-out loss is not finite, and the model was not saved: start in another `output_dir` with a lower "
            "`learning_rate`"
        )
    before = next(log[name] for log in trainer.state.log_history if name in log)
    facts |= {"heldout_loss_before": before, "heldout_loss": after[name]}
    results = trainer.facts() | facts
    if training.process_index == 0:
        with explain_write_errors(training.output_dir):
            results = save(trainer, results, recipe, card_args)
        if trainer.push_wanted:
            print(f"pushed to {push(Path(training.output_dir), training, card_args.hub_overwrite)}")
    return results


def save(
    trainer: "VectorTrainer", results: dict[str, Any], recipe: dict[str, Any], card_args: PushArguments
) -> dict[str, Any]:
    """Write the student, `all_results.json`, and the card; print the figures. Returns what `all_results.json` has."""
    from distillation.hub.card import base_model_of
    from distillation.hub.publishing import card_facts, dataset_of, save_card
    from distillation.hub.snippets import SENTENCES
    from distillation.models.sentence_encoder import save_sentence_encoder
    from distillation.runs import files

    folder = Path(trainer.args.output_dir)
    save_sentence_encoder(trainer.model, folder)
    results = results | {"pipeline_tag": SENTENCES, "recipe": recipe, "dataset": dataset_of(recipe)}
    results |= card_facts(folder, base_model_of(recipe), card_args)
    save_card(folder, results, trainer.args.hub_model_id)
    files.write_json(folder / files.RESULTS, results)
    print(f"held-out loss: {results['heldout_loss_before']:.4f} before, {results['heldout_loss']:.4f} after")
    print(f"saved to {folder}")
    return results


def build_run(
    arguments: SentencesArguments, data_args: TextArguments, training: "TrainingArguments"
) -> "tuple[VectorTrainer, dict[str, Any]]":
    """Read the corpus, keep the teacher's vectors, fit the student's last layer to them. Also tells the teacher's
    size, and how many texts are held out."""
    import numpy as np
    from transformers import set_seed

    from distillation.models.sentence_encoder import keep_layers, load_sentence_encoder, set_dropout_rate
    from distillation.sentences.trainer import SAMPLE, VectorLoss, fit_width, make_trainer, read_pairs
    from distillation.sentences.vectors import load_vectors
    from distillation.text.sampling import load_split

    set_seed(training.seed)
    device = training.device
    student = load_sentence_encoder(arguments.model_name_or_path, "model_name_or_path", device=device)
    if arguments.student_layers:
        keep_layers(student, arguments.student_layers, "student_layers")
    if arguments.student_dropout is not None:
        set_dropout_rate(student, arguments.student_dropout)
    student.max_seq_length = min(data_args.max_length, student.max_seq_length or data_args.max_length)
    teacher = load_sentence_encoder(arguments.teacher_name_or_path, "teacher_name_or_path", arguments.pooling, device)
    width, dimension = teacher.get_embedding_dimension(), arguments.dimension or teacher.get_embedding_dimension()
    if dimension > width:
        raise UserError(f"`dimension` {dimension} is more than the teacher's {width}: leave it out, or give fewer")
    pairs = read_pairs(arguments.pairs_file) if arguments.pairs_file else None
    with training.main_process_first():
        parts = [part["text"][:] for part in load_split(data_args)]
    with training.main_process_first(local=False):  # nodes share this folder
        folder = arguments.teacher_vectors or Path(training.output_dir, "teacher_vectors")
        vectors = load_vectors(folder, [*parts[0], *parts[1]], teacher, arguments.teacher_prompt)
    rows = np.linspace(0, len(parts[0]) - 1, min(SAMPLE, len(parts[0]))).astype(int)  # a corpus may be sorted
    directions = fit_width(student, [parts[0][row] for row in rows], vectors[rows], dimension)
    loss = VectorLoss(student, vectors, directions, arguments.weight_similarity)
    facts = {"teacher_parameters": sum(weight.numel() for weight in teacher.parameters())}
    facts |= {"heldout_texts": len(parts[1]), "dimension": student.get_embedding_dimension()}
    facts["parameters"] = sum(weight.numel() for weight in student.parameters())
    return make_trainer(student, training, loss, parts, pairs), facts


if __name__ == "__main__":
    main()
