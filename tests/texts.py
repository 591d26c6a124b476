"""Lines of the demo corpus, for tests that need Russian text."""

import gzip
import itertools

from distillation.demo.resolve import CORPUS


def demo_lines(count: int) -> list[str]:
    """The first lines of the demo corpus: distinct sentences, 20,000 in all."""
    with gzip.open(CORPUS, "rt", encoding="utf-8") as file:
        return [line.rstrip("\n") for line in itertools.islice(file, count)]
