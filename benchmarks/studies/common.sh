# What the studies share; a study sources it with its own arguments: DATA OUTPUT [--rehearse].
#
# Each function makes one thing below OUTPUT, unless it exists: so the same command continues after an interruption.
# DATA has corpus/ with text files, gzipped or not, and a folder for each benchmark, as finetuning/ reads it.
# --rehearse cuts each training to two steps, to test a study before it takes hours. Give it another OUTPUT.
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
    exit 2
fi
data=$(realpath "$1")
output=$(realpath -m "$2")
rehearsal=()
[ "${3:-}" != --rehearse ] || rehearsal=(--max_steps 2 --warmup_steps 0)
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export HF_HUB_DISABLE_PROGRESS_BARS=1 TOKENIZERS_PARALLELISM=false OMP_WAIT_POLICY=passive
jobs=2    # trainings at a time, which share the cores
device=() # keys that say where to compute
pids=()

run() { # FOLDER SCRIPT [--KEY VALUE ...]: the output goes to FOLDER/run.log
    local folder=$1 script=$2
    shift 2
    if [ -f "$folder/all_results.json" ] || grep -qs '"failed": \[\]' "$folder/benchmarks.json"; then return; fi
    mkdir -p "$folder"
    printf '%(%H:%M)T %s\n' -1 "${folder#"$output/"}"
    python "$script" "$@" "${device[@]}" "${rehearsal[@]}" --output_dir "$folder" --disable_tqdm true \
        --resume_from_checkpoint true >>"$folder/run.log" 2>&1 || { tail -n 1 "$folder/run.log" >&2 && return 1; }
}

meanwhile() { # COMMAND ...: without waiting for it, $jobs at a time
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n || true; done
    OMP_NUM_THREADS=$(($(nproc) / jobs)) "$@" &
    pids+=($!)
}

finish() { # waits for all; ends the study if one of them failed
    local pid failed=0
    for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
    pids=()
    return $failed
}

