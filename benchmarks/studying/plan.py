"""A study as its YAML file says it, and the runs that it consists of."""

import dataclasses
import fnmatch
import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.studying.corpus import HELD_OUT
from benchmarks.studying.runs import ROOT, Run, options
from benchmarks.studying.shape import STUDY, check
from distillation.config.recipe import UserError, parse_recipe, read_recipe
from distillation.models.shapes import check_student, student_config, teacher_config
from finetuning.experiment import parse

TEACHER, RANDOM = "teacher", "random"
EVALUATION = "evaluation.json"
COMPARED = {"danetqa", "rcb", "russe", "rwsd", "terra"}  # tasks of Russian SuperGLUE with one label for each example


@dataclass(frozen=True)
class Study:
    """What to train, and on what. Words in braces in a value stand for a folder: {data}, {output}."""

    corpus: dict[str, Any]  # of `write_corpus`; files in {data}
    teacher: dict[str, Any]  # keys of run_teacher.py
    vocabularies: list[int]  # sizes; each becomes {output}/vocabulary-SIZE
    blocks: dict[str, dict[str, Any]]  # keys of run.py under a name
    students: dict[str, dict[str, Any]]  # keys of run.py; `like` names the blocks and students that they change
    tables: dict[str, dict[str, Any]]  # which students with which seeds, in the order of training
    costs: list[str]  # students whose steps are timed, one at a time
    finetuning: dict[str, Any]
    tasks: dict[str, dict[str, Any]]
    comparisons: list[list[str]]  # pairs of models, on held-out text and where both are fine-tuned
    minutes: dict[str, float]  # how long a step takes on the machine that `machine` names, by patterns of its name
    machine: str
    data: Path
    output: Path

    @classmethod
    def load(cls, file: Path, data: Path, output: Path) -> "Study":
        """Raises UserError for a file that says too little, too much, or what no script takes."""
        found = read_recipe(file)
        check(found, STUDY, str(file))
        study = cls(**found, data=data, output=output)
        study._check()
        return study

    # Runs

    def teacher_run(self) -> Run:
        """The teacher, from scratch on the corpus."""
        keys = self.teacher | {"output_dir": "{output}/teacher"}
        return self._run(TEACHER, "distillation/run_teacher.py", keys, made_of=json.dumps(self.made_of))

    def vocabulary_runs(self) -> list[Run]:
        """One for each size, on the teacher's corpus."""
        runs = []
        for size in self.vocabularies:
            name = f"vocabulary-{size}"
            keys = {"vocab_size": size, "output_dir": f"{{output}}/{name}", "teacher_name_or_path": "{output}/teacher"}
            keys |= {"train_file": self.teacher["train_file"], "validation_file": self.teacher["validation_file"]}
            run = self._run(name, "distillation/run_vocabulary.py", keys, made_of=self.teacher_run().identity)
            runs.append(dataclasses.replace(run, result="vocabulary.json", resumes=False))
        return runs

    def student_run(self, name: str, seed: int) -> Run:
        """A student of the teacher, by name and seed."""
        keys = self.keys_of(name) | {"seed": seed, "output_dir": f"{{output}}/students/{name}/seed-{seed}"}
        return self._run(f"{name} {seed}", "distillation/run.py", keys, made_of=self.teacher_run().identity)

    def student_runs(self) -> tuple[list[Run], list[Run]]:
        """All, in the order of the tables: the first that use a teacher's cache, and so fill it, and the others."""
        runs = {self.student_run(name, seed): name for name, seeds in self.seeds().items() for seed in seeds}
        first: dict[str, Run] = {}
        for run, name in runs.items():
            if cache := self.keys_of(name).get("teacher_cache"):
                first.setdefault(cache, run)
        return list(first.values()), [run for run in runs if run not in first.values()]

    def cost_runs(self) -> list[Run]:
        """What is timed."""
        return [self.student_run(name, 1) for name in self.costs]

    def evaluation_run(self) -> Run:
        """Of all models together, since the words to fill in depend on how all their tokenizers cut the lines."""
        runs = [self.teacher_run(), *(run for runs in self.student_runs() for run in runs)]
        keys = {"model_name_or_path": [str(run.folder) for run in runs], "max_length": self.teacher["max_length"]}
        keys |= {"validation_file": f"{{output}}/corpus/{HELD_OUT}"}
        made_of = "\n".join(run.identity for run in runs)
        folder = self.output / "evaluation" / hashlib.sha256(made_of.encode()).hexdigest()[:8]  # of other students
        keys |= {"output": str(folder / EVALUATION)}
        run = self._run("evaluation", "distillation/run_evaluation.py", keys, folder, made_of)
        return dataclasses.replace(run, result=EVALUATION, resumes=False)

    def tuning_run(self, model: str, task: str, rate: float, seed: int) -> Run:
        """One fine-tuning. model: of `models`; with each seed it starts from another seed of the student, while there
        are any, so that what differs between seeds is the method's and not one checkpoint's."""
        name, _, start = model.partition(", ")
        source = self.teacher_run()
        if name != TEACHER:
            seeds, turn = self.seeds()[name], self.tuning_seeds(task).index(seed)
            source = self.student_run(name, seeds[turn % len(seeds)])
        folder = f"{{output}}/finetuned/{model.replace(', ', '-')}/{task}/{rate}/seed-{seed}"
        keys = matching(self.finetuning["keys"], model, "keys") | {"learning_rate": rate, "seed": seed}
        if "keys" in self.tasks[task]:
            keys |= matching(self.tasks[task]["keys"], model, f"tasks: {task}: keys")
        keys |= {"model_name_or_path": str(source.folder), "data_dir": f"{{data}}/{self.tasks[task]['data']}"}
        keys |= {"random_weights": True if start == RANDOM else None, "output_dir": folder}
        script = f"finetuning/{self.tasks[task]['script']}"
        return self._run(f"{model} on {task}, {rate}, {seed}", script, keys, made_of=source.identity)

    def _run(
        self, name: str, script: str, keys: Mapping[str, Any], folder: Path | None = None, made_of: str = ""
    ) -> Run:
        filled = {key: self._filled(value) for key, value in keys.items()}
        return Run(name, script, options(filled), folder or Path(filled["output_dir"]), made_of=made_of)

    # What they are made of

    def keys_of(self, name: str, within: tuple[str, ...] = ()) -> dict[str, Any]:
        """A student's keys, those of what it is like first. Raises UserError for a name that is not there.

        within: names whose keys it is a part of.
        """
        known = self.blocks | self.students
        if name not in known:
            raise UserError(f"`students` has no {name!r}, nor have `blocks`: name one of {', '.join(known)}")
        own = dict(known[name])
        like = own.pop("like", [])
        keys: dict[str, Any] = {}
        for other in like if isinstance(like, list) else [like]:
            if other in (name, *within):
                raise UserError(f"`like`: {name!r} is like itself: name others")
            keys |= self.keys_of(other, (name, *within))
        return keys | own

    def models(self, task: str) -> list[str]:
        """Those that are fine-tuned on a task; `, random` behind the name of one that starts from random weights."""
        default = [*self.finetuning["models"], *(f"{name}, {RANDOM}" for name in self.finetuning["random"])]
        return self.tasks[task].get("models", default)

    def tuning_seeds(self, task: str) -> list[int]:
        """Those of its fine-tunings."""
        return self.tasks[task].get("seeds", self.finetuning["seeds"])

    def rates(self, model: str) -> list[float]:
        """The learning rates that a model's is chosen from."""
        return matching(self.finetuning["rates"], model, "rates")

    def minutes_of(self, name: str) -> float:
        """How long a step takes, it is said."""
        return matching(self.minutes, name, "minutes")

    @property
    def made_of(self) -> dict[str, Any]:
        """The corpus, as `write_corpus` takes it."""
        return {name: self._filled(value) for name, value in self.corpus.items()}

    def seeds(self) -> dict[str, list[int]]:
        """Of each student, those of all tables that have it, in their order."""
        found: dict[str, dict[int, None]] = {}
        for table in self.tables.values():
            for name in table["students"]:
                found.setdefault(name, {}).update(dict.fromkeys(table["seeds"]))
        return {name: list(seeds) for name, seeds in found.items()}

    def _filled(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._filled(one) for one in value]
        if isinstance(value, str):
            return value.replace("{data}", str(self.data)).replace("{output}", str(self.output))
        return value

    def _check(self) -> None:
        """Raise UserError for what a run would refuse, before the first."""
        self._check_tasks()
        self._check_lists()
        self._check_models()
        teacher, data, *_ = _parsed(self.teacher_run())
        shape = teacher_config(teacher, teacher.vocab_size, data.max_length, padding=None)
        for run in self.vocabulary_runs():
            _parsed(run)
        first, others = self.student_runs()
        for run in [*first, *others, *self.cost_runs()]:
            student, _, _, objective, *_ = _parsed(run)
            student_config(student, shape, shape.vocab_size, shape.max_position_embeddings, shape.pad_token_id)
            check_student(student, objective, shape)
        for task in self.tasks:
            for model in self.models(task):
                run = self.tuning_run(model, task, self.rates(model)[0], self.tuning_seeds(task)[0])
                _check_task(run)

    def _check_tasks(self) -> None:
        for name, task in self.tasks.items():
            if not (self.data / task["data"]).is_dir():
                raise UserError(f"`data_dir` {str(self.data)!r} has no folder {task['data']!r}, for {name}")
            if not (ROOT / "finetuning" / task["script"]).is_file() or not task["script"].startswith("run_"):
                raise UserError(f"`tasks`: {name}: no script {task['script']!r} in finetuning: name a run_*.py")

    def _check_lists(self) -> None:
        lists = [table[key] for table in self.tables.values() for key in ("seeds", "students")]
        lists += [*self.finetuning["rates"].values(), *map(self.tuning_seeds, self.tasks)]
        if not all([*lists, self.tables]):
            raise UserError("`tables`, `students`, `seeds`, and `rates` must not be empty: name one of each")
        if twice := [values for values in lists if len(set(values)) < len(values)]:
            raise UserError(f"`tables`, `seeds`, `rates`: {twice[0]} names something twice: once is enough")

    def _check_models(self) -> None:
        made = {f"{{output}}/vocabulary-{size}" for size in self.vocabularies}
        for name in [*self.seeds(), *self.costs]:
            vocabulary = str(self.keys_of(name).get("student_vocabulary"))
            if vocabulary.startswith("{output}") and vocabulary not in made:
                raise UserError(f"`students`: {name}: no {vocabulary} is made: add its size to `vocabularies`")
        tuned = {model for task in self.tasks for model in self.models(task)}
        for model in tuned:
            if model.partition(", ")[0] not in (TEACHER, *self.seeds()):
                raise UserError(f"`finetuning`: {model!r} is in no table: name one of {', '.join(self.seeds())}")
        for pair in self.comparisons:
            if len(pair) != 2 or not {*tuned, *self.seeds()}.issuperset(pair):
                raise UserError(f"`comparisons`: {pair} are not two models that a table or `finetuning` has")
        for name, table in self.tables.items():
            if table.get("base", table["students"][0]) not in table["students"]:
                raise UserError(f"`tables`: {name}: `base` {table['base']!r} is none of its students")


def _script(run: Run) -> ModuleType:
    return importlib.import_module(run.script.removesuffix(".py").replace("/", "."))


def _parsed(run: Run) -> tuple:
    """The arguments of a run of distillation. Raises UserError for what its script would refuse at once."""
    return parse_recipe(*_script(run).ARGUMENTS, argv=list(run.options))


def _check_task(run: Run) -> None:
    """Raise UserError for what a fine-tuning would refuse at once, or a study cannot compare."""
    settings = parse(Path(run.script).stem.removeprefix("run_"), run.options, *_script(run).OPTIONS)
    for task in [own.task for own in settings.own if hasattr(own, "task")]:
        if task not in COMPARED:
            raise UserError(f"`tasks`: `task` {task!r}: a study takes one of {', '.join(sorted(COMPARED))}")


def matching(patterns: Mapping[str, Any], name: str, key: str) -> Any:
    """The value of the first pattern that a name fits. Raises UserError if there is none."""
    for pattern, value in patterns.items():
        if fnmatch.fnmatchcase(name, pattern):
            return value
    raise UserError(f"`{key}` has no pattern for {name!r}: add one, such as `*`")
