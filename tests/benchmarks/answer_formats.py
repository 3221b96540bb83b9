"""The three answer formats with one model and one budget: F1, tokens of an answer and what can't be read, SFT and GRPO.

    python tests/benchmarks/answer_formats.py --work outputs/answer_formats

Runs launch/quickstart.sh for each format with as many rows of SFT (1,280, in batches of 16) and as many GRPO steps (20
of 8 prompts), into a folder of its own, and scores the models on the same test sentences. Prints a table and writes
answer_formats.json beside this file. What is done stays in --work, so that the same command goes on after an
interruption.

BIO can't express nested mentions: its test sentences are the first of those that it can, nearly the others'.

A row of entity_tags asks about one type, so that in the same rows it sees fewer sentences, and a sentence costs it an
answer a type: tokens are counted for an answer and for a sentence.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recipe.answers import FORMATS
from recipe.core.files import write_json
from recipe.generate.predictions import FILE, read_predictions

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]
STAGES = {"SFT": "sft", "SFT + GRPO": "grpo"}
ROOM = {"json": 256, "bio": 320, "entity_tags": 160}  # new tokens, as in launch/quickstart.sh
BATCH, PROMPTS = 16, 8  # a step of SFT, and of GRPO


def call(*command: object, **environment: str) -> None:
    """Run a command in the repository; its output goes to standard error."""
    print("$", *command, file=sys.stderr, flush=True)
    subprocess.run(list(map(str, command)), cwd=ROOT, env={**os.environ, **environment}, check=True, stdout=sys.stderr)


def figures(scores_folder: Path) -> dict[str, float]:
    """Macro strict F1, the shares of answers and of sentences that can't be read, mean tokens of either."""
    scores = json.loads((scores_folder / "scores.json").read_text(encoding="utf-8"))
    tokens = [prediction.output_tokens for prediction in read_predictions(scores_folder / FILE).values()]
    datasets = scores["datasets"].values()
    sentences = sum(dataset["sentences"] for dataset in datasets)
    lost = sum(dataset["unparsable"] * dataset["sentences"] for dataset in datasets) / sentences
    return {
        "strict_f1": scores["macro"]["strict"],
        "strict_interval": scores["macro_interval"]["strict"],
        "unparsable_answers": scores["questions"]["unparsable"] if "questions" in scores else lost,
        "unparsable_sentences": lost,
        "tokens_an_answer": sum(tokens) / len(tokens),
        "tokens_a_sentence": sum(tokens) / sentences,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=ROOT / "outputs" / "answer_formats", help="folder of the runs")
    parser.add_argument("--rows", type=int, default=1280, help="rows of SFT; default 1,280, 80 steps")
    parser.add_argument("--steps", type=int, default=20, help="GRPO steps; default 20")
    parser.add_argument("--sentences", type=int, default=300, help="test sentences of each dataset; default 300")
    args = parser.parse_args()
    budget = [f"sft.data.train_batch_size={BATCH}", f"trainer.total_training_steps={args.steps}"]
    budget += [f"{key}={PROMPTS}" for key in ("data.train_batch_size", "actor_rollout_ref.actor.ppo_mini_batch_size")]
    results = []
    for name in FORMATS:
        work = args.work.absolute() / name
        settings = (f"answer_format={name}", f"rows={args.rows}", *budget)
        call("bash", "launch/quickstart.sh", *settings, OUT=str(work))
        for stage, model in STAGES.items():
            out = work / "table" / model
            if not (out / "scores.json").exists():
                limits = ("--limit", args.sentences, "--max-new-tokens", ROOM[name])
                test = ("--data", work / "data" / "eval" / "test.parquet", *limits)
                call(sys.executable, "-m", "recipe.evaluate", work / "models" / model, *test, "--out", out)
            results.append({"format": name, "stage": stage, **figures(out)})
    head = f"{'format':12} {'stage':11} {'strict F1':>9} {'95 %':^13} {'unparsable %':>12}"
    print(f"{head} {'tokens':>7} {'a sentence':>10}")
    for row in results:
        low, high = row["strict_interval"]
        print(
            f"{row['format']:12} {row['stage']:11} {100 * row['strict_f1']:9.1f} {100 * low:6.1f}-{100 * high:<6.1f} "
            f"{100 * row['unparsable_answers']:12.1f} {row['tokens_an_answer']:7.1f} {row['tokens_a_sentence']:10.1f}"
        )
    spent = {"sft_rows": args.rows, "grpo_steps": args.steps, "grpo_prompts": PROMPTS}
    write_json(HERE.with_suffix(".json"), {**spent, "sentences_a_dataset": args.sentences, "runs": results})


if __name__ == "__main__":
    main()
