"""What the READMEs show must exist: commands, keys, files, and links."""

import re
import shlex

import pytest

from tests.stand_in import ROOT, parser_of

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ["README.md", "CONTRIBUTING.md"]
PAGES += [f"{stage}/README.md" for stage in ("distillation", "finetuning", "benchmarks")]
RESULTS = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("benchmarks/results/*.md"))
LINKS = [
    (page, target)
    for page in [*PAGES, *RESULTS]
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8"))
]


def commands():
    """Lines of code blocks and of inline code that begin with a command, continued lines joined. Pages of results show
    the commands of the commit that made them."""
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.S) + re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", text)
        lines = [line.split(" # ")[0].strip() for one in blocks for line in one.replace("\\\n", " ").splitlines()]
        yield from ((page, line) for line in lines if line.startswith(STARTS))


STARTS = ("./run", "tests/run", "python ", "accelerate ", "benchmarks/studies/any", "benchmarks/studies/two")
COMMANDS = list(dict.fromkeys(commands()))


def test_the_first_page_is_short_and_begins_with_the_two_commands():
    assert README.index("./run_all.sh") < README.index("tests/run.sh") < 1200
    assert len(README.splitlines()) <= 200 and len(COMMANDS) >= 30


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_a_command_names_files_and_keys_that_exist(page, command):
    words = shlex.split(command)
    scripts = [word for word in words if re.fullmatch(r"(distillation|finetuning|benchmarks)/\w+\.py", word)]
    for word in [*scripts, words[0], *(word for word in words if "recipes/" in word or "launch/" in word)]:
        assert "/" not in word or (ROOT / word).exists(), word
    for script in scripts:
        known = {action.dest for action in parser_of(script.removesuffix(".py").replace("/", "."))._actions}
        keys = {word.removeprefix("--") for word in words[words.index(script) :] if word.startswith("--")}
        assert keys <= known, keys - known
    if words[0] == "./run_all.sh" and len(words) > 1:
        assert (ROOT / "distillation" / "recipes" / f"{words[1]}.yaml").exists()


@pytest.mark.parametrize(("page", "target"), LINKS)
def test_a_link_points_at_a_file(page, target):
    assert (ROOT / page).parent.joinpath(target).exists()


def test_the_map_names_what_exists():
    """The folder of a line that begins at the margin holds those of the indented lines below it."""
    stage = ""
    for line in README.split("```\ndistillation/")[1].split("```")[0].join(["distillation/", ""]).splitlines():
        names = re.split(r"\s{2,}", line.strip())[0].split()
        stage = stage if line.startswith(" ") else names[0]
        for name in names:
            assert (ROOT / (stage + name if line.startswith(" ") else name)).exists(), name
    assert stage
