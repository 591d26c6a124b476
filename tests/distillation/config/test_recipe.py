"""Recipes and command lines become arguments; mistakes become one sentence."""

import errno
import logging
import os
from dataclasses import dataclass, field

import pytest
import torch
from transformers import TrainingArguments

from distillation.config.arguments import DataArguments, MaskingArguments, ModelArguments, ObjectiveArguments
from distillation.config.recipe import LocalError, UserError, cli_entry, parse_recipe

OURS = (ModelArguments, DataArguments, MaskingArguments, ObjectiveArguments)


@dataclass
class Several:
    """Keys of the kinds that ours lack."""

    names: list[str] = field(default_factory=list)
    flag: bool = False
    kept: bool = True
    limit: int | None = None


@pytest.fixture
def recipe(tmp_path):
    def write(text):
        path = tmp_path / "recipe.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def parse(*argv, types=OURS):
    parsed = parse_recipe(*types, argv=list(argv))
    return parsed if len(parsed) > 1 else parsed[0]


def refusal(*argv, types=OURS):
    with pytest.raises(UserError) as caught:
        parse(*argv, types=types)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_command_line_over_recipe_over_default(recipe):
    """A recipe that wins over the command line would make sweeps repeat one run."""
    path = recipe("student_layers: 3\ntemperature: 4\nkl_positions: all\n")
    for argv in (["--config", path, "--temperature", "5"], ["--temperature=5", f"--config={path}"]):
        model, data, masking, objective = parse(*argv)
        assert (model.student_layers, objective.temperature, objective.kl_positions) == (3, 5.0, "all")
        assert (data.max_length, masking.masking_unit) == (128, "token")


def test_the_default_recipe_runs_where_nothing_is_said(recipe):
    """The first command a newcomer types has no argument; any argument means that another run is wanted."""
    path = recipe("max_length: 32\n")
    assert parse_recipe(DataArguments, argv=[], default=path)[0].max_length == 32
    assert parse_recipe(DataArguments, argv=["--text_column", "t"], default=path)[0].max_length == 128
    assert parse_recipe(DataArguments, argv=[])[0].max_length == 128


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flag: true", {"flag": True}),
        ("kept: false", {"kept": False}),
        ("flag: yes\nkept: no", {"flag": True, "kept": False}),
        ("names: [a, 'b c', 3]", {"names": ["a", "b c", "3"]}),
        ("names: [-a]", {"names": ["-a"]}),
        ("names: one", {"names": ["one"]}),
        ("limit: 7", {"limit": 7}),
        ("limit:", {"limit": None}),
        ("limit: null\nflag: null", {"limit": None, "flag": False}),
        ("names: ['ёж, йод']", {"names": ["ёж, йод"]}),
    ],
)
def test_values_of_every_kind(recipe, text, expected):
    """Each passes through the same parser as the command line, and must come out as YAML meant it."""
    found = parse("--config", recipe(text), types=(Several,))
    assert {name: getattr(found, name) for name in expected} == expected


def test_training_arguments_are_keys_as_well(recipe, tmp_path):
    """YAML reads 2e-5 as text; a dict is spelt as JSON; both have to reach the trainer as what they mean."""
    text = "learning_rate: 2e-5\nlr_scheduler_type: cosine_with_restarts\nlr_scheduler_kwargs: {num_cycles: 3}\n"
    text += f"use_cpu: true\nreport_to: none\noutput_dir: {tmp_path}\nmax_steps: -1\n"
    found = parse("--config", recipe(text), types=(TrainingArguments,))
    assert (found.learning_rate, found.max_steps, found.use_cpu) == (2e-5, -1, True)
    assert found.lr_scheduler_kwargs == {"num_cycles": 3}
    assert found.report_to == []


def test_unknown_keys_are_refused_with_a_suggestion(recipe):
    """A misspelt key that is passed over would train with the default, unsaid."""
    message = "unknown key `temprature`; did you mean `temperature`?"
    assert refusal("--config", recipe("temprature: 3")) == message
    assert refusal("--temprature", "3") == refusal("--temprature=3") == message
    assert refusal("--xyzzy", "3") == "unknown key `xyzzy`; --help lists the keys"


