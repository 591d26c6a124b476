"""Every field of `TrainingArguments` is a key; what the Trainer would refuse late is refused early."""

import dataclasses

import pytest
from transformers import TrainingArguments

from distillation.config.corpus import DataArguments
from distillation.config.errors import LAUNCHED, UserError
from distillation.config.recipe import parse_recipe
from distillation.config.training import DEFAULTS, USUAL, check_training, keys


def parse(*argv):
    return parse_recipe(DataArguments, argv=["--use_cpu=true", *argv], training=True)


def test_a_python_without_transformers_is_told_where_they_are(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"`source .venv/bin/activate`"):
        keys()


def test_values_reach_the_trainer_as_what_they_mean(tmp_path):
    """YAML 1.1 reads 2e-5 as text, which inside a mapping nobody turns into a number; a mapping is written as JSON."""
    # The names are read from the library's source: a field that is missed would be an unknown key.
    fields = {field.name: field.default for field in dataclasses.fields(TrainingArguments) if field.init}
    assert keys().keys() == fields.keys() >= USUAL.keys() and DEFAULTS.items() <= fields.items()
    text = "learning_rate: 2e-5\nlr_scheduler_type: cosine_with_min_lr\nlr_scheduler_kwargs: {min_lr: 1e-7}\n"
    text += f"report_to: none\noutput_dir: {tmp_path}\nmax_steps: -1\nmax_length: 32\nsave_strategy: epoch\n"
    (tmp_path / "recipe.yaml").write_text(text)
    data, training = parse("--config", str(tmp_path / "recipe.yaml"), "--save_strategy", "no")
    assert (training.learning_rate, training.max_steps, training.use_cpu, data.max_length) == (2e-5, -1, True, 32)
    assert training.lr_scheduler_kwargs == {"min_lr": 1e-7} and training.report_to == []
    assert training.save_strategy == "no"
    assert {*training.given, "max_length"} == {line.split(":")[0] for line in text.splitlines()} | {"use_cpu"}


def test_other_processes_wait_for_a_corpus_of_any_size(tmp_path):
    """Half an hour, the library's default, is not enough for the first process to prepare it."""
    assert parse("--output_dir", str(tmp_path))[1].ddp_timeout == 86_400
    assert parse("--output_dir", str(tmp_path), "--ddp_timeout", "60")[1].ddp_timeout == 60


def test_a_run_keeps_one_checkpoint(tmp_path):
    """The library's default keeps all, each with an optimiser's state, which fills the disk."""
    assert parse("--output_dir", str(tmp_path))[1].save_total_limit == 1
    assert parse("--output_dir", str(tmp_path), "--save_total_limit", "9")[1].save_total_limit == 9


def test_the_precision_of_the_launcher_is_that_of_the_run(tmp_path, monkeypatch):
    """Else the recipe would say fp32, and the teacher's head would compute in it, while all else is in bf16."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    (_, training) = parse("--output_dir", str(tmp_path))
    assert training.bf16 and not training.fp16


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("--learning_rate=fast", "`learning_rate`: invalid float value: 'fast'"),
        ('--lr_scheduler_kwargs={"beauty": 1}', "beauty"),
        ("--lr_scheduler_type=warmup_stable_decay", "num_decay_steps"),
        ("--optim=adamw_bnb_8bit", "bitsandbytes"),
        ("--data_seed=-1", "`data_seed` must lie between"),
        ("--per_device_train_batch_size=0", "`per_device_train_batch_size` must be at least 1"),
        ("--dataloader_prefetch_factor=2", "dataloader_prefetch_factor"),
        ("--use_liger_kernel=true", "`use_liger_kernel` has no effect"),
        ("--save_only_model=true", "`save_only_model`"),
        ("--bf16_full_eval=true", "`bf16_full_eval` would also save"),
        ("--dataloader_persistent_workers=true", "persistent_workers"),
        ("--output_dir=", "`output_dir` is missing"),  # that of transformers would hold the last of all runs
    ],
)
def test_training_arguments_that_fail_late_are_refused_early(argv, words, tmp_path):
    """After the teacher was loaded and the corpus tokenized, or at the first evaluation."""
    with pytest.raises(UserError) as caught:
        parse("--output_dir", str(tmp_path / "output"), argv)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "output").exists()


def test_ranks_that_do_not_know_each_other_are_refused(tmp_path, monkeypatch):
    """Without a GPU the library takes each launched process for the only one. All would write to one folder."""
    _, training = parse("--output_dir", str(tmp_path / "output"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_training(training)  # a job array may set it too
    for name in LAUNCHED:
        monkeypatch.setenv(name, "2")
    with pytest.raises(UserError, match="2 processes were launched.*`--use_cpu true`"):
        check_training(training)
