#!/usr/bin/env bash
# benchmarks/studies/smaller-vocabulary.sh DATA OUTPUT [--rehearse]
#
# Which way to a small vocabulary: the teacher's own one trimmed, or another trained anew? Untrained, healed by MLM
# alone, or learning from the teacher; nine minutes of one core each, six hours of two cores in all.
# OUTPUT/teacher is the teacher, which you put there: 3 layers of width 312, with far more than 20,000 tokens.
# DATA has rusentiment/ collection3/ and corpus/ with files of conversation and of books. Those named *held_out* have
# lines that neither teacher nor students have read.
source "$(dirname "$0")/common.sh"
device=(--use_cpu true)

texts() { # NAME LINES PATTERN: lines of the files whose names fit, in an order that does not change
    local files
    files=$(cd "$data/corpus" && ls | grep -P "$3")
    [ -f "$output/corpus/$1.txt" ] || (cd "$data/corpus" && zcat -f $files) | awk 'NF > 1' |
        shuf -n "$2" --random-source=<(yes) >"$output/corpus/$1.txt"
}

mkdir -p "$output/corpus"
texts conversation 200000 '^(?!.*held).*conversation'
texts books 60000 '^(?!.*held).*books'
texts held-out-conversation 3000 'held.*conversation'
texts held-out-books 1500 'held.*books'
head -n 300 "$output/corpus/held-out-conversation.txt" >"$output/corpus/held-out.txt"
cat "$output/corpus/conversation.txt" "$output/corpus/books.txt" >"$output/corpus/train.txt"

for size in 5000 20000; do
    [ -f "$output/trimmed-$size/config.json" ] || python distillation/run_trimming.py \
        --model_name_or_path "$output/teacher" --train_file "$output/corpus/train.txt" --vocab_size "$size" \
        --output_dir "$output/trimmed-$size"
done
vocabulary 5000

every=(--teacher_name_or_path "$output/teacher" --train_file "$output/corpus/train.txt"
    --validation_file "$output/corpus/held-out.txt" --masking_unit word --max_length 64 --weight_cosine 0
    --weight_attention 0 --student_dropout 0 --weight_decay 0.01 --adam_beta2 0.98 --warmup_steps 0.1
    --train_sampling_strategy group_by_length --per_device_train_batch_size 64 --per_device_eval_batch_size 64
    --logging_steps 50 --save_strategy no --alignment match)
mlm=(--weight_kl 0)
healed_5k=(--student_vocabulary "$output/trimmed-5000" --student_initialisation same_shape --learning_rate 5e-4)
healed_20k=(--student_vocabulary "$output/trimmed-20000" --student_initialisation same_shape --learning_rate 5e-4)
own_5k=(--student_vocabulary "$output/vocabulary-5000" --student_layers 3 --student_intermediate_size 600
    --learning_rate 7e-4)
narrow=(--student_layers 3 --student_hidden_size 264 --student_intermediate_size 600 --learning_rate 1.5e-3)

# Steps of nine minutes of one core, by the time of a step on it.
student healed-5k-mlm "0 1" "${healed_5k[@]}" "${mlm[@]}" --max_steps 1080
student healed-5k-match "0 1" "${healed_5k[@]}" --max_steps 570
student own-5k-match "0 1" "${own_5k[@]}" --max_steps 620
student own-5k-reduce "0 1" "${own_5k[@]}" "${reduce[@]}" --max_steps 330
student narrow-trimmed-5k-match "0 1" --student_vocabulary "$output/trimmed-5000" "${narrow[@]}" --max_steps 640
student narrow-own-5k-match "0 1" --student_vocabulary "$output/vocabulary-5000" "${narrow[@]}" --max_steps 640
student narrow-own-5k-mlm "0 1" --student_vocabulary "$output/vocabulary-5000" "${narrow[@]}" "${mlm[@]}" --max_steps 1200
student healed-20k-mlm "0 1" "${healed_20k[@]}" "${mlm[@]}" --max_steps 1000
student healed-20k-match "0 1" "${healed_20k[@]}" --max_steps 560
finish

models=(healed-5k-mlm healed-5k-match own-5k-match own-5k-reduce narrow-trimmed-5k-match narrow-own-5k-match
    narrow-own-5k-mlm healed-20k-mlm healed-20k-match)
for text in conversation books; do
    [ -f "$output/$text.json" ] || python distillation/run_evaluation.py --max_length 64 --output "$output/$text.json" \
        --validation_file "$output/corpus/held-out-$text.txt" \
        --model_name_or_path "$output"/{teacher,trimmed-5000,trimmed-20000} "$output"/*/seed-*
done

score() { # MODEL EPOCHS TASK: two seeds; a student is fine-tuned with its own
    local seed start
    for seed in 0 1; do
        start=$output/$1/seed-$seed
        [ -d "$start" ] || start=$output/$1
        meanwhile "$output/$1/finetuned/$3-$seed" finetuning/run_benchmarks.py --tasks "$3" --models "$start" \
            --data_dir "$data" --seeds "$seed" --learning_rate 5e-4 --num_train_epochs "$2" --max_length 128 \
            --per_device_train_batch_size 32 --per_device_eval_batch_size 64
    done
}

for model in teacher trimmed-5000 trimmed-20000 "${models[@]}"; do
    score "$model" 1 rusentiment
    score "$model" 2 collection3
done
finish
for text in conversation books; do
    python benchmarks/compare.py --held_out "$output/$text.json" --baseline "$output/healed-5k-mlm" \
        --models "${models[@]/#/$output/}"
done
