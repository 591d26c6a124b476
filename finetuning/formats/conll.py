"""CoNLL files: a word and its tag in every line, a blank line after each sentence."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from distillation.config.errors import UserError
from distillation.runs.files import write_text
from finetuning.formats.locate import read_text
from finetuning.tasks.bio_spans import bio_tags, decode, encode

NEW_DOCUMENT = ("<DOCSTART>", "-DOCSTART-")


def read(path: Path, split: str, types: Mapping[str, str]) -> list[dict]:
    """One row for each sentence of a file; its `id` is the split and a number from 0.

    types: the entity types that the file may have, each with the type to read it as.
    Raises UserError with the line that is no `token<TAB>tag`, or for a file without any.
    """
    known, sentences, ended = bio_tags(types), [], True
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        line = line.removesuffix("\r")
        if not line or line.startswith(NEW_DOCUMENT):
            ended = True
            continue
        token, _, tag = line.partition("\t")
        if not token or "\t" not in line:
            raise UserError(f"{path}:{number}: expected `token<TAB>tag`, got {line!r}; a blank line ends a sentence")
        if tag not in known:
            raise UserError(f"{path}:{number}: unknown tag {tag!r}; known are {', '.join(known)}")
        if ended:
            sentences.append(([], []))
            ended = False
        sentences[-1][0].append(token)
        sentences[-1][1].append(tag)
    if not sentences:
        raise UserError(f"{path} has no sentence; give a file of `token<TAB>tag` lines")
    return [row(f"{split}-{index}", *sentence, types) for index, sentence in enumerate(sentences)]


def row(name: str, tokens: Sequence[str], tags: Sequence[str], types: Mapping[str, str]) -> dict:
    """A row of `id`, `text`, `words`, `tags`; the text is the tokens with one space between them.

    Tags become those of the types asked for, and every entity begins with `B-`: two neighbours of different types may
    be read as one type and must stay two.
    """
    words, place = [], 0
    for token in tokens:
        words.append([place, place + len(token)])
        place += len(token) + 1
    spans = [(types[kind], first, after) for kind, first, after in decode(tags)]
    return {"id": name, "text": " ".join(tokens), "words": words, "tags": encode(spans, len(tokens))}


def write(path: Path, rows: Sequence[dict], tags: Sequence[Sequence[str]]) -> Path:
    """Write the words of rows with tags for them, one sequence of tags a row, and a blank line after each row."""
    lines = []
    for example, of_row in zip(rows, tags, strict=True):
        words = [example["text"][start:end] for start, end in example["words"]]
        lines += [f"{word}\t{tag}\n" for word, tag in zip(words, of_row, strict=True)]
        lines.append("\n")
    write_text(path, "".join(lines))
    return path
