#!/usr/bin/env bash
# benchmarks/studies/which-student.sh DATA OUTPUT [--rehearse]
#
# Which student of 5,000 tokens should one make of a real teacher? The teacher's own vocabulary trimmed, or another
# trained anew; full width or a narrower one; untrained, by MLM alone, or from the teacher. About a day of two cores.
# It may be ended anywhere: each model is trained, judged, and has its file in OUTPUT/figures before the next begins.
# OUTPUT/teacher is the teacher: 3 layers of width 312, with far more than 20,000 tokens. teacher.sh makes such a one.
# DATA has rusentiment/ collection3/ paraphraser/ rucola/ russian_superglue/ encodechka/ and corpus/ with files of
# conversation and of books. Those named *held_out* have lines that neither teacher nor students have read.
source "$(dirname "$0")/common.sh"
device=(--use_cpu true)

held_out_texts
python -c 'import csv, sys; [print(" ".join(row["text"].split())) for row in csv.DictReader(sys.stdin)]' \
    <"$data/rusentiment/rusentiment_test.csv" >"$output/corpus/held-out-posts.txt"
texts_to_train_on
shuf -n 53120 --random-source=<(yes) "$output/corpus/train.txt" >"$output/corpus/cached.txt" # 830 steps of 64
[ -f "$output/corpus/with-task-text.txt" ] || {
    sentences=$output/corpus/task-text.txt # those that Collection-3 trains on, without their labels
    awk -F'\t' 'NF > 1 { text = text (text ? " " : "") $1 } NF < 2 && text { print text; text = "" }' \
        "$data/collection3/train.txt" >"$sentences"
    head -n $((40960 - $(wc -l <"$sentences"))) "$output/corpus/cached.txt" | cat - "$sentences" \
        >"$output/corpus/with-task-text.txt" # 640 steps of 64
}
head -n 25600 "$output/corpus/cached.txt" >"$output/corpus/cached-reduce.txt"                 # 400 steps

for size in 1000 2000 5000 20000; do
    [ -f "$output/trimmed-$size/config.json" ] || python distillation/run_trimming.py \
        --model_name_or_path "$output/teacher" --train_file "$output/corpus/train.txt" --vocab_size "$size" \
        --output_dir "$output/trimmed-$size"
    vocabulary "$size"
done

mlm=(--weight_kl 0)
cache=(--teacher_cache "$output/cache" --train_file "$output/corpus/cached.txt" --max_steps 830)
cache_reduce=(--teacher_cache "$output/cache-reduce" --train_file "$output/corpus/cached-reduce.txt" --max_steps 400)
random=(--student_initialisation random)
hidden=(--masking_probability 0.22)

# Learning rates of fine-tuning, by validation: benchmarks/results/students/rates.md.
for_entities=1e-3
for_texts=5e-4

model() { # NAME SEEDS [--KEY VALUE ...]: trains and judges it; without keys $output/NAME is judged as it is
    local seed
    for seed in $2; do meanwhile one "$1" "$seed" "${@:3}"; done
}

