"""Recipes and command lines become arguments; what a recipe gets wrong."""

import pytest

from distillation.config.arguments import DataArguments, MaskingArguments, ModelArguments, ObjectiveArguments
from distillation.config.errors import UserError
from distillation.config.recipe import parse_recipe

OURS = (ModelArguments, DataArguments, MaskingArguments, ObjectiveArguments)


@pytest.fixture
def recipe(tmp_path):
    def write(text):
        path = tmp_path / "recipe.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_command_line_over_recipe_over_default(recipe):
    """A recipe that wins over the command line would make sweeps repeat one run."""
    path = recipe("student_layers: 3\ntemperature: 4\nkl_positions: all\n")
    for argv in (["--config", path, "--temperature", "5"], ["--temperature=5", f"--config={path}"]):
        model, data, masking, objective = parse_recipe(*OURS, argv=argv)
        assert (model.student_layers, objective.temperature, objective.kl_positions) == (3, 5.0, "all")
        assert (data.max_length, masking.masking_unit) == (128, "token")


def test_the_default_recipe_runs_where_nothing_is_said(recipe):
    """The first command a newcomer types has no argument; any argument means that another run is wanted."""
    path = recipe("max_length: 32\n")
    for argv, length in (([], 32), (["--text_column", "t"], 128)):
        assert parse_recipe(DataArguments, argv=argv, default=path)[0].max_length == length


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kl_positions: some", "`kl_positions`: invalid choice: 'some'"),
        ("max_length: true", "`max_length`: invalid int value: 'true'"),
        ("max_length: 4", "`max_length` must be at least 8, got 4"),
        ("masking_probability: 1", "`masking_probability` must lie between 0 and 1"),
        ("mlm_inputs: both", "`mlm_inputs: both` is of masked-LM training alone"),
        ("- a\n- b\n", "must be a mapping of keys to values, got list"),
        ("a: [1\nb: 2", "is not valid YAML"),
        ("max_length: 32\nmax_length: 64\n", "`max_length` stands there twice"),
        ("a: &a [1, 2]\nb: [*a, *a]\n", "write the value out"),
        ("max_length: !!python/object/apply:os.system [exit]\n", "is not valid YAML"),
        (b"\xff\xfe\x00", "is not valid YAML"),
        (None, "cannot be read"),
    ],
)
def test_wrong_values_and_files_that_are_no_recipe(tmp_path, text, message):
    """A value found wrong after hours of preparation is found too late. YAML's own messages run over many lines and
    name neither key nor file; of two keys it takes the last."""
    path = tmp_path / "recipe.yaml"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as caught:
        parse_recipe(*OURS, argv=["--config", str(path)])
    said = str(caught.value)
    assert message in said and "\n" not in said and (said[0] == "`" or f"--config {path} " in said)
