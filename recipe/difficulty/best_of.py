"""Rejection sampling: of the samples of each prompt the best answer, as rows for SFT.

    python -m recipe.difficulty.best_of data/sampled --out data/best
    python -m recipe.train sft_tiny data.train_files=data/best/train.parquet model.path=models/sft

The samples are recipe.difficulty's. An answer can be chosen if it ended by itself, is the layout alone with nothing to
repair, names only types that were asked for, and scores an F1 above 0 and of --min-f1 or more; that nothing is named
where there is nothing to find scores 1. The one of highest F1 is chosen; of several, the shortest, or the first with
--ties first. A row has the columns of data_prep's for SFT:

    {"data_source": "bc5cdr", "messages": [{"role": "user", "content": "You are ..."},
     {"role": "assistant", "content": "<think>\\n\\"Naloxone\\" is ..."}], "ability": "ner",
     "extra_info": {"index": 0, "split": "train", "dataset": "bc5cdr", "sentence": "Naloxone ...",
     "types": ["chemical", "disease"], "cot": "sampled"}}

`cot` is "none" for an answer without reasoning. `empty %` in the table is the share of rows whose answer names nothing,
beside that of prompts whose gold is empty: an empty answer is the easiest one to get right. `reasoned %` is the share
of answers with reasoning.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from recipe import answers
from recipe.answers.control_tokens import THINK_TAGS, find_control_token
from recipe.answers.think import OPEN
from recipe.core.command_line import between, command_parser, count, exit_status
from recipe.core.entities import DataError, Example
from recipe.core.files import sha256
from recipe.core.output import check_own, staged, write_manifest
from recipe.difficulty.output import ROWS, TRAIN, Scoring, read_sampled
from recipe.difficulty.scores import Scored, scored
from recipe.evaluate.rows import Row
from recipe.evaluate.table import percent
from recipe.generate.samples import FILE, settings_of
from recipe.models.lengths import over_in_all, tokenizer_for

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

COMMAND = "best_of"
UNSOUND, POOR, LONG = "no sound answer", "F1 too low", "too long"
TIES = SHORTEST, FIRST = "shortest", "first"


@dataclass(slots=True)
class Choice:
    """What is known of a prompt's samples: their F1 in sum, and the best sound one."""

    row: Row
    answers: int = 0
    f1: float = 0.0
    best: Scored | None = None
    long: bool = False  # question and best answer have more than --max-tokens

    def dropped(self, min_f1: float) -> str | None:
        """Why the prompt gives no row, None where it gives one."""
        if self.best is None:
            return UNSOUND
        if self.best.f1 < min_f1 or self.best.f1 == 0:
            return POOR
        return LONG if self.long else None


@dataclass(slots=True)
class Tally:
    """The prompts of a dataset and the choices among them."""

    prompts: list[Choice] = field(default_factory=list)
    chosen: list[Choice] = field(default_factory=list)
    dropped: Counter = field(default_factory=Counter)


def sound(one: Scored, example: Example) -> bool:
    """True for an answer to learn from: ended, in the layout, of the schema, without a stray control token."""
    answer, text = one.answer, one.sample.output
    in_form = one.sample.finish_reason == "stop" and answer.layout and set(answer.types) <= set(example.types)
    return in_form and OPEN not in (answer.reasoning or "") and find_control_token(text, None, THINK_TAGS) is None


def choose(rows: Sequence[Row], samples: Iterable[tuple[Row, Scored]], ties: str = SHORTEST) -> list[Choice]:
    """The choice among each row's samples, which may come in any order."""

    def rank(one: Scored) -> tuple[float, int, int]:
        return -one.f1, 0 if ties == FIRST else one.sample.output_tokens, one.sample.sample

    choices = {row.index: Choice(row) for row in rows}
    for row, one in samples:
        choice = choices[row.index]
        choice.answers += 1
        choice.f1 += one.f1
        if sound(one, row.example) and (choice.best is None or rank(one) < rank(choice.best)):
            choice.best = one
    return list(choices.values())


