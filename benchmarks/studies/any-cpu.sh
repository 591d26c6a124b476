#!/usr/bin/env bash
# benchmarks/studies/any-cpu.sh DATA OUTPUT [--rehearse]
#
# A second, smaller study for any two CPU cores, six hours in all, with another teacher and benchmarks of whole texts.
# DATA has corpus/ rusentiment/ paraphraser/ xquad_ru/ russian_superglue/.
# The teacher has 1/42 of the parameters of conversational RuBERT. The students are 1.7, 18, and 32 times smaller than
# it (the paper: 1.7, 17, and 49), with vocabularies 4 and 16 times smaller than its own (the paper's: 3.9 and 23.8).
source "$(dirname "$0")/common.sh"
device=(--use_cpu true)

corpus 4000 64000 256000 '*conversational*' '*misc*' # 64,000 lines: 1,000 steps of 64
teacher --vocab_size 8000 --layers 6 --hidden_size 192 --attention_heads 6 --learning_rate 1.4e-3 --warmup_steps 200 \
    --max_steps 2000 --per_device_train_batch_size 128 --per_device_eval_batch_size 128 --save_steps 500
vocabulary 2000
vocabulary 500

every+=(--max_steps 1000 --warmup_steps 100 --per_device_train_batch_size 64 --per_device_eval_batch_size 64)
small=(--student_layers 2 --learning_rate 1.0e-3)
tiny=(--student_layers 2 --student_hidden_size 66 --student_attention_heads 6 --student_intermediate_size 198
    --learning_rate 3.0e-3 --alignment match)
tiny_2k=("${tiny[@]}" --student_vocabulary "$output/vocabulary-2000")
tiny_500=("${tiny[@]}" --student_vocabulary "$output/vocabulary-500")

student small "1 2" "${small[@]}"
student small-mlm "1 2" "${small[@]}" "${mlm[@]}"
student tiny-2k-match "1 2" "${tiny_2k[@]}"
student tiny-2k-mlm "1 2" "${tiny_2k[@]}" "${mlm[@]}"
student tiny-500-match "1 2" "${tiny_500[@]}"
student tiny-500-reduce "1 2" "${tiny_500[@]}" "${reduce[@]}"
student tiny-500-mlm "1 2" "${tiny_500[@]}" "${mlm[@]}"
student tiny-500-mlm-compute "1 2" "${tiny_500[@]}" "${mlm[@]}" "${more_text[@]}" --max_steps 2100 # a step costs 2.1 times
reduce_as_published tiny-500-reduce "${tiny_500[@]}" "${reduce[@]}"
# Why is tiny worse than small: for its width, or for too few steps?
student small-500-match 1 "${small[@]}" --student_vocabulary "$output/vocabulary-500" --alignment match
student tiny-500-match-long 1 "${tiny_500[@]}" "${more_text[@]}" --max_steps 2000
evaluate

cost small "${small[@]}"
cost small-mlm "${small[@]}" "${mlm[@]}"
cost tiny-2k-match "${tiny_2k[@]}"
cost tiny-2k-mlm "${tiny_2k[@]}" "${mlm[@]}"
cost tiny-500-match "${tiny_500[@]}"
cost tiny-500-reduce "${tiny_500[@]}" "${reduce[@]}"
cost tiny-500-mlm "${tiny_500[@]}" "${mlm[@]}"

# A tiny model needs more steps, and each is faster: more epochs, and higher rates.
for model in teacher small small-mlm; do
    finetune rusentiment 1 "3.0e-4 1.0e-3" "$model"
    finetune danetqa 3 "3.0e-4 1.0e-3" "$model"
    finetune paraphraser 3 "3.0e-4 1.0e-3" "$model"
done
for model in tiny-2k-match tiny-2k-mlm tiny-500-match tiny-500-reduce tiny-500-mlm tiny-500-mlm-compute; do
    finetune rusentiment 2 "1.0e-3 3.0e-3" "$model"
    finetune danetqa 6 "1.0e-3 3.0e-3" "$model"
    finetune paraphraser 6 "1.0e-3 3.0e-3" "$model"
done
untrained=-untrained finetune rusentiment 2 "1.0e-3 3.0e-3" tiny-500-match
untrained=-untrained finetune danetqa 6 "1.0e-3 3.0e-3" tiny-500-match
untrained=-untrained finetune paraphraser 6 "1.0e-3 3.0e-3" tiny-500-match
# Can a teacher of this size do these tasks at all? Only then would scores of its students mean anything.
finetune sberquad 2 "3.0e-4 1.0e-3" teacher
finetune terra 3 "3.0e-4 1.0e-3" teacher
finetune russe 1 "3.0e-4 1.0e-3" teacher

compare teacher small
compare small-mlm small # at equal steps
compare tiny-2k-mlm tiny-2k-match
compare tiny-500-mlm tiny-500-match tiny-500-reduce
compare tiny-500-mlm-compute tiny-500-match # at equal compute
compare tiny-500-match tiny-500-reduce
compare small tiny-2k-match tiny-500-match # does tiny reach small?
compare tiny-500-match-untrained tiny-500-match
