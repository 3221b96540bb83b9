#!/usr/bin/env bash
# What GRPO is worth: the same SFT five times over, as it is and gone on with in four ways, over several seeds.
#
#   bash launch/learning.sh                                 # the tiny model, seeds 1 to 3, to outputs/learning/tiny
#   bash launch/learning.sh answer_format=bio               # or entity_tags; to outputs/learning/tiny_bio
#   SEEDS=1 SFT_ROWS=640 RL_ROWS=64 SENTENCES=20 bash launch/learning.sh    # a glance at all steps
#   bash launch/learning.sh method=grpo_trl sft.optim.lr=5e-4               # settings of GRPO, and of every SFT
#   bash launch/learning.sh further.optim.lr=2e-4           # a fifth, of the SFTs that go on from the first alone
#
# A second run skips what is done. Cells of a seed, each merged and scored, with and without constrained decoding:
#   sft        SFT on all rows but GRPO's, or on SFT_ROWS of them, SFT_EPOCHS times (3)
#   grpo       GRPO from there, RL_EPOCHS times on RL_ROWS prompts of sentences that SFT did not have (2 and 2,560; where
#              its experiment has no large batch, 1 and 960)
#   sft_time   SFT goes on from there for the seconds that GRPO's steps took, on its rows and GRPO's with their gold
#   sft_rows   SFT goes on from there on GRPO's rows with their gold, as often as GRPO saw them
#   best_of    SFT goes on from there on the best of SAMPLES answers of its own to GRPO's prompts, as often
#   base       the model before SFT, scored alone; not among the cells that are done unasked
# AFTER=outputs/learning/first begins each seed with the sft_time of that run in place of an SFT, and with new prompts.
# CORPORA=IE_INSTRUCTIONS LIST=names.txt trains on, and scores, the datasets that the file names in place of these two.
# hardware=gpu_1 goes to a GPU, which is taken unasked where set-up finds one; NER_PYTHON: as in launch/train.sh.
# KEEP_EMPTY=0.5 keeps so many of GRPO's prompts that have nothing to find, where they are rarer in what is scored.
# CELLS="base sft grpo" does these alone. SENTENCES (300) of each dataset are scored, of CrossNER's CROSSNER_SENTENCES (200).
# model=NAME takes the experiments sft_NAME and grpo_NAME_large_batch, or grpo_NAME where there is none, and the model
# of hydra_configs/model/NAME.yaml. The table again: python -m recipe.learning outputs/learning/tiny
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=launch/steps.sh
. launch/steps.sh
export TORCH_CPP_LOG_LEVEL=${TORCH_CPP_LOG_LEVEL:-ERROR} # of NUMA and the like; nothing that a reader could act on
format=json model=tiny longest=256 sft_overrides=() further=() overrides=()
for argument; do
    case $argument in
    answer_format=*) format=${argument#*=} ;;
    model=*) model=${argument#*=} ;;
    sft.*) sft_overrides+=("${argument#sft.}") ;;
    hardware=*) hardware=${argument#*=} ;;
    further.*) further+=("${argument#further.}") ;;
    *) overrides+=("$argument") ;;
    esac
done
case $format in
json) suffix="" cot=template limit=448 room=256 decodings=("" _constrained) ;;
bio) suffix=_bio cot=none limit=448 room=320 decodings=("") ;; # a grammar is json's alone
entity_tags)
    suffix=_entity_tags room=160 longest=512 decodings=("")
    cot=template limit=640 # a question's examples make it long
    ;;
*)
    echo "learning: answer_format=$format: not known; json, bio or entity_tags" >&2
    exit 2
    ;;
esac
taught=(--cot template)
[[ $cot == template ]] || taught=(--no-cot)
configured=hydra_configs/model/$model.yaml grpo=grpo_$model$suffix rl_rows=960 rl_epochs=1
[[ -e hydra_configs/${grpo}_large_batch.yaml ]] && grpo+=_large_batch rl_rows=2560 rl_epochs=2
for needed in "$configured" "hydra_configs/sft_$model$suffix.yaml" "hydra_configs/$grpo.yaml"; do
    [[ -e $needed ]] || { echo "learning: model=$model: no $needed; write it, or name another model" >&2 && exit 2; }
