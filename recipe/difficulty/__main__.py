"""How hard each row of a GRPO file is for a model, and the rows that the model can learn from.

    python -m recipe.difficulty models/sft data/grpo/train.parquet --out data/sampled

    dataset               rows    kept  flat at 0  flat at 1  flat between | mean F1  spread | unread %  silent %
    bc5cdr                  60      52          0          7             1 |   73.11   21.02 |     0.62     16.25

It samples several answers to each row, as GRPO does, and scores them by span F1. Where all answers of a row are worth
the same, GRPO learns nothing from it. In the table, `spread` is the mean of the rows' standard deviations, and `silent`
the share of answers that name nothing. The folder then holds

    samples.jsonl    every answer, see recipe.generate.samples; recipe.difficulty.best_of makes SFT rows of them
    rows.parquet     a row for each sampled one: its mean F1, spread and more, see recipe.difficulty.output
    train.parquet    the rows whose answers differ, for GRPO, with manifest.json

Answer k of row i is drawn with a seed made of --seed, i and k. So more --samples and a higher --limit add to what is
there, and nothing is sampled twice.
"""

import argparse
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from recipe import answers
from recipe.core.command_line import (
    at_least,
    between,
    command_parser,
    count,
    end_with,
    exit_status,
    positive,
    unwind_on_sigterm,
)
from recipe.core.entities import DataError
from recipe.core.output import check_own
from recipe.difficulty.output import COMMAND, TRAIN, Scoring, by_dataset, check_columns, write_rows, write_train
from recipe.difficulty.sampling import Drawing, draw
from recipe.difficulty.scores import FLAT, NARROW, SOLVED, Difficulty, measure
from recipe.evaluate.rows import read_rows
from recipe.evaluate.table import percent
from recipe.generate.engine import Decoding, add_options, share_cores


def table(difficulties: Sequence[Difficulty], min_spread: float = 0.0, max_mean: float = 1.0) -> str:
    """Rows, and why some aren't kept, by dataset and in all; F1, spread and shares of answers in percent."""
    reasons = [*FLAT, *([NARROW] if min_spread else []), *([SOLVED] if max_mean < 1 else [])]
    groups = by_dataset(difficulties)
    lines = {**groups, "all": difficulties} if len(groups) > 1 else groups
    width = max(map(len, ("dataset", *lines)))
    head = f"{'dataset':{width}} {'rows':>7} {'kept':>7}" + "".join(f"  {reason}" for reason in reasons)
    shown = [f"{head} | mean F1  spread | unread %  silent %"]
    for name, rows in lines.items():
        dropped = [row.dropped(min_spread, max_mean) for row in rows]
        answers = sum(len(row.f1) for row in rows)
        figures = [sum(row.mean for row in rows) / len(rows), sum(row.spread for row in rows) / len(rows)]
        shares = [sum(row.unreadable for row in rows) / answers, sum(row.silent for row in rows) / answers]
        shown.append(
            f"{name:{width}} {len(rows):>7,} {dropped.count(None):>7,}"
            + "".join(f"  {dropped.count(reason):>{len(reason)},}" for reason in reasons)
            + f" | {percent(figures[0]):>7} {percent(figures[1]):>7} | {percent(shares[0]):>8} {percent(shares[1]):>9}"
        )
    return "\n".join(shown)


def _run(args: argparse.Namespace) -> None:
    check_own(args.out, TRAIN, COMMAND)
    if args.data.exists() and args.out.exists() and args.out.samefile(args.data.parent):
        raise DataError(f"{args.out}: holds {args.data} itself; give another --out")
    rows = read_rows(args.data, args.limit, step="grpo")
    check_columns(args.data)
    from recipe.models.folder import fit_lengths, load_tokenizer, model_folder

    folder = model_folder(args.model)
    share_cores()
    tokenizer = load_tokenizer(folder)
    lengths = fit_lengths(folder, args.max_model_len, args.max_new_tokens)
    decoding = Decoding(*lengths, args.dtype, args.tensor_parallel_size, args.batch)
    draw(rows, args.data, args.out, folder, tokenizer, decoding, Drawing(args.samples, args.temperature, args.seed))
    matching = answers.rule_of(rows[0].example.format, args.matching)
    difficulties = measure(args.out, rows, args.samples, matching)
    if cut := sum(each.cut for each in difficulties):
        told = f"{cut:,} of {len(rows) * args.samples:,} samples were cut off by the token limit"
        print(f"difficulty: {told}", file=sys.stderr)
    scoring = Scoring.of(args.out, args.data, args.samples, matching)
    write_rows(args.out, args.data, difficulties, scoring)
    print(table(difficulties, args.min_spread, args.max_mean))
    kept = write_train(args.out, args.data, difficulties, scoring, args.min_spread, args.max_mean)
    print(f"{args.out / TRAIN}: {kept:,} of {len(rows):,} rows")


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "recipe.difficulty",
        "Sample answers to the rows of a GRPO file, and keep the rows whose answers differ in F1.",
        "python -m recipe.difficulty models/sft data/grpo/train.parquet --out data/sampled",
        "python -m recipe.difficulty models/sft data/grpo/train.parquet --out data/sampled --samples 16 --max-mean 0.9",
        "bash launch/train.sh grpo_qwen3_8b data.train_files=data/sampled/train.parquet",
    )
    parser.epilog += (
        "\n\nThe same command again goes on where an interrupted one stopped, and adds what a higher --limit or more\n"
        "--samples ask for. Other --min-spread, --max-mean and --matching sample nothing anew."
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="model folder or hub name")
    add("data", type=Path, metavar="DATA.parquet", help="rows from data_prep/to_parquet.py grpo")
    add("--out", type=Path, required=True, metavar="FOLDER", help="folder for the samples, the table and train.parquet")
    add("--samples", type=at_least(2), default=8, metavar="N", help="answers a row; default 8")
    add("--temperature", type=between(0, math.inf, above=True), default=1.0, metavar="T", help="default 1.0")
    add("--seed", type=count, default=42, metavar="N", help="the same draws the same answers; default 42")
    add("--limit", type=positive, metavar="N", help="the first N sentences of each dataset alone")
    usual = "the rule of F1, as in the reward; default strict, or boundary for relations without entity types"
    add("--matching", choices=answers.RULE_NAMES, help=usual)
    add(
        "--min-spread", type=between(0, 0.5), default=0.0, metavar="S",
        help="keep rows whose F1 has a standard deviation of S or more; default: any above 0",
    )  # fmt: skip
    add(
        "--max-mean", type=between(0, 1), default=1.0, metavar="F1",
        help="keep rows whose mean F1 is no higher, such as 0.9; default 1",
    )  # fmt: skip
    add_options(parser, "what --max-model-len leaves")
    return parser


def main(argv: Iterable[str] | None = None) -> int:
    """Run the command. 0; 2 after one line about what is wrong with the input; 130 after Ctrl-C."""
    args = _parser().parse_args(None if argv is None else list(argv))
    return exit_status(COMMAND, lambda: _run(args), "interrupted; the same command goes on from here")


if __name__ == "__main__":
    unwind_on_sigterm()  # vLLM's processes end before this one
    end_with(main)
