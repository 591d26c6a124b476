#!/usr/bin/env bash
# benchmarks/studies/teacher-cache.sh DATA OUTPUT [--rehearse]
#
# Does a cache teach as much as the teacher itself? MLM alone, the teacher in every step, and a cache, at equal steps on
# the same lines, with three seeds: for `match`, `reduce`, and one vocabulary (`same`).
# OUTPUT/teacher and DATA/corpus are as for which-student.sh. Give it an OUTPUT of its own. An hour of one core.
source "$(dirname "$0")/common.sh"
device=(--use_cpu true)

held_out_texts
texts_to_train_on
steps=160
shuf -n $((steps * 64)) --random-source=<(yes) "$output/corpus/train.txt" >"$output/corpus/cached.txt"
vocabulary 5000

every=("${pretrained[@]}" --train_file "$output/corpus/cached.txt" --max_steps "$steps" --student_layers 3
    --student_hidden_size 264 --student_intermediate_size 600 --learning_rate 1.5e-3)
seeds="0 1 2"
own=(--student_vocabulary "$output/vocabulary-5000")
whole=(--alignment same)

student own-mlm "$seeds" "${own[@]}" --weight_kl 0
student match "$seeds" "${own[@]}"
student match-cached "$seeds" "${own[@]}" --teacher_cache "$output/cache/match"
student reduce "$seeds" "${own[@]}" "${reduce[@]}"
student reduce-cached "$seeds" "${own[@]}" "${reduce[@]}" --teacher_cache "$output/cache/reduce"
student whole-mlm "$seeds" "${whole[@]}" --weight_kl 0
student same "$seeds" "${whole[@]}"
student same-cached "$seeds" "${whole[@]}" --teacher_cache "$output/cache/same"
finish

for text in conversation books; do
    python distillation/run_evaluation.py --validation_file "$output/corpus/held-out-$text.txt" --max_length 64 \
        --output "$output/held-out-$text.json" --model_name_or_path "$output/teacher" "$output"/*/seed-*
done
