"""What ReCoT-NER's loss and its two-step instruction change: recall and F1 of BIO answers, three seeds, one dataset.

    python tests/benchmarks/recall_oriented.py --work outputs/recall_oriented

Each run is the tiny model's SFT on a sample of Broad Tweet Corpus (the seed draws it), merged and evaluated on test
sentences: with and without the loss, with and without the two steps, and with alpha alone, without the loss's factor
(1 - p), which weighs all tokens. Prints a table and writes recall_oriented.json
beside this file. What is done stays in --work, so that the same command goes on after an interruption.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recipe.core.files import write_json

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]
CORPUS = ["--corpora", "data_prep/sample/IE_INSTRUCTIONS", "--datasets", "Broad Tweet Corpus", "--answer-format", "bio"]
WORDINGS = {"two steps": [], "one step": ["--one-step"]}
BATCH = 16  # rows a step: with so few of them, more steps teach more
LOSSES = {
    "recall-oriented": ["loss=recall_oriented"],
    "alpha alone": ["loss=recall_oriented", "loss.confidence=false"],
    "plain": ["loss=plain"],
}
FIGURES = ("precision", "recall", "f1")


def python(*command: object) -> None:
    """Run a command of the repository; its output goes to standard error."""
    print("$", *command, file=sys.stderr, flush=True)
    subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, check=True, stdout=sys.stderr)


def run(work: Path, wording: str, loss: str, seed: int, rows: int, sentences: int) -> dict[str, float]:
    """Strict precision, recall and F1 of one run, and the share of answers that can't be read."""
    about = WORDINGS[wording]
    data, test = work / f"data_{wording}_{seed}".replace(" ", "_"), work / f"test_{wording}".replace(" ", "_")
    out = work / f"{wording}_{loss}_{seed}".replace(" ", "_")
    prepare, limits = "data_prep/to_parquet.py", ["--tokenizer", "recipe/tiny_model/base", "--max-tokens", 448]
    if not (data / "manifest.json").exists():
        sample = ["--no-cot", "--num-samples", rows, "--num-dev", 0, "--seed", seed]
        python(prepare, "sft", *CORPUS, *about, *limits, *sample, "--out", data)
    if not (test / "manifest.json").exists():
        python(prepare, "eval", *CORPUS, *about, "--out", test)
    if not (out / "scores" / "scores.json").exists():
        settings = [f"data.train_files={data / 'train.parquet'}", f"trainer.default_local_dir={out / 'sft'}"]
        settings += ["--ranks", "1", f"data.train_batch_size={BATCH}"]
        python("-m", "recipe.train", "sft_tiny_bio", *settings, *LOSSES[loss])
        if not (out / "model" / "config.json").exists():
            python("-m", "recipe.merge", out / "sft", "--out", out / "model")
        evaluate = ["--data", test / "test.parquet", "--limit", sentences, "--max-new-tokens", 320]
        python("-m", "recipe.evaluate", out / "model", *evaluate, "--out", out / "scores")
    [scores] = json.loads((out / "scores" / "scores.json").read_text())["datasets"].values()
    return {name: scores["strict"][name] for name in FIGURES} | {"unparsable": scores["unparsable"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=ROOT / "outputs" / "recall_oriented", help="folder of the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--rows", type=int, default=480, help="SFT rows; default 480, 30 steps")
    parser.add_argument("--sentences", type=int, default=200, help="test sentences; default 200")
    args = parser.parse_args()
    settings = (args.rows, args.sentences)
    results = [
        {"wording": wording, "loss": loss, "seed": seed, **run(args.work.absolute(), wording, loss, seed, *settings)}
        for seed in args.seeds
        for wording in WORDINGS
        for loss in LOSSES
    ]
    print(f"{'instruction':12} {'loss':16} {'P':>14} {'R':>14} {'F1':>14}   strict, %, mean and deviation of the seeds")
    for wording in WORDINGS:
        for loss in LOSSES:
            mine = [result for result in results if (result["wording"], result["loss"]) == (wording, loss)]
            cells = []
            for name in FIGURES:
                values = [100 * result[name] for result in mine]
                spread = statistics.stdev(values) if len(values) > 1 else 0.0
                cells.append(f"{statistics.mean(values):6.2f} ±{spread:5.2f}")
            print(f"{wording:12} {loss:16} {cells[0]:>14} {cells[1]:>14} {cells[2]:>14}")
    write_json(HERE.with_suffix(".json"), {"rows": args.rows, "sentences": args.sentences, "runs": results})


if __name__ == "__main__":
    main()
