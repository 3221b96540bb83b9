"""Memory of a training step as recipe.plan predicts it, and as the process that trains shows it.

    python tests/benchmarks/plan_against_measurement.py [--cases tiny ...]

On a machine without a GPU: verl's own SFT trainer, with verl's own engine (recipe.engines.cpu needs less memory: 0.6 of
what is predicted for 4,096 tokens), takes three steps of sft_tiny in one rank, with the shipped tiny
model and with larger ones of random weights. Measured is the growth of the rank's resident memory: the highest value
during the second and third step (the optimizer has its moments then), less the value just before the model is built,
when Python, the libraries, the tokenizer and the data are in memory already (`baseline_gib`). Prints a table and
writes plan_against_measurement.json beside this file.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from watched_sft import ROOT, watch

from recipe.core.files import write_json
from recipe.plan.memory import phases
from recipe.plan.settings import GIB, load

# Shape of a random model (None: the shipped one), and what differs from sft_tiny.
CASES = {
    "tiny": (None, []),
    "tiny, 4096 tokens": (None, ["data.max_token_len_per_gpu=4096"]),
    "tiny, 4096 tokens, checkpointing": (
        None,
        ["data.max_token_len_per_gpu=4096", "model.enable_gradient_checkpointing=true"],
    ),
    "vocabulary of 32,000": ({"vocab_size": 32_000, "hidden_size": 256, "layers": 4}, []),
    "60M": ({"vocab_size": 8_192, "hidden_size": 768, "layers": 8, "heads": 12, "kv_heads": 4}, []),
}


def prepare(folder: Path) -> Path:
    """SFT rows of the shipped sample; the Parquet file."""
    tool = [sys.executable, "data_prep/to_parquet.py", "sft", "--corpora", "data_prep/sample/IE_INSTRUCTIONS"]
    tool += ["--datasets", "bc5cdr", "CrossNER_AI", "--cot", "template", "--num-samples", "64", "--num-dev", "4"]
    tool += ["--tokenizer", "recipe/tiny_model/base", "--max-tokens", "448", "--out", str(folder)]
    subprocess.run(tool, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return folder / "train.parquet"


def compare(name: str, folder: Path, data: Path, more: Sequence[str] = ()) -> dict:
    """One case in a process of its own: a row of the table. On a GPU (hardware=sft_gpu_1 in `more`) PyTorch's own."""
    from recipe.tiny_model.__main__ import SAMPLE, build_model, build_tokenizer, save, tokenizer_texts
    from recipe.tiny_model.questions import read_corpus

    shape, changes = CASES[name]
    model = ROOT / "recipe" / "tiny_model" / "base"
    if shape:
        model = folder / "model"
        folder.mkdir(parents=True, exist_ok=True)
        save(build_model(**shape), build_tokenizer(tokenizer_texts(read_corpus(SAMPLE))), model)
    overrides = [f"model.path={model}", f"data.train_files={data}", f"trainer.default_local_dir={folder / 'run'}"]
    overrides += ["trainer.total_training_steps=3", "data.train_batch_size=16", "trainer.logger=[console]"]
    overrides += [*changes, *more]
    measured = watch(folder, "sft_tiny", overrides)
    settings = load("sft_tiny", [*overrides, *measured["derived"]])
    (update,) = phases(settings)
    grown = max(step["peak"] for step in measured["steps"][1:]) - measured["baseline"]
    # An allocator's own count has no context and no gaps in it.
    predicted = update.need if settings.device.cpu else update.need - update.parts["runtime"]
    return {
        "case": name,
        "parameters": settings.model.parameters,
        "tokens": settings.tokens,
        "baseline_gib": round(measured["baseline"] / GIB, 3),
        "measured_gib": round(grown / GIB, 3),
        "predicted_gib": round(predicted / GIB, 3),
        "off": round(predicted / grown - 1, 3),
        "parts_gib": {part: round(size / GIB, 3) for part, size in update.parts.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="*", choices=list(CASES), default=list(CASES))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as work:
        data = prepare(Path(work) / "data")
        print("GiB over the baseline")
        print(f"{'case':34}{'parameters':>12}{'tokens':>8}{'measured':>10}{'predicted':>11}{'off':>8}")
        for number, name in enumerate(args.cases):
            row = compare(name, Path(work) / str(number), data)
            print(
                f"{name:34}{row['parameters']:>12,}{row['tokens']:>8}{row['measured_gib']:>10.3f}"
                f"{row['predicted_gib']:>11.3f}{row['off']:>+8.0%}",
                flush=True,
            )
            rows.append(row)
    write_json(args.out, {"rows": rows})


if __name__ == "__main__":
    main()
