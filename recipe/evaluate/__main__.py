"""Scores of a model on evaluation rows: completions from vLLM or from a file, F1 by five matching rules.

Rows that ask for relations have rules of their own (recipe.core.metrics): `boundary`, `published` and, where they have
entity types, `strict`; and for the entities beside them `entities`.

    python -m recipe.evaluate runs/grpo/hf --data data/eval/test.parquet --out runs/grpo/eval
    python -m recipe.evaluate runs/grpo/hf --data data/eval/test.parquet --out runs/grpo/held --constrained
    python -m recipe.evaluate --predictions predictions.jsonl --data data/eval/test.parquet --out scored
    python -m recipe.evaluate --predictions gliner.jsonl --data data/eval/test.parquet --out scores/gliner

It prints a table and writes OUT/scores.json; the completions are in OUT/predictions.jsonl (see
recipe.generate.predictions), and each sentence's own counts in OUT/sentences.parquet:

    {"datasets": {"bc5cdr": {"sentences": 4795, "of_sentences": 4797, "left_out": {"too_long": {"rows": 2, "gold": 9}},
     "published": {"precision": 0.5, "recall": 0.25, "f1": 0.3333, "low": 0.31, "high": 0.35}, "strict": {...},
     "span": {...}, "partial": {...}, "type": {...}, "of_split": {"published": {"precision": 0.5, ...}, ...},
     "unparsable": 0.01, "reasoning_tokens": 81.5, "reasoning_tokens_p95": 140.0, "answer_tokens": ...,
     "errors": {"missed": 412, ...},
     "examples": {"missed": [{"index": 7, "gold": ["Naloxone", "chemical"], "predicted": null}]},
     "types": {"chemical": {"gold": 5385, "predicted": 2693, "strict": {...}, ...}}, "counts": {...}}},
     "macro": {"published": 0.3333, ...}, "macro_interval": {"published": [0.31, 0.35], ...}, "micro": {...},
     "macro_of_split": {"published": 0.3332, ...},
     "source": {"data_sha256": ..., "predictions_sha256": ..., "sentences_sha256": ..., "drop_else": true,
     "rules": 2}}

Of the `of_sentences` that a split had, preparation may have left some out (`left_out`: rows and gold entities by
reason; recipe.evaluate.left_out). `of_split` and `macro_of_split` count that gold as missed, and go beside published
figures. They are null where that isn't known: older files of rows don't say, and --limit leaves rows out.

Where rows ask about single types, sentences are scored, and `questions` has their number and the share of
answers that can't be read: {"asked": 600, "unparsable": 0.01}.

All figures are fractions. F1 is micro within a dataset, `macro` is the plain mean over datasets, `micro` pools their
sentences. `low` and `high` bound a 95 % bootstrap interval over sentences (1,000 resamples, a fixed seed;
recipe.evaluate.verdict has the rules, recipe.evaluate.disagreements the classes). An entity whose type is not in the
row's schema counts as predicted and unmatched, as in the reward. Completions that can't be read count as naming
nothing; `unparsable` is their share. `reasoning_tokens` and `answer_tokens` are the mean lengths of the think block,
closed or not, and of the rest, in tokens of the model; without a model they are `reasoning_words` and `answer_words`.
"""

import argparse
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from recipe.core.command_line import command_parser, end_with, exit_status, positive, unwind_on_sigterm
from recipe.core.entities import DataError
from recipe.core.files import sha256, write_json
from recipe.evaluate.completions import generate
from recipe.evaluate.left_out import read_left_out, with_left_out
from recipe.evaluate.protocols import Protocol, check, comparison, protocol_names, read_protocol
from recipe.evaluate.rows import Row, by_sentence, first_rows, read_rows, whole_sentences
from recipe.evaluate.saved import FILE, predictions_for, scoring_in, write_sentences
from recipe.evaluate.scores import SENTENCES, score
from recipe.evaluate.shares import Scored, score_shares
from recipe.evaluate.table import percent, table
from recipe.evaluate.verdict import EDITION
from recipe.generate.engine import Decoding, add_options, share_cores
from recipe.generate.predictions import FILE as PREDICTIONS


def _score_rows(args: argparse.Namespace, protocol: Protocol | None) -> Scored:
    """The scores of completions, made here or saved, row by row."""
    every = read_rows(args.data, prompts=not args.predictions)
    there = Counter(every[positions[0]].dataset for positions in by_sentence(every))
    rows = every if args.limit is None else first_rows(every, args.limit)
    if protocol:
        _check_datasets(args.data, protocol, rows)
    tokenizer = folder = None
    if args.model:
        from recipe.models.folder import fit_lengths, load_tokenizer, model_folder

        folder = Path(args.model) if args.predictions else model_folder(args.model)
        share_cores()
        tokenizer = load_tokenizer(folder)
    if args.predictions:
        predictions = predictions_for(args.predictions, rows, args.data, folder)
    else:
        lengths = fit_lengths(folder, args.max_model_len, args.max_new_tokens)
        decoding = Decoding(*lengths, args.dtype, args.tensor_parallel_size, args.batch)
        predictions = generate(rows, args.data, args.out, folder, tokenizer, decoding, args.constrained)

    def tokens(texts: Sequence[str]) -> list[int]:
        whole = [text.encode("utf-8", "replace").decode() for text in texts]  # a lone surrogate has no token
        return [len(ids) for ids in tokenizer(whole, add_special_tokens=False)["input_ids"]]

    asked = whole_sentences(rows, predictions)
    scores, sentences = score(asked.rows, asked.outputs, tokens if tokenizer else None, args.drop_else, asked.unread)
    questions = None
    if asked.unread is not None:
        questions = {"asked": asked.asked, "unparsable": sum(asked.unread) / asked.asked}
    return Scored(scores, sentences, there, asked.rows, questions)


