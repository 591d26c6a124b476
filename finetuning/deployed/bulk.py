"""A model over a file of any length: blocks of rows are read, answered, and written, one at a time."""

import itertools
import logging
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from distillation.config.errors import Stopped, UserError, one_line
from distillation.runs.files import sha256, weights_of
from finetuning.deployed import OPENVINO, exported_graph
from finetuning.deployed.answer_file import AnswerFile
from finetuning.deployed.arguments import PredictArguments
from finetuning.deployed.model import CHOICE, LABEL, MASK, QUESTION, Model
from finetuning.formats.stream import STDIN, Table, open_table
from finetuning.formats.table import as_text, check_columns

BLOCK = 1024  # rows; another number gives other batches, and so other scores in int8
MENTIONED = 10  # bad rows that are named one by one
DIGITS = 6  # of a score
PAIRS = {LABEL: "one column", QUESTION: "the column of the contexts", CHOICE: "a column a choice"}

Item = tuple[Mapping[str, Any], list[str], str]  # a row: its cells, its texts, and why it has none, if so

logger = logging.getLogger(__name__)


def predict(arguments: PredictArguments) -> None:
    """Answer every row of the shard, and say how it went. Raises UserError for what cannot be done, and Stopped where
    it is interrupted."""
    table, model = opened(arguments)
    mask = model.config["mask_token"] if model.kind == MASK else ""
    total, known = count(arguments, mask) if arguments.input != STDIN else (None, table.columns)
    first, after = arguments.blocks(-(-total // BLOCK)) if total is not None else (0, None)
    if first == after:
        why = f"a part has whole blocks of {BLOCK:,} rows, and {total:,} rows give {-(-total // BLOCK)}"
        logger.info("shard %s has no rows: %s", arguments.shard, why)
    names = fields(model, arguments.all_scores, known)
    out = AnswerFile(
        arguments.output, [*known, *names.values()], table.delimiter, settings(arguments), arguments.resume
    )
    if out.finished:
        logger.info("%s is complete: without `resume` it is made anew", arguments.output)
        return
    if arguments.part[0] == 1 and not out.blocks:
        out.write_header(table.mark)
    begun, bad, before = time.monotonic(), 0, out.blocks * BLOCK
    place = start = first * BLOCK + before
    rows = itertools.islice(items(arguments, table), place, after and after * BLOCK)
    shown = max(0, min(total, after * BLOCK) - first * BLOCK) if total is not None else None
    with logging_redirect_tqdm(), tqdm(desc="Answering", total=shown, initial=before, unit=" texts") as bar:
        try:
            while block := list(itertools.islice(rows, BLOCK)):
                refuse_late(block, {*known}, names.values(), out.delimiter is None)
                bad += report(block, place, bad, arguments.strict)
                out.write_block(answered(model, block, names, arguments.batch_size))
                bar.update(len(block))
                place += len(block)
        except KeyboardInterrupt:
            remedy = ": `--resume` goes on behind the last complete block" * (total is not None)
            raise Stopped(f"interrupted{remedy}", 130) from None
    out.finish()
    done, seconds = place - start, time.monotonic() - begun
    print(f"{arguments.output}: {done:,} rows in {seconds:.1f} s, {done / seconds:,.0f} a second")
    print(f"{bad:,} have no answer; {model.cut:,} texts were longer than the model reads, and cut")


def opened(arguments: PredictArguments) -> tuple[Table, Model]:
    """The input and the model. Raises UserError for a column that the input lacks, and for one more or less than the
    model reads."""
    table = open_table(arguments.input)
    if not table.columns:
        _, problem = next(table.rows, ({}, "it is empty"))
        raise UserError(f"{arguments.input} has no columns ({problem}): name a file that has texts")
    first, *others = arguments.columns
    check_columns({first: "text_column"} | dict.fromkeys(others, "text_pair_column"), table.columns, arguments.input)
    model = load(arguments.model_name_or_path)
    if not model.texts[0] <= len(arguments.columns) <= model.texts[1]:
        pairs = [PAIRS.get(model.kind, "")] * (model.texts[1] > 1) + ["none"] * (model.texts[0] == 1)
        raise UserError(f"`text_pair_column` for a model of this kind: give {' or '.join(pairs)}")
    return table, model


def load(name: str) -> Model:
    """An exported folder, run without torch and transformers, or a checkpoint. Raises UserError for any other."""
    if Path(name, OPENVINO).exists():
        raise UserError(f"`model_name_or_path` {name!r} is for OpenVINO: export it with `--backend onnx-int8`")
    if not exported_graph(name):
        from finetuning.deployed.checkpoint import Checkpoint

        return Checkpoint(name)
    try:
        return Model(name, int(os.environ.get("OMP_NUM_THREADS") or 0))
    except Exception as error:  # of tokenizers and ONNX Runtime, which have types of their own
        raise UserError(f"`model_name_or_path` {name!r} cannot be opened: {one_line(error)}") from None


def settings(arguments: PredictArguments) -> dict[str, Any]:
    """What decides the answers, or tells a file from another."""
    found = {key: value for key, value in asdict(arguments).items() if key not in ("output", "resume", "strict")}
    model = arguments.model_name_or_path
    found["model_name_or_path"] = [model, sha256(graph) if (graph := exported_graph(model)) else weights_of(model)]
    content = [sha256(Path(arguments.input))] if arguments.input != STDIN else []
    return found | {"input": [arguments.input, *content]}


def count(arguments: PredictArguments, mask: str) -> tuple[int, list[str]]:
    """How many rows the input has, and all its columns: a later line of JSON may have other keys. Raises UserError if
    none has a text, or none the mask of a masked LM, which would copy all; and with `strict` for bad ones."""
    total, good, masked, bad, table = 0, 0, False, [], open_table(arguments.input)
    columns = dict.fromkeys(table.columns)
    for total, (cells, texts, problem) in enumerate(items(arguments, table), start=1):
        columns |= dict.fromkeys(cells)
        good += not problem
        masked |= not problem and mask in texts[0]
        if problem and len(bad) < MENTIONED:
            bad.append(f"row {total}: {problem}")
    if not good:
        raise UserError(f"{arguments.input} has no row with a text ({bad[0] if bad else 'it has no rows'})")
    if not masked:
        raise UserError(
            f"`model_name_or_path` {arguments.model_name_or_path!r} fills in {mask}, and no text has one: name a "
            "model that was fine-tuned on a task"
        )
    if bad and arguments.strict:
        raise UserError(f"{arguments.input}: {'; '.join(bad)}: mend these, or leave `strict` out")
    return total, list(columns)


def items(arguments: PredictArguments, table: Table) -> Iterator[Item]:
    """Every row with its texts, as fine-tuning reads cells."""
    for cells, problem in table.rows:
        texts = [as_text(cells.get(column)) for column in arguments.columns]
        for column, text in zip(arguments.columns, texts, strict=True):
            if text is None:
                problem = problem or f"`{column}` is a {type(cells[column]).__name__}"
            elif not any(character.isprintable() and character != " " for character in text):
                problem = problem or f"`{column}` is blank"  # control characters too
        yield cells, texts, problem


def refuse_late(block: Sequence[Item], known: Set[str], answers: Collection[str], is_json: bool) -> None:
    """Raise UserError for a key that appears only after the columns were written: its values would be lost.
    known: the columns of the input; answers: those of the answers."""
    for cells, *_ in block:
        if lost := cells.keys() & answers if is_json else cells.keys() - known:
            raise UserError(f"a row has {min(lost)!r}, which the first rows lack: give a file as `input`")


def report(block: Sequence[Item], before: int, named: int, strict: bool) -> int:
    """Tell the first rows without an answer by their numbers; how many the block has."""
    bad = [(number, problem) for number, (*_, problem) in enumerate(block, start=before + 1) if problem]
    for number, problem in bad[: max(0, MENTIONED - named)]:
        if strict:
            raise UserError(f"row {number}: {problem}: mend it, or leave `strict` out")
        logger.warning("row %d has no answer: %s", number, problem)
    return len(bad)


def fields(model: Model, all_scores: bool, columns: Sequence[str]) -> dict[str, str]:
    """The keys of an answer, and the columns they go to: no column of the input is written over."""
    names = {key: key for key in model(*["?"] * model.texts[0]) if all_scores or key != "scores"}
    for key in names:
        while names[key] in columns:
            names[key] = f"predicted_{names[key]}"
    return names


def answered(model: Model, block: Sequence[Item], names: Mapping[str, str], batch_size: int) -> list[dict[str, Any]]:
    """The rows of a block with their answers, which are None for a bad row."""
    answers = iter(model.batch([texts for _, texts, problem in block if not problem], batch_size))
    rows = []
    for cells, _, problem in block:
        answer = {} if problem else next(answers)
        rows.append({**cells, **{name: rounded(answer.get(key)) for key, name in names.items()}})
    return rows


def rounded(value: Any) -> Any:
    """The same with `DIGITS` of each score."""
    if isinstance(value, list):
        return [rounded(one) for one in value]
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return round(value, DIGITS) if isinstance(value, float) else value
