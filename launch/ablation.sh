#!/usr/bin/env bash
# What each part adds: base; SFT on another corpus; SFT without CoT; with CoT; and RE. Ends with a table beside the paper's.
#
#   bash launch/ablation.sh              # Qwen3-1.7B-Base on 8 GPUs, to outputs/ablation
#   bash launch/ablation.sh tiny         # the tiny model and the shipped sample, with a GPU or none, to outputs/ablation_tiny
#   SFT_ROWS=256 RL_ROWS=24 SENTENCES=20 bash launch/ablation.sh tiny base other       # a glance at the first steps
#
# A second run skips what is done. Steps: base other no_cot cot re; further arguments name those to run. For the real one:
#   NER_COT=NER-CoT.json                               SFT's rows, with reasoning
#   OTHER="--ner-cot Pile-NER.json --no-cot"           the other corpus, as arguments of to_parquet.py sft
#   CORPORA=IE_INSTRUCTIONS                            RE's training data and the seven test sets
#   NER_PYTHON=python3                                 as in launch/train.sh
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=launch/steps.sh
. launch/steps.sh
# shellcheck disable=SC2034 # steps.sh says it of a script that was ended
resumes="the same command goes on from there"
set_up
if [[ ${1:-} == tiny ]]; then
    shift
    out=${OUT:-outputs/ablation_tiny} base=recipe/tiny_model/base sft=sft_tiny grpo=grpo_tiny
    sample=(--corpora data_prep/sample/IE_INSTRUCTIONS)
    rows=(--num-samples "${SFT_ROWS:-1280}" --num-dev 0 --tokenizer "$base" --max-tokens 448)
    other=("${sample[@]}" --datasets bc5cdr --no-cot "${rows[@]}")
    cot=("${sample[@]}" --datasets bc5cdr "Broad Tweet Corpus" "${rows[@]}") with=(--cot template)
    grpo_data=("${sample[@]}" --datasets bc5cdr "Broad Tweet Corpus" --num-samples "${RL_ROWS:-240}" --num-dev 24
        --tokenizer "$base" --max-prompt-tokens 256)
    eval_data=("${sample[@]}" --protocol ablation)
    evaluation=(--limit "${SENTENCES:-60}" --max-new-tokens 256)
else
    sft_on=() grpo_on=() # these experiments have their own hardware
    out=${OUT:-outputs/ablation} base=${BASE:-Qwen/Qwen3-1.7B-Base} sft=sft_qwen3_1_7b grpo=grpo_qwen3_1_7b
    read -ra other <<<"${OTHER:---ner-cot Pile-NER.json --no-cot}"
    cot=(--ner-cot "${NER_COT:-NER-CoT.json}") with=()
    corpora=(--corpora "${CORPORA:-IE_INSTRUCTIONS}")
    grpo_data=("${corpora[@]}" --list in_domain)
    eval_data=("${corpora[@]}" --protocol ablation)
    evaluation=()
fi

data() { # data KIND NAME ARGUMENTS...
    [[ -e $out/data/$2/manifest.json ]] || run "$py" data_prep/to_parquet.py "$1" --out "$out/data/$2" "${@:3}"
}
train() { # train STEP EXPERIMENT OVERRIDES...: a run and its merged model
    [[ -e $out/models/$1/config.json ]] && return
    run "$py" -m recipe.train "$2" trainer.default_local_dir="$out/runs/$1" "${@:3}"
    run "$py" -m recipe.merge "$out/runs/$1" --out "$out/models/$1"
}
fine_tune() { # fine_tune STEP: on data/STEP
    train "$1" "$sft" model.path="$base" data.train_files="$out/data/$1/train.parquet" ${sft_on[@]+"${sft_on[@]}"}
}
score() { # score STEP MODEL
    [[ -e $out/scores/$1/scores.json ]] ||
        run "$py" -m recipe.evaluate "$2" --data "$out/data/eval/test.parquet" --protocol ablation \
            --out "$out/scores/$1" ${evaluation[@]+"${evaluation[@]}"}
}

steps=("$@")
((${#steps[@]})) || steps=(base other no_cot cot re)
data eval eval "${eval_data[@]}"
for step in "${steps[@]}"; do
    step "$step"
    case $step in
    base) score base "$base" ;;
    other)
        data sft other "${other[@]}"
        fine_tune other
        score other "$out/models/other"
        ;;
    no_cot)
        data sft no_cot "${cot[@]}" --no-cot
        fine_tune no_cot
        score no_cot "$out/models/no_cot"
        ;;
    cot)
        data sft cot "${cot[@]}" ${with[@]+"${with[@]}"}
        fine_tune cot
        score cot "$out/models/cot"
        ;;
    re)
        [[ -e $out/models/cot/config.json ]] || { echo "ablation: re starts from cot; run that step first" >&2 && exit 2; }
        data grpo grpo "${grpo_data[@]}"
        train re "$grpo" actor_rollout_ref.model.path="$out/models/cot" data.train_files="$out/data/grpo/train.parquet" \
            data.val_files="$out/data/grpo/dev.parquet" ${grpo_on[@]+"${grpo_on[@]}"}
        score re "$out/models/re"
        ;;
    *)
        echo "ablation: $step: no such step; base, other, no_cot, cot or re" >&2
        exit 2
        ;;
    esac
done
echo
run "$py" -m recipe.ablation "$out"
