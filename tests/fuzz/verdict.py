"""Runs a case and says what is wrong with the way it ended, if anything is."""

from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import guard
from tests.fuzz.case import EITHER, REFUSED, SURVIVED, Case
from tests.fuzz.entries import TOKEN

LONGEST = 620  # characters of a sentence
EXECUTED = "executed"  # the name of the file that planted code leaves
FAILED = "failed"


@dataclass(frozen=True)
class Verdict:
    """outcome: refused, survived, or failed, which is neither; faults: sentences; said: the error, if there is one."""

    outcome: str
    faults: list[str]
    said: str
    seconds: float


@dataclass(frozen=True)
class Place:
    """The folders of a run: good inputs, and a home, in which nobody may write; caches; a folder a case."""

    root: Path

    @property
    def good(self) -> Path:
        return self.root / "good"

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    def of(self, number: int) -> Path:
        """The folder of a case."""
        return self.root / "cases" / str(number)


def judge(case: Case, place: Place, number: int, limit: float) -> Verdict:
    """Run a case in a folder of its own. limit: seconds, more is a hang."""
    here, said = place.of(number) / "here", place.of(number) / "said"
    work = here / "work"
    work.mkdir(parents=True)
    if case.make:
        case.make(place.good, here)
    argv = case.entry.argv(case.changes, place.good, here)
    before, kept = guard.contents(here), {folder: guard.contents(folder) for folder in (place.good, place.home)}
    report = guard.watch(lambda: case.entry.main(argv), work, said, [here, place.cache], limit)
    outcome, faults = ended(report, case.entry.fails)
    if case.expected not in (EITHER, outcome):
        faults.append(f"was {outcome}, and should have been {case.expected}")
    faults += written(before, guard.contents(here), outcome)
    for folder, known in kept.items():
        found = guard.contents(folder)
        faults += [f"changed {folder / name}" for name in known.keys() | found if known.get(name) != found.get(name)]
    faults += revealed([said, here])
    return Verdict(outcome, faults, sentence(report), report.seconds)


def ended(report: guard.Report, fails: int = 2) -> tuple[str, list[str]]:
    """The outcome, and what is wrong with the end of a call, with what it said, and with what it did."""
    faults = [f"did what it must not: {deed}" for deed in report.deeds]
    if report.code is None:
        return FAILED, [*faults, f"hung for {report.seconds:.0f} s"]
    if "Traceback (most recent call last)" in report.errors + report.output:
        faults.append("told a traceback")
    if report.code == 0:
        return SURVIVED, faults
    if report.code not in (2, fails):
        return FAILED, [*faults, f"ended with code {report.code}"]
    errors = [line for line in report.errors.splitlines() if line.startswith("error: ")]
    if len(errors) != 1 and report.code == 2:
        faults.append(f"told {len(errors)} errors")
    faults += [f"told an error of {len(line)} characters" for line in errors if not 20 < len(line) < LONGEST]
    return REFUSED if report.code == 2 else SURVIVED, faults


def sentence(report: guard.Report) -> str:
    """The error, or what was said at last."""
    lines = [line for line in report.errors.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith("error: ")), lines[-1] if lines else "")


def written(before: dict[str, tuple], after: dict[str, tuple], outcome: str) -> list[str]:
    """What is wrong with the files that a call left. before, after: the contents of the case's folder."""
    new = sorted(after.keys() - before.keys())
    faults = [f"refused, and left {name}" for name in new if outcome == REFUSED]
    faults += [f"wrote {name} into its working folder" for name in new if name.startswith("work/")]
    faults += [f"ran what was planted: {name}" for name in new if Path(name).name == EXECUTED]
    untouched = before if outcome == REFUSED else {k: v for k, v in before.items() if not k.startswith("output")}
    return faults + [f"changed or removed {name}" for name, facts in untouched.items() if after.get(name) != facts]


def revealed(folders: list[Path]) -> list[str]:
    """Files that hold the token."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [f"revealed the token in {path.name}" for path in files if TOKEN.encode() in path.read_bytes()]