def test_abbreviations_are_refused():
    """What is short for one key today is short for two tomorrow."""
    assert "did you mean `temperature`" in refusal("--temperatur", "3")
    assert "unknown key `conf`" in refusal("--conf", "recipe.yaml")


def test_values_without_a_key_are_refused():
    """`run.py corpus.txt` looks as if it should work."""
    assert "unexpected argument 'corpus.txt'" in refusal("corpus.txt")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("student_layers: three", ["student_layers", "three"]),
        ("student_layers: 2.5", ["student_layers", "2.5"]),
        ("kl_positions: some", ["kl_positions", "some", "masked", "all"]),
        ("max_length: [16, 32]", ["32"]),
        ("max_length: true", ["max_length", "true"]),
        ("max_length: 4", ["`max_length`", "at least 8", "4"]),
        ("temperature: 0", ["`temperature`", "positive"]),
        ("masking_probability: 1", ["`masking_probability`", "between 0 and 1"]),
        ("weight_kl: -1", ["`weight_kl`", "negative"]),
        (
            "weight_kl: 0\nweight_mlm: 0\nweight_cosine: 0\nweight_attention: 0",
            ["every weight is 0", "`weight_attention`"],
        ),
        ("teacher_input: clean", ["`teacher_input: clean`", "`kl_positions: all`"]),
        ("mlm_inputs: both", ["`mlm_inputs: both`", "`alignment: reduce`", "`weight_mlm`"]),
    ],
)
def test_wrong_values_are_refused_by_key(recipe, text, words):
    """A value found wrong after hours of preparation is found too late."""
    message = refusal("--config", recipe(text))
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", "must be a mapping of keys to values, got list"),
        ("просто текст", "must be a mapping of keys to values, got str"),
        ("", "must be a mapping of keys to values, got NoneType"),
        ("a: [1\nb: 2", "is not valid YAML"),
        ("a: 1\n\tb: 2", "is not valid YAML"),
    ],
)
def test_files_that_are_no_recipe_are_refused_by_name(recipe, text, message):
    """The parser's own messages run over many lines and name neither key nor file."""
    path = recipe(text)
    assert f"--config {path} {message}" in refusal("--config", path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_length: 32\nmax_length: 64\n", "`max_length` stands there twice"),
        ("a: &a [*a]\n", "`a` is deeper than 4 lists"),
        ("a: " + "[" * 5000 + "]" * 5000, "is not valid YAML: maximum recursion depth"),
        ("max_length: !!python/object/apply:os.system [exit]\n", "is not valid YAML"),
        ("max_length: 9223372036854775808\n", "`max_length` must be a number below 9e+18"),
        ("temperature: .nan\n", "`temperature` must be a number below"),
        ('text_column: "a\\0b"\n', "`text_column` holds a NUL character"),
    ],
)
def test_recipes_that_yaml_lets_pass_are_refused(recipe, text, message):
    assert message in refusal("--config", recipe(text))


@pytest.mark.parametrize(
    "argv",
    [
        ["--lr_scheduler_kwargs", '{"beauty": 1}'],
        ["--lr_scheduler_type", "warmup_stable_decay"],
        ["--optim", "adamw_bnb_8bit"],
        ["--report_to", "nobody"],
        ["--torch_compile_mode", "nonsense"],
        ["--dataloader_prefetch_factor", "2"],
        ["--eval_accumulation_steps", "0"],
        ["--data_seed", "-1"],
        ["--use_liger_kernel", "true"],
        ["--save_only_model", "true"],
    ],
    ids=str,
)
def test_training_arguments_that_fail_late_are_refused_early(argv, tmp_path):
    """After the teacher was loaded and the corpus tokenized, or at the first evaluation."""
    refusal("--output_dir", str(tmp_path / "output"), "--use_cpu", "true", *argv, types=(TrainingArguments,))
    assert not (tmp_path / "output").exists()


