#!/usr/bin/env bash
# benchmarks/studies/sentences.sh DATA OUTPUT [--rehearse]
#
# Which student learns the vectors of a sentence encoder best? It starts from random weights, from masked-LM training,
# or from distillation by `match`; in two sizes. Beside them the encoder itself, with fewer tokens. Five hours of one core.
# OUTPUT/teacher is a masked LM, as for which-student.sh. OUTPUT/encoder is an E5: its texts begin with "query: ".
# DATA has encodechka/, and corpus/ as for which-student.sh; no line of corpus/ is a text of encodechka/.
source "$(dirname "$0")/common.sh"
device=(--use_cpu true)

held_out_texts
texts_to_train_on
texts lines 60500 '^(?!.*held).*(conversation|misc)'
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

learn() { # NAME START SEED STEPS: the vectors of the encoder, computed once for all
    run "$output/sentences/$1" distillation/run_sentences.py --model_name_or_path "$output/$2" --seed "$3" \
        --max_steps "$4" --teacher_name_or_path "$output/encoder" --teacher_prompt "query: " \
        --train_file "$output/corpus/lines.txt" --validation_lines 500 --teacher_vectors "$output/vectors" \
        --weight_similarity 100 --max_length 64 --train_sampling_strategy group_by_length \
        --per_device_train_batch_size 64 --learning_rate 1e-3 --warmup_steps 0.1 --weight_decay 0.01 --save_strategy no
    score "$output/sentences/$1"
}
score() { # MODEL [--KEY VALUE ...]
    [ -f "$output/encodechka/${1##*/}/all_results.json" ] || python finetuning/run_encodechka.py --floors false \
        --model_name_or_path "$1" --data_dir "$data/encodechka" --output_dir "$output/encodechka" "${@:2}"
}

# As they are; the encoder cut, without training.
finish
score "$output/large-random"
score "$output/large-match"
for size in 5000 20000; do
    [ -f "$output/encoder-$size/config.json" ] || python distillation/run_trimming.py --vocab_size "$size" \
        --model_name_or_path "$output/encoder" --train_file "$output/corpus/lines.txt" --output_dir "$output/encoder-$size"
    meanwhile score "$output/encoder-$size"
done

learn large-match-0 large-match 0 600 # makes the vectors
for seed in 0 1 2; do # four minutes of one core each
    for from in match random mlm; do
        meanwhile learn "large-$from-$seed" "large-$from" "$seed" 600
        meanwhile learn "small-$from-$seed" "small-$from" "$seed" 1200
    done
done
for from in match random; do meanwhile learn "large-$from-long" "large-$from" 0 4000; done
finish
