#!/usr/bin/env bash
# benchmarks/studies/sentences.sh DATA OUTPUT [--rehearse]
#
# How does one make a small sentence encoder of a large one? By fewer tokens and layers of its own, or by another model
# that learns its vectors. That one starts from random weights, from masked-LM training, or from distillation by `match`.
# OUTPUT/teacher is a masked LM, as for which-student.sh. OUTPUT/encoder is an E5: its texts begin with "query: ".
# DATA has encodechka/, and corpus/ as for which-student.sh, with news or the like in files *misc*; no line of it may be a
# text of encodechka/. Give it an OUTPUT of its own. About six hours of one core.
source "$(dirname "$0")/common.sh"
device=(--use_cpu true)

held_out_texts
texts_to_train_on
texts various 60500 '^(?!.*held).*(conversation|misc)'
texts misc 14500 '^(?!.*held).*misc'
[ -f "$output/corpus/lines.txt" ] || LC_ALL=C sort -u "$output"/corpus/{various,misc}.txt |
    shuf --random-source=<(yes) >"$output/corpus/lines.txt"
vocabulary 5000

large=(--student_hidden_size 264 --student_intermediate_size 600)
small=(--student_hidden_size 120 --student_intermediate_size 480)
start() { # NAME [--KEY VALUE ...]: a student before it learns vectors
    meanwhile run "$output/$1" distillation/run.py "${pretrained[@]}" --student_vocabulary "$output/vocabulary-5000" \
        --student_layers 3 --learning_rate 1.5e-3 --seed 0 "${@:2}"
}
untrained=(--student_initialisation random --weight_kl 0 --max_steps 1 --learning_rate 1e-9)
start large-random "${large[@]}" "${untrained[@]}"
start small-random "${small[@]}" "${untrained[@]}"
start large-match "${large[@]}" --max_steps 640
start large-mlm "${large[@]}" --weight_kl 0 --max_steps 1100
start small-match "${small[@]}" --max_steps 900
start small-mlm "${small[@]}" --weight_kl 0 --max_steps 2400

learn() { # NAME START STEPS [--KEY VALUE ...]
    run "$output/sentences/$1" distillation/run_sentences.py --model_name_or_path "$output/$2" --max_steps "$3" \
        --teacher_name_or_path "$output/encoder" --teacher_prompt "query: " --train_file "$output/corpus/lines.txt" \
        --validation_lines 500 --teacher_vectors "$output/vectors" --max_length 64 \
        --train_sampling_strategy group_by_length --per_device_train_batch_size 64 --learning_rate 1e-3 \
        --warmup_steps 0.1 --weight_decay 0.01 --save_strategy no "${@:4}"
    score "$output/sentences/$1"
}
score() { # MODEL
    [ -f "$output/encodechka/${1##*/}/all_results.json" ] || python finetuning/run_encodechka.py --floors false \
        --model_name_or_path "$1" --data_dir "$data/encodechka" --output_dir "$output/encodechka"
}

finish
no_dropout=(--student_dropout 0)
learn large-dropout-0 large-match 600 --seed 0 # it makes the vectors for all
for seed in 0 1 2; do
    for from in match random mlm; do
        meanwhile learn "large-$from-$seed" "large-$from" 600 --seed "$seed" "${no_dropout[@]}"
        meanwhile learn "small-$from-$seed" "small-$from" 1200 --seed "$seed" "${no_dropout[@]}"
    done
done
meanwhile learn large-similar-0 large-match 600 --seed 0 "${no_dropout[@]}" --weight_similarity 100
for from in match random; do meanwhile learn "large-$from-long" "large-$from" 3000 --seed 0 "${no_dropout[@]}"; done
for name in large-random large-match; do meanwhile score "$output/$name"; done
finish

for size in 5000 20000; do
    [ -f "$output/encoder-$size/config.json" ] || python distillation/run_trimming.py --vocab_size "$size" \
        --model_name_or_path "$output/encoder" --train_file "$output/corpus/various.txt" \
        --output_dir "$output/encoder-$size"
    meanwhile score "$output/encoder-$size"
done
finish
similar=(--weight_similarity 30)
meanwhile learn encoder-20000-6-layers encoder-20000 900 --student_layers 6 --learning_rate 3e-4 "${similar[@]}"
meanwhile learn encoder-5000-3-layers encoder-5000 1800 --student_layers 3 --learning_rate 5e-4 "${similar[@]}"

finish
python benchmarks/export.py --model_name_or_path "$output/sentences/large-match-long" \
    --output_dir "$output/deployed/large-match-long-int8" --validation_file "$output/corpus/held-out.txt"
score "$output/deployed/large-match-long-int8"
score "$output/encoder" # the last one: its table has all
