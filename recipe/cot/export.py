"""Step 4: what was kept as a dataset: NER-CoT JSON, the Parquet files of the SFT stage, a card and a manifest.

    python -m recipe.cot export --work cot/ --out data/cot --license cc-by-4.0
    python -m recipe.cot export --work cot/ --out data/cot --splits train=0.9,dev=0.05,test=0.05 --no-judge

A record of train.json, dev.json, test.json, which `data_prep/to_parquet.py sft --ner-cot` reads:
    {"sentence": "Ada met Bob .", "schema": ["person"], "source": "news", "cot": "\\"Ada\\" is ...",
     "entities": [{"text": "Ada", "label": "person"}], "guid": "9f2c51d07a3be846"}

One of relations or events has "relation_types" and "relations" or "events", as recipe.corpora.own_types shows.
train.parquet and dev.parquet are made by that very command. Which split a row is in depends on the seed and its
normalised sentence alone, so a sentence is never in two. --out appears whole or not at all.
"""

import argparse
import contextlib
import json
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

from recipe import answers
from recipe.core.entities import DataError, Entity, Relation, grouped
from recipe.core.files import sha256, staged
from recipe.corpora import own_types
from recipe.corpora.sentence_overlap import words
from recipe.cot.card import SPLITS, UNSPECIFIED, Card, Contents, refused, render
from recipe.cot.facts import asked, of_fields
from recipe.cot.funnel import read_funnel
from recipe.cot.row import digest
from recipe.cot.store import ANNOTATE, JUDGE, VALIDATE, answer_format, path_of, read_kept, read_settings

CARD, MANIFEST = "README.md", "manifest.json"
OURS = {CARD, MANIFEST, *(f"{split}.{ending}" for split in SPLITS for ending in ("json", "parquet"))}
FORMATS = ("ner-cot", "sft", "both")
TO_PARQUET = Path(__file__).resolve().parents[2] / "data_prep" / "to_parquet.py"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the step."""
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write; an earlier export is replaced")
    add("--splits", type=_splits, default="train=0.98,dev=0.02", metavar="NAME=SHARE,...", help="of train, dev, test")
    add("--seed", type=int, default=42, help="another seed, other splits (default: %(default)s)")
    add("--format", choices=FORMATS, default="both", help="JSON, Parquet for SFT, or both (default: %(default)s)")
    add("--license", default=UNSPECIFIED, metavar="TEXT", help="of the dataset, for the card, such as cc-by-4.0")
    add("--no-judge", action="store_true", help="export all valid rows, whatever a judge says")
    add("--tokenizer", type=Path, metavar="DIR", help="of the model to train, for --max-tokens and control tokens")
    add("--max-tokens", type=int, metavar="N", help="no Parquet rows of more tokens: prompt, answer and end")


def _splits(text: str) -> dict[str, float]:
    """`"train=0.98,dev=0.02"` -> `{"train": 0.98, "dev": 0.02}`."""
    pairs = [part.partition("=") for part in text.split(",")]
    try:
        shares = {name.strip(): float(share) for name, _, share in pairs}
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not like train=0.98,dev=0.02") from error
    if len(shares) < len(pairs) or set(shares) - set(SPLITS) or "train" not in shares:
        raise argparse.ArgumentTypeError(f"{text!r}: name train, and dev and test if wanted, once each")
    if not all(0 < share <= 1 for share in shares.values()) or abs(sum(shares.values()) - 1) > 1e-6:
        raise argparse.ArgumentTypeError(f"{text!r}: the shares must be above 0 and add up to 1")
    return shares


def run(args: argparse.Namespace) -> None:
    """Write the dataset, or nothing. DataError where nothing is left to write or --out holds something else."""
    if args.max_tokens is not None and args.tokenizer is None:
        raise DataError("--max-tokens: needs --tokenizer DIR to count with")
    _check_out(args.out)
    rows = _rows(args)
    with staged(args.out) as stage:
        contents = _write_lists(stage, rows, args)
        if not contents.rows["train"]:
            what = "valid" if args.no_judge else "valid and kept by the judge"
            raise DataError(f"{args.work}: no row for train that is {what}; see python -m recipe.cot stats")
        splits = [split for split in args.splits if contents.rows[split]]
        entries = _to_parquet(stage, splits, args) if args.format != "ner-cot" else {}
        about = _about(args)
        if args.format == "sft":  # else the JSON files say it
            entries = {name: {**entry, "cot": about} for name, entry in entries.items()}
        for split in splits:
            path = stage / f"{split}.json"
            if args.format == "sft":
                path.unlink()
            else:
                entries[path.name] = {"rows": contents.rows[split], "sha256": sha256(path), **about}
        card = Card(contents, about["counts"], about["settings"], entries, args.license, answer_format(args.work))
        (stage / CARD).write_text(render(card), encoding="utf-8")
        manifest = json.dumps(entries, ensure_ascii=False, indent=2, sort_keys=True)
        (stage / MANIFEST).write_text(manifest + "\n", encoding="utf-8")
    for name, entry in entries.items():
        dropped = "".join(f", {n:,} {reason}" for reason, n in refused(entry).items())
        print(f"{args.out / name}: {entry['rows']:,} rows{dropped}")
    for split in (split for split in args.splits if split not in splits):
        print(f"note: {split}: no row fell to it", file=sys.stderr)


# -------------------------------------------------------------------------------------------------------------- rows


def _rows(args: argparse.Namespace) -> Iterator[dict]:
    """The records of validate.jsonl that are kept, and kept by the judge unless --no-judge is given."""
    judge = path_of(args.work, JUDGE)
    if not args.no_judge and not judge.is_file():
        raise DataError(f"{judge}: not there; run `python -m recipe.cot judge`, or give --no-judge")
    judged = None if args.no_judge else {record["id"] for record in read_kept(args.work, JUDGE)}
    return (record for record in read_kept(args.work, VALIDATE) if judged is None or record["id"] in judged)


def ner_cot(row: Mapping) -> dict:
    """A NER-CoT record; what is in it stands in sentence order."""
    example, (entities, relations) = asked(row), of_fields(row)
    entities = sorted(entities, key=_order)
    relations = sorted(relations, key=lambda one: (_order(one.head), _order(one.tail), one.type))
    task, types, found = answers.task(example.format), {"schema": list(example.entity_types)}, {}
    if task != "ner":
        types[own_types.RELATION_TYPES] = list(example.relation_types)
    if task == "ee":
        found["events"] = [_event(trigger, arguments) for trigger, arguments in grouped(entities, relations)]
    elif task == "ner" or answers.two_kinds(example.format):
        found["entities"] = [{"text": entity.name, "label": entity.type} for entity in entities]
    if task == "re":
        found["relations"] = [{"head": _end(one.head), "type": one.type, "tail": _end(one.tail)} for one in relations]
    return {
        "sentence": row["sentence"],
        **types,
        "source": row["source"],
        "cot": row["reasoning"],
        **found,
        "guid": row["id"],
    }


def _order(entity: Entity) -> tuple:
    return entity.start, -len(entity.name), entity.type


def _end(mention: Entity) -> dict[str, str]:
    return {"name": mention.name, "type": mention.type} if mention.type else {"name": mention.name}


def _event(trigger: Entity, arguments: Iterable[Relation]) -> dict:
    told = [{"name": one.tail.name, "role": one.type} for one in arguments]
    return {"type": trigger.type, "trigger": trigger.name, "arguments": told}


def split_of(sentence: str, shares: Mapping[str, float], seed: int) -> str:
    """The split of a sentence: where a hash of the seed and its normalised words falls among the shares."""
    hashed = digest(f"{seed}\n{' '.join(words(sentence)) or sentence}")
    point, end = int(hashed, 16) / 2**64, 0.0
    for split, share in shares.items():
        end += share
        if point < end:
            return split
    return split  # the shares add up to 1 but for rounding


# ------------------------------------------------------------------------------------------------------------- files


def _check_out(out: Path) -> None:
    """DataError unless `out` is free, or holds an earlier export and nothing else."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file; --out names a folder")
    others = sorted({path.name for path in out.iterdir()} - OURS) if out.exists() else []
    if others:
        raise DataError(f"{out}: holds {others[0]!r}, which is no part of an export; name another folder")


