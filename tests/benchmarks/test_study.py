"""The study: a whole one of tiny models, by the real scripts; what it refuses before it begins."""

import csv
import gzip
import json
import random
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks import study
from benchmarks.studying.corpus import write_corpus
from benchmarks.studying.plan import Study

STUDIES = Path(study.__file__).parent / "studies"

PLAN = """
machine: a desk
minutes: {"*": 1}
corpus: {files: ["{data}/corpus/*.gz"], held_out_lines: 40, validation_lines: 10, student_lines: 200}
vocabularies: [200]
teacher:
  train_file: "{output}/corpus/train.txt"
  validation_file: "{output}/corpus/held-out.txt"
  vocab_size: 300
  layers: 2
  hidden_size: 16
  attention_heads: 2
  max_length: 32
  masking_unit: word
  max_steps: 2
  use_cpu: true
  disable_tqdm: true
blocks:
  every:
    teacher_name_or_path: "{output}/teacher"
    train_file: "{output}/corpus/students.txt"
    validation_file: "{output}/corpus/validation.txt"
    student_layers: 1
    masking_unit: word
    max_length: 32
    max_steps: 2
    save_strategy: "no"
    use_cpu: true
    disable_tqdm: true
  mlm: {weight_kl: 0, weight_cosine: 0, weight_attention: 0}
students:
  small: {like: every, teacher_cache: "{output}/cache"}
  small-without-cosine: {like: small, weight_cosine: 0}
  small-mlm: {like: [every, mlm]}
  tiny-mlm: {like: [every, mlm], student_vocabulary: "{output}/vocabulary-200", alignment: match}
  tiny-mlm-both: {like: tiny-mlm, alignment: reduce, mlm_inputs: both}
  small-cost: {like: small, teacher_cache: null}
tables:
  main: {title: Students, seeds: [1, 2], students: [small, small-mlm]}
  terms: {title: Terms, seeds: [1], students: [small, small-without-cosine, tiny-mlm-both], base: small}
costs: [small-cost]
finetuning:
  models: [teacher, small]
  random: [small]
  seeds: [1, 2, 3]
  rates: {"*": [1.0e-3, 1.0e-2]}
  keys: {"*": {max_length: 32, use_cpu: true, disable_tqdm: true}}
tasks:
  rusentiment: {script: run_rusentiment.py, data: rusentiment, seeds: [1, 2], keys: {"*": {num_train_epochs: 1}}}
comparisons: [["small", "small, random"]]
"""

MUSERC = {"*": {"task": "muserc"}}  # its answers are several to a question


@pytest.fixture
def data(tmp_path, corpus_lines):
    """A corpus and a benchmark, laid out as a study wants them."""
    folder = tmp_path / "data"
    for name in ("corpus", "rusentiment"):
        (folder / name).mkdir(parents=True)
    with gzip.open(folder / "corpus" / "lines.txt.gz", "wt", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in corpus_lines)
    draw = random.Random(0)
    for name, lines in {"random_posts": corpus_lines[:120], "test": corpus_lines[120:160]}.items():
        with open(folder / "rusentiment" / f"rusentiment_{name}.csv", "w", encoding="utf-8", newline="") as file:
            labels = ["neutral", "positive", "negative", "speech", "skip"]
            csv.writer(file).writerows([("label", "text"), *((draw.choice(labels), line) for line in lines)])
    return folder


@pytest.fixture
def run(tmp_path, data):
    """A function: a plan (the one above unless given), further options -> a study."""

    def of(plan=PLAN, *more):
        (tmp_path / "plan.yaml").write_text(plan, encoding="utf-8")
        options = ["--config", str(tmp_path / "plan.yaml"), "--data_dir", str(data)]
        study.main([*options, "--output_dir", str(tmp_path / "study"), "--jobs", "2", *more])
        return tmp_path / "study"

    return of


def test_a_study_from_the_corpus_to_the_table(run, capsys):
    """Every step by its real script, each once; what is known at the end has seeds, steps, sizes, and hardware."""
    folder = run()
    assert "13 steps to do" in capsys.readouterr().out
    found = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    small = found["students"]["small"]["seeds"]
    assert set(small) == {"1", "2"} and small["1"]["loss"] != small["2"]["loss"] and small["1"]["steps"] == 2
    assert found["teacher"]["held_out"]["loss"] > 0 and found["machines"][0]["cores"]
    assert set(found["finetuned"]["rusentiment"]["models"]) == {"teacher", "small", "small, random"}
    assert {one["task"] for one in found["comparisons"]} == {"rusentiment"}
    stamps = {path: path.stat().st_mtime_ns for path in folder.rglob("all_results.json")}
    assert len(stamps) == 1 + 6 + 1 + 3 * 3
    text = (folder / "study.md").read_text(encoding="utf-8")
    (folder / "study.md").unlink()
    run()
    assert "0 steps to do" in capsys.readouterr().out
    assert stamps == {path: path.stat().st_mtime_ns for path in folder.rglob("all_results.json")}
    assert (folder / "study.md").read_text(encoding="utf-8") == text
    for name in ("terms.png", "scores.png"):
        assert (folder / name).stat().st_size > 5000


