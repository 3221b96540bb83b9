"""Contamination: which evaluation sentences the training data holds, and the scores without them.

    python -m recipe.overlap data/sft/train.parquet data/grpo/train.parquet data/eval/test.parquet
    python -m recipe.overlap data/sft/train.parquet data/eval/test.parquet --scores scores/sft --out overlap.json

The files are data_prep/to_parquet.py's; the last one holds the evaluation rows. It prints, by dataset, how many of its
sentences the training data holds exactly, normalised, or with eight words in a row
(recipe/corpora/sentence_overlap.py has the rules); each of the three counts the ones before it. Memory grows with the
evaluation file, not with the training data. --out writes the rows, too, each with the first place where it was found:

    {"datasets": {"bc5cdr": {"sentences": 4797, "exact": 8, "normalised": 9, "8-gram": 61}, ...},
     "rows": [{"index": 17, "dataset": "bc5cdr", "kind": "exact", "train": "data/sft/train.parquet", "row": 912}, ...]}
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from recipe import answers
from recipe.core.command_line import command_parser, exit_status, positive
from recipe.core.entities import DataError
from recipe.corpora.parquet import read_sentences
from recipe.corpora.sentence_overlap import GRAM, KINDS, Found, find_overlap

if TYPE_CHECKING:
    from recipe.evaluate.rows import AnsweredSentences, Row
    from recipe.evaluate.verdict import Output


def _rules(figures: Mapping[str, object]) -> list[str]:
    """The rules by which a dataset was scored: the papers' and its usual one."""
    return [key for key in figures if key not in ("rows", "left")]


# -------------------------------------------------------------------------------------------------------- sentences


def first_rows(path: Path, total: int) -> Sequence[int]:
    """The row of each sentence of an evaluation file: all of them, or its first where rows ask about single types."""
    from pyarrow import parquet

    from recipe.evaluate.rows import COLUMNS, by_sentence, read_rows

    if set(COLUMNS) - set(parquet.read_schema(path).names):
        return range(total)
    rows = read_rows(path)
    return [rows[positions[0]].index for positions in by_sentence(rows)]


