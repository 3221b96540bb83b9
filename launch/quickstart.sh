#!/usr/bin/env bash
# The whole pipeline without a GPU: real sentences, verl's SFT, verl's GRPO on Ray with vLLM, merge, evaluation.
#
#   bash launch/quickstart.sh            # everything goes to outputs/quickstart; a second run skips what is done
#   OUT=/tmp/ner bash launch/quickstart.sh trainer.total_training_steps=60      # overrides go to GRPO
#
# The model is the shipped 4M-parameter stand-in for Qwen3-8B-Base; the data is the shipped sample.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${OUT:-outputs/quickstart}
py=.venv/bin/python

step() { printf '\n== %s\n' "$*"; }
datasets=(bc5cdr "Broad Tweet Corpus" CrossNER_AI CrossNER_literature CrossNER_music CrossNER_politics CrossNER_science)
sample=data_prep/sample/IE_INSTRUCTIONS

step "1/8 set-up"
bash launch/setup.sh

step "2/8 corpora to Parquet"
common=(--instructuie "$sample" --datasets "${datasets[@]}")
[[ -e $out/data/sft/manifest.json ]] || $py data_prep/to_parquet.py sft "${common[@]}" --cot template \
    --tokenizer recipe/tiny_base --max-tokens 512 --drop-overlap-with "$sample" --out "$out/data/sft"
[[ -e $out/data/grpo/manifest.json ]] || $py data_prep/to_parquet.py grpo "${common[@]}" --num-samples 1280 --num-dev 100 \
    --tokenizer recipe/tiny_base --max-prompt-tokens 256 --drop-overlap-with "$sample" --out "$out/data/grpo"
[[ -e $out/data/eval/manifest.json ]] || $py data_prep/to_parquet.py eval "${common[@]}" --split test --limit 100 \
    --out "$out/data/eval"

step "3/8 SFT: verl's FSDP trainer teaches the answer format and its reasoning"
$py -m recipe.train sft_tiny data.train_files="$out/data/sft/train.parquet" trainer.default_local_dir="$out/sft"

step "4/8 merge to a Hugging Face folder"
[[ -e $out/models/sft/config.json ]] || $py -m recipe.merge "$out/sft" --out "$out/models/sft"

step "5/8 evaluate on held-out sentences"
$py -m recipe.evaluate "$out/models/sft" --data "$out/data/eval/test.parquet" --out "$out/scores/sft" --max-new-tokens 384

step "6/8 GRPO: verl's trainer on Ray, vLLM rollouts, span F1 as reward"
$py -m recipe.train grpo_tiny data.train_files="$out/data/grpo/train.parquet" data.val_files="$out/data/grpo/dev.parquet" \
    actor_rollout_ref.model.path="$out/models/sft" trainer.default_local_dir="$out/grpo" "$@"

step "7/8 merge"
[[ -e $out/models/grpo/config.json ]] || $py -m recipe.merge "$out/grpo" --out "$out/models/grpo"

step "8/8 evaluate, and what came of it"
$py -m recipe.evaluate "$out/models/grpo" --data "$out/data/eval/test.parquet" --out "$out/scores/grpo" --max-new-tokens 384
$py -m recipe.compare "$out/scores/sft" "$out/scores/grpo" --run "$out/grpo"
