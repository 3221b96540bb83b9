"""What `--constrained` changes: answers that can't be read or leave the schema, F1 and time, on 500 real sentences.

    python tests/benchmarks/constrained_decoding.py --model models/sft

The sentences are the first of the test files of the shipped sample, as many of each dataset. Each is asked about
twice, greedily, by the same loaded model: as it is, and constrained. Prints a table and writes
constrained_decoding.json beside this file. Exits with 1 if a constrained answer can't be read or names a type that was
not asked for.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recipe import predict
from recipe.answers.json_answer import parse
from recipe.core.entities import DataError, Example
from recipe.core.files import write_json
from recipe.core.metrics import Counts, count
from recipe.corpora import datasets as corpora
from recipe.corpora.texts import Record

HERE = Path(__file__).resolve()
SAMPLE = HERE.parents[2] / "data_prep" / "sample" / "IE_INSTRUCTIONS" / "NER"


def read_examples(folder: Path, num: int) -> list[Example]:
    """The first test sentences of each dataset in turn, until there are `num`."""
    datasets = [list(corpora.read_dataset(dataset, "test")) for dataset in corpora.find_datasets(folder)[0]]
    rounds = (records[i] for i in range(max(map(len, datasets))) for records in datasets if i < len(records))
    return [example for example, _ in zip(rounds, range(num), strict=False)]


def measure(model: predict.Predictor, examples: Sequence[Example], constrained: bool) -> dict[str, float]:
    """Shares of the answers, strict and published F1 over all of them, and seconds for all of them."""
    model.settings = replace(model.settings, constrained=constrained)
    plans = [model.inquiry(Record(example.sentence, example.types)) for example in examples]
    made: dict[int, str] = {}
    cut, tokens, began = 0, 0, time.perf_counter()
    for prediction in model.completions(model.requests(plans)):
        made[prediction.index] = prediction.output
        cut += prediction.finish_reason == "length"
        tokens += prediction.output_tokens
    seconds = time.perf_counter() - began
    answers = [parse(made[index]) for index in range(len(examples))]
    pairs = list(zip(answers, examples, strict=True))
    counts = {
        rule: sum((count(answer.entities, example.entities, rule) for answer, example in pairs), Counts())
        for rule in ("strict", "published")
    }
    return {
        "sentences": len(examples),
        "unparsable": sum(not answer.parsed for answer in answers) / len(answers),
        "off_schema": sum(any(e.type not in x.types for e in a.entities) for a, x in pairs) / len(answers),
        "not_the_layout": sum(not answer.layout for answer in answers) / len(answers),
        "cut_by_the_token_limit": cut / len(answers),
        **{f"{rule}_f1": one.f1 for rule, one in counts.items()},
        "tokens": tokens,
        "seconds": round(seconds, 1),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """0 if all constrained answers keep to layout and schema, 1 if not, 2 after one line about wrong input."""
    parser = argparse.ArgumentParser(
        description="Measure what constrained decoding changes.",
        epilog="example:\n  python tests/benchmarks/constrained_decoding.py --model models/sft --num 100",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", required=True, metavar="DIR", help="model folder")
    parser.add_argument("--data", type=Path, default=SAMPLE, metavar="DIR", help="default: the shipped sample")
    parser.add_argument("--num", type=int, default=500, metavar="N", help="sentences; default 500")
    parser.add_argument("--max-new-tokens", type=int, metavar="N", help="default: as predict")
    parser.add_argument("--batch", type=int, default=64, metavar="N", help="sequences decoded at a time; default 64")
    parser.add_argument("--name", metavar="TEXT", help="what to call the model in the file")
    parser.add_argument("--out", type=Path, default=HERE.with_suffix(".json"), metavar="FILE")
    args = parser.parse_args(argv)
    try:
        examples = read_examples(args.data, args.num)
        with predict.load(args.model, max_new_tokens=args.max_new_tokens, batch=args.batch) as model:
            for _ in model.many(["Ann met Bob in Paris ."], ["person"]):  # vLLM starts, outside of the time
                pass
            results = {name: measure(model, examples, name == "constrained") for name in ("free", "constrained")}
            limits = {"max_model_len": model.decoding.max_model_len, "max_new_tokens": model.decoding.max_new_tokens}
    except (DataError, OSError) as error:
        print(f"constrained_decoding: {error}", file=sys.stderr)
        return 2
    name = args.name or Path(args.model).name
    write_json(args.out, {"model": name, **limits, "batch": args.batch, **results})
    print(f"{'':24} {'free':>12} {'constrained':>12}")
    for key, value in results["free"].items():
        print(f"{key:24} {value:>12.4g} {results['constrained'][key]:>12.4g}")
    return int(bool(results["constrained"]["unparsable"] or results["constrained"]["off_schema"]))


if __name__ == "__main__":
    sys.exit(main())
