#!/usr/bin/env bash
# ./run_all.sh                      the whole chain on the embedded demo, offline
# ./run_all.sh --quick              the same with one seed instead of three
# ./run_all.sh RECIPE --train_file corpus.txt.gz [--KEY VALUE ...]
#                                   one of distillation/recipes, for real, with its vocabulary if it needs a new one;
#                                   further keys go to distillation/run.py
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
    accelerate launch distillation/run.py --config "$recipe" "$@"
    stage done "$SECONDS s in all"
    exit
fi

seeds=(0 1 2)
[ "${1:-}" = "--quick" ] && seeds=(0)
export HF_HUB_OFFLINE=1
rm -rf outputs/demo # every figure below is of this very run

stage teacher "a tiny BERT on a small Russian corpus of our own grammar"
python distillation/run_teacher.py --config distillation/recipes/demo-teacher.yaml

stage distillation "a student of 2 narrow layers learns from the teacher's 4, by all four terms"
accelerate launch --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no \
    distillation/run.py --config distillation/recipes/demo.yaml

stage comparison "the same student by masked-LM training alone, equal steps, ${#seeds[@]} seed(s) each"
python benchmarks/quality.py --config distillation/recipes/demo.yaml --seeds "${seeds[@]}" \
    --output_dir outputs/demo/quality

stage vocabulary "a smaller vocabulary for the students below: 300 tokens where the teacher has 800"
python distillation/run_vocabulary.py --train_file demo --vocab_size 300 --output_dir outputs/demo/vocabulary \
    --teacher_name_or_path outputs/demo/teacher

for alignment in match reduce; do
    stage "$alignment" "distillation across vocabularies, distillation/recipes/demo-$alignment.yaml"
    python distillation/run.py --config distillation/recipes/demo-$alignment.yaml
done

stage comparison "the same student of 300 tokens by masked-LM training alone, by match, and by reduce"
python benchmarks/quality.py --config distillation/recipes/demo-match.yaml --variants mlm distilled alignment=reduce \
    --seeds "${seeds[@]}" --output_dir outputs/demo/quality-vocabulary

stage fine-tuning "teacher and students on small sets of four benchmarks; random weights are the floor"
finetune() { # NAME CHECKPOINT TASK [--KEY VALUE ...]
    folder=outputs/demo/finetuned/$1/$3
    mkdir -p "$folder"
    OMP_NUM_THREADS=1 python "finetuning/run_$3.py" --config finetuning/recipes/demo.yaml \
        --model_name_or_path "outputs/demo/$2" --output_dir "$folder" "${@:4}" >"$folder/run.log" 2>&1 ||
        { tail -n 5 "$folder/run.log" >&2; return 1; }
    printf '%s on %s\n' "$1" "$3"
}
export -f finetune
tasks="rusentiment paraphraser collection3 sberquad"
{
    for model in teacher student match; do printf "$model $model %s\n" $tasks; done
    printf 'student-random student %s --random_weights true\n' $tasks
    for task in $tasks; do echo "student-taught student $task --task_teacher outputs/demo/finetuned/teacher/$task"; done
} | xargs -L 1 -P 2 bash -c 'finetune "$@" || exit 255' _
python benchmarks/scores.py outputs/demo/finetuned

stage superglue "the student on the nine tasks of Russian SuperGLUE, small sets again"
python finetuning/run_russian_superglue.py --config finetuning/recipes/demo.yaml --model_name_or_path outputs/demo/student \
    --num_train_epochs 2 --output_dir outputs/demo/superglue --submission outputs/demo/superglue/submission.zip \
    >outputs/demo/superglue.log 2>&1 || { tail -n 5 outputs/demo/superglue.log >&2; exit 1; }
cat outputs/demo/superglue/russian_superglue.md

stage export "the student, and its model for sentiments, as int8 folders to deploy"
deploy() { # CHECKPOINT NAME
    python benchmarks/export.py --model_name_or_path "outputs/demo/$1" --output_dir "outputs/demo/deployed/$2" 2>>"$log" ||
        { tail -n 5 "$log" >&2; return 1; }
}
log=outputs/demo/deployed.log
deploy student student
deploy finetuned/student/rusentiment rusentiment

stage inference "size and speed of the teacher and two students"
python benchmarks/inference.py --models outputs/demo/teacher outputs/demo/student outputs/demo/match --sequence_lengths 64 \
    --heads masked-lm --rounds 3 --seconds 0.2 --output outputs/demo/inference.json 2>outputs/demo/inference.log |
    grep '^|' || { tail -n 5 outputs/demo/inference.log >&2; exit 1; }

stage card "the student's model card, with all that was measured of it"
python distillation/run_publish.py --checkpoint outputs/demo/student --onnx outputs/demo/deployed/student \
    --results outputs/demo/finetuned outputs/demo/superglue outputs/demo/superglue/russian_superglue.json \
    outputs/demo/inference.json

stage report "everything above on one page"
python benchmarks/report.py outputs/demo outputs/demo/inference.json --output_dir outputs/demo/report

stage done "outputs/demo holds the teacher, the students, their comparisons and fine-tuned models ($SECONDS s in all)"
