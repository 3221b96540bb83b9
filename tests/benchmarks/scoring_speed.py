"""CPU time and memory of `recipe.evaluate --predictions` over 100,000 sentences, and of recipe.compare on two of these.

    python tests/benchmarks/scoring_speed.py [--sentences 100000] [--against FOLDER]

Sentences of data_prep/sample with other names of the same types in them, so that few are alike; a third of the answers'
entities are dropped, shifted or given another type, and one answer in fifty is cut off. `--against` names another
checkout of this repository: it scores the same file between two runs of this one, and the figures must be the same.
Prints a table and writes scoring_speed.json beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recipe import answers
from recipe.answers.json_answer import render_entities
from recipe.answers.think import template_reasoning
from recipe.core.align import place
from recipe.core.entities import Entity, Example
from recipe.core.files import write_json
from recipe.core.ground_truth import to_ground_truth
from recipe.corpora import datasets as corpora

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "data_prep" / "sample" / "IE_INSTRUCTIONS" / "NER"
Names = dict[tuple[str, str], list[str]]


def vary(example: Example, names: Names, rng: random.Random) -> Example:
    """The sentence with other names of the same types; as it is where names have no place or overlap."""
    spans = sorted(zip(place(example.sentence, example.entities), example.entities, strict=True), key=str)
    spans = sorted(spans, key=lambda pair: pair[0] or ())
    ends = [0, *(span.end if span else 0 for span, _ in spans)]
    if any(span is None or span.start < end for (span, _), end in zip(spans, ends, strict=False)):
        return example
    text, entities, at = "", [], 0
    for span, entity in spans:
        name = rng.choice(names[example.dataset, entity.type])
        text += example.sentence[at : span.start]
        entities.append(Entity(name, entity.type, len(text)))
        text, at = text + name, span.end
    return replace(example, sentence=text + example.sentence[at:], entities=tuple(entities), reasoning=None)


def corrupt(example: Example, rng: random.Random) -> str:
    """An answer that is wrong in a third of its entities."""
    entities = []
    for entity in example.entities:
        kind = rng.randrange(9)
        if kind == 0:
            continue
        if kind == 1:
            entity = Entity(entity.name.split()[0], entity.type)
        elif kind == 2:
            entity = Entity(entity.name, rng.choice(example.types))
        entities.append(entity)
    completion = render_entities(entities, template_reasoning(example))
    return completion if rng.randrange(50) else completion[: rng.randrange(len(completion))]


def write_files(folder: Path, sentences: int) -> None:
    """data.parquet, and first.jsonl and second.jsonl, two sets of predictions of it."""
    import pyarrow as pa
    from pyarrow import parquet

    found, _ = corpora.find_datasets(SAMPLE)
    examples = [e for dataset in found for split in ("train", "test") for e in corpora.read_dataset(dataset, split)]
    names: Names = defaultdict(list)
    for example in examples:
        for entity in example.entities:
            names[example.dataset, entity.type].append(entity.name)
    rng, rows = random.Random(0), []
    with (folder / "first.jsonl").open("w") as first, (folder / "second.jsonl").open("w") as second:
        for index in range(sentences):
            example = vary(rng.choice(examples), names, rng)
            message = {"role": "user", "content": answers.render_prompt(example)}
            gold = {"style": "rule", "ground_truth": to_ground_truth(example)}
            rows.append({"data_source": example.dataset, "prompt": [message], "reward_model": gold})
            for file in (first, second):
                line = {"index": index, "output": corrupt(example, rng), "output_tokens": 1, "finish_reason": "stop"}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
    parquet.write_table(pa.Table.from_pylist(rows), folder / "data.parquet")


def timed(root: Path, *arguments: object) -> tuple[float, int]:
    """CPU seconds (user and system) and peak MB of a command of the checkout `root`."""
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", *map(str, arguments)]
    process = subprocess.Popen(command, cwd=root, env={**os.environ, **one_thread}, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit status {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024


def evaluate(root: Path, folder: Path, predictions: str, out: str) -> tuple[float, int]:
    files = ("--predictions", folder / f"{predictions}.jsonl", "--data", folder / "data.parquet")
    return timed(root, "recipe.evaluate", *files, "--out", folder / out)


def figures(folder: Path) -> dict:
    scores = json.loads((folder / "scores.json").read_text())
    return {key: value for key, value in scores.items() if key != "source"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=100_000)
    parser.add_argument("--against", type=Path, help="another checkout, timed beside this one")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_files(folder, args.sentences)
        other = args.against and args.against.resolve()
        seconds, memory = evaluate(ROOT, folder, "first", "first")
        before = evaluate(other, folder, "first", "other")[0] if other else None
        again, _ = evaluate(ROOT, folder, "second", "second")
        compared, _ = timed(ROOT, "recipe.compare", folder / "first", folder / "second")
        scores = figures(folder / "first")
        result = {
            "sentences": args.sentences,
            "datasets": len(scores["datasets"]),
            "cpu_seconds": round((seconds + again) / 2, 1),
            "peak_memory_mb": memory,
            "compare_cpu_seconds": round(compared, 1),
            "macro_strict_f1": round(scores["macro"]["strict"], 4),
        }
        if before is not None:
            result["against_cpu_seconds"] = round(before, 1)
            result["against_ratio"] = round(before / ((seconds + again) / 2), 2)
            result["same_figures"] = scores == figures(folder / "other")
    for name, value in result.items():
        print(f"{name:20} {value:>12}")
    write_json(Path(__file__).with_suffix(".json"), result)


if __name__ == "__main__":
    main()
