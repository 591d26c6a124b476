"""JSON, and JSON Lines, with the line of what is broken."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distillation.config.errors import UserError, one_line
from finetuning.formats.locate import read_text


def parse(place: str | Path, text: str) -> Any:
    """The content of a JSON text. Raises UserError with its place where it is broken or ends early."""
    try:
        content = json.loads(text)
        if "\\ud" in text.lower():
            json.dumps(content, ensure_ascii=False).encode()  # raises if half of a surrogate pair is left
        return content
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place}: broken JSON ({one_line(error)}); mend it or fetch the file again") from None


def json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """The place and the content of each line that is not blank. Raises UserError for a line that is no JSON."""
    # Not splitlines: JSON may hold U+2028 and its like inside strings.
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            yield f"{path}:{number}", parse(f"{path}:{number}", line)
