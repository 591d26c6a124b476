#!/usr/bin/env bash
# benchmarks/studies/task-teacher.sh DATA OUTPUT [--rehearse]
#
# What is a student worth on a task, once it has been fine-tuned for long, and what does it gain by a teacher of the task?
# The teacher is fine-tuned first. A student then learns from its answers: for the texts with labels, or for others too.
# OUTPUT/teacher is a masked LM, as for which-student.sh. DATA has collection3/ rusentiment/ and corpus/ with files of
# conversation, of books, and *misc* with news and the like; those named *held_out* are not trained on. About eight hours
# of one core.
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
vocabulary 5000
distilled() { # NAME SEEDS [--KEY VALUE ...]: the students of which-student.sh
    local seed
    for seed in $2; do
        meanwhile run "$output/models/$1/$seed/model" distillation/run.py "${pretrained[@]}" --seed "$seed" "${@:3}"
    done
}
own=(--student_vocabulary "$output/vocabulary-5000" --student_layers 3)
healed=(--student_vocabulary "$output/trimmed-5000" --student_initialisation same_shape --learning_rate 5e-4)
distilled healed-match "0 1 2" "${healed[@]}" --max_steps 570
distilled healed-match-22-108min 0 "${healed[@]}" --masking_probability 0.22 --max_steps 6840
distilled flat-own-match "0 1 2" "${own[@]}" --student_intermediate_size 200 --learning_rate 1e-3 --max_steps 700
distilled one-layer 0 "${own[@]}" --student_intermediate_size 600 --learning_rate 7e-4 --student_layers 1 --max_steps 1000
finish

news=(--unlabelled_file "$data/corpus/*misc*")
talk=(--unlabelled_file "$output/corpus/talk.txt")
tuned=$output/tuned
entities() { tune collection3 1e-3 "$@"; } # the learning rates of which-student.sh
sentiment() { tune rusentiment 5e-4 "$@"; }
tune() { # TASK RATE NAME SEEDS START EPOCHS [--KEY VALUE ...]; in START, SEED stands for the seed
    local seed
    for seed in $4; do
        meanwhile run "$tuned/$3/$seed/tasks/$1" "finetuning/run_$1.py" --model_name_or_path "${5/SEED/$seed}" \
            --data_dir "$data/$1" --seed "$seed" --num_train_epochs "$6" --learning_rate "$2" --max_length 128 \
            --per_device_train_batch_size 32 --per_device_eval_batch_size 64 "${@:7}"
    done
}

made=$output/models
entities teacher-2-epochs 0 "$output/teacher" 2
entities teacher-10-epochs "0 1 2" "$output/teacher" 10
sentiment teacher-1-epoch 0 "$output/teacher" 1
sentiment teacher-3-epochs 0 "$output/teacher" 3
entities trimmed-5000-2-epochs 0 "$output/trimmed-5000" 2
entities trimmed-5000-10-epochs "0 1 2" "$output/trimmed-5000" 10
entities trimmed-20000-10-epochs 0 "$output/trimmed-20000" 10
entities healed-match-2-epochs 0 "$made/healed-match/SEED/model" 2
entities healed-match-10-epochs "0 1 2" "$made/healed-match/SEED/model" 10
entities healed-match-22-108min-10-epochs 0 "$made/healed-match-22-108min/SEED/model" 10
entities flat-own-match-10-epochs "0 1 2" "$made/flat-own-match/SEED/model" 10
entities one-layer-10-epochs 0 "$made/one-layer/SEED/model" 10
sentiment trimmed-5000-1-epoch 0 "$output/trimmed-5000" 1
sentiment trimmed-5000-3-epochs 0 "$output/trimmed-5000" 3
finish

# A student with so many more texts takes about as many steps in two epochs as it takes in ten without them.
by_2=(--task_teacher "$tuned/teacher-2-epochs/0/tasks/collection3")
by_10=(--task_teacher "$tuned/teacher-10-epochs/0/tasks/collection3")
entities trimmed-5000-taught-by-2-alone 0 "$output/trimmed-5000" 2 "${by_2[@]}"
entities trimmed-5000-taught-by-2 0 "$output/trimmed-5000" 2 "${by_2[@]}" "${news[@]}"
entities healed-match-taught-by-2 0 "$made/healed-match/SEED/model" 2 "${by_2[@]}" "${news[@]}"
entities healed-match-taught-by-10 "0 1 2" "$made/healed-match/SEED/model" 2 "${by_10[@]}" "${news[@]}"
entities healed-match-22-108min-taught-by-10 0 "$made/healed-match-22-108min/SEED/model" 2 "${by_10[@]}" "${news[@]}"
entities flat-own-match-taught-by-10 "0 1 2" "$made/flat-own-match/SEED/model" 2 "${by_10[@]}" "${news[@]}"
entities one-layer-taught-by-10 0 "$made/one-layer/SEED/model" 2 "${by_10[@]}" "${news[@]}"
sentiment trimmed-5000-taught-by-1 0 "$output/trimmed-5000" 1 "${talk[@]}" \
    --task_teacher "$tuned/teacher-1-epoch/0/tasks/rusentiment"
finish

for folder in "$tuned"/*/*; do # each has one task
    [ -f "$folder/deployed/export.json" ] ||
        python benchmarks/export.py --model_name_or_path "$folder"/tasks/* --output_dir "$folder/deployed"
    python benchmarks/students.py "$folder" --output_dir "$output/figures"
done
for name in {teacher,healed-match,trimmed-5000}-10-epochs {teacher,trimmed-5000}-3-epochs; do
    python benchmarks/compare.py --baseline "$tuned/$name" --models "$tuned"/*
done | tee "$output/figures/task-teacher.md"
