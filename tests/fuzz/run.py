"""Calls every script with bad inputs: it has to refuse them with one sentence, or to survive them.

python tests/fuzz/run.py --count 600 --seed 0 --output fuzz.json
python tests/fuzz/run.py --seed 0 --only distillation.run/drawn-0-17

Each case is a call of a script's `main` with something wrong in its keys, its recipe, its corpus, its checkpoint, or
its data. What people get wrong comes first; the rest is drawn by the seed. A case must end with exit code 2 and one
sentence on standard error and leave nothing behind, or come to a good end. None may end in a traceback, hang, write
outside of its folders, unpickle, run code of a checkpoint, start a process, reach for the network, or reveal a token.
Exit code 1 if one does; its folder is kept then.
"""

import argparse
import gc
import importlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:1] = [str(TESTS.parent)]  # instead of this folder

LIMIT = 120.0  # seconds of a case
OUTCOMES = ("refused", "survived", "failed")
# What the scripts import once their arguments are read.
HEAVY = (
    "distillation.assembly",
    "distillation.run_publish",
    "finetuning.experiment",
    "benchmarks.backends.comparison",
    "benchmarks.reporting.plots",
)


def main(argv: list[str] | None = None) -> None:
    """Run the cases; print the table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=600, help="Cases in all.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="Cases whose title has this in it.")
    parser.add_argument("--output", type=Path, help="JSON file for the figures.")
    arguments = parser.parse_args(argv)
    root = Path(tempfile.mkdtemp(prefix="fuzz-")).resolve()
    prepare(root)
    start = time.monotonic()
    figures = run_cases(root, arguments.count, arguments.seed, arguments.only)
    figures["seconds"] = round(time.monotonic() - start, 1)
    print(table(figures))
    print(json.dumps(figures, ensure_ascii=False))
    if arguments.output:
        arguments.output.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if figures["failures"]:
        print(f"error: {len(figures['failures'])} cases failed; their files are in {root}", file=sys.stderr)
        raise SystemExit(1)
    shutil.rmtree(root)


def prepare(root: Path) -> None:
    """The environment, before any library is imported that reads it: no network, and folders of its own."""
    for name in ("home", "cache", "cases"):
        (root / name).mkdir()
    caches = {"HF_HOME": "hub", "HF_DATASETS_CACHE": "datasets", "MPLCONFIGDIR": "matplotlib", "TMPDIR": "tmp"}
    caches["TORCHINDUCTOR_CACHE_DIR"] = "inductor"
    for variable, name in caches.items():
        (root / "cache" / name).mkdir()
        os.environ[variable] = str(root / "cache" / name)
    os.environ |= {"HOME": str(root / "home"), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    os.environ |= {"OMP_NUM_THREADS": "1"}
    tempfile.tempdir = None  # to be read anew

    from tests.fuzz.entries import TOKEN  # now
    from tests.fuzz.inputs import make_inputs

    os.environ["HF_TOKEN"] = TOKEN
    for module in HEAVY:  # once here, and not in each fork
        importlib.import_module(module)
    make_inputs(root / "good")
    gc.freeze()  # what the libraries hold is none of the cases' garbage: collecting it took most of their time


def run_cases(root: Path, count: int, seed: int, only: str | None) -> dict:
    """Run the cases; how each entry point fared, and what failed."""
    from tests.fuzz.collection import collect
    from tests.fuzz.guard import remove
    from tests.fuzz.verdict import Place, judge

    counts: dict[str, Counter] = {}
    failures = []
    for number, case in enumerate(collect(count, seed, only)):
        verdict = judge(case, Place(root), number, LIMIT)
        counted = counts.setdefault(case.entry.name, Counter())
        outcome = "failed" if verdict.faults else verdict.outcome
        counted[outcome] += 1
        counted["seconds"] += verdict.seconds
        print(f"{outcome:9}{verdict.seconds:6.1f} s  {case.title}: {verdict.said[:200]}", flush=True)
        if verdict.faults:
            repeat = f"python tests/fuzz/run.py --seed {seed} --only '{case.title}'"
            failures.append({"case": case.title, "faults": verdict.faults, "said": verdict.said, "repeat": repeat})
            print(*(f"  ! {fault}" for fault in verdict.faults), f"  {repeat}", sep="\n", flush=True)
        else:
            remove(Place(root).of(number))
    entries = {
        name: {outcome: counted[outcome] for outcome in OUTCOMES} | {"seconds": round(counted["seconds"], 1)}
        for name, counted in counts.items()
    }
    return {"seed": seed, "cases": sum(sum(c[o] for o in OUTCOMES) for c in counts.values())} | {
        "entries": entries,
        "failures": failures,
    }


def table(figures: dict) -> str:
    """A row for each entry point."""
    heads = ("inputs", *OUTCOMES, "seconds")
    lines = [f"{'entry point':36}" + "".join(f"{head:>10}" for head in heads)]
    totals = Counter()
    for name, row in figures["entries"].items():
        row = {"inputs": sum(row[outcome] for outcome in OUTCOMES), **row}
        totals.update(row)
        lines.append(f"{name:36}" + "".join(f"{row[head]:>10}" for head in heads))
    return "\n".join([*lines, f"{'all':36}" + "".join(f"{round(totals[head], 1):>10}" for head in heads)])


if __name__ == "__main__":
    main()