def _check_datasets(data: Path, protocol: Protocol, rows: Iterable[Row]) -> None:
    """DataError where none of the rows is of the protocol."""
    if not (set(protocol.datasets) & {row.dataset for row in rows}):
        raise DataError(
            f"{data}: holds no dataset of {protocol.name}; write it with: python data_prep/to_parquet.py eval "
            f"--protocol {protocol.name}"
        )


def _run(args: argparse.Namespace) -> None:
    if args.out.exists() and not args.out.is_dir():
        raise DataError(f"{args.out}: is a file; --out names a folder")
    protocol = read_protocol(args.protocol) if args.protocol else None
    alone = args.predictions and not args.model and args.limit is None
    scored = score_shares(args.data, args.predictions, args.drop_else) if alone else None
    scored = scored or _score_rows(args, protocol)
    if protocol:
        _check_datasets(args.data, protocol, scored.schemas)
    scores = with_left_out(scored.scores, read_left_out(args.data, scored.there), scored.there, args.drop_else)
    if scored.questions:
        scores["questions"] = scored.questions
    saved = args.predictions or args.out / PREDICTIONS
    args.out.mkdir(parents=True, exist_ok=True)
    write_sentences(args.out / SENTENCES, scored.sentences, scoring_in(scores))
    scores["source"] = {
        "data": str(args.data),
        "data_sha256": sha256(args.data),
        "predictions": str(saved),
        "predictions_sha256": sha256(saved),
        "sentences_sha256": sha256(args.out / SENTENCES),
        "model": args.model,
        "limit": args.limit,
        "constrained": None if args.predictions else args.constrained,
        "drop_else": args.drop_else,
        "rules": EDITION,
        "protocol": args.protocol,
    }
    write_json(args.out / FILE, scores)
    print(table(scores, args.drop_else))
    if questions := scores.get("questions"):
        share = percent(questions["unparsable"])
        print(f"asked {questions['asked']:,} questions about single types; {share} % of their answers can't be read")
    if protocol:
        print("\n" + comparison(protocol, scores, check(protocol, scored.schemas)))


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "recipe.evaluate",
        "Score a model, or saved completions, on evaluation rows: precision, recall, F1 of each dataset.",
        "python -m recipe.evaluate runs/grpo/hf --data data/eval/test.parquet --out runs/grpo/eval",
        "python -m recipe.evaluate runs/grpo/hf --data data/eval/test.parquet --out quick --limit 50",
        "python -m recipe.evaluate runs/grpo/hf --data data/7/test.parquet --protocol zero_shot_7 --out seven",
        "python -m recipe.evaluate --predictions saved.jsonl --data data/eval/test.parquet --out scored",
    )
    parser.epilog += (
        "\n\nThe same command again goes on where an interrupted one stopped.\n"
        f"Protocols: {', '.join(protocol_names())}\n"
        'A line of --predictions: {"index": row of the Parquet file from 0, "output": completion},\n'
        'or any tool\'s {"index": row, "entities": [{"type": "person", "start": 0, "end": 3}]}, in characters.\n'
        "So write GLiNER, spaCy (under ents, with label), Prodigy (spans) and python -m recipe.predict --format jsonl."
    )
    add = parser.add_argument
    add("model", nargs="?", metavar="MODEL", help="model folder or hub name; its tokenizer alone with --predictions")
    add("--data", type=Path, required=True, metavar="EVAL.parquet", help="rows from data_prep/to_parquet.py eval")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for predictions.jsonl and scores.json")
    add("--predictions", type=Path, metavar="FILE", help="score these completions, or any tool's spans")
    add("--protocol", choices=protocol_names(), metavar="NAME", help="print the published figures of one beside ours")
    add("--constrained", action="store_true", help="the model's answers always keep to their layout and to the types")
    add("--limit", type=positive, metavar="N", help="the first N rows of each dataset alone")
    residual = parser.add_mutually_exclusive_group()
    residual.add_argument(
        "--drop-else",
        action="store_true",
        default=True,
        help="residual types (else, misc, other, ...) don't count; default",
    )
    residual.add_argument(
        "--keep-else", dest="drop_else", action="store_false", help="they count, if the rows have them"
    )
    add_options(parser, "what --max-model-len leaves")
    return parser


def main(argv: Iterable[str] | None = None) -> int:
    """Run the command. 0; 2 after one line about what is wrong with the input; 130 after Ctrl-C."""
    parser = _parser()
    args = parser.parse_args(None if argv is None else list(argv))
    if not args.model and not args.predictions:
        parser.error("name a MODEL to generate with, or --predictions FILE to score")
    if args.constrained and args.predictions:
        parser.error("--constrained holds the answers that a MODEL makes now; those of --predictions are as they are")
    return exit_status("evaluate", lambda: _run(args), "interrupted; the same command goes on from here")


if __name__ == "__main__":
    unwind_on_sigterm()  # vLLM's processes end before this one
    end_with(main)
