"""The embedded demo: a small Russian corpus, and a tiny teacher and a smaller vocabulary that are trained on it."""

import logging
import os
import subprocess
import sys
from pathlib import Path

from distillation.config.arguments import DataArguments, ModelArguments
from distillation.runs.files import RESULTS

logger = logging.getLogger(__name__)

DEMO = "demo"  # what `train_file`, `teacher_name_or_path`, and `student_vocabulary` say to mean the embedded ones
CORPUS = Path(__file__).with_name("corpus.txt.gz")  # 20,000 distinct lines of a made-up grammar
FOLDER = Path("outputs/demo")
VOCAB_SIZE = 300  # of the smaller vocabulary; the teacher's has 800


def resolve_demo(data: DataArguments, model: ModelArguments | None = None) -> None:
    """Replace the word `demo` in the arguments by a path. The teacher and the vocabulary are trained if absent."""
    if data.train_file == DEMO:
        data.train_file = str(CORPUS)
    if model is not None and model.teacher_name_or_path == DEMO:
        model.teacher_name_or_path = str(demo_teacher())
    if model is not None and model.student_vocabulary == DEMO:
        model.student_vocabulary = str(demo_vocabulary())


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
        options = ["--train_file", str(CORPUS), "--vocab_size", str(VOCAB_SIZE)]
        _run("run_vocabulary.py", *options, "--output_dir", str(path))
    return path


def _run(script: str, *options: str) -> None:
    """Run a script in a process of its own. With the launcher's variables it would wait for other ranks."""
    launcher = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "GROUP_RANK")
    kept = {
        k: v for k, v in os.environ.items() if k not in launcher and not k.startswith(("TORCHELASTIC", "ACCELERATE"))
    }
    subprocess.run([sys.executable, str(Path(__file__).parents[1] / script), *options], check=True, env=kept)