def test_an_output_folder_is_named(tmp_path):
    """That of transformers, `trainer_output`, would hold the last of all runs."""
    assert "`output_dir` is missing" in refusal("--use_cpu", "true", types=(TrainingArguments,))
    (tmp_path / "file").touch()
    assert "is a file" in refusal("--output_dir", str(tmp_path / "file" / "run"), types=(TrainingArguments,))


def test_recipes_that_cannot_be_read_are_refused_by_name(tmp_path):
    """The path in the message shows where it was looked for."""
    assert f"--config {tmp_path / 'absent.yaml'} cannot be read" in refusal("--config", str(tmp_path / "absent.yaml"))
    assert "cannot be read (Is a directory)" in refusal("--config", str(tmp_path))
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert "is not valid YAML" in refusal("--config", str(tmp_path / "binary.yaml"))


def test_config_without_a_path_is_refused():
    """Of every mistake on the command line the user hears in one way."""
    assert "--config" in refusal("--config")


def test_a_mistake_ends_the_command_with_one_line_and_code_two(capsys, monkeypatch):
    """Schedulers read the exit code, people the line; a traceback serves neither."""
    monkeypatch.delenv("RANK", raising=False)
    main = cli_entry(lambda argv: parse(*argv))
    with pytest.raises(SystemExit) as caught:
        main(["--temprature", "3"])
    assert caught.value.code == 2 and caught.value.__cause__ is None
    assert capsys.readouterr() == ("", "error: unknown key `temprature`; did you mean `temperature`?\n")


def test_a_sentence_that_quotes_a_file_keeps_its_remedy(capsys):
    @cli_entry
    def main(argv=None):
        raise UserError(f"file.txt:1: expected a tag, got {'x' * 20_000}; a blank line ends a sentence")

    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr().err
    assert len(said) < 620 and "file.txt:1: expected" in said and said.endswith("; a blank line ends a sentence\n")


@pytest.mark.parametrize(("rank", "lines"), [("0", 1), ("1", 0), ("7", 0)])
def test_one_rank_tells(capsys, monkeypatch, rank, lines):
    """Eight ranks would print the same error eight times, and log everything eightfold."""
    monkeypatch.setenv("RANK", rank)
    with pytest.raises(SystemExit) as caught:
        cli_entry(lambda argv: parse(*argv))(["--temprature", "3"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == lines
    assert logging.getLogger("distillation").level == (logging.INFO if rank == "0" else logging.WARNING)


class Torn(torch.utils.data.IterableDataset):
    """Of which nothing can be read."""

    def __iter__(self):
        raise LocalError("`train_file` is torn")


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_one_process_is_told_by_it_and_without_a_traceback(capsys, monkeypatch, workers):
    """The others do not meet it; and what a worker of a data loader raises comes with its traceback as text."""
    monkeypatch.setenv("RANK", "3")
    with pytest.raises(SystemExit) as caught:
        cli_entry(lambda argv: next(iter(torch.utils.data.DataLoader(Torn(), num_workers=workers))))([])
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: `train_file` is torn\n"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_full_disk_is_told_wherever_it_is_met(capsys, number):
    @cli_entry
    def main(argv=None):
        raise OSError(number, os.strerror(number), "/cache/part")

    with pytest.raises(SystemExit) as ended:
        main([])
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and "'/cache/part' cannot be written" in line and os.strerror(number) in line


def test_numbers_with_an_exponent_alone(recipe, tmp_path):
    """YAML 1.1 takes them for text, which inside a mapping nobody turns into a number."""
    keys = "lr_scheduler_type: cosine_with_min_lr\nlr_scheduler_kwargs: {min_lr: 1e-7}\nlearning_rate: 2e-5\n"
    keys += f"use_cpu: true\noutput_dir: {tmp_path}\n"
    training = parse("--config", recipe(keys), types=(TrainingArguments,))
    assert training.lr_scheduler_kwargs == {"min_lr": 1e-7} and training.learning_rate == 2e-5


def test_other_errors_keep_their_traceback_and_results_are_returned():
    """A mistake of ours must not look like one of the user's."""
    with pytest.raises(ZeroDivisionError):
        cli_entry(lambda argv: 1 / 0)([])
    assert cli_entry(lambda argv: argv)(["a"]) == ["a"]
