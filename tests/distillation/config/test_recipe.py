"""Recipes and command lines become arguments; what a recipe gets wrong."""

import pytest

from distillation.config.arguments import ARGUMENTS, CardArguments
from distillation.config.corpus import DataArguments
from distillation.config.errors import UserError
from distillation.config.recipe import parse_recipe


def test_command_line_over_recipe_over_default(tmp_path):
    """A recipe that wins over the command line would make sweeps repeat one run."""
    path = tmp_path / "recipe.yaml"
    path.write_text("student_layers: 3\ntemperature: 4\nkl_positions: all\nmax_length: 32\n", encoding="utf-8")
    for argv in (["--config", str(path), "--temperature", "5"], ["--temperature=5", f"--config={path}"]):
        model, data, masking, objective, *_ = parse_recipe(*ARGUMENTS, argv=argv)
        assert (model.student_layers, objective.temperature, objective.kl_positions) == (3, 5.0, "all")
        assert (data.max_length, masking.masking_unit) == (32, "token")
    path.write_text("language: [ru, no]\nstreaming: yes\n", encoding="utf-8")  # YAML 1.1: false and true
    assert parse_recipe(CardArguments, DataArguments, argv=[f"--config={path}"])[0].language == ["ru", "no"]
    path.write_text("max_length: 32\n", encoding="utf-8")  # the default runs only where nothing is said
    for argv, length in (([], 32), (["--text_column", "t"], 128)):
        assert parse_recipe(DataArguments, argv=argv, default=path)[0].max_length == length


def test_recipes_lie_over_each_other(tmp_path, capsys):
    """The one below all, then each `--config` in its order, then the command line; --help shows what lies below."""
    base, one, two = (tmp_path / f"{name}.yaml" for name in ("base", "one", "two"))
    base.write_text("max_length: 16\n")
    one.write_text("max_length: 32\ntext_column: a\n")
    two.write_text("text_column: b\n")
    (found,) = parse_recipe(DataArguments, argv=[f"--config={one}", "--config", str(two)], base=base)
    assert (found.max_length, found.text_column) == (32, "b")
    assert parse_recipe(DataArguments, argv=[f"--config={two}", "--text_column=c"], base=base)[0].max_length == 16
    two.write_text("text_column: null\n")
    argv = [f"--config={path}" for path in (two, one, two)]
    assert parse_recipe(DataArguments, argv=argv, base=base)[0].text_column == "text"
    with pytest.raises(SystemExit):
        parse_recipe(DataArguments, argv=["--help"], base=base)
    assert "special ones included. [16]" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"help: true", "unknown key `help`"),
        (b"max_lenth: 32", "has an unknown key `max_lenth`; did you mean `max_length`?"),
        (
            b"label_column: a\ntask_teacher: b\nmax_length: 32",
            "unknown keys `label_column`, `task_teacher`: is it the",
        ),
        (b"kl_positions: some", "`kl_positions`: invalid choice: 'some'"),
        (b"masking_probability: 1", "`masking_probability` must be below 1, got 1"),
        (b"mlm_inputs: both", "`mlm_inputs: both` works without a teacher only"),
        (b"- a\n- b\n", "must be a mapping of keys to values, got list"),
        (b"a: [1\nb: 2", "is not valid YAML"),
        (b"config: other.yaml\n", "has a key `config`"),
        (b"max_length: 32\nmax_length: 64\n", 'recipe.yaml", line 2, column 1'),
        ("# курс\nmax_length: 32\n".encode("cp1251"), "is not UTF-8: save it as UTF-8"),
        (b"max_length: !!python/object/apply:os.system [exit]\n", "is not valid YAML"),
    ],
)
def test_wrong_values_and_files_that_are_no_recipe(tmp_path, text, message):
    """A value found wrong after hours of preparation is found too late. YAML takes the last of two keys."""
    path = tmp_path / "recipe.yaml"
    path.write_bytes(text)
    with pytest.raises(UserError) as caught:
        parse_recipe(*ARGUMENTS, argv=["--config", str(path)])
    found = str(caught.value)
    assert message in found and "\n" not in found and (found[0] == "`" or f"--config {path} " in found)
