"""The tables of a study, made of its one JSON."""

from collections.abc import Mapping
from typing import Any

from benchmarks.studying.significance import RESAMPLES
from distillation.runs.files import HEADINGS, METRICS, markdown_table, mean_text, metric_text

Figures = Mapping[str, Any]

ALIKE = 1  # points: two models are called so whose difference, all of its interval, is no larger either way
BOOTSTRAP = (
    f"Paired bootstrap over test examples and seeds, {RESAMPLES:,} resamples. Each pair stands for itself: of twenty "
    "that are alike, one will look different. Seeds count as independent, also those that start from the same "
    "checkpoint, and few of them make an interval somewhat too narrow."
)


def page(figures: Figures) -> str:
    """All tables in Markdown, each under its heading."""
    parts = {"What was run": conditions(figures), "Sizes": sizes(figures)}
    for table in figures["tables"].values():
        parts[table["title"]] = held_out(figures, table)
    parts["Differences on held-out text"] = held_out_differences(figures)
    parts["What a step costs"] = costs(figures)
    for task in figures["finetuned"]:
        parts[f"Fine-tuned: {task}"] = scores(figures, task)
    parts["Differences of the fine-tuned"] = differences(figures)
    return "\n\n".join(f"### {heading}\n\n{text}" for heading, text in parts.items() if text) + "\n"


def conditions(figures: Figures) -> str:
    """On what all figures were made."""
    machines = [", ".join(f"{name} {value}" for name, value in one.items()) for one in figures["machines"]]
    counts = ", ".join(f"{name} {count:,} lines" for name, count in figures["corpus"]["lines"].items())
    teacher, student = figures["teacher"], next(iter(shapes(figures).values()), None)
    lines = [
        f"* Machine: {'; '.join(machines)}.",
        f"* Corpus, shuffled: {counts}.",
        f"* Teacher: {_training(teacher)}, {teacher['train_seconds']:.0f} s.",
    ]
    if student is not None:
        lines.append(f"* Students: {_training(student)}, unless a table says other steps.")
    lines.append(
        "* Figures are means ± standard deviations over seeds, losses in nats; held-out words are hidden by the word."
    )
    return "\n".join(lines)


def _training(run: Figures) -> str:
    precision = "bf16" if run["bf16"] else "fp32"
    lines = f"{run['steps']:,} steps of {run['per_device_train_batch_size']} lines"
    return f"{lines} of at most {run['max_length']} tokens, {precision}"


def sizes(figures: Figures) -> str:
    """The teacher, and one student of each size."""
    teacher = figures["teacher"]
    lines = []
    for name, found in {"teacher": teacher, **shapes(figures)}.items():
        shape = f"{found['num_hidden_layers']} x {found['hidden_size']}"
        smaller = f"{teacher['parameters'] / found['parameters']:.1f}"
        counts = [f"{found['vocab_size']:,}", f"{found['parameters']:,}", smaller, f"{found['model_bytes'] / 1e6:.1f}"]
        lines.append([name, shape, *counts, f"{found['learning_rate']:g}"])
    head = ["like", "layers x width", "tokens", "parameters", "times smaller", "MB in fp32", "learning rate"]
    return markdown_table(head, lines)


def shapes(figures: Figures) -> dict[str, Figures]:
    """The first student of each size, with its first seed's run."""
    found: dict[int, tuple[str, Figures]] = {}
    for name, student in figures["students"].items():
        for run in student["seeds"].values():
            found.setdefault(run["parameters"], (name, run))
    return dict(found.values())


def held_out(figures: Figures, table: Figures) -> str:
    """The teacher, and students with the seeds of this table whose runs are finished, on held-out text."""
    rows = {"teacher": [figures["teacher"] | figures["teacher"]["held_out"]]}
    rows |= {name: measured(figures, name, table) for name in table["students"]}
    lines = []
    for name, runs in rows.items():
        if runs and METRICS[0] in runs[0]:
            cells = [metric_text(metric, [run[metric] for run in runs]) for metric in METRICS]
            lines.append([name, f"{runs[0]['steps']:,}", *cells, len(runs)])
    return markdown_table(["model", "steps", *HEADINGS, "seeds"], lines) if lines else ""


