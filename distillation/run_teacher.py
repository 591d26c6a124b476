"""Train a masked-LM teacher from scratch, tokenizer included: for the demo, and where no teacher exists.

python distillation/run_teacher.py --train_file corpus.txt.gz --output_dir outputs/teacher --max_steps 10000
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from distillation.config.arguments import (
    CardArguments,
    DataArguments,
    MaskingArguments,
    ObjectiveArguments,
    TeacherArguments,
    check_best,
)
from distillation.config.errors import cli_entry
from distillation.config.recipe import parse_recipe

if TYPE_CHECKING:
    from transformers import BertForMaskedLM, PreTrainedTokenizerBase

ARGUMENTS = (TeacherArguments, DataArguments, MaskingArguments, CardArguments)


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Parse, train, evaluate, publish."""
    *arguments, card_args, training_args = parse_recipe(*ARGUMENTS, argv=argv, training=True)
    import functools  # heavy imports only where the arguments are right

    from transformers import set_seed

    from distillation.corpus.examples import load_corpus
    from distillation.corpus.streaming import stream_corpus
    from distillation.demo.resolve import resolve_demo
    from distillation.evaluation import evaluate_masked_lm, held_out_examples
    from distillation.hub.publishing import check_push, publish
    from distillation.models.layer_groups import Projections
    from distillation.models.loading import load_masked_lm
    from distillation.models.student import Student
    from distillation.runs.agreement import writing
    from distillation.runs.files import recipe_of
    from distillation.runs.resume import MACHINE, begin, checkpoint_of
    from distillation.trainer import DistillationTrainer

    teacher_args, data_args, masking_args = arguments
    objective = ObjectiveArguments(weight_kl=0, weight_mlm=1, weight_cosine=0, weight_attention=0)
    check_best(training_args, objective)
    recipe = recipe_of(arguments, training_args)
    checkpoint = checkpoint_of(training_args, recipe, MACHINE)
    check_push(training_args, card_args)
    set_seed(training_args.seed)
    with training_args.main_process_first():  # the others find its work in the cache, and train the same tokenizer
        resolve_demo(data_args)
        tokenizer = build_tokenizer(teacher_args, data_args)
        load = functools.partial(stream_corpus, training_args) if data_args.streaming else load_corpus
        corpus = load(data_args, [tokenizer], masking_args.masking_unit)
        (examples,) = held_out_examples(corpus.validation_lines, [tokenizer], data_args.max_length)
    trainer = DistillationTrainer(
        Student(build_model(teacher_args, data_args, tokenizer), Projections()),
        training_args,
        teacher=None,
        objective=objective,
        masking=masking_args,
        corpus=corpus,
        tokenizer=tokenizer,
    )
    begin(training_args, recipe)
    trainer.train(resume_from_checkpoint=checkpoint)
    trainer.save_model()
    results = trainer.measured()
    if trainer.is_world_process_zero():
        saved = load_masked_lm(training_args.output_dir, "output_dir").to(training_args.device)
        held_out = {"teacher": evaluate_masked_lm(saved, tokenizer, examples, training_args.eval_batch_size)}
        results["parameters"] = saved.num_parameters()
        with writing(training_args.output_dir):
            publish(trainer, results, held_out, recipe_of(arguments, training_args), card_args, trainer.push_wanted)


def build_tokenizer(teacher_args: TeacherArguments, data_args: DataArguments) -> "PreTrainedTokenizerBase":
    """The tokenizer that the recipe names, or a new one trained on the corpus."""
    from distillation.models.loading import check_numbering, load_tokenizer
    from distillation.text.reading import check_whole, load_lines
    from distillation.vocabularies.wordpiece import sample_texts, train_tokenizer

    if teacher_args.tokenizer_name_or_path:
        tokenizer = load_tokenizer(teacher_args.tokenizer_name_or_path, "tokenizer_name_or_path")
        check_numbering(tokenizer)
        return tokenizer
    check_whole(data_args, "to train a tokenizer: name a `tokenizer_name_or_path`, or leave `streaming` out")
    lines = load_lines(data_args, data_args.train_file, data_args.dataset_name)
    return train_tokenizer(sample_texts(lines), teacher_args.vocab_size, data_args.max_length)


def build_model(
    teacher_args: TeacherArguments, data_args: DataArguments, tokenizer: "PreTrainedTokenizerBase"
) -> "BertForMaskedLM":
    """A BERT of the given shape with random weights."""
    from transformers import BertForMaskedLM

    from distillation.models.shapes import teacher_config

    config = teacher_config(teacher_args, len(tokenizer), data_args.max_length, tokenizer.pad_token_id)
    return BertForMaskedLM(config)


if __name__ == "__main__":
    main()
