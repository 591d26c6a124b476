"""A trainer of tiny models, for all tests that train."""

import pytest
import torch
from transformers import TrainingArguments

from distillation.assembly import build_run
from distillation.config.arguments import CacheArguments, MaskingArguments, ModelArguments, ObjectiveArguments
from distillation.config.corpus import DataArguments
from tests.launched import as_on_gpus

ALL_TERMS = dict(weight_kl=2.0, weight_mlm=1.0, weight_cosine=1.0, weight_attention=100.0, weight_hidden_mse=0.5)


@pytest.fixture
def make_trainer(tmp_path, teacher_folder, student_vocabulary, corpus_file):
    """A function that builds a trainer; its keywords are keys of a recipe."""

    def make(
        folder="run", model=None, objective=None, masking=None, alignment="same", cache=None, data=None, **training
    ):
        torch.manual_seed(0)
        terms = ALL_TERMS if objective is None else {"weight_attention": 0, **objective}
        objective = ObjectiveArguments(alignment=alignment, **terms)
        other = dict(student_vocabulary=str(student_vocabulary), student_initialisation="random")
        shape = {**(other if alignment != "same" else {}), **(model or {})}
        model_args = ModelArguments(teacher_name_or_path=str(teacher_folder), student_layers=2, **shape)
        data_args = DataArguments(train_file=str(corpus_file), max_length=32, **(data or {}))
        masking = MaskingArguments(masking_unit="word", **(masking or {}))
        cached = {} if cache is None else {"teacher_cache": str(tmp_path / "cache"), **cache}
        defaults = dict(output_dir=str(tmp_path / folder), use_cpu=True, report_to="none", save_strategy="no", seed=1)
        training_args = TrainingArguments(**{**defaults, "disable_tqdm": True, "logging_steps": 1, **training})
        as_on_gpus(training_args)
        run = build_run(model_args, data_args, masking, objective, CacheArguments(**cached), training_args)
        for module in run.trainer.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0  # a random choice for each micro-batch would hide what is compared
        if cache is not None:
            run.trainer.targets.prepare(run.trainer.accelerator)
        return run.trainer

    return make
