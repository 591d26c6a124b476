"""Fine-tune on ParaPhraser: whether two headlines say the same.

python finetuning/run_paraphraser.py --model_name_or_path outputs/tiny-5k --data_dir PARAPHRASER

PARAPHRASER holds paraphrases.xml and paraphrases_gold.xml, or is merionum/ru_paraphraser on the Hub.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from finetuning.sets import script

main = script("paraphraser")

if __name__ == "__main__":
    main()