one() { # NAME SEED [--KEY VALUE ...]
    local folder=$output/models/$1/$2 start=$output/$1 text
    [ ! -f "$output/figures/$1-$2.json" ] || return 0
    if [ $# -gt 2 ]; then
        start=$folder/model
        run "$start" distillation/run.py "${pretrained[@]}" --seed "$2" "${@:3}"
    fi
    mkdir -p "$folder/held-out"
    for text in conversation books posts; do # the teacher and 1,000 tokens decide where all models end a line
        step "held-out/$text.json" distillation/run_evaluation.py --max_length 64 \
            --output "$folder/held-out/$text.json" --validation_file "$output/corpus/held-out-$text.txt" \
            --model_name_or_path "$start" "$output/teacher" "$output/trimmed-1000"
    done
    benchmark "$2" collection3 2 "$for_entities"
    benchmark "$2" rusentiment 1 "$for_texts"
    benchmark "$2" paraphraser 2 "$for_texts" --metric_for_best_model accuracy # to say yes always has the best F1
    benchmark "$2" terra 3 "$for_texts"
    finetuned "$2" rucola 2 "$for_texts" finetuning/run_classification.py --model_name_or_path "$start" \
        --text_column sentence --label_column acceptable --metric matthews_correlation \
        --train_file "$data/rucola/in_domain_train.csv" --test_file "$data/rucola/in_domain_dev.csv"
    step "tasks/encodechka/${start##*/}/all_results.json" finetuning/run_encodechka.py --model_name_or_path "$start" \
        --data_dir "$data/encodechka" --floors false --output_dir "$folder/tasks/encodechka"
    step deployed/export.json benchmarks/export.py --model_name_or_path "$start" --output_dir "$folder/deployed" \
        --validation_file "$output/corpus/held-out-conversation.txt"
    step speed.json benchmarks/inference.py --models "$start" --heads masked-lm --backends onnx-int8 --batch_sizes 1 \
        --sequence_lengths 64 --threads 1 --rounds 3 --output "$folder/speed.json"
    python benchmarks/students.py "$folder" --output_dir "$output/figures"
}

step() { # FILE SCRIPT [--KEY VALUE ...]: makes the file in $folder
    [ -f "$folder/$1" ] || python "${@:2}" >>"$folder/run.log" 2>&1 || { tail -n 1 "$folder/run.log" >&2 && return 1; }
}

benchmark() { # SEED TASK EPOCHS RATE [--KEY VALUE ...]
    finetuned "${@:1:4}" finetuning/run_benchmarks.py --tasks "$2" --models "$start" --data_dir "$data" "${@:5}"
}

finetuned() { # SEED NAME EPOCHS RATE SCRIPT [--KEY VALUE ...]
    run "$folder/tasks/$2" "${@:5}" --seeds "$1" --num_train_epochs "$3" --learning_rate "$4" --max_length 128 \
        --per_device_train_batch_size 32 --per_device_eval_batch_size 64
}

healed=(--student_initialisation same_shape --learning_rate 5e-4) # a trimmed teacher that goes on
wide=(--student_layers 3 --student_intermediate_size 600 --learning_rate 7e-4)
narrow=(--student_layers 3 --student_hidden_size 264 --student_intermediate_size 600 --learning_rate 1.5e-3)
flat=(--student_layers 3 --student_intermediate_size 200 --learning_rate 1e-3) # as many parameters as the narrow one
trimmed=(--student_vocabulary "$output/trimmed-5000")
own=(--student_vocabulary "$output/vocabulary-5000")

# Nine minutes of one core each, by the time of a step on it.
model teacher "0 1 2"
model trimmed-5000 "0 1 2"
model own-match "0 1" "${own[@]}" "${wide[@]}" --max_steps 620
model narrow-own-match "0 1" "${own[@]}" "${narrow[@]}" --max_steps 640
model narrow-own-mlm "0 1" "${own[@]}" "${narrow[@]}" "${mlm[@]}" --max_steps 1100
model healed-match "0 1 2" "${trimmed[@]}" "${healed[@]}" --max_steps 570
model healed-mlm "0 1" "${trimmed[@]}" "${healed[@]}" "${mlm[@]}" --max_steps 1080
model narrow-own-cached "0 1" "${own[@]}" "${narrow[@]}" "${cache[@]}" # four students share the pass
model own-reduce "0 1" "${own[@]}" "${wide[@]}" "${reduce[@]}" --max_steps 330
model narrow-own-reduce "0 1" "${own[@]}" "${narrow[@]}" "${reduce[@]}" --max_steps 340
model narrow-own-reduce-cached "0 1" "${own[@]}" "${narrow[@]}" "${reduce[@]}" "${cache_reduce[@]}"
model narrow-trimmed-match "0 1" "${trimmed[@]}" "${narrow[@]}" --max_steps 640
model flat-own-match "0 1 2" "${own[@]}" "${flat[@]}" --max_steps 700
model flat-own-match-22 "0 1" "${own[@]}" "${flat[@]}" "${hidden[@]}" --max_steps 700
model own-mlm "0 1" "${own[@]}" "${wide[@]}" "${mlm[@]}" --max_steps 1080
model narrow-own-match-22 "0 1" "${own[@]}" "${narrow[@]}" "${hidden[@]}" --max_steps 640
model narrow-own-mlm-22 "0 1" "${own[@]}" "${narrow[@]}" "${mlm[@]}" "${hidden[@]}" --max_steps 1100
model narrow-own-match-22-task-text "0 1" "${own[@]}" "${narrow[@]}" "${hidden[@]}" --max_steps 640 \
    --train_file "$output/corpus/with-task-text.txt"
model narrow-own-match-random "0 1" "${own[@]}" "${narrow[@]}" "${random[@]}" --max_steps 640
model untrained 0 "${own[@]}" "${narrow[@]}" "${random[@]}" "${mlm[@]}" --max_steps 1 --learning_rate 1e-9 # the floor

# The best ways, with 22 % of the words hidden, for four times as long; two of them for twelve times.
model own-match-22-36min "0 1" "${own[@]}" "${wide[@]}" "${hidden[@]}" --max_steps 2480
model narrow-own-match-22-36min "0 1" "${own[@]}" "${narrow[@]}" "${hidden[@]}" --max_steps 2560
model narrow-own-mlm-22-36min "0 1" "${own[@]}" "${narrow[@]}" "${mlm[@]}" "${hidden[@]}" --max_steps 4400
model healed-match-22-36min "0 1" "${trimmed[@]}" "${healed[@]}" "${hidden[@]}" --max_steps 2280
model healed-match-22-108min 0 "${trimmed[@]}" "${healed[@]}" "${hidden[@]}" --max_steps 6840
model own-match-22-108min 0 "${own[@]}" "${wide[@]}" "${hidden[@]}" --max_steps 7440

# Other sizes by the best way.
for size in 1000 2000 20000; do
    model "own-$size-match" "0 1" --student_vocabulary "$output/vocabulary-$size" "${wide[@]}" --max_steps 620
done
model all-tokens 0 --alignment same "${wide[@]}" --max_steps 400
model one-layer "0 1" "${own[@]}" "${wide[@]}" --student_layers 1 --max_steps 1000
model trimmed-20000 0
model healed-20000-match "0 1" --student_vocabulary "$output/trimmed-20000" "${healed[@]}" --max_steps 560
finish

for name in healed-match own-match narrow-own-match; do
    echo "## Beside $name"
    python benchmarks/compare.py --baseline "$output/models/$name" --models "$output"/models/*
done | tee "$output/figures/intervals.md"
