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


def refusal(*argv):
    with pytest.raises(UserError) as caught:
        parse_recipe(*OURS, argv=list(argv))
    assert "\n" not in str(caught.value)
    return str(caught.value)


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
    ("text", "words"),
    [
        ("temprature: 3", ["unknown key `temprature`; did you mean `temperature`?"]),
        ("kl_positions: some", ["`kl_positions`", "some", "masked", "all"]),
        ("max_length: [16, 32]", ["32"]),
        ("max_length: true", ["`max_length`", "true"]),
        ("max_length: 4", ["`max_length`", "at least 8", "4"]),
        ("temperature: 0", ["`temperature`", "positive"]),
        ("masking_probability: 1", ["`masking_probability`", "between 0 and 1"]),
        ("weight_kl: -1", ["`weight_kl`", "at least 0", "-1"]),
        ("weight_kl: 0\nweight_mlm: 0\nweight_cosine: 0\nweight_attention: 0", ["every weight is 0", "`weight_kl`"]),
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
        ("a: [1\nb: 2", "is not valid YAML"),
        ("max_length: 32\nmax_length: 64\n", "`max_length` stands there twice"),
        ("a: &a [1, 2]\nb: [*a, *a]\n", "write the value out"),
        ("max_length: !!python/object/apply:os.system [exit]\n", "is not valid YAML"),
    ],
)
def test_files_that_are_no_recipe_are_refused_by_name(recipe, text, message):
    """YAML's own messages run over many lines and name neither key nor file; of two keys it takes the last."""
    path = recipe(text)
    found = refusal("--config", path)
    assert f"--config {path} " in found and message in found


def test_recipes_that_cannot_be_read_are_refused_by_name(tmp_path):
    """The path in the message shows where it was looked for."""
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for name, says in (("no.yaml", "cannot be read"), (".", "cannot be read"), ("binary.yaml", "is not valid YAML")):
        assert f"--config {tmp_path / name} {says}" in refusal("--config", str(tmp_path / name))
