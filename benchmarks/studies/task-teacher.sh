#!/usr/bin/env bash
# benchmarks/studies/task-teacher.sh DATA OUTPUT [--rehearse]
#
# What does a student gain by a teacher of its own task? The teacher is fine-tuned first. Students then learn from its
# answers: for the texts with labels, or for others as well. Beside them, students learn from labels alone.
# OUTPUT/teacher is a masked LM, as for which-student.sh. DATA has collection3/ rusentiment/ and corpus/ with files of
# conversation, of books, and *misc* with news and the like. About six hours of one core.
source "$(dirname "$0")/common.sh"
device=(--use_cpu true)

held_out_texts
texts_to_train_on
[ -f "$output/corpus/talk.txt" ] ||
    shuf -n 37280 --random-source=<(yes) "$output/corpus/conversation.txt" >"$output/corpus/talk.txt"
for size in 5000 20000; do
    [ -f "$output/trimmed-$size/config.json" ] || python distillation/run_trimming.py \
        --model_name_or_path "$output/teacher" --train_file "$output/corpus/train.txt" --vocab_size "$size" \
        --output_dir "$output/trimmed-$size"
done
start() { # NAME SEED [--KEY VALUE ...]: a student of 5,000 of the teacher's tokens
    run "$output/starts/$1/$2" distillation/run.py "${pretrained[@]}" --student_vocabulary "$output/trimmed-5000" \
        --seed "$2" "${@:3}"
}

tune() { # TASK NAME SEED MODEL EPOCHS [--KEY VALUE ...]: learning rates are those of which-student.sh
    local -A rate=([collection3]=1e-3 [rusentiment]=5e-4)
    run "$output/tuned/$1/$2/$3" "finetuning/run_$1.py" --model_name_or_path "$4" --data_dir "$data/$1" --seed "$3" \
        --num_train_epochs "$5" --learning_rate "${rate[$1]}" --max_length 128 --per_device_train_batch_size 32 \
        --per_device_eval_batch_size 64 "${@:6}"
}
