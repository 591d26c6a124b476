"""Kills runs at random moments until they end, and compares what they end with with a run that nobody disturbed.

python tests/kill.py --runs 20 --seed 0

A run is killed one to four times, at random moments or while a checkpoint is being written; the same command resumes
it. Model, projections, optimiser, and scheduler must come out alike to the bit. Prints a table; the exit code is 1
where a run differs.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":
    work = tempfile.TemporaryDirectory(prefix="kill-")
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    os.environ |= {"HF_DATASETS_CACHE": f"{work.name}/datasets", "DISABLE_SAFETENSORS_CONVERSION": "1"}
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

import torch  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from torch.utils._pytree import tree_flatten  # noqa: E402
from transformers import BertConfig, BertForMaskedLM  # noqa: E402

from distillation import assembly, run  # noqa: E402, F401 (what `run.main` imports: forks have it then)
from distillation.models.loading import save_pretrained  # noqa: E402
from distillation.runs.checkpoint import COMPLETE, checkpoints  # noqa: E402
from distillation.runs.files import markdown_table  # noqa: E402
from distillation.vocabularies.wordpiece import train_tokenizer  # noqa: E402
from tests.launched import ranks, running, start, wait  # noqa: E402
from tests.texts import demo_lines  # noqa: E402

MODES = {  # processes, further options
    "memory-1": (1, ["--alignment", "reduce", "--dataloader_num_workers", "2"]),
    "memory-2": (2, ["--alignment", "match"]),
    "streaming-1": (1, ["--alignment", "reduce", "--streaming", "true", "--dataloader_num_workers", "2"]),
    "streaming-2": (2, ["--alignment", "match", "--streaming", "true"]),
}
STEPS = 24
STATES = ("optimizer.pt", "scheduler.pt")
OPTIONS = """--student_layers 2 --student_hidden_size 16 --student_initialisation random --masking_unit word
--max_length 32 --validation_lines 20 --gradient_accumulation_steps 2 --per_device_train_batch_size 4 --seed 5
--train_sampling_strategy group_by_length --learning_rate 0.001 --save_steps 2 --save_total_limit 2 --logging_steps 3
--use_cpu true --disable_tqdm true""".split()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="of each mode")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    wait(start([{}], f"{work.name}/inputs.log", make_inputs, Path(work.name)))
    rows = [try_mode(mode, Path(work.name), arguments) for mode in MODES]
    print(markdown_table(list(rows[0]), [row.values() for row in rows]))
    sys.exit(int(any(row["equal"] < row["runs"] for row in rows)))


def make_inputs(folder: Path) -> None:
    """A corpus, a teacher, and a smaller vocabulary."""
    lines = demo_lines(150)
    (folder / "corpus.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    tokenizer = train_tokenizer(lines, vocab_size=300)
    train_tokenizer(lines, vocab_size=200).save_pretrained(folder / "vocabulary")
    shape = dict(hidden_size=32, num_hidden_layers=4, num_attention_heads=4, intermediate_size=64)
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, initializer_range=0.2, **shape)
    save_pretrained(BertForMaskedLM(config), tokenizer, folder / "teacher")


def try_mode(mode: str, folder: Path, arguments: argparse.Namespace) -> dict:
    """The runs of a mode, and how they ended."""
    started, output = time.monotonic(), folder / mode
    output.mkdir()
    codes = wait(launch(mode, folder, output / "undisturbed"))
    duration = time.monotonic() - started
    if any(codes):
        sys.exit(f"{mode} fails undisturbed:\n" + (output / "undisturbed.log").read_text(encoding="utf-8"))
    row = {"mode": mode, "runs": arguments.runs, "kills": 0, "kills_in_a_save": 0, "equal": 0}
    for number in range(arguments.runs):
        draw, tried = random.Random(f"{arguments.seed} {mode} {number}"), output / str(number)
        for _ in range(draw.randint(1, 4)):
            if not kill(launch(mode, folder, tried), tried, draw, duration):
                break  # it had ended before
            row["kills"] += 1
            row["kills_in_a_save"] += bool(unmarked(tried))
        codes = wait(launch(mode, folder, tried))
        equal = not any(codes) and same(output / "undisturbed", tried)
        row["equal"] += equal
        if not equal:
            log = tried.with_suffix(".log").read_text(encoding="utf-8", errors="replace")
            print(f"{mode}, run {number}: codes {codes}\n{log[-3000:]}", file=sys.stderr)
        shutil.rmtree(tried, ignore_errors=True)
    return row | {"seconds": round(time.monotonic() - started)}


def launch(mode: str, folder: Path, output: Path) -> list[int]:
    """The processes of a run, started or resumed."""
    places = (folder / "teacher", folder / "vocabulary", folder / "corpus.txt", output)
    return start(ranks(MODES[mode][0]), f"{output}.log", run.main, words(mode, *places))


def words(mode: str, teacher: Path, vocabulary: Path, corpus: Path, output: Path, steps: int = STEPS) -> list[str]:
    """The command line of a run."""
    argv = ["--teacher_name_or_path", str(teacher), "--student_vocabulary", str(vocabulary), "--max_steps", str(steps)]
    argv += ["--train_file", str(corpus), "--output_dir", str(output), *OPTIONS, *MODES[mode][1]]
    return [*argv, "--resume_from_checkpoint", "true"]


def kill(processes: list[int], output: Path, draw: random.Random, duration: float) -> bool:
    """Kill a run, every second one while it writes a checkpoint; whether it was still running."""
    moment, saves = time.monotonic() + draw.uniform(0, duration), None
    if draw.random() < 0.5:
        moment, saves = time.monotonic() + 2 * duration, draw.randint(1, STEPS // 2)
    seen = {folder.name for folder in checkpoints(output)}
    while time.monotonic() < moment and running(processes):
        if saves and (torn := unmarked(output)) and torn not in seen:
            seen.add(torn)
            saves -= 1
            moment = moment if saves else time.monotonic() + draw.uniform(0, 0.02)
        time.sleep(0.0002)
    alive = running(processes)
    for process in draw.sample(processes, len(processes)):  # not quite at once
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)
        time.sleep(draw.uniform(0, 0.01))
    wait(processes)
    return alive


def unmarked(output: Path) -> str | None:
    """The newest checkpoint, if it is not marked as complete."""
    newest = next(iter(checkpoints(output)), None)
    return newest.name if newest is not None and not (newest / COMPLETE).exists() else None


def same(one: Path, other: Path) -> bool:
    """Whether two runs ended with the same model and the same last checkpoint."""
    last = checkpoints(one)[0].name
    files = ("model.safetensors", f"{last}/model.safetensors", f"{last}/projections.safetensors")
    if not all((one / file).read_bytes() == (other / file).read_bytes() for file in files):
        return False
    assert load_file(one / files[-1]), "a mode without projections would not show whether they come back"
    states = [[torch.load(folder / last / file, weights_only=True) for file in STATES] for folder in (one, other)]
    leaves, structures = zip(*map(tree_flatten, states), strict=True)
    same_leaves = (torch.equal(a, b) if torch.is_tensor(a) else a == b for a, b in zip(*leaves, strict=True))
    return structures[0] == structures[1] and all(same_leaves)


if __name__ == "__main__":
    main()