def mark_long(choices: Iterable[Choice], tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> None:
    """Say of each choice whether its row would have more than `max_tokens` tokens."""
    having = [choice for choice in choices if choice.best is not None]
    for choice, over in zip(having, over_in_all(list(sft_rows(having)), tokenizer, max_tokens), strict=True):
        choice.long = over


def tally(choices: Iterable[Choice], min_f1: float) -> dict[str, Tally]:
    """The choices by dataset."""
    found: dict[str, Tally] = {}
    for choice in choices:
        one = found.setdefault(choice.row.dataset, Tally())
        one.prompts.append(choice)
        if reason := choice.dropped(min_f1):
            one.dropped[reason] += 1
        else:
            one.chosen.append(choice)
    return dict(sorted(found.items()))


def sft_rows(choices: Iterable[Choice]) -> Iterator[dict]:
    """Rows in the columns of data_prep's for SFT; the answer is the model's own but for white space after it."""
    for number, choice in enumerate(choices):
        row, best = choice.row, choice.best
        yield {
            "data_source": row.dataset,
            "messages": [*row.messages, {"role": "assistant", "content": best.sample.output.strip()}],
            "ability": answers.task(row.example.format),
            "extra_info": {
                "index": number,
                "split": "train",
                "dataset": row.dataset,
                "sentence": row.example.sentence,
                "types": list(row.example.types),
                "cot": "sampled" if best.answer.reasoning else "none",
            },
        }


def figures(one: Tally) -> dict[str, float | int]:
    """What the manifest and the table say of prompts and rows; shares and F1 in [0, 1], 0 for those of no row."""
    rows, chosen = one.prompts, one.chosen
    return {
        "prompts": len(rows),
        "rows": len(chosen),
        "f1_chosen": _share(sum(each.best.f1 for each in chosen), len(chosen)),
        "f1_samples": _share(sum(each.f1 for each in rows), sum(each.answers for each in rows)),
        "empty_chosen": _share(sum(not each.best.answer.facts for each in chosen), len(chosen)),
        "empty_gold": _share(sum(not each.row.example.facts for each in rows), len(rows)),
        "reasoned": _share(sum(bool(each.best.answer.reasoning) for each in chosen), len(chosen)),
    }


def _share(part: float, whole: int) -> float:
    return part / whole if whole else 0.0


def table(tallies: dict[str, Tally], min_f1: float) -> str:
    """A line a dataset and one for all; F1 and shares in percent."""
    lines = {**tallies, "all": together(tallies)} if len(tallies) > 1 else tallies
    width = max(map(len, ("dataset", *lines)))
    low = f"F1 < {min_f1:g}"
    shown = [
        f"{'dataset':{width}} {'prompts':>7} {'rows':>7} | F1 chosen  of all | empty %  in gold | reasoned % | "
        f"unsound  {low}"
    ]
    for name, one in lines.items():
        f = figures(one)
        shown.append(
            f"{name:{width}} {f['prompts']:>7,} {f['rows']:>7,} | "
            f"{percent(f['f1_chosen']):>9} {percent(f['f1_samples']):>7} | "
            f"{percent(f['empty_chosen']):>7} {percent(f['empty_gold']):>8} | {percent(f['reasoned']):>10} | "
            f"{one.dropped[UNSOUND]:>7,}  {one.dropped[POOR]:>{len(low)},}"
        )
    return "\n".join(shown)


def together(tallies: dict[str, Tally]) -> Tally:
    """All datasets as one."""
    every = tallies.values()
    return Tally(
        [choice for one in every for choice in one.prompts],
        [choice for one in every for choice in one.chosen],
        sum((one.dropped for one in every), Counter()),
    )


def write(folder: Path, out: Path, tallies: dict[str, Tally], scoring: Scoring, args: argparse.Namespace) -> int:
    """OUT/train.parquet, in the order of the sampled rows, and its manifest; the number of rows."""
    import pyarrow as pa
    from pyarrow import parquet

    chosen = sorted(together(tallies).chosen, key=lambda choice: choice.row.index)
    datasets = {
        name: {"records": len(one.prompts), "written": len(one.chosen), "dropped": dict(one.dropped), **figures(one)}
        for name, one in tallies.items()
    }
    entry = scoring.entry(COMMAND, settings_of(folder)[1], datasets)
    entry["selection"] = {"min_f1": args.min_f1, "ties": args.ties, "max_tokens": args.max_tokens}
    entry["sources"] = {str(folder / name): sha256(folder / name) for name in (FILE, ROWS)}
    with staged(out) as stage:
        parquet.write_table(pa.Table.from_pylist(list(sft_rows(chosen))), stage / TRAIN, compression="zstd")
        write_manifest(stage, out, {TRAIN: {**entry, "rows": len(chosen), "sha256": sha256(stage / TRAIN)}})
    return len(chosen)


def _run(args: argparse.Namespace) -> None:
    check_own(args.out, TRAIN, COMMAND)
    if args.out.exists() and args.out.samefile(args.folder):
        raise DataError(f"{args.out}: holds the samples, and {TRAIN} for GRPO; give another --out")
    rows, scoring = read_sampled(args.folder)
    choices = choose(rows, scored(args.folder, rows, scoring.samples, scoring.matching), args.ties)
    if (tokenizer := tokenizer_for(args.tokenizer, args.max_tokens)) is not None:
        mark_long(choices, tokenizer, args.max_tokens)
    tallies = tally(choices, args.min_f1)
    total = together(tallies)
    long = f", {total.dropped[LONG]:,} {LONG}" if total.dropped[LONG] else ""
    if not total.chosen:
        raise DataError(
            f"{args.folder}: no answer to learn from in {len(rows):,} prompts ({total.dropped[UNSOUND]:,} {UNSOUND}, "
            f"{total.dropped[POOR]:,} {POOR}{long}); lower --min-f1, sample more, or train the model further first"
        )
    written = write(args.folder, args.out, tallies, scoring, args)
    print(table(tallies, args.min_f1))
    print(f"{args.out / TRAIN}: {written:,} rows, the best of {scoring.samples} answers to {len(rows):,} prompts{long}")


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "recipe.difficulty.best_of",
        "Rejection sampling: of the samples of each prompt the best answer, as rows for SFT.",
        "python -m recipe.difficulty.best_of data/sampled --out data/best",
        "python -m recipe.difficulty.best_of data/sampled --out data/best --min-f1 1",
        "python -m recipe.train sft_tiny data.train_files=data/best/train.parquet model.path=models/sft",
    )
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER", help="samples from python -m recipe.difficulty")
    add("--out", type=Path, required=True, metavar="FOLDER2", help="folder for train.parquet and manifest.json")
    add("--min-f1", type=between(0, 1), default=0.5, metavar="F1", help="what an answer must score; default 0.5")
    add("--ties", choices=TIES, default=SHORTEST, help="which of those of equal F1; default: that of fewest tokens")
    add("--max-tokens", type=count, metavar="N", help="drop rows of more tokens: prompt, answer and end")
    add("--tokenizer", type=Path, metavar="DIR", help="the model's tokenizer, for the limit")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. 0, or 2 after one line about what is wrong with the input."""
    args = _parser().parse_args(argv)
    return exit_status(COMMAND, lambda: _run(args))


if __name__ == "__main__":
    sys.exit(main())