done
base=$(sed -n 's/^path: *\([^ #]*\).*/\1/p' "$configured")
read -ra seeds <<<"${SEEDS:-1 2 3}"
read -ra cells <<<"${CELLS:-sft grpo sft_time sft_rows best_of}"
for cell in "${cells[@]}"; do
    [[ " base sft grpo sft_time sft_rows best_of " == *" $cell "* ]] ||
        { echo "learning: $cell: no such cell; base, sft, grpo, sft_time, sft_rows or best_of" >&2 && exit 2; }
done
out=${OUT:-outputs/learning/$model$suffix}
first=${AFTER:-} had=()
if [[ -n $first ]]; then
    had=("$first"/data/{sft,gold*}) # what its models were trained on
    [[ ! $out -ef $first ]] || { echo "learning: AFTER=$first: is this run's own folder; set OUT to another" >&2 && exit 2; }
    for seed in "${seeds[@]}"; do
        [[ -e $first/seed_$seed/models/sft_time/config.json ]] ||
            { echo "learning: AFTER=$first: has no sft_time of seed $seed; do that first: OUT=$first SEEDS=$seed" >&2 && exit 2; }
    done
fi

# shellcheck disable=SC2034 # steps.sh says it of a script that was ended
resumes="the same command goes on from there"
sample=data_prep/sample/IE_INSTRUCTIONS
trained=(--corpora "$sample" --datasets bc5cdr "Broad Tweet Corpus") tests=("$sample")
if [[ -n ${CORPORA:-}${LIST:-} ]]; then
    [[ -d ${CORPORA:-} && -f ${LIST:-} ]] ||
        { echo "learning: CORPORA=${CORPORA:-} LIST=${LIST:-}: set both, to a folder of datasets and a file that names some" >&2 && exit 2; }
    trained=(--corpora "$CORPORA" --list "$LIST") tests+=("$CORPORA")
fi
common=("${trained[@]}" --answer-format "$format" --tokenizer "$base")
limited=(--tokenizer "$base" --max-tokens "$limit") # of every row that an SFT reads: it refuses a longer one
data() { # data KIND NAME ARGUMENTS...
    [[ -e $out/data/$2/manifest.json ]] || run "$py" data_prep/to_parquet.py "$1" --out "$out/data/$2" "${@:3}"
}
take() { # take FOLDER AS: a link to what the first run has
    [[ ! $2 -ef $1 ]] || return 0
    [[ ! -e $2 ]] || { echo "learning: AFTER=$first: $2 is of another SFT; set OUT to another" >&2 && exit 2; }
    mkdir -p "$(dirname "$2")" && ln -s "$(realpath "$1")" "$2"
}
train() { # train CELL EXPERIMENT OVERRIDES...: a run of this seed and its merged model
    [[ -e $of/models/$1/config.json ]] && return
    run "$py" -m recipe.train "$2" seed="$seed" trainer.default_local_dir="$of/runs/$1" "${@:3}"
    run "$py" -m recipe.merge "$of/runs/$1" --out "$of/models/$1"
}
fine_tune() { # fine_tune CELL MODEL FILES OVERRIDES...
    train "$1" "sft_$model$suffix" model.path="$2" data.train_files="$3" \
        ${sft_on[@]+"${sft_on[@]}"} ${sft_overrides[@]+"${sft_overrides[@]}"} "${@:4}"
}
go_on() { # go_on CELL FILES OVERRIDES...: SFT of this seed's first SFT
    fine_tune "$1" "$start" "$2" "${@:3}" ${further[@]+"${further[@]}"}
}
score() { # score CELL: on both tests, in both decodings
    local test decoding sentences scored=$of/models/$1 to=$of/scores/$1
    [[ $1 != base ]] || scored=$base to=$out/scores/base # one for all seeds: it isn't trained, and answers are greedy
    for test in in_domain crossner; do
        sentences=${SENTENCES:-300}
        [[ $test == crossner ]] && sentences=${CROSSNER_SENTENCES:-200}
        for decoding in "${decodings[@]}"; do
            [[ -e $to/$test$decoding/scores.json ]] ||
                run "$py" -m recipe.evaluate "$scored" --data "$out/data/$test/test.parquet" \
                    --out "$to/$test$decoding" --limit "$sentences" --max-new-tokens "$room" \
                    ${decoding:+--constrained}
        done
    done
}
after() { # after CELL...: ends the script where one has no model yet
    for cell; do
        [[ -e $of/models/$cell/config.json ]] ||
            { echo "learning: $step: needs $cell of seed $seed; do that first: CELLS=\"$cell\"" >&2 && exit 2; }
    done
}
budget() { # budget: time_steps, time_epochs and row_epochs of this seed; the last alone where GRPO hasn't run
    local told
    if [[ ! -e $of/models/grpo/config.json ]]; then
        row_epochs=${RL_EPOCHS:-$rl_epochs}
        return
    fi
    told=$("$py" -m recipe.learning.budget "$of/runs" --rows "$out/data/sft" "$out/data/gold")
    read -r _ time_steps _ time_epochs _ row_epochs <<<"$told"
}