corpus() { # HELD_OUT STUDENTS TRAIN PATTERN ...: lines for evaluation, for the students, and for all trainings
    local held_out=$1 students=$2 train=$3 folder=$output/corpus
    shift 3
    [ ! -f "$folder/students.txt" ] || return 0
    [ ${#rehearsal[@]} = 0 ] || { held_out=200 students=2000 train=4000; }
    mkdir -p "$folder"
    (cd "$data/corpus" && for pattern; do zcat -f $pattern; done) | awk 'NF > 1' |
        shuf --random-source=<(yes) >"$folder/all.txt"
    head -n "$held_out" "$folder/all.txt" >"$folder/held-out.txt"
    head -n 500 "$folder/held-out.txt" >"$folder/validation.txt"
    # Conversations repeat themselves: no held-out line may be trained on.
    awk -v n="$train" 'NR == FNR { held[$0]; next } !($0 in held) && m < n { print; m++ }' \
        "$folder/held-out.txt" "$folder/all.txt" >"$folder/train.txt"
    head -n "$students" "$folder/train.txt" >"$folder/students.txt"
    rm "$folder/all.txt"
}

texts() { # NAME LINES PATTERN: lines of the files of DATA/corpus whose names fit, in an order that does not change
    local files file=$output/corpus/$1.txt
    [ ! -f "$file" ] || return 0
    mapfile -t files < <(ls "$data/corpus" | grep -P "$3")
    [ ${#files[@]} -gt 0 ] || { echo "$data/corpus has no file whose name fits $3" >&2 && return 1; }
    mkdir -p "$output/corpus"
    (cd "$data/corpus" && zcat -f "${files[@]}") | awk 'NF > 1' | shuf -n "$2" --random-source=<(yes) >"$file.draft"
    mv "$file.draft" "$file"
}

held_out_texts() { # lines that no model has read: of conversation, of books, and a few to look at while training
    texts held-out-conversation 3000 'held.*conversation'
    texts held-out-books 1500 'held.*books'
    head -n 300 "$output/corpus/held-out-conversation.txt" >"$output/corpus/held-out.txt"
}

texts_to_train_on() { # conversation and books, without the lines that are held out: a corpus repeats itself
    texts conversation 200000 '^(?!.*held).*conversation'
    texts books 60000 '^(?!.*held).*books'
    awk 'FILENAME ~ "/held-out-[^/]*$" { held[$0]; next } !($0 in held)' "$output"/corpus/held-out-*.txt \
        "$output"/corpus/{conversation,books}.txt >"$output/corpus/train.txt"
}

teacher() { # [--KEY VALUE ...]
    run "$output/teacher" distillation/run_teacher.py --train_file "$output/corpus/train.txt" \
        --validation_file "$output/corpus/held-out.txt" --max_length 128 --masking_unit word \
        --masking_probability 0.2 --weight_decay 0.01 --adam_beta2 0.98 --train_sampling_strategy group_by_length \
        --logging_steps 100 --save_total_limit 1 --seed 0 "$@"
}

vocabulary() { # SIZE
    [ -f "$output/vocabulary-$1/vocabulary.json" ] || python distillation/run_vocabulary.py --vocab_size "$1" \
        --teacher_name_or_path "$output/teacher" --train_file "$output/corpus/train.txt" \
        --validation_file "$output/corpus/held-out.txt" --output_dir "$output/vocabulary-$1"
}

# Keys of all students. Others have their defaults: KL 2, MLM 1, cosine 1, attention 100, temperature 2.
every=(--teacher_name_or_path "$output/teacher" --train_file "$output/corpus/students.txt"
    --validation_file "$output/corpus/validation.txt" --student_initialisation average --masking_unit word
    --max_length 128 --weight_decay 0.01 --adam_beta2 0.98 --train_sampling_strategy group_by_length
    --logging_steps 100 --save_strategy no)
mlm=(--weight_kl 0 --weight_cosine 0 --weight_attention 0) # these students also start from the teacher's layers
reduce=(--alignment reduce)
more_text=(--train_file "$output/corpus/train.txt") # enough text for more steps

# In place of `every`, for a teacher that was pretrained elsewhere.
pretrained=(--teacher_name_or_path "$output/teacher" --train_file "$output/corpus/train.txt"
    --validation_file "$output/corpus/held-out.txt" --masking_unit word --max_length 64 --weight_cosine 0
    --weight_attention 0 --student_dropout 0 --weight_decay 0.01 --adam_beta2 0.98 --warmup_steps 0.1
    --train_sampling_strategy group_by_length --per_device_train_batch_size 64 --per_device_eval_batch_size 64
    --logging_steps 50 --save_steps 500 --save_total_limit 1 --alignment match)

student() { # NAME SEEDS [--KEY VALUE ...]
    local name=$1 seed seeds=$2
    shift 2
    for seed in $seeds; do
        meanwhile run "$output/$name/seed-$seed" distillation/run.py "${every[@]}" --seed "$seed" "$@"
    done
}

cost() { # NAME [--KEY VALUE ...]: the time of a step, alone on the machine
    finish
    run "$output/costs/$1" distillation/run.py "${every[@]}" "${@:2}" --max_steps 100
    python -c 'import json, sys; run = json.load(open(sys.argv[1])); print(run["train_seconds"] / run["steps"])' \
        "$output/costs/$1/all_results.json" | xargs printf '%s: %.3f seconds a step\n' "$1"
}

dropped_terms() { # NAME SEEDS [--KEY VALUE ...]: each of the four terms
    local term
    for term in kl mlm cosine attention; do student "$1-without-$term" "$2" "${@:3}" "--weight_$term" 0; done
}

choices_by_match() { # NAME [--KEY VALUE ...]: each other choice, with one seed
    student "$1-kl-mlm" 1 "${@:2}" --weight_cosine 0 --weight_attention 0
    student "$1-masked" 1 "${@:2}" --kl_positions masked
    student "$1-clean" 1 "${@:2}" --teacher_input clean
    student "$1-temperature-1" 1 "${@:2}" --temperature 1
    student "$1-crop" 1 "${@:2}" --init_projection crop
    for start in select embeddings random; do student "$1-$start" 1 "${@:2}" --student_initialisation "$start"; done
}

choices_by_reduce() { # NAME [--KEY VALUE ...]
    student "$1-kl-mlm" 1 "${@:2}" --weight_cosine 0 --weight_attention 0
    student "$1-masked" 1 "${@:2}" --kl_positions masked
    for map in pieces pieces_logsumexp shared; do student "$1-$map" 1 "${@:2}" --vocabulary_map "$map"; done
    student "$1-pieces-sum" 1 "${@:2}" --vocabulary_map pieces --reduce_pooling sum
}

reduce_as_published() { # NAME [--KEY VALUE ...]: the weights, map, pooling, and inputs of the paper's code
    student "$1-published" 1 "${@:2}" --weight_cosine 0 --weight_attention 0 --weight_mlm 0.5 \
        --vocabulary_map pieces_logsumexp --reduce_pooling sum --teacher_input clean
}

evaluate() { # all models together: which words are hidden depends on how all tokenizers cut the lines
    finish
    python distillation/run_evaluation.py --validation_file "$output/corpus/held-out.txt" --max_length 128 \
        --output "$output/evaluation.json" --model_name_or_path "$output/teacher" "$output"/*/seed-*
}

finetune() { # TASK EPOCHS RATES MODEL [--KEY VALUE ...]: three seeds, which start from the seeds of the student in turn
    local task=$1 epochs=$2 rates=$3 model=$4 rate start seeds weights=--models
    shift 4
    [ -z "${untrained:-}" ] || weights=--random_weights # only its shape: the lowest score to expect
    for rate in $rates; do
        for start in "$output/$model"/seed-* "$output/$model"; do
            case $start in
            */seed-1) seeds="1 3" ;;
            */seed-2) seeds=2 ;;
            *) seeds="1 2 3" ;;
            esac
            if [ -f "$start/config.json" ]; then
                meanwhile run "$output/$model${untrained:-}/finetuned/$task-$rate-${start##*/}" finetuning/run_benchmarks.py \
                    --tasks "$task" "$weights" "$start" --data_dir "$data" "sberquad=$data/xquad_ru" --seeds $seeds \
                    --learning_rate "$rate" --num_train_epochs "$epochs" --max_length 128 \
                    --per_device_train_batch_size 32 --per_device_eval_batch_size 64 "$@"
            fi
        done
    done
}

compare() { # BASELINE MODEL ...: on held-out text, and on what they were fine-tuned on
    local models=("${@:2}")
    finish
    python benchmarks/compare.py --baseline "$output/$1" --models "${models[@]/#/$output/}" \
        --held_out "$output/evaluation.json"
}
