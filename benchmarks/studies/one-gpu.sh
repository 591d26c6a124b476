#!/usr/bin/env bash
# benchmarks/studies/one-gpu.sh DATA OUTPUT [--rehearse]
#
# One GPU, about twelve hours in all. It was never run, so the time is a guess. The steps of the `-compute` students are
# a guess too: they must take as long as distillation, so correct them by the seconds a step that the study prints.
# DATA has corpus/ rusentiment/ paraphraser/ collection3/ xquad_ru/ russian_superglue/.
# A teacher with the depth of conversational RuBERT and two thirds of its width and vocabulary; the students have the
# vocabularies of the paper, and are 1.7, 16, and 57 times smaller (the paper: 1.7, 17, and 49).
source "$(dirname "$0")/common.sh"
jobs=1
device=(--bf16 true)

corpus 4000 512000 1000000 '*' # 512,000 lines: 2,000 steps of 256
teacher --vocab_size 80000 --layers 12 --hidden_size 512 --attention_heads 8 --learning_rate 5.0e-4 --warmup_steps 500 \
    --max_steps 6000 --per_device_train_batch_size 768 --per_device_eval_batch_size 512 --save_steps 1000
vocabulary 30522
vocabulary 5031

every+=(--max_steps 2000 --warmup_steps 200 --per_device_train_batch_size 256 --per_device_eval_batch_size 256)
small=(--student_layers 2 --learning_rate 1.0e-3)
tiny_80k=(--student_layers 3 --student_hidden_size 144 --student_attention_heads 8 --student_intermediate_size 432
    --learning_rate 3.0e-3)
tiny_30k=("${tiny_80k[@]}" --student_vocabulary "$output/vocabulary-30522" --alignment match)
tiny_5k=("${tiny_80k[@]}" --student_vocabulary "$output/vocabulary-5031" --alignment match)

student small "1 2" "${small[@]}"
student small-mlm "1 2" "${small[@]}" "${mlm[@]}"
student tiny-30k-match "1 2" "${tiny_30k[@]}"
student tiny-30k-reduce "1 2" "${tiny_30k[@]}" "${reduce[@]}"
student tiny-30k-mlm "1 2" "${tiny_30k[@]}" "${mlm[@]}"
student tiny-5k-match "1 2" "${tiny_5k[@]}"
student tiny-5k-reduce "1 2" "${tiny_5k[@]}" "${reduce[@]}"
student tiny-5k-mlm "1 2" "${tiny_5k[@]}" "${mlm[@]}"

# Controls: as much compute by MLM alone, on fresh text; MLM on both inputs of `reduce`; MLM without any teacher.
student small-mlm-compute "1 2" "${small[@]}" "${mlm[@]}" "${more_text[@]}" --max_steps 6000 # if a step costs 3 times
student tiny-30k-mlm-compute "1 2" "${tiny_30k[@]}" "${mlm[@]}" "${more_text[@]}" --max_steps 10000 # if 5 times
student tiny-5k-mlm-compute "1 2" "${tiny_5k[@]}" "${mlm[@]}" "${more_text[@]}" --max_steps 10000
student tiny-30k-mlm-both "1 2" "${tiny_30k[@]}" "${mlm[@]}" "${reduce[@]}" --mlm_inputs both
student tiny-5k-mlm-both "1 2" "${tiny_5k[@]}" "${mlm[@]}" "${reduce[@]}" --mlm_inputs both
student small-mlm-random "1 2" "${small[@]}" "${mlm[@]}" --student_initialisation random
student tiny-5k-mlm-random "1 2" "${tiny_5k[@]}" "${mlm[@]}" --student_initialisation random

dropped_terms small "1 2" "${small[@]}"
choices_by_match tiny-5k-match "${tiny_5k[@]}"
choices_by_reduce tiny-5k-reduce "${tiny_5k[@]}" "${reduce[@]}"
reduce_as_published tiny-5k-reduce "${tiny_5k[@]}" "${reduce[@]}"

# Why is tiny worse than small: for its width, its vocabulary, or too few steps?
student tiny-80k 1 "${tiny_80k[@]}"
student small-5k-match 1 "${small[@]}" --student_vocabulary "$output/vocabulary-5031" --alignment match
student tiny-30k-match-long 1 "${tiny_30k[@]}" "${more_text[@]}" --max_steps 6000
student tiny-5k-match-long 1 "${tiny_5k[@]}" "${more_text[@]}" --max_steps 6000
student tiny-30k-mlm-long 1 "${tiny_30k[@]}" "${mlm[@]}" "${more_text[@]}" --max_steps 30000 # as much compute as that
student tiny-5k-mlm-long 1 "${tiny_5k[@]}" "${mlm[@]}" "${more_text[@]}" --max_steps 30000

# Other learning rates.
student small-fast 1 "${small[@]}" --learning_rate 2.0e-3
student small-mlm-fast 1 "${small[@]}" "${mlm[@]}" --learning_rate 2.0e-3
for rate in 1.5e-3 6.0e-3; do
    student "tiny-5k-match-$rate" 1 "${tiny_5k[@]}" --learning_rate "$rate"
    student "tiny-5k-mlm-$rate" 1 "${tiny_5k[@]}" "${mlm[@]}" --learning_rate "$rate"
done
evaluate

cost small "${small[@]}"
cost small-mlm "${small[@]}" "${mlm[@]}"
cost tiny-30k-match "${tiny_30k[@]}"
cost tiny-30k-mlm "${tiny_30k[@]}" "${mlm[@]}"
cost tiny-5k-match "${tiny_5k[@]}"
cost tiny-5k-reduce "${tiny_5k[@]}" "${reduce[@]}"
cost tiny-5k-mlm "${tiny_5k[@]}" "${mlm[@]}"

# A tiny model needs more steps, and each is faster: more epochs, and higher rates.
three() { # EPOCHS RATES MODEL [--KEY VALUE ...]: RuSentiment for so many epochs, the others for twice as many
    finetune rusentiment "$1" "$2" "${@:3}"
    finetune paraphraser $((2 * $1)) "$2" "${@:3}"
    finetune collection3 $((2 * $1)) "$2" "${@:3}"
}
for model in teacher small small-mlm small-mlm-compute; do three 2 "2.0e-4 6.0e-4" "$model"; done
for vocabulary in 30k 5k; do
    for way in match reduce mlm mlm-compute; do three 4 "5.0e-4 1.5e-3 4.0e-3" "tiny-$vocabulary-$way"; done
done
untrained=-untrained three 2 "2.0e-4 6.0e-4" small
untrained=-untrained three 4 "5.0e-4 1.5e-3 4.0e-3" tiny-5k-match
# Can a teacher of this size do these tasks at all? Only then would scores of its students mean anything.
finetune sberquad 4 "2.0e-4 6.0e-4" teacher
finetune terra 4 "2.0e-4 6.0e-4" teacher
finetune danetqa 4 "2.0e-4 6.0e-4" teacher
finetune russe 1 "2.0e-4 6.0e-4" teacher

compare teacher small
compare small-mlm small # at equal steps
compare tiny-30k-mlm tiny-30k-match tiny-30k-reduce
compare tiny-5k-mlm tiny-5k-match tiny-5k-reduce
compare small-mlm-compute small # at equal compute
compare tiny-30k-mlm-compute tiny-30k-match
compare tiny-5k-mlm-compute tiny-5k-match
compare tiny-30k-match tiny-30k-reduce
compare tiny-5k-match tiny-5k-reduce
compare small tiny-30k-match tiny-5k-match # does tiny reach small?
compare small-untrained small
compare tiny-5k-match-untrained tiny-5k-match
