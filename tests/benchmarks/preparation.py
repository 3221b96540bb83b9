"""Time and memory of data preparation: a sample for GRPO, all rows for SFT, and a sample with a limit in tokens.

    python tests/benchmarks/preparation.py [--rows 20000] [--only grpo] [--out more.json]

Makes a corpus of so many records, prepares it by the command itself, prints a table and writes it to --out, which is
preparation.json beside this file by default. `seconds` are of the processor; rows a second are records read a second of
these.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recipe.core.files import write_json

ROOT = Path(__file__).resolve().parents[2]
TYPES = ("chemical", "disease", "gene")
TEXT = (
    "the of and in patient with after acute renal failure binding expression protein effects reverses naloxone "
    "clonidine ( ) , study shows that increased level p < 0.05 was seen cell IL-2 mice rat [ 3H ] HMB - 45 ."
)
WORDS = TEXT.split()
LIMIT = ("--tokenizer", str(ROOT / "recipe" / "tiny_model" / "base"), "--max-tokens", "448")
COMMANDS = {
    "grpo": ("grpo", "--num-samples", "5000"),
    "grpo, half": ("grpo", "--max-per-dataset", "1000000000"),
    "sft, all": ("sft", "--no-cot", "--num-dev", "0"),
    "sft, tokens": ("sft", "--cot", "template", "--num-samples", "3200", *LIMIT),
}


def record(number: int, rng: random.Random) -> dict:
    """A sentence of 8 to 40 words with up to three names."""
    words = [rng.choice(WORDS) for _ in range(rng.randint(8, 40))] + [f"case {number}"]
    entities = []
    for first in sorted(rng.sample(range(len(words)), rng.randint(0, 3))):
        start = len(" ".join([*words[:first], ""]))
        place = [start, start + len(words[first])]
        entities.append({"name": words[first], "type": rng.choice(TYPES), "pos": place})
    return {"sentence": " ".join(words), "entities": entities}


def write_corpus(folder: Path, rows: int) -> None:
    """A dataset of so many train records, record by record."""
    folder.mkdir()
    (folder / "labels.json").write_text(json.dumps(TYPES))
    for split, number in (("dev", 1000), ("train", rows)):
        rng = random.Random(split)
        with (folder / f"{split}.json").open("w") as file:
            for at in range(number):
                file.write(("[" if at == 0 else ",\n") + json.dumps(record(at, rng)))
            file.write("]\n")


def measure(command: list[str]) -> tuple[float, float]:
    """Processor seconds, and the peak memory in MB, of a command."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit status {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--only", choices=COMMANDS, nargs="+", default=list(COMMANDS), help="not all of the commands")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    result = {"rows": args.rows, "commands": {}}
    with tempfile.TemporaryDirectory() as folder:
        write_corpus(Path(folder) / "synthetic", args.rows)
        print(f"{'':12} {'rows/s':>9} {'seconds':>9} {'peak MB':>9}")
        for name, options in COMMANDS.items():
            if name not in args.only:
                continue
            if name == "grpo, half":
                options = (*options, "--num-samples", str(args.rows // 2))
            where = ("--corpora", f"{folder}/synthetic", "--out", f"{folder}/out")
            seconds, peak = measure([sys.executable, str(ROOT / "data_prep" / "to_parquet.py"), *options, *where])
            rate = round(args.rows / seconds)
            facts = {
                "rows_per_second": rate,
                "seconds": round(seconds, 2),
                "peak_mb": round(peak),
            }
            result["commands"][name] = facts
            print(f"{name:12} {rate:>9,} {seconds:>9.2f} {peak:>9.0f}", flush=True)
    write_json(args.out, result)


if __name__ == "__main__":
    main()
