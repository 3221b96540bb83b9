"""Random sentences through every layout of corpora and back: equal, refused with a reason, or lost.

    python tests/benchmarks/layouts_round_trip.py                  # 100,000 sentences a layout, five minutes
    python tests/benchmarks/layouts_round_trip.py --sentences 1000

Writes layouts_round_trip.json. Layouts of tags get no overlapping entities: a word has one tag. UniversalNER has no
places, so names and types are compared there; `placed` is the share of its entities that alignment puts where they
were.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import layouts  # noqa: E402
from random_corpus import sentences  # noqa: E402
from test_layouts import FILES, FLAT, WITHOUT_PLACES, as_said, flat, write  # noqa: E402

from recipe.core.align import place  # noqa: E402
from recipe.core.files import write_json  # noqa: E402
from recipe.corpora import Reading  # noqa: E402
from recipe.corpora.datasets import dataset_at, dataset_of_file, read_dataset  # noqa: E402


def measure(layout: str, number: int, folder: Path) -> dict:
    """Counts of one layout's sentences, and the seconds that reading them took."""
    wanted = [one for one in sentences(number, seed=1, nested=layout not in FLAT) if layout not in FLAT or flat(one)]
    noted, skipped = Counter(), Counter()
    if layout == "ner_cot":
        layouts.ner_cot(folder / "toy.jsonl", wanted)
        dataset = dataset_of_file(folder / "toy.jsonl")
    else:
        dataset = dataset_at(write(folder, layout, wanted) / "toy")
    begin = time.perf_counter()
    found = list(read_dataset(dataset, "test", Reading(cot="none", noted=noted, skipped=skipped)))
    seconds = time.perf_counter() - begin
    equal, placed, entities = 0, 0, 0
    if len(found) + skipped.total() == len(wanted) and not skipped:
        for one, other in zip(wanted, found, strict=True):
            if layout in WITHOUT_PLACES:
                equal += one.sentence == other.sentence and Counter(one.entities) == Counter(other.entities)
            else:
                equal += as_said([one]) == as_said([other])
            there = Counter(place(one.sentence, one.entities))
            placed += (there & Counter(place(other.sentence, other.entities))).total()
            entities += len(one.entities)
    return {
        "sentences": len(wanted),
        "equal": equal,
        "refused": dict(skipped),
        "noted": dict(+noted),
        "placed": placed / max(1, entities),
        "seconds": round(seconds, 1),
    }


def main() -> None:
    """Print the table and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=100_000)
    args = parser.parse_args()
    results = {}
    print(f"{'layout':<14} {'sentences':>9} {'equal':>9} {'refused':>8} {'placed':>8} {'s':>6}")
    for layout in [*FILES, "ner_cot"]:
        with tempfile.TemporaryDirectory() as folder:
            results[layout] = one = measure(layout, args.sentences, Path(folder))
        refused = sum(one["refused"].values())
        print(
            f"{layout:<14} {one['sentences']:>9,} {one['equal']:>9,} {refused:>8,} {one['placed']:>8.2%} "
            f"{one['seconds']:>6}",
            flush=True,
        )
    write_json(Path(__file__).with_suffix(".json"), {"sentences": args.sentences, "layouts": results})


if __name__ == "__main__":
    main()
