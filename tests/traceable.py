"""Is every number of a text one of the results?"""

import re


def leaves(value):
    """All numbers in results, also those inside texts."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from leaves(item)
    elif isinstance(value, str):
        yield from map(float, re.findall(r"\d+(?:\.\d+)?", value))
    elif isinstance(value, int | float):
        yield float(value)


def untraceable(text, known):
    """The numbers of a text that none of the known ones is, rounded, without a sign, as it is, in per cent, or MiB."""
    found = []
    for token in re.findall(r"(?<![\w.])(?<!\w-)\d[\d,]*(?:\.\d+)?(?!\w)", text):
        value, half = float(token.replace(",", "")), 0.5000001 * 10 ** -len(token.partition(".")[2])
        if not any(abs(value - abs(number) * unit) <= half for number in known for unit in (1, 100, 2**-20)):
            found.append(token)
    return found