def measured(figures: Figures, name: str, table: Figures) -> list[Figures]:
    """What a student came to with each seed of a table, where it was measured on held-out text."""
    seeds = {int(seed): run for seed, run in figures["students"][name]["seeds"].items()}
    return [seeds[seed] for seed in table["seeds"] if METRICS[0] in seeds.get(seed, {})]


def held_out_differences(figures: Figures) -> str:
    """Pairs of students: of each seed that both have, how much more the first loses and gets right; the mean."""
    rows = []
    for ours, theirs in figures["pairs"]:
        both = [figures["students"].get(name, {"seeds": {}})["seeds"] for name in (ours, theirs)]
        seeds = [seed for seed in both[0] if all(METRICS[0] in of_one.get(seed, {}) for of_one in both)]
        if seeds:
            loss, words = ([both[0][seed][m] - both[1][seed][m] for seed in seeds] for m in (METRICS[1], METRICS[3]))
            cells = [mean_text(loss, 3), mean_text([100 * value for value in words], 1)]
            rows.append([f"{ours} - {theirs}", *cells, len(seeds)])
    return markdown_table(["", HEADINGS[1], f"{HEADINGS[3]}, points", "seeds"], rows) if rows else ""


def costs(figures: Figures) -> str:
    """Seconds of a step, also as a multiple of the same student's by MLM alone."""
    seconds = figures["costs"]
    lines = []
    for name, value in seconds.items():
        alone = seconds.get(f"{shape_of(name)}-mlm-cost")
        lines.append([name.removesuffix("-cost"), f"{value:.3f}", f"{value / alone:.2f}" if alone else ""])
    return markdown_table(["training", "seconds a step", "times MLM alone"], lines) if lines else ""


def shape_of(name: str) -> str:
    """small of small-mlm, tiny-1k of tiny-1k-match."""
    words = name.split("-")
    return "-".join(words[: 2 if words[0] == "tiny" else 1])


def scores(figures: Figures, task: str) -> str:
    """Each model's scores on a task, in per cent, and its learning rate."""
    about = figures["finetuned"][task]
    examples = ", ".join(f"{count:,} for {part}" for part, count in about["examples"].items())
    names = list(next(iter(about["models"].values()))["scores"])
    names = [about["metric"], *(name for name in names if name in ("accuracy", "f1") and name != about["metric"])]
    scale = 1 if about["task"] == "sberquad" else 100  # SQuAD's script counts in per cent
    lines = []
    for model, found in about["models"].items():
        cells = [mean_text([scale * value for value in found["scores"][name]], 1) for name in names]
        tried = found["validation_of_rates"].items()
        tried = ", ".join(f"{float(rate):g}: {scale * value:.1f}" for rate, value in tried)
        steps, seeds = f"{max(found['steps']):,}", len(found["scores"][names[0]])
        lines.append([model, steps, *cells, f"{found['rate']:g}", tried, f"{100 * found['truncated']:.0f} %", seeds])
    if about["best_constant"] is not None:
        blanks = [""] * (len(names) + 3)
        lines.append(["one label for all", "", f"{100 * about['best_constant']:.1f}", *blanks])
    head = ["model", "steps", *names, "learning rate", "validation at each rate", "inputs cut", "seeds"]
    return f"Scored on the {about['split']} part. Examples: {examples}.\n\n{markdown_table(head, lines)}"


def differences(figures: Figures) -> str:
    """Pairs of fine-tuned models: points, the 95 % interval, and what it says."""
    lines = []
    for found in figures["comparisons"]:
        low, high = 100 * found["low"], 100 * found["high"]
        interval = f"{low:+.1f} to {high:+.1f}"
        verdict = "alike" if max(-low, high) <= ALIKE else "within chance" if low <= 0 <= high else "different"
        pair, seeds = f"{found['ours']} - {found['theirs']}", " and ".join(map(str, found["seeds"]))
        cells = [f"{100 * found['difference']:+.1f}", interval, seeds, verdict if min(found["seeds"]) > 1 else ""]
        lines.append([pair, found["task"], found["metric"], *cells])
    table = markdown_table(["", "task", "metric", "points", "95 % interval", "seeds", ""], lines)
    return f"{BOOTSTRAP}\n\n{table}" if lines else ""
