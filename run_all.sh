#!/usr/bin/env bash
# ./run_all.sh                      the whole chain on the embedded demo, offline
# ./run_all.sh --quick              the same in two minutes: one seed and a few steps, whose figures say little
# ./run_all.sh RECIPE --train_file corpus.txt.gz [--KEY VALUE ...]
#                                   a recipe of distillation/run.py, for real, with its vocabulary if it needs a new
#                                   one; further keys go to that script
set -euo pipefail
cd "$(dirname "$0")"

name=""
begun=$SECONDS
stage() { # says how long the stage before took, and what begins
    [ -z "$name" ] || printf '== %s took %d s\n' "$name" $((SECONDS - begun))
    name=$1
    begun=$SECONDS
    printf '\n== %s: %s\n' "$1" "$2"
}

recipe=""
case "${1:-}" in
"" | --quick) ;;
--help)
    sed -n '2,6s/^# //p' "$0"
    exit
    ;;
*)
    recipe="distillation/recipes/$1.yaml"
    if [ ! -f "$recipe" ]; then
        names=$(cd distillation/recipes && echo *.yaml)
        echo "error: no recipe '$1'; choose one of ${names//.yaml/}" >&2
        exit 2
    fi
    shift
    ;;
esac

stage environment ".venv and requirements.txt"
source .ci/environment.sh

if [ -n "$recipe" ]; then
    # A recipe with a smaller vocabulary names its folder and, in the name, its size: outputs/vocabulary-5000.
    vocabulary=$(sed -n 's|^student_vocabulary: \(outputs/vocabulary-[0-9]*\)$|\1|p' "$recipe")
    corpus=()
    for ((i = 1; i <= $#; i++)); do
        value=$((i + 1))
        case "${!i}" in
        --student_vocabulary | --student_vocabulary=*) vocabulary="" ;;
        --train_file=* | --validation_file=* | --dataset_*=* | --text_column=*) corpus+=("${!i}") ;;
        --train_file | --validation_file | --dataset_* | --text_column) corpus+=("${!i}" "${!value:-}") ;;
        esac
    done
    if [ -n "$vocabulary" ] && [ ! -f "$vocabulary/vocabulary.json" ]; then
        stage vocabulary "${vocabulary##*-} tokens from the corpus"
        python distillation/run_vocabulary.py --vocab_size "${vocabulary##*-}" --output_dir "$vocabulary" \
            "${corpus[@]}"
    fi
    stage distillation "$recipe"
    # Without a GPU accelerate would give it one thread.
    command -v nvidia-smi >/dev/null || export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(nproc)}
    accelerate launch --quiet distillation/run.py --config "$recipe" "$@"
    stage done "$SECONDS s in all"
    exit
fi

quick="" seeds=(0 1 2) steps=() measured=(outputs/demo/teacher outputs/demo/student)
[ "${1:-}" = "--quick" ] && quick=yes seeds=(0) steps=(--max_steps 60) measured=(outputs/demo/student)
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
export OMP_WAIT_POLICY=passive # threads that wait for each other take no core from other work
rm -rf outputs/demo            # every figure below is of this very run
mkdir -p outputs/demo/quality
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT

logged() { # LOG COMMAND ...: its last words are shown if it fails
    local log=outputs/demo/$1.log
    "${@:2}" >"$log" 2>&1 || { tail -n 5 "$log" >&2 && return 1; }
}

table() { # LOG: the table in it, without the progress that was shown before
    tr '\r' '\n' <"outputs/demo/$1" | grep '^|'
}

stage teacher "a tiny BERT, from scratch on a small corpus of made-up Russian"
logged teacher python distillation/run_teacher.py --config distillation/recipes/demo-teacher.yaml "${steps[@]}"
table teacher.log

stage distillation "a student of 2 narrow layers learns from the teacher's 4, by all four terms"
logged student accelerate launch --quiet --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no \
    distillation/run.py --config distillation/recipes/demo.yaml "${steps[@]}"
table student.log

