#!/usr/bin/env bash
# benchmarks/studies/two-cores.sh DATA OUTPUT [--rehearse]
#
# Two CPU cores with bf16 instructions, 14 hours in all. A processor without them emulates bf16 and takes many times as
# long: use any-cpu.sh there. DATA has corpus/ and collection3/.
# The teacher has 1/20 of the parameters of conversational RuBERT. The students are 1.5, 19, and 39 times smaller than
# it (the paper: 1.7, 17, and 49), with vocabularies 4 and 16 times smaller than its own (the paper's: 3.9 and 23.8).
source "$(dirname "$0")/common.sh"
device=(--use_cpu true)

corpus 4000 64000 1000000 '*conversational*' '*misc*' # 64,000 lines: 1,000 steps of 64
teacher --vocab_size 16000 --layers 6 --hidden_size 256 --attention_heads 4 --learning_rate 1.0e-3 --warmup_steps 300 \
    --max_steps 4000 --per_device_train_batch_size 128 --per_device_eval_batch_size 128 --save_steps 1000 --bf16 true
vocabulary 4000
vocabulary 1000

every+=(--max_steps 1000 --warmup_steps 100 --per_device_train_batch_size 64 --per_device_eval_batch_size 64 --bf16 true)
small=(--student_layers 2 --learning_rate 1.0e-3)
tiny_16k=(--student_layers 2 --student_hidden_size 80 --student_attention_heads 4 --student_intermediate_size 240
    --learning_rate 3.0e-3)
tiny_4k=("${tiny_16k[@]}" --student_vocabulary "$output/vocabulary-4000" --alignment match)
tiny_1k=("${tiny_16k[@]}" --student_vocabulary "$output/vocabulary-1000" --alignment match)
cache() { printf -- '--teacher_cache\n%s\n' "$output/cache/$1"; }

for seeds in 1 "1 2"; do # the first seeds fill the teacher's caches, which the others read
    student small "$seeds" "${small[@]}" $(cache small)
    student tiny-4k-match "$seeds" "${tiny_4k[@]}" $(cache tiny-4k-match)
    student tiny-4k-reduce "$seeds" "${tiny_4k[@]}" "${reduce[@]}" $(cache tiny-4k-reduce)
    student tiny-1k-match "$seeds" "${tiny_1k[@]}" $(cache tiny-1k-match)
    student tiny-1k-reduce "$seeds" "${tiny_1k[@]}" "${reduce[@]}" $(cache tiny-1k-reduce)
    finish
done
student small-mlm "1 2" "${small[@]}" "${mlm[@]}"
student tiny-4k-mlm "1 2" "${tiny_4k[@]}" "${mlm[@]}"
student tiny-1k-mlm "1 2" "${tiny_1k[@]}" "${mlm[@]}"

# Controls: as much compute by MLM alone, on fresh text; MLM on both inputs of `reduce`; MLM without any teacher.
student small-mlm-compute "1 2" "${small[@]}" "${mlm[@]}" "${more_text[@]}" --max_steps 1550 # a step costs 1.5 times
student tiny-4k-mlm-compute "1 2" "${tiny_4k[@]}" "${mlm[@]}" "${more_text[@]}" --max_steps 2500 # 2.5 times
student tiny-1k-mlm-compute "1 2" "${tiny_1k[@]}" "${mlm[@]}" "${more_text[@]}" --max_steps 2500
student tiny-4k-mlm-both "1 2" "${tiny_4k[@]}" "${mlm[@]}" "${reduce[@]}" --mlm_inputs both
student tiny-1k-mlm-both "1 2" "${tiny_1k[@]}" "${mlm[@]}" "${reduce[@]}" --mlm_inputs both
student small-mlm-random "1 2" "${small[@]}" "${mlm[@]}" --student_initialisation random
student tiny-1k-mlm-random "1 2" "${tiny_1k[@]}" "${mlm[@]}" --student_initialisation random

dropped_terms small "1 2" "${small[@]}"
choices_by_match tiny-1k-match "${tiny_1k[@]}"
choices_by_reduce tiny-1k-reduce "${tiny_1k[@]}" "${reduce[@]}"
student tiny-16k 1 "${tiny_16k[@]}" # as narrow, with the teacher's vocabulary
evaluate

cost small "${small[@]}"
cost small-mlm "${small[@]}" "${mlm[@]}"
cost tiny-1k-match "${tiny_1k[@]}"
cost tiny-1k-reduce "${tiny_1k[@]}" "${reduce[@]}"
cost tiny-1k-mlm "${tiny_1k[@]}" "${mlm[@]}"

# A tiny model needs more steps, and each is faster: more epochs, higher rates, and fp32, which is faster there.
for model in teacher small small-mlm small-mlm-compute; do
    finetune collection3 3 "3.0e-4 1.0e-3" "$model" --bf16 true
done
for model in tiny-4k-match tiny-4k-reduce tiny-4k-mlm tiny-1k-match tiny-1k-reduce tiny-1k-mlm tiny-1k-mlm-compute; do
    finetune collection3 6 "1.0e-3 3.0e-3" "$model"
done
untrained=-untrained finetune collection3 6 "1.0e-3 3.0e-3" tiny-1k-match

compare teacher small
compare small-mlm small # at equal steps
compare tiny-4k-mlm tiny-4k-match tiny-4k-reduce
compare tiny-1k-mlm tiny-1k-match tiny-1k-reduce
compare small-mlm-compute small # at equal compute
compare tiny-4k-mlm-compute tiny-4k-match
compare tiny-1k-mlm-compute tiny-1k-match
compare tiny-4k-match tiny-4k-reduce
compare tiny-1k-match tiny-1k-reduce
compare small tiny-4k-match tiny-1k-match # does tiny reach small?
compare tiny-1k-match-untrained tiny-1k-match
