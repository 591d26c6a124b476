"""The embedded demo: a small Russian corpus of our own grammar, a tiny teacher and a smaller vocabulary from it."""

import gzip
import logging
import os
import subprocess
import sys
from pathlib import Path

from distillation.config.arguments import DataArguments, ModelArguments
from distillation.demo.grammar import Grammar, generate
from distillation.runs.files import RESULTS

logger = logging.getLogger(__name__)

DEMO = "demo"  # what `train_file`, `teacher_name_or_path`, and `student_vocabulary` say to mean the embedded ones
FOLDER = Path("outputs/demo")
LINES = 20_000
VOCAB_SIZE = 300  # of the smaller vocabulary; the teacher's has 800


def resolve_demo(data: DataArguments, model: ModelArguments | None = None) -> None:
    """Replace the word `demo` in the arguments by a path, and make what lies there where it is absent."""
    if data.train_file == DEMO:
        data.train_file = str(demo_corpus())
    if model is not None and model.teacher_name_or_path == DEMO:
        model.teacher_name_or_path = str(demo_teacher())
    if model is not None and model.student_vocabulary == DEMO:
        model.student_vocabulary = str(demo_vocabulary())


def demo_corpus(folder: Path = FOLDER) -> Path:
    """The corpus as a file, one line of text a line; written once."""
    path = folder / "corpus.txt.gz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".part")
        with gzip.open(draft, "wt", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in generate(LINES, seed=0))
        draft.replace(path)
        logger.info("demo corpus of %s lines written to %s", f"{LINES:,}", path)
    return path


def demo_teacher(folder: Path = FOLDER) -> Path:
    """A tiny teacher trained on the demo corpus (about half a minute), in a process of its own; trained once."""
    path = folder / "teacher"
    if not (path / RESULTS).exists():
        logger.info("training the demo teacher in %s", path)
        recipe = Path(__file__).parents[1] / "recipes" / "demo-teacher.yaml"
        _run("run_teacher.py", f"--config={recipe}", f"--output_dir={path}", "--resume_from_checkpoint=true")
    return path


def demo_vocabulary(folder: Path = FOLDER) -> Path:
    """A smaller vocabulary for the demo's students; trained once."""
    path = folder / "vocabulary"
    if not (path / "vocabulary.json").exists():
        logger.info("training the demo vocabulary in %s", path)
        options = ["--train_file", str(demo_corpus(folder)), "--vocab_size", str(VOCAB_SIZE)]
        _run("run_vocabulary.py", *options, "--output_dir", str(path))
    return path


def demo_grammar(seed: int) -> Grammar:
    """The grammar of the demo corpus, for other texts of the same words."""
    return Grammar(seed)


def _run(script: str, *options: str) -> None:
    """A script of ours in a process of its own. The launcher's variables would make it wait for ranks that do not
    come."""
    launcher = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "GROUP_RANK")
    kept = {
        k: v for k, v in os.environ.items() if k not in launcher and not k.startswith(("TORCHELASTIC", "ACCELERATE"))
    }
    subprocess.run([sys.executable, str(Path(__file__).parents[1] / script), *options], check=True, env=kept)
