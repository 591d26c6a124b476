"""JSON, and JSON Lines, with the line of what is broken."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distillation.config.errors import UserError, one_line
from finetuning.formats.locate import read_text


def parse(path: Path, text: str, first_line: int = 1) -> Any:
    """The content of a JSON text that begins on a line of a file.

    Raises UserError by line and column where it is broken or ends early.
    """
    try:
        content = json.loads(text)
        if "\\ud" in text.lower():
            json.dumps(content, ensure_ascii=False).encode()  # half a surrogate pair is a text that nobody can read
        return content
    except json.JSONDecodeError as error:
        place = f"{path}:{first_line + error.lineno - 1}: broken JSON at column {error.colno}"
        raise UserError(f"{place} ({error.msg}); mend it or fetch the file again") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists in lists
        raise UserError(f"{path}:{first_line}: JSON that cannot be read ({one_line(error)}); mend it") from None


def json_lines(path: Path, text: str | None = None) -> Iterator[tuple[str, Any]]:
    """The place and the content of each line that is not blank.

    text: of the file, where it is read already.

    Raises UserError for a file that cannot be read and a line that is no JSON.
    """
    # Not splitlines: JSON may hold U+2028 and its like inside strings.
    for number, line in enumerate((read_text(path) if text is None else text).split("\n"), start=1):
        if line.strip():
            yield f"{path}:{number}", parse(path, line, number)
