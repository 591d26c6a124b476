"""Stage 1: a teacher masked language model becomes a smaller student checkpoint."""

import importlib.util
import sys

if importlib.util.find_spec("tokenizers") is None:  # every script needs it, and comes by here
    print(
        "error: this Python lacks the requirements: `source .venv/bin/activate`, which ./run_all.sh makes",
        file=sys.stderr,
    )
    raise SystemExit(2)
