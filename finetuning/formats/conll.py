"""CoNLL files: in every line a word and, perhaps behind other columns, its tag; a blank line after each sentence."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from distillation.config.errors import UserError
from distillation.runs.files import write_text
from finetuning.deployed.model import tag_spans
from finetuning.formats.locate import read_text
from finetuning.formats.values import Wrong, collect, value, without_halves
from finetuning.tasks.bio_spans import bio_tags, encode, words_of

ANY = re.compile("O|[BIESLUM]-.+")  # tags of BIO, of IOB1, BIOES, BILOU, and BMES
NEW_DOCUMENT = ("<DOCSTART>", "-DOCSTART-")


def sentences(path: Path) -> Iterator[tuple[str, dict]]:
    """The sentences of a file as the Hub has them, `tokens` and `ner_tags`, each with the place of its first line.
    The first column is the token, the last one the tag; tabs stand between them, or spaces.
    Raises UserError with the line that has not both.
    """
    pairs: list[list[str]] = []
    for number, line in enumerate([*read_text(path).split("\n"), ""], start=1):
        line = line.removesuffix("\r").strip(" ")
        if line and not line.startswith(NEW_DOCUMENT):
            # Not split(): tokens may hold other white space, such as U+2028.
            cells = line.split("\t") if "\t" in line else re.split(" +", line)
            pairs.append([cells[0], cells[-1].strip(" ")])
            if len(cells) < 2 or not cells[0]:
                raise UserError(
                    f"{path}:{number}: expected `token<TAB>tag`, got {line!r}; a blank line ends a sentence"
                )
        elif pairs:
            tokens, tags = map(list, zip(*pairs, strict=True))
            yield f"{path}:{number - len(pairs)}", {"tokens": tokens, "ner_tags": tags}
            pairs = []


def rows(part: str, name: str, raws: Iterable[tuple[str, Any]], types: Mapping[str, str] | None) -> list[dict]:
    """A row for each sentence: `id`, the part and a number from 0; `text`, the tokens with one space between them;
    `words`, the spans of their words, which are those that a text without tokens will have; `tags`.

    Every entity begins with `B-`: two neighbours of different types may be read as one type and must stay two.
    types: the entity types that sentences may have, each with the type to read it as; None for any.
    Raises UserError with the place of a sentence that has another tag, and for a file without sentences.
    """
    known, made = bio_tags(types or ["TYPE"]), []

    def make(raw: Any) -> list[dict]:
        tokens, tags = value(raw, "tokens", list), value(raw, "ner_tags", list)
        if len(tokens) != len(tags) or not all(isinstance(one, str) for one in tokens + tags):
            raise Wrong("`tokens` and `ner_tags` must be lists of as many texts each; a tag is a name such as B-PER")
        for token, tag in zip(tokens, tags, strict=True):
            if not ANY.fullmatch(tag) if types is None else tag not in known:
                raise Wrong(f"unknown tag {tag!r} of {token!r}; known are {', '.join(known)}")
        tokens = [without_halves(token)[0] for token in tokens]
        starts = accumulate((len(token) + 1 for token in tokens), initial=0)
        pieces = [words_of(token) or [[0, len(token)]] for token in tokens]
        words = [
            [start + first, start + after] for start, of in zip(starts, pieces, strict=False) for first, after in of
        ]
        place = list(accumulate(map(len, pieces), initial=0))  # of a token's first word
        spans = [(types[kind] if types else kind, place[one], place[after]) for kind, one, after in tag_spans(tags)]
        text, tags = " ".join(tokens), encode(spans, len(words))
        made.append({"id": f"{part}-{len(made)}", "text": text, "words": words, "tags": tags})
        return made[-1:]

    return collect(name, raws, make)


def write(folder: Path, rows: Sequence[dict], predictions: Sequence[Sequence[str]]) -> Path:
    """Write `test_predictions.txt`: the words of rows with the predicted tags, and a blank line after each row."""
    path, lines = folder / "test_predictions.txt", []
    for example, of_row in zip(rows, predictions, strict=True):
        words = [example["text"][start:end] for start, end in example["words"]]
        lines += [f"{word}\t{tag}\n" for word, tag in zip(words, of_row, strict=True)] + ["\n"]
    write_text(path, "".join(lines))
    return path
