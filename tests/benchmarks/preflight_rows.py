"""Time of checking 50,000 SFT rows, and as many of GRPO's, before a run: tokens, lengths, control tokens, gold, masks.

    python tests/benchmarks/preflight_rows.py [--rows 50000]

Real sentences of data_prep/sample, repeated, with the tiny base's tokenizer; answers in JSON with reasoning, and in BIO
with the recall-oriented loss's mask. Prints a table and writes preflight_rows.json beside this file.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from omegaconf import OmegaConf

from data_prep.output import write_parquet
from data_prep.rows import RowRules, question_row, row_schema
from recipe import answers
from recipe.answers import bio
from recipe.answers.think import template_reasoning
from recipe.core.entities import DataError
from recipe.core.files import write_json
from recipe.corpora import datasets as corpora
from recipe.models.folder import load_tokenizer
from recipe.train import checks as preflight
from recipe.train import config

SAMPLE = Path(__file__).resolve().parents[2] / "data_prep" / "sample" / "IE_INSTRUCTIONS" / "NER"


def _in_bio(example) -> bool:
    try:
        return bool(bio.render_answer(example))
    except DataError:
        return False


def messages(example, name: str) -> dict:
    example = replace(example, format=name, reasoning=None if name == "bio" else template_reasoning(example))
    turn = [("user", answers.render_prompt(example)), ("assistant", answers.render_answer(example))]
    return {
        "messages": [{"role": role, "content": text} for role, text in turn],
        "extra_info": {"types": list(example.types)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000)
    args = parser.parse_args()
    import pyarrow as pa
    import pyarrow.parquet as pq

    found, _ = corpora.find_datasets(SAMPLE)
    examples = [example for dataset in found for example in corpora.read_dataset(dataset, "test")]
    examples = [example for example in examples if _in_bio(example)]
    examples = [examples[i % len(examples)] for i in range(args.rows)]
    tokenizer = load_tokenizer(Path(__file__).resolve().parents[2] / "recipe" / "tiny_model" / "base")
    result: dict[str, object] = {"rows": args.rows, "cores": len(os.sched_getaffinity(0))}
    with tempfile.TemporaryDirectory() as folder:
        for name, answer_format in (("sft_tiny", "json"), ("sft_tiny_bio", "bio")):
            path = Path(folder, f"{name}.parquet")
            pq.write_table(pa.Table.from_pylist([messages(example, answer_format) for example in examples]), path)
            settings = config.compose(name, [f"data.train_files={path}", "data.max_length=4096"])
            before, used = time.perf_counter(), time.process_time()
            assert preflight._check_sft_data(settings, tokenizer) == args.rows
            result[f"{name}_seconds"] = round(time.perf_counter() - before, 1)
            result[f"{name}_cpu_seconds"] = round(time.process_time() - used, 1)
        path = Path(folder, "grpo.parquet")
        rules = RowRules()
        write_parquet(path, [question_row(e, i, "train", rules) for i, e in enumerate(examples)], row_schema(sft=False))
        settings = config.compose("grpo_tiny", [f"data.train_files={path}", "data.val_files=[]"])
        before, used = time.perf_counter(), time.process_time()
        OmegaConf.update(settings, "data.max_prompt_length", 4096)
        assert preflight._check_grpo_data(settings, tokenizer) == args.rows
        result["grpo_tiny_seconds"] = round(time.perf_counter() - before, 1)
        result["grpo_tiny_cpu_seconds"] = round(time.process_time() - used, 1)
    for name, value in result.items():
        print(f"{name:26} {value:>10}")
    write_json(Path(__file__).with_suffix(".json"), result)


if __name__ == "__main__":
    main()
