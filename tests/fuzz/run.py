"""Calls every script with bad inputs: it has to refuse them with one sentence, or to survive them.

python tests/fuzz/run.py --count 600 --seed 0
python tests/fuzz/run.py --count 600 --seed 0 --only distillation.run/drawn-0-17

Each case is a call of a script's `main` with something wrong in its keys or files. A case must end with exit code 2,
one sentence on standard error, and nothing left behind, or come to a good end. None may end in a traceback, hang,
write outside of its folders, unpickle, run code of a checkpoint, start a process, reach for the network, or reveal a
token. Exit code 1 if one does; its folder is kept then.
"""

import argparse
import gc
import importlib
import os
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path[:1] = [str(Path(__file__).resolve().parents[2])]  # instead of this folder

LIMIT = 120.0  # seconds of a case
# Scripts import these once their arguments are read; here that happens once, and not in each fork.
HEAVY = ("distillation.assembly", "distillation.run_publish", "finetuning.finetune")
HEAVY += ("benchmarks.backends.deployment", "benchmarks.reporting.plots")


def main(argv: list[str] | None = None) -> None:
    """Run the cases; print what became of each, and a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=600, help="Cases in all.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="Of these, the cases whose title has this in it.")
    options = parser.parse_args(argv)
    root = Path(tempfile.mkdtemp(prefix="fuzz-")).resolve()
    prepare(root)
    from distillation.runs.files import markdown_table
    from tests.fuzz.cases import collect, judge

    outcomes: dict[str, Counter] = {}
    for number, case in enumerate(collect(options.count, options.seed)):
        if options.only not in case.title:
            continue
        report = judge(case, root, number, LIMIT)
        outcome = "failed" if report.faults else report.outcome
        outcomes.setdefault(case.entry.name, Counter())[outcome] += 1
        print(f"{outcome:9}{report.seconds:6.1f} s  {case.title}: {report.message[:200]}", flush=True)
        print(*(f"  ! {fault}\n" for fault in report.faults), sep="", end="", flush=True)
        if outcome != "failed":
            shutil.rmtree(root / "cases" / str(number))
    if not outcomes:
        raise SystemExit(f"error: of {options.count} cases none has {options.only!r} in its title: raise `--count`")
    heads = ("refused", "survived", "failed")
    total = sum(outcomes.values(), Counter())
    rows = [[name, *(counts[head] for head in heads)] for name, counts in {**outcomes, "all": total}.items()]
    print(markdown_table(["script", *heads], rows))
    if total["failed"]:
        raise SystemExit(f"error: {total['failed']} of {total.total()} cases failed; their files are in {root}")
    shutil.rmtree(root)


def prepare(root: Path) -> None:
    """Set the environment before any library reads it: no network, and folders of its own. Make the good inputs."""
    caches = {"HF_HOME": "hub", "HF_DATASETS_CACHE": "datasets", "MPLCONFIGDIR": "matplotlib", "TMPDIR": "tmp"}
    caches["TORCHINDUCTOR_CACHE_DIR"] = "inductor"
    os.environ |= {variable: str(root / "cache" / name) for variable, name in caches.items()}
    os.environ |= {"HOME": str(root / "home"), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    os.environ |= {"OMP_NUM_THREADS": "1"}
    for path in (root / "home", *(root / "cache" / name for name in caches.values())):
        path.mkdir(parents=True)
    tempfile.tempdir = None  # to be read anew

    from tests.fuzz.guard import TOKEN  # now
    from tests.fuzz.inputs import make_inputs

    os.environ["HF_TOKEN"] = TOKEN
    for module in HEAVY:
        importlib.import_module(module)
    make_inputs(root / "good")
    gc.freeze()  # collecting what the libraries hold took most of the time of the forks


if __name__ == "__main__":
    main()
