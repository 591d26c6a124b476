"""Fine-tune on SberQuAD: find the answer to a question in a paragraph. Or on any set in SQuAD's format.

python finetuning/run_sberquad.py --model_name_or_path outputs/tiny-5k --data_dir SBERQUAD
python finetuning/run_sberquad.py --model_name_or_path outputs/tiny-5k --train_file questions.json

SBERQUAD holds train-v1.1.json and dev-v1.1.json, or is kuznetsoffandrey/sberquad on the Hub. Files of one's own have
SQuAD's layout (.json), or in each line a question with id, context, question, and answers (.jsonl).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from finetuning.arguments import OwnData
from finetuning.sets import script

main = script("sberquad", OwnData)

if __name__ == "__main__":
    main()
