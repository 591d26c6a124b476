"""Breaks one line of the core at a time and says which breakages the tests catch.

python tests/breakages.py
python tests/breakages.py --only losses --jobs 2

`breakages.txt` lists them: a file and the tests that have to fail, the text that stands once in the file, and what
replaces it. Each is applied to a copy of the project. Exit code 1 if the tests pass all the same.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_name("breakages.txt")
PACKAGES = Path("benchmarks/page/node_modules")


@dataclass(frozen=True)
class Breakage:
    file: str
    tests: tuple[str, ...]  # one has to fail
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.file}: {self.before}  ->  {self.after}"


def read_breakages(text: str) -> list[Breakage]:
    """Blocks of three lines: `file | tests`, `- before`, `+ after`. Lines that begin with `#` are comments."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    breakages = []
    for head, before, after in zip(*(iter(lines),) * 3, strict=True):
        assert before.startswith("- ") and after.startswith("+ "), (head, before, after)
        file, tests = head.split(" | ")
        breakages.append(Breakage(file, tuple(tests.split()), before[2:], after[2:]))
    return breakages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="Breakages whose file or text has this in it.")
    parser.add_argument("--jobs", type=int, default=1, help="Breakages at once.")
    options = parser.parse_args()
    breakages = [one for one in read_breakages(LIST.read_text("utf-8")) if options.only in str(one)]
    if not breakages:
        raise SystemExit(f"error: no breakage has {options.only!r} in it")
    with ThreadPoolExecutor(options.jobs) as pool:
        suites = sorted({one.tests for one in breakages})
        for tests, code in zip(suites, pool.map(_run, suites), strict=True):
            if code:
                raise SystemExit(f"error: {' '.join(tests)} fails without any breakage: mend it first")
        missed = 0
        for breakage, code in zip(breakages, pool.map(lambda one: _run(one.tests, one), breakages), strict=True):
            missed += code != 1
            print(f"{'caught' if code == 1 else f'MISSED ({code})':12}{breakage}", flush=True)
    print(f"{len(breakages) - missed} of {len(breakages)} caught")
    raise SystemExit(bool(missed))


def _run(tests: tuple[str, ...], breakage: Breakage | None = None) -> int:
    """Pytest's exit code in a copy of the project: 0 if all passed, 1 if a test failed."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        ignored = shutil.ignore_patterns("__pycache__", PACKAGES.name)
        for name in ("distillation", "finetuning", "benchmarks", "tests"):
            shutil.copytree(ROOT / name, Path(folder, name), ignore=ignored)
        Path(folder, PACKAGES).symlink_to(ROOT / PACKAGES)  # large; without it the test of the page is skipped
        for name in ("pyproject.toml", "README.md", "run_all.sh"):
            shutil.copy(ROOT / name, folder)
        if breakage:
            path = Path(folder, breakage.file)
            text = path.read_text("utf-8")
            assert text.count(breakage.before) == 1, f"{breakage} stands there {text.count(breakage.before)} times"
            path.write_text(text.replace(breakage.before, breakage.after), "utf-8")
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True).returncode


if __name__ == "__main__":
    main()