def count_rows(path: Path) -> int | None:
    """Rows of a Parquet file, for a progress bar; None for a file that can't be read."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.read_metadata(path).num_rows
    except (OSError, pa.ArrowException):  # said, with a remedy, when the file is read
        return None


# ---------------------------------------------------------------------------------------------------------- overlap


def counts(rows: Sequence[tuple[str, str]], found: Iterable[Found]) -> dict[str, dict[str, int]]:
    """By dataset: its sentences, and how many overlap in each kind or a narrower one."""
    result: dict[str, dict[str, int]] = {}
    for dataset, _ in rows:
        result.setdefault(dataset, {"sentences": 0, **dict.fromkeys(KINDS, 0)})["sentences"] += 1
    for item in found:
        for kind in KINDS[KINDS.index(item.kind) :]:
            result[item.dataset][kind] += 1
    return result


def table(by_dataset: Mapping[str, Mapping[str, int]]) -> str:
    """What `counts` returns, for people: a line a dataset, and one for all."""
    total = {key: sum(figures[key] for figures in by_dataset.values()) for key in ("sentences", *KINDS)}
    lines = {**by_dataset, "all": total}
    width = max(len("dataset"), *map(len, lines))
    head = f"{'dataset':{width}}  sentences" + "".join(f"  {kind:>16}" for kind in KINDS)
    body = (
        f"{name:{width}}  {figures['sentences']:9,}"
        + "".join(f"  {_with_share(figures[kind], figures['sentences']):>16}" for kind in KINDS)
        for name, figures in lines.items()
    )
    rule = f"normalised: no case, punctuation or spacing; 8-gram: {GRAM} such words in a row, shorter sentences whole"
    return "\n".join([head, *body, rule])


def _with_share(count: int, total: int) -> str:
    return f"{count:,} ({100 * count / total:5.2f} %)"


# ----------------------------------------------------------------------------------------------------------- scores


def scores_without(
    rows: Iterable[Row], outputs: Mapping[int, Output], overlapping: Iterable[int], drop_else: bool = True
) -> dict[str, dict]:
    """By dataset, F1 of all rows and of those whose index is not among the overlapping ones.

    {"bc5cdr": {"rows": 4797, "left": 4736, "published": [0.81, 0.80], "strict": [0.79, 0.78]}, ...}; None is the F1 of
    no rows at all.
    """
    from recipe.core.metrics import Counts
    from recipe.evaluate.verdict import compare, scoring_of

    out = frozenset(overlapping)
    sums: dict[str, dict[str, list]] = {}
    for row in rows:
        rules = ("published", scoring_of(row.example.format).usual)
        verdict = compare(row.example, outputs[row.index], drop_else)
        tally = sums.setdefault(row.dataset, {"rows": [0, 0], **{rule: [Counts(), Counts()] for rule in rules}})
        for part in (0,) if row.index in out else (0, 1):
            tally["rows"][part] += 1
            for rule in rules:
                tally[rule][part] += answers.count(verdict.answer, verdict.example, rule)
    return {
        name: {
            "rows": tally["rows"][0],
            "left": tally["rows"][1],
            **{
                rule: [c.f1 if n else None for c, n in zip(tally[rule], tally["rows"], strict=True)]
                for rule in _rules(tally)
            },
        }
        for name, tally in sums.items()
    }


def score_table(by_dataset: Mapping[str, Mapping], kind: str) -> str:
    """F1 in percent with and without the overlapping sentences; the averages are over datasets with sentences left."""
    left = [figures for figures in by_dataset.values() if figures["left"]]
    rules = _rules(next(iter(by_dataset.values())))
    average = {
        "rows": sum(figures["rows"] for figures in left),
        "left": sum(figures["left"] for figures in left),
        **{rule: [_mean([figures[rule][part] for figures in left]) for part in (0, 1)] for rule in rules},
    }
    lines = {**by_dataset, "macro average": average}
    title = f"F1 %, without {kind} overlap"
    width = max(map(len, (title, *lines)))
    head = f"{title:{width}}  {'rows':>8} {'left':>8}"
    head += "".join(f" | {rule:>9} {'without':>8} {'change':>7}" for rule in rules)
    body = (
        f"{name:{width}}  {figures['rows']:8,} {figures['left']:8,}"
        + "".join(f" | {_change(*figures[rule])}" for rule in rules)
        for name, figures in lines.items()
    )
    return "\n".join([head, *body])


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _change(all_rows: float | None, without: float | None) -> str:
    if all_rows is None or without is None:
        return f"{'-' if all_rows is None else format(100 * all_rows, '.2f'):>9} {'-':>8} {'-':>7}"
    return f"{100 * all_rows:9.2f} {100 * without:8.2f} {100 * (without - all_rows):+7.2f}"


def read_answers(args: argparse.Namespace) -> tuple[AnsweredSentences, bool] | None:
    """What --predictions or --scores names, and whether residual types are dropped; None without them.

    DataError unless it belongs to the evaluation rows.
    """
    from recipe.evaluate.rows import read_rows, whole_sentences
    from recipe.evaluate.saved import SOURCE, predictions_for, read_scores, scored_answers

    if args.scores:
        scores = read_scores(args.scores, SOURCE)
        return scored_answers(args.scores, scores, args.eval), scores["source"].get("drop_else", True)
    if not args.predictions:
        return None
    rows = read_rows(args.eval, args.limit)
    return whole_sentences(rows, predictions_for(args.predictions, rows, args.eval)), True


# ---------------------------------------------------------------------------------------------------------- command


def _run(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from recipe.core.files import write_json
    from recipe.evaluate.left_out import as_scored, in_words, read_left_out

    answers = read_answers(args)
    rows = list(read_sentences(args.eval))
    if not rows:
        raise DataError(f"{args.eval}: no rows in it; write it with: python data_prep/to_parquet.py eval")
    places = first_rows(args.eval, len(rows))
    rows = [rows[place] for place in places]

    def train() -> Iterator[tuple[str, int, str]]:
        for path in args.train:
            stream = enumerate(read_sentences(path))
            for number, (_, text) in tqdm(stream, path.name, count_rows(path), unit=" rows", leave=False, disable=None):
                yield str(path), number, text

    found = [replace(item, index=places[item.index]) for item in find_overlap(train(), rows)]
    report = {
        "train": [str(path) for path in args.train],
        "eval": str(args.eval),
        "datasets": counts(rows, found),
        "rows": [{name: getattr(item, name) for name in Found.__slots__} for item in found],
    }
    print(table(report["datasets"]))
    if answers is not None:
        kinds = KINDS[: KINDS.index(args.without) + 1]
        out = [item.index for item in found if item.kind in kinds]
        whole, drop_else = answers
        outputs = {row.index: output for row, output in zip(whole.rows, whole.outputs, strict=True)}
        scores = scores_without(whole.rows, outputs, out, drop_else)
        report["scores"] = {"without": args.without, "datasets": scores}
        print("\n" + score_table(scores, args.without))
        splits = read_left_out(args.eval, Counter(dataset for dataset, _ in rows))
        told = {name: as_scored(figures["rows"], splits.get(name), drop_else) for name, figures in scores.items()}
        print("\n".join(in_words({"datasets": told})))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(args.out, report)


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "recipe.overlap",
        "Sentences of an evaluation file that the training data holds, and the scores without them.",
        "python -m recipe.overlap data/sft/train.parquet data/grpo/train.parquet data/eval/test.parquet",
        "python -m recipe.overlap data/sft/train.parquet data/eval/test.parquet --scores scores/sft --out overlap.json",
    )
    add = parser.add_argument
    add("train", nargs="+", type=Path, metavar="TRAIN.parquet", help="SFT or GRPO rows, one file or several")
    add("eval", type=Path, metavar="EVAL.parquet", help="evaluation rows")
    answers = parser.add_mutually_exclusive_group()
    answers.add_argument("--predictions", type=Path, metavar="FILE", help="score these with and without the overlap")
    answers.add_argument("--scores", type=Path, metavar="DIR", help="the same, with what recipe.evaluate wrote there")
    add("--limit", type=positive, metavar="N", help="--predictions are of the first N rows of each dataset alone")
    add("--without", choices=KINDS, default=KINDS[-1], help="the overlap that scores do without (default: %(default)s)")
    add("--out", type=Path, metavar="FILE.json", help="write counts, rows and scores there")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. 0, or 2 after one line about what is wrong with the input."""
    args = _parser().parse_args(argv)
    return exit_status("overlap", lambda: _run(args))


if __name__ == "__main__":
    sys.exit(main())
