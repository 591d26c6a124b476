"""The embedded demo: a small Russian corpus, and a tiny teacher and a smaller vocabulary that are trained on it."""

import logging
import os
import subprocess
import sys
from pathlib import Path

from distillation.config.arguments import ModelArguments
from distillation.config.corpus import CorpusArguments
from distillation.config.errors import UserError
from distillation.config.paths import DEMO
from distillation.runs.files import RESULTS

logger = logging.getLogger(__name__)

CORPUS = Path(__file__).with_name("corpus.txt.gz")  # 20,000 distinct lines of an invented grammar
FOLDER = Path("outputs/demo")
VOCAB_SIZE = 300  # of the smaller vocabulary; the teacher's has 800
RECIPE = Path(__file__).parents[1] / "recipes" / "demo-teacher.yaml"
LAUNCHER_PREFIXES = ("RANK", "LOCAL_", "WORLD_SIZE", "MASTER_", "GROUP_", "ROLE_", "TORCHELASTIC", "ACCELERATE")


def resolve_demo(data: CorpusArguments, model: ModelArguments | None = None) -> None:
    """Replace the word `demo` in the arguments by a path. The teacher and the vocabulary are trained if absent."""
    if data.train_file == DEMO:
        data.train_file = str(CORPUS)
    if model is not None and model.teacher_name_or_path == DEMO:
        options = (f"--config={RECIPE}", "--resume_from_checkpoint=true")
        model.teacher_name_or_path = _made("teacher", RESULTS, "run_teacher.py", *options)
    if model is not None and model.student_vocabulary == DEMO:
        options = (f"--train_file={CORPUS}", f"--vocab_size={VOCAB_SIZE}")
        model.student_vocabulary = _made("vocabulary", "vocabulary.json", "run_vocabulary.py", *options)


def _made(name: str, last: str, script: str, *options: str) -> str:
    """A folder of the demo, filled by a script unless it has the file that is written last."""
    if not (FOLDER / name / last).exists():
        logger.info("training the demo %s in %s", name, FOLDER / name)
        # With the launcher's variables the script would wait for other ranks.
        environment = {key: value for key, value in os.environ.items() if not key.startswith(LAUNCHER_PREFIXES)}
        words = [sys.executable, str(Path(__file__).parents[1] / script), *options, f"--output_dir={FOLDER / name}"]
        if subprocess.run(words, env=environment).returncode:
            raise UserError(f"the demo {name} could not be made: mend what is said above, or remove {FOLDER / name}")
    return str(FOLDER / name)