def _write_lists(stage: Path, rows: Iterator[dict], args: argparse.Namespace) -> Contents:
    """Write a JSON list for each split that has a row, row by row; what is in them."""
    contents, files = Contents(), {}
    with contextlib.ExitStack() as stack:
        for row in rows:
            split = split_of(row["sentence"], args.splits, args.seed)
            if split not in files:
                files[split] = stack.enter_context((stage / f"{split}.json").open("w", encoding="utf-8"))
                stack.callback(files[split].write, "\n]\n")  # called before the file is closed
            begin = ",\n" if contents.rows[split] else "[\n"
            files[split].write(begin + json.dumps(ner_cot(row), ensure_ascii=False))
            contents.add(split, row)
    return contents


def _to_parquet(stage: Path, splits: list[str], args: argparse.Namespace) -> dict[str, dict]:
    """Let data preparation write the Parquet files into the folder; its manifest."""
    command = [sys.executable, str(TO_PARQUET), "sft", "--ner-cot", "train.json", "--out", "."]
    # A row that can't be one of SFT is counted and stays in the list: it doesn't keep the others from being written.
    command += ["--answer-format", answer_format(args.work), "--on-error", "skip"]
    if "dev" in splits:
        command += ["--dev-ner-cot", "dev.json"]
    if args.tokenizer is not None:
        command += ["--tokenizer", str(args.tokenizer.absolute())]
    if args.max_tokens is not None:
        command += ["--max-tokens", str(args.max_tokens)]
    done = subprocess.run(command, cwd=stage, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise DataError(f"the Parquet files could not be written: {lines[-1].removeprefix('to_parquet.py: ')}")
    entries = json.loads((stage / MANIFEST).read_text(encoding="utf-8"))
    for entry in entries.values():
        entry["arguments"]["tokenizer"] = None if args.tokenizer is None else str(args.tokenizer)
    return entries


def _about(args: argparse.Namespace) -> dict:
    """What the manifest says of the JSON files: where they come from, and how; None for a step without a part."""
    steps = [ANNOTATE, VALIDATE] if args.no_judge else [ANNOTATE, VALIDATE, JUDGE]
    counts = read_funnel(args.work)
    names = ("reasoning-ner-verl", "datasketch", "py3langid")
    return {
        "command": "cot export",
        "arguments": {"splits": args.splits, "seed": args.seed, "no_judge": args.no_judge, "license": args.license},
        "sources": {str(path_of(args.work, step)): sha256(path_of(args.work, step)) for step in steps},
        "settings": {step: read_settings(args.work, step) if step in steps else None for step in counts},
        "counts": {step: figures if step in steps else None for step, figures in counts.items()},
        "versions": {name: _version(name) for name in names} | {"python": platform.python_version()},
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
