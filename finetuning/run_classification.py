"""Fine-tune on one's own texts, or pairs of texts, with any labels, in CSV, TSV, JSON lines, or Parquet.

python finetuning/run_classification.py --model_name_or_path outputs/tiny-5k --train_file reviews.csv \\
    --text_column review --label_column stars

Without a test file a tenth of the texts is set aside and reported; it is always the same.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from finetuning.arguments import OwnData
from finetuning.sets import script

main = script("classification", OwnData)

if __name__ == "__main__":
    main()
