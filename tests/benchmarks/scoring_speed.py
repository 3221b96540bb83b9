"""Time and memory of scoring 100,000 sentences under every rule, with intervals, error classes and types.

    python tests/benchmarks/scoring_speed.py [--sentences 100000]

Real sentences of data_prep/sample, repeated, with a third of their entities dropped, shifted or given another type.
Prints a table and writes scoring_speed.json beside this file.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recipe.answers.json_answer import render_entities
from recipe.answers.think import template_reasoning
from recipe.core.entities import Entity, Example
from recipe.core.files import write_json
from recipe.corpora import datasets as corpora
from recipe.evaluate.rows import Row
from recipe.evaluate.scores import score

SAMPLE = Path(__file__).resolve().parents[2] / "data_prep" / "sample" / "IE_INSTRUCTIONS" / "NER"


def corrupt(example: Example, rng: random.Random) -> str:
    """An answer that is wrong in a third of its entities."""
    entities = []
    for entity in example.entities:
        kind = rng.randrange(9)
        if kind == 0:
            continue
        if kind == 1:
            entity = replace(entity, name=entity.name.split()[0])
        elif kind == 2:
            entity = Entity(entity.name, rng.choice(example.types))
        entities.append(entity)
    return render_entities(entities, template_reasoning(example))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=100_000)
    args = parser.parse_args()
    found, _ = corpora.find_datasets(SAMPLE)
    examples = [example for dataset in found for example in corpora.read_dataset(dataset, "test")]
    rng = random.Random(0)
    rows = [Row(i, e.dataset, (), e) for i in range(args.sentences) for e in [examples[i % len(examples)]]]
    outputs = [corrupt(row.example, rng) for row in rows]
    before = time.perf_counter()
    scores, _ = score(rows, outputs)
    seconds = time.perf_counter() - before
    result = {
        "sentences": args.sentences,
        "datasets": len(scores["datasets"]),
        "seconds": round(seconds, 1),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "macro_strict_f1": round(scores["macro"]["strict"], 4),
    }
    for name, value in result.items():
        print(f"{name:16} {value:>12}")
    write_json(Path(__file__).with_suffix(".json"), result)


if __name__ == "__main__":
    main()
