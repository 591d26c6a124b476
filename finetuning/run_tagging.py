"""Fine-tune on one's own texts with entities of any types: CoNLL, JSON lines with spans, or brat.

python finetuning/run_tagging.py --model_name_or_path outputs/tiny-5k --train_file goods.jsonl

A line of JSON has a text and the spans of its entities: {"text": "Чай и мёд", "spans": [[0, 3, "DRINK"]]}.

Without a test file a tenth of the texts is set aside and reported; it is always the same.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from finetuning.arguments import OwnData
from finetuning.sets import script

main = script("tagging", OwnData)

if __name__ == "__main__":
    main()