# From here on two things at a time, with one thread each: models as small as these learn no sooner with two.
export OMP_NUM_THREADS=1
trim() {
    python distillation/run_trimming.py --model_name_or_path outputs/demo/teacher --train_file demo --vocab_size 400 \
        --validation_lines 500 --max_length 64 --output_dir outputs/demo/trimmed
}
vocabularies() {
    python distillation/run_vocabulary.py --train_file demo --vocab_size 300 --output_dir outputs/demo/vocabulary \
        --teacher_name_or_path outputs/demo/teacher &&
        python benchmarks/quality.py --config distillation/recipes/demo-match.yaml --seeds 0 \
            --variants mlm alignment=match alignment=reduce --output_dir outputs/demo/quality-vocabulary "${steps[@]}"
}
finetune() { # [--KEY VALUE ...]
    python finetuning/run_benchmarks.py --config finetuning/recipes/demo.yaml --models outputs/demo/teacher \
        outputs/demo/student --random_weights outputs/demo/student --output_dir outputs/demo/finetuned "$@"
}
own_labels() { # the same posts and entities as anybody's files
    local tune=(--model_name_or_path outputs/demo/student --max_length 64 --learning_rate 2e-3 --num_train_epochs 2)
    python finetuning/run_classification.py "${tune[@]}" --output_dir outputs/demo/labels \
        --train_file finetuning/demo/rusentiment/rusentiment_random_posts.csv.gz &&
        python finetuning/run_tagging.py "${tune[@]}" --output_dir outputs/demo/entities \
            --train_file finetuning/demo/collection3/train.txt.gz &&
        python finetuning/run_predict.py --model_name_or_path outputs/demo/labels --output outputs/demo/answers.csv \
            --input finetuning/demo/rusentiment/rusentiment_test.csv.gz
}
{
    logged trimming trim && logged vocabularies vocabularies &&
        { [ -n "$quick" ] || logged collection3 finetune --tasks collection3 --seeds "${seeds[@]}"; } &&
        logged export python benchmarks/export.py --model_name_or_path outputs/demo/student \
            --output_dir outputs/demo/deployed
} &
meanwhile=$!

stage comparison "the same student by masked-LM training alone, as many steps; seeds: ${seeds[*]}"
ln -s ../student outputs/demo/quality/distilled-0 # the one above
python benchmarks/quality.py --config distillation/recipes/demo.yaml --seeds "${seeds[@]}" \
    --output_dir outputs/demo/quality "${steps[@]}"

stage fine-tuning "teacher, student, and the student's shape from random weights, on small sets of four tasks"
if [ -n "$quick" ]; then
    logged tasks finetune --tasks rusentiment collection3 rcb parus --num_train_epochs 2 --seed 0
else
    logged rusentiment finetune --tasks rusentiment --num_train_epochs 10 --seeds "${seeds[@]}"
    logged russian-superglue finetune --tasks rcb parus --num_train_epochs 3 --seed 0
fi
logged own own_labels
wait $meanwhile
python benchmarks/scores.py outputs/demo/finetuned
echo "What distillation is worth here, and whether it may be chance:"
python benchmarks/compare.py --models outputs/demo/finetuned/student --baseline outputs/demo/finetuned/student-random

stage labels "a table and a file of entities as anybody's own; labels/test_confusion.png shows mistakes"
tail -n 2 outputs/demo/own.log
head -n 3 outputs/demo/answers.csv

stage trimming "meanwhile: the teacher with half of its 800 tokens, nothing trained"
table trimming.log

stage vocabularies "meanwhile: students of 300 tokens (the teacher has 800), by masked-LM training alone, match, reduce"
table quality-vocabulary/quality.md

stage export "meanwhile: the student as an int8 folder to deploy"
tail -n 10 outputs/demo/export.log

stage inference "size and speed, on this machine as it is"
logged inference python benchmarks/inference.py --models "${measured[@]}" --heads masked-lm \
    --backends torch onnx-int8 --batch_sizes 1 --sequence_lengths 64 --rounds 2 --seconds 0.1 \
    --output outputs/demo/inference.json
table inference.log

stage card "the student's model card, with all that was measured of it"
python distillation/run_publish.py --checkpoint outputs/demo/student --onnx outputs/demo/deployed \
    --results outputs/demo/finetuned outputs/demo/inference.json

page=benchmarks/page/node_modules/onnxruntime-web
if command -v node >/dev/null && [ -d $page ]; then
    stage page "the classifier as a page: python -m http.server -d outputs/demo/labels-deployed/page"
    logged page python benchmarks/export.py --model_name_or_path outputs/demo/labels --page true \
        --output_dir outputs/demo/labels-deployed
    tail -n 1 outputs/demo/page.log
fi

stage report "everything above on one page"
python benchmarks/report.py outputs/demo/{teacher,student,quality,quality-vocabulary,finetuned,inference.json} \
    --output_dir outputs/demo/report

stage done "outputs/demo holds the models and all figures; report/report.md shows them ($SECONDS s in all)"