def test_what_fails_is_told_at_the_end_of_its_phase_and_the_page_written(run, monkeypatch):
    done, pages = [], []
    phases = [study.Phase({"small 1": lambda threads: sys.exit("small failed"), "small 2": done.append}, 1)]
    phases.append(study.Phase({"evaluation": done.append}, 1))
    monkeypatch.setattr(study, "phases_of", lambda *_: phases)
    monkeypatch.setattr(study, "report", lambda _: pages.append(len(done)))
    with pytest.raises(SystemExit, match="small failed"):
        run()
    assert len(done) == 1 and pages == [0, 1]


def test_two_studies_do_not_write_to_one_folder(run, tmp_path, capsys):
    (tmp_path / "study").mkdir()
    with study.only_one(tmp_path / "study"), pytest.raises(SystemExit, match="2"):
        run()
    assert "another process is at this study" in capsys.readouterr().err


@pytest.mark.parametrize("name", [path.stem for path in STUDIES.glob("*.yaml")])
def test_the_studies_can_be_followed(name, tmp_path):
    """Every run of theirs by keys that its script takes, every step with a time, before anything is trained."""
    for folder in ("corpus", "rusentiment", "paraphraser", "collection3", "xquad_ru", "russian_superglue"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    text = (STUDIES / f"{name}.yaml").read_text(encoding="utf-8")
    if "use_cpu" not in text:  # where there is no GPU, bf16 is refused without it
        text = text.replace("bf16: true", "use_cpu: true")
    (tmp_path / "plan.yaml").write_text(text, encoding="utf-8")
    plan = Study.load(tmp_path / "plan.yaml", tmp_path / "data", tmp_path / "study")
    phases = study.phases_of(plan, 2)
    assert sum(len(phase.work) for phase in phases) > 50 and all(phase.jobs >= 1 for phase in phases)
    assert sum(phase.minutes(plan) for phase in phases) > 60


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"machines": 1}, "unknown key `machines`"),
        ({"teacher": {"layer": 2}}, "unknown key `layer`"),
        ({"students": {"small": {"like": "evry"}}}, "no 'evry'"),
        ({"tasks": {"x": {"script": "run_rusentiment.py", "data": "nowhere"}}}, "no folder 'nowhere'"),
        ({"tasks": {"x": {"script": "run_rusentiment.py"}}}, "`data` is missing"),
        ({"tasks": {"x": {"script": "training.py", "data": "rusentiment"}}}, "no script 'training.py'"),
        ({"students": {"small": {"like": "small"}}}, "'small' is like itself"),
        ({"students": {"small": {"like": "every", "student_attention_heads": 1}}}, "compares maps head by head"),
        ({"students": {"small": {"like": "every", "student_layers": 3}}}, "choose a divisor"),
        ({"tables": {"main": {"title": "x", "seeds": [], "students": ["small"]}}}, "must not be empty"),
        (
            {"tables": {"main": {"title": "x", "seeds": 1, "students": ["small"]}}},
            "`seeds` is int, and should be a list",
        ),
        ({"tables": {"main": {"title": "x", "seeds": [1], "students": ["small"], "base": "x"}}}, "`base` 'x' is none"),
        ({"tables": {"main": {"title": "x", "seeds": [1, 1], "students": ["small"]}}}, "names something twice"),
        ({"vocabularies": [300]}, "no {output}/vocabulary-200 is made"),
        (
            {"tasks": {"x": {"script": "run_russian_superglue.py", "data": "rusentiment", "keys": MUSERC}}},
            "`task` 'muserc': a study takes one of danetqa, rcb",
        ),
        ({"comparisons": [["small", "large"]]}, "not two models that a table"),
        ({"minutes": {"teacher": 1}}, "`minutes` has no pattern"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_refused_before_any_training(run, capsys, tmp_path, change, sentence):
    plan = yaml.safe_load(PLAN)
    for key, value in change.items():
        plan[key] = plan.get(key, {}) | value if key in ("teacher", "students") else value
    with pytest.raises(SystemExit, match="2"):
        run(yaml.safe_dump(plan))
    assert sentence in capsys.readouterr().err and not (tmp_path / "study").exists()


@pytest.mark.parametrize("train_lines", [None, 80])
def test_no_text_is_held_out_and_trained_on(tmp_path, corpus_lines, train_lines):
    """Chats repeat themselves."""
    lines = [f"{line} {number}" for number, line in enumerate(corpus_lines[:60])]
    (tmp_path / "lines.txt").write_text("\n".join(lines * 3), encoding="utf-8")
    counts = write_corpus(tmp_path, [str(tmp_path / "lines.txt")], 20, 5, 60, train_lines)
    parts = {name: (tmp_path / name).read_text(encoding="utf-8").splitlines() for name in counts}
    assert {name: len(part) for name, part in parts.items()} == counts
    assert not {*parts["held-out.txt"]} & {*parts["train.txt"]}
    assert counts["train.txt"] == 80 if train_lines else counts["train.txt"] > 80
    assert parts["students.txt"] == parts["train.txt"][:60] and parts["validation.txt"] == parts["held-out.txt"][:5]
