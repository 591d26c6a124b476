#!/usr/bin/env bash
# benchmarks/studies/teacher.sh DATA OUTPUT [--rehearse]
#
# OUTPUT/teacher for which-student.sh: a masked LM of 3 layers x 312 and 83,828 tokens. Its encoder comes from the PyPI
# package silero-stress 1.5 (MIT): rubert-tiny2, fine-tuned there to tell homographs apart. It gets a masked-LM head, and
# all of it goes on training: about an hour of one core. Loading the package runs code that the package brings.
# DATA/corpus has text files; those named *held_out* are not trained on.
source "$(dirname "$0")/common.sh"
device=(--use_cpu true)

encoder() { # FOLDER: a checkpoint of the package's encoder; what stands behind its vocabulary, two marks, is left out
    [ ! -f "$1/config.json" ] || return 0
    python -m pip install --quiet --no-deps --target "$output/silero" silero-stress==1.5
    PYTHONPATH=$output/silero python - "$1" <<'PYTHON'
import sys

from silero_stress import load_accentor
from transformers import BertConfig, BertModel, BertTokenizerFast

source, tokens, positions = load_accentor().homosolver, 83828, 512  # it has 2,048 positions
shape = {"num_hidden_layers": 3, "hidden_size": 312, "num_attention_heads": 12, "intermediate_size": 600}
config = BertConfig(vocab_size=tokens, max_position_embeddings=positions, **shape)
encoder = BertModel(config, add_pooling_layer=False)
weights = source.model.bert.state_dict()
encoder.load_state_dict({name: weights[name][: len(own)] for name, own in encoder.state_dict().items()})
vocabulary = {token: number for token, number in source.tokenizer.vocab.items() if number < tokens}
BertTokenizerFast(vocab=vocabulary, do_lower_case=False, model_max_length=positions).save_pretrained(sys.argv[1])
encoder.save_pretrained(sys.argv[1])  # the last: its config says that the folder is complete
PYTHON
}

texts teacher-talk 10000000 '^(?!.*(held|books))'
texts teacher-books 60000 '^(?!.*held).*books'
held_out_texts
cat "$output"/corpus/teacher-{talk,books}.txt >"$output/corpus/teacher.txt"

encoder "$output/encoder"
run "$output/teacher" distillation/run_teacher.py --model_name_or_path "$output/encoder" \
    --train_file "$output/corpus/teacher.txt" --validation_file "$output/corpus/held-out.txt" --max_length 64 \
    --masking_unit word --masking_probability 0.18 --learning_rate 5e-4 --warmup_steps 0.1 --weight_decay 0.01 \
    --adam_beta2 0.98 --train_sampling_strategy group_by_length --per_device_train_batch_size 128 \
    --per_device_eval_batch_size 64 --max_steps 4000 --logging_steps 100 --save_steps 500 --save_total_limit 1 --seed 0
for text in conversation books; do
    python distillation/run_evaluation.py --model_name_or_path "$output/teacher" --max_length 64 \
        --validation_file "$output/corpus/held-out-$text.txt" --output "$output/teacher-$text.json"
done
