"""What the file of a study has to hold, and the sentence for what it does not."""

from typing import Any

from distillation.config.recipe import UserError

NUMBER = (int, float)
ANY = "*"  # of a mapping, any other name
KINDS = {int: "a whole number", NUMBER: "a number", str: "text", dict: "a mapping", list: "a list"}

# A list holds things of one shape; a mapping the keys named, of which those with a question mark may be missing.
STUDY = {
    "machine": str,
    "minutes": {ANY: NUMBER},
    "corpus": {
        "files": [str],
        "held_out_lines": int,
        "validation_lines": int,
        "student_lines": int,
        "train_lines?": int,
    },
    "vocabularies": [int],
    "teacher": {"train_file": str, "validation_file": str, "max_length": int, ANY: object},
    "blocks": {ANY: dict},
    "students": {ANY: dict},
    "tables": {ANY: {"title": str, "seeds": [int], "students": [str], "base?": str}},
    "costs": [str],
    "finetuning": {"models": [str], "random": [str], "seeds": [int], "rates": {ANY: [NUMBER]}, "keys": {ANY: dict}},
    "tasks": {ANY: {"script": str, "data": str, "keys?": {ANY: dict}, "models?": [str], "seeds?": [int]}},
    "comparisons": [[str]],
}


def check(value: Any, shape: Any, where: str) -> None:
    """Raise UserError, with `where`, for what has another shape."""
    if isinstance(shape, list):
        _check_kind(value, list, where)
        for one in value:
            check(one, shape[0], where)
    elif isinstance(shape, dict):
        _check_kind(value, dict, where)
        known = {key.removesuffix("?"): inner for key, inner in shape.items() if key != ANY}
        for key in shape:
            if key not in value and key != ANY and not key.endswith("?"):
                raise UserError(f"{where}: `{key}` is missing")
        for key, inner in value.items():
            if key not in known and ANY not in shape:
                raise UserError(f"{where}: unknown key `{key}`; it takes {', '.join(known)}")
            check(inner, known.get(key, shape.get(ANY)), f"{where}: `{key}`")
    else:
        _check_kind(value, shape, where)


def _check_kind(value: Any, kind: Any, where: str) -> None:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not object):
        raise UserError(f"{where} is {type(value).__name__}, and should be {KINDS[kind]}")