step "data"
set_up
[[ $model != smollm2_135m ]] || run "$py" -m recipe.smollm2 "$base"
data grpo grpo "${common[@]}" --drop-overlap-with "${tests[@]}" ${had[@]+"${had[@]/%//train.parquet}"} \
    --num-samples "${RL_ROWS:-$rl_rows}" --num-dev "${RL_DEV:-150}" --max-prompt-tokens "$longest" ${KEEP_EMPTY:+--keep-empty "$KEEP_EMPTY"}
[[ -z $first ]] || take "$first/data/sft" "$out/data/sft"
golds=0
for gold in ${first:+"$first"/data/gold*}; do # for a run after this one
    take "$gold" "$out/data/gold_before_$((++golds))"
done
data sft sft "${common[@]}" "${taught[@]}" --max-tokens "$limit" --drop-overlap-with "${tests[@]}" "$out/data/grpo/train.parquet" \
    ${SFT_ROWS:+--num-samples "$SFT_ROWS"} --num-dev 0
[[ -e $out/data/gold/manifest.json ]] ||
    run "$py" -m recipe.learning.gold "$out/data/grpo/train.parquet" --cot "$cot" --out "$out/data/gold" "${limited[@]}"
data eval in_domain "${trained[@]}" --answer-format "$format" --split test
data eval crossner --corpora "$sample" --protocol crossner_5 --answer-format "$format"

for seed in "${seeds[@]}"; do
    of=$out/seed_$seed start=$out/seed_$seed/models/sft
    [[ -z $first ]] || for kind in models runs; do take "$first/seed_$seed/$kind/sft_time" "$of/$kind/sft"; done
    for step in "${cells[@]}"; do
        step "$step (seed $seed)"
        case $step in
        base) mkdir -p "$of" ;;
        sft) fine_tune sft "$base" "$out/data/sft/train.parquet" trainer.total_epochs="${SFT_EPOCHS:-3}" ;;
        grpo)
            after sft
            train grpo "$grpo" actor_rollout_ref.model.path="$start" \
                data.train_files="$out/data/grpo/train.parquet" data.val_files="$out/data/grpo/dev.parquet" \
                trainer.total_epochs="${RL_EPOCHS:-$rl_epochs}" ${grpo_on[@]+"${grpo_on[@]}"} ${overrides[@]+"${overrides[@]}"}
            ;;
        sft_time)
            after sft grpo
            budget
            go_on sft_time "[$out/data/sft/train.parquet,$out/data/gold/train.parquet]" trainer.total_training_steps="$time_steps" \
                trainer.total_epochs="$time_epochs"
            ;;
        sft_rows)
            after sft
            budget
            go_on sft_rows "$out/data/gold/train.parquet" trainer.total_epochs="$row_epochs"
            ;;
        best_of)
            after sft
            budget
            began=$SECONDS
            [[ -e $of/data/sampled ]] && began="" # sampling in several goes has no known time
            [[ -e $of/data/best_of/manifest.json ]] || {
                run "$py" -m recipe.difficulty "$start" "$out/data/grpo/train.parquet" --out "$of/data/sampled" \
                    --samples "${SAMPLES:-8}" --temperature 1.0 --seed "$seed" --max-new-tokens "$room"
                [[ -z $began ]] || echo $((SECONDS - began)) >"$of/data/sampling_seconds"
                run "$py" -m recipe.difficulty.best_of "$of/data/sampled" --out "$of/data/best_of" "${limited[@]}"
            }
            go_on best_of "$of/data/best_of/train.parquet" trainer.total_epochs="$row_epochs"
            ;;
        esac
        score "$step"
    done
done
echo
run "$py" -m recipe.learning "$out" --json "$out/learning.json"
