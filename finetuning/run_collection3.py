"""Fine-tune on Collection-3: persons, organisations, and places in news.

python finetuning/run_collection3.py --model_name_or_path outputs/tiny-5k --data_dir COLLECTION3

COLLECTION3 holds train.txt, valid.txt, test.txt, or brat files (.txt with .ann), or is RCC-MSU/collection3 on the Hub.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from finetuning.sets import script

main = script("collection3")

if __name__ == "__main__":
    main()
