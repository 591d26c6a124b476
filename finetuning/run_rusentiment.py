"""Fine-tune on RuSentiment: the sentiment of posts in a social network, five classes.

python finetuning/run_rusentiment.py --model_name_or_path outputs/tiny-5k --data_dir RUSENTIMENT

RUSENTIMENT holds rusentiment_random_posts.csv, rusentiment_test.csv, and perhaps rusentiment_preselected_posts.csv.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from finetuning.sets import script

main = script("rusentiment")

if __name__ == "__main__":
    main()
