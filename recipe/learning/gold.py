"""The rows of a GRPO file as rows for SFT: the same prompts in the same order, answered with their gold.

    python -m recipe.learning.gold data/grpo/train.parquet --cot template --out data/gold

A row has the columns of data_prep's for SFT. `--cot template` puts reasoning before the answer that is built from the
gold, as data_prep's option of that name does:

    {"data_source": "bc5cdr", "messages": [{"role": "user", "content": "You are ..."},
     {"role": "assistant", "content": "<think>\\n\\"Naloxone\\" is a chemical.\\n</think>..."}], "ability": "ner",
     "extra_info": {"index": 0, "split": "train", "dataset": "bc5cdr", "sentence": "Naloxone ...",
     "types": ["chemical", "disease"], "cot": "template"}}

`--tokenizer recipe/tiny_model/base --max-tokens 448` leaves out the rows that SFT with this `data.max_length` would
refuse: a sentence full of names has a long answer.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from recipe import answers
from recipe.core.command_line import command_parser, count, exit_status
from recipe.core.entities import DataError
from recipe.core.files import sha256
from recipe.core.output import check_own, read_manifest, staged, write_manifest
from recipe.evaluate.rows import Row, read_rows
from recipe.models.lengths import over_in_all, tokenizer_for

COMMAND, TRAIN = "learning.gold", "train.parquet"
_INHERITED = ("arguments", "drop_else", "hub", "protocol", "wordings", "versions")  # what later stages are told


def sft_rows(rows: Sequence[Row], cot: str, path: Path) -> Iterator[dict]:
    """A row for SFT of each row. DataError names the row of the file `path` whose gold its format can't say."""
    for row in rows:
        example = row.example
        if cot == "template":
            example = replace(example, reasoning=answers.template_reasoning(example))
        try:
            answer = answers.render_answer(example)
        except DataError as error:
            raise DataError(f"{path}, row {row.index}: {error}") from error
        yield {
            "data_source": row.dataset,
            "messages": [*row.messages, {"role": "assistant", "content": answer}],
            "ability": answers.task(row.example.format),
            "extra_info": {
                "index": row.index,
                "split": "train",
                "dataset": row.dataset,
                "sentence": example.sentence,
                "types": list(example.types),
                "cot": cot,
            },
        }


def write(data: Path, out: Path, cot: str, tokenizer: Path | None = None, max_tokens: int | None = None) -> list[int]:
    """OUT/train.parquet and its manifest; the number of rows, and of those that are longer than `max_tokens`.

    DataError where all are, or there is no tokenizer to count with.
    """
    import pyarrow as pa
    from pyarrow import parquet

    check_own(out, TRAIN, COMMAND)
    counting = tokenizer_for(tokenizer, max_tokens)
    rows = written = list(sft_rows(read_rows(data), cot, data))
    if counting is not None:
        written = [row for row, over in zip(rows, over_in_all(rows, counting, max_tokens), strict=True) if not over]
    if not written:
        raise DataError(f"{data}: each of its {len(rows):,} rows has more than --max-tokens {max_tokens}; raise it")
    long = len(rows) - len(written)
    entry = read_manifest(data.parent).get(data.name, {})
    entry = {key: entry[key] for key in _INHERITED if key in entry}
    entry |= {"command": COMMAND, "sources": {str(data): sha256(data)}, "cot": cot, "rows": len(written)}
    entry |= {"too_long": long, "max_tokens": max_tokens}
    with staged(out) as stage:
        parquet.write_table(pa.Table.from_pylist(written), stage / TRAIN, compression="zstd")
        write_manifest(stage, out, {TRAIN: {**entry, "sha256": sha256(stage / TRAIN)}})
    return [len(written), long]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0, or 2 after one line about what is wrong with the input."""
    parser = command_parser(
        "recipe.learning.gold",
        "The rows of a GRPO file as rows for SFT, with their gold as answers.",
        "python -m recipe.learning.gold data/grpo/train.parquet --cot template --out data/gold",
        "python -m recipe.learning.gold data/grpo/train.parquet --cot template --out data/gold --tokenizer models/sft "
        "--max-tokens 448",
    )
    parser.add_argument("data", type=Path, metavar="DATA.parquet", help="rows from data_prep/to_parquet.py grpo")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write into")
    parser.add_argument("--cot", choices=("template", "none"), required=True, help="reasoning built from gold, or none")
    parser.add_argument(
        "--max-tokens", type=count, metavar="N", help="drop rows of more tokens: prompt, answer and end"
    )
    parser.add_argument("--tokenizer", type=Path, metavar="DIR", help="the model's tokenizer, for the limit")
    args = parser.parse_args(argv)

    def run() -> None:
        rows, long = write(args.data, args.out, args.cot, args.tokenizer, args.max_tokens)
        print(f"{args.out / TRAIN}: {rows:,} rows" + (f", {long:,} too long" if long else ""))

    return exit_status(COMMAND, run)


if __name__ == "__main__":
    sys.exit(main())
