"""Turns corpora into the Parquet files that verl's SFT and GRPO trainers and our evaluation read.

    python data_prep/to_parquet.py sft --ner-cot ner_cot.jsonl --num-dev 300 --out data/sft
    python data_prep/to_parquet.py sft --instructuie NER --datasets bc5cdr AnatEM --cot template --out data/sft
    python data_prep/to_parquet.py sft --instructuie NER --datasets "CoNLL 2003" --share 0.05 --no-cot --out data/low
    python data_prep/to_parquet.py grpo --instructuie NER --num-samples 5000 --num-dev 300 --seed 42 --out data/grpo
    python data_prep/to_parquet.py grpo --instructuie NER --list in_domain_clean --out data/grpo
    python data_prep/to_parquet.py eval --instructuie NER --list cross_domain --split test --out data/eval

writes train, dev or test.parquet and manifest.json into --out, all or nothing. What a row holds stands in ner_rows.py
beside this file; one of evaluation begins

    {"data_source": "bc5cdr", "prompt": [{"role": "user", "content": "You are ..."}], "ability": "ner", ...
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

if __name__ == "__main__":  # run as a script, from anywhere: Python put this folder first, not the repository
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tqdm import tqdm

from data_prep.ner_output import sha256, staged, write_manifest, write_parquet
from data_prep.ner_rows import RowRules, question_row, row_schema, sentence_key, sft_row
from data_prep.ner_sources import (
    Amount,
    Scan,
    Source,
    Tally,
    choose,
    instructuie_sources,
    ner_cot_sources,
    sentence_files,
    sentences,
)
from recipe import corpora
from recipe.answers import json_answer
from recipe.chat import find_control_token
from recipe.entities import DataError, Example
from recipe.json_files import read_text


@dataclass(frozen=True, slots=True)
class Split:
    """One Parquet file to write: `name`.parquet."""

    name: str
    sources: tuple[Source, ...]
    amount: Amount


# -------------------------------------------------------------------------------------------------------- what to do


def plan(args: argparse.Namespace) -> list[Split]:
    """The files that the arguments ask for. DataError where they name what is not there."""
    if args.command == "sft" and args.ner_cot:
        sources = ner_cot_sources(args.ner_cot, cot=args.cot == "ner_cot")
        dev = [Split("dev", sources, Amount(args.num_dev))] if args.num_dev else []
        return [*dev, Split("train", sources, Amount(args.num_samples, args.share, args.max_per_dataset))]
    datasets = _datasets(args)
    if args.command == "eval":
        return [Split(args.split, instructuie_sources(datasets, args.split), Amount())]
    cot = args.command == "sft" and args.cot == "template"
    train = Split(
        "train",
        instructuie_sources(datasets, "train", cot),
        Amount(args.num_samples, args.share, args.max_per_dataset),
    )
    if args.num_dev == 0:
        return [train]
    with_dev = [dataset for dataset in datasets if dataset.file("dev").is_file()]
    without = ", ".join(dataset.name for dataset in datasets if dataset not in with_dev)
    if without:
        _say(f"no dev.json, so no dev rows: {without}")
    if not with_dev:
        if args.num_dev is None:
            return [train]
        raise DataError("no dataset has a dev.json to take --num-dev rows from; pass --num-dev 0")
    dev = Split("dev", instructuie_sources(with_dev, "dev", cot), Amount(args.num_dev, None, args.max_per_dataset))
    return [dev, train]


def _datasets(args: argparse.Namespace) -> list[corpora.Dataset]:
    names = args.datasets
    if args.list is not None:
        names = corpora.LISTS[args.list] if args.list in corpora.LISTS else corpora.read_names(Path(args.list))
    found, missing = corpora.find_datasets(args.instructuie, names)
    if missing and args.list is None:
        raise DataError(f"{args.instructuie}: has no dataset {', '.join(map(repr, missing))}; {_present(args)}")
    if not found:
        raise DataError(f"{args.instructuie}: has no dataset of the list {args.list}; {_present(args)}")
    if missing:
        _say(f"on the list {args.list} but not in {args.instructuie}: {', '.join(missing)}")
    return found


def _present(args: argparse.Namespace) -> str:
    return "there are: " + ", ".join(dataset.name for dataset in corpora.find_datasets(args.instructuie)[0])


def row_rules(args: argparse.Namespace) -> RowRules:
    """Template, limits and sentences to keep out, as the arguments say."""
    max_tokens = getattr(args, "max_tokens", None)
    if args.tokenizer is None and (args.max_prompt_tokens, max_tokens) != (None, None):
        raise DataError("--max-prompt-tokens and --max-tokens: need --tokenizer DIR to count with")
    tokenizer = None if args.tokenizer is None else _load_tokenizer(args.tokenizer)
    template = json_answer.DEFAULT_TEMPLATE
    if args.prompt_template is not None:
        template = read_text(args.prompt_template).removesuffix("\n")
        try:
            json_answer.check_template(template)
        except DataError as error:
            raise DataError(f"{args.prompt_template}: {error}") from error
        if token := find_control_token(template, tokenizer):
            raise DataError(f"{args.prompt_template}: holds the control token {token!r}; the chat template adds those")
    keep_out = {sentence_key(sentence): "overlap" for path in _overlap_files(args) for sentence in sentences(path)}
    return RowRules(template, args.add_source, tokenizer, args.max_prompt_tokens, max_tokens, keep_out)


def _overlap_files(args: argparse.Namespace) -> list[Path]:
    return [file for path in getattr(args, "drop_overlap_with", ()) for file in sentence_files(path)]


def _load_tokenizer(folder: Path) -> object:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: holds no tokenizer that can be loaded; name a model's folder") from error


# ---------------------------------------------------------------------------------------------------------- doing it


def run(args: argparse.Namespace) -> None:
    """Write the Parquet files and the manifest, or nothing."""
    rules = row_rules(args)
    splits = plan(args)
    with staged(args.out) as stage:
        entries = {}
        for split in splits:
            tallies = {source.name: Tally() for source in split.sources}
            with tqdm(unit=" records", disable=None, leave=False) as bar:
                scan = Scan(rules, args.on_error == "skip", bar)
                examples = _examples(split, args, scan, tallies)
                if split.name == "dev" and len(splits) == 2 and splits[1].sources == split.sources:
                    examples = list(examples)  # held out of the training rows: no sentence may stand in both
                    held_out = {sentence_key(example.sentence): "in_dev" for example in examples}
                    rules = replace(rules, keep_out={**rules.keep_out, **held_out})
                path = stage / f"{split.name}.parquet"
                count = write_parquet(path, _rows(examples, split, args, scan.rules), row_schema(args.command == "sft"))
            if not count:
                raise DataError(f"{split.name} split: no row is left; {_reasons(tallies)}")
            entries[path.name] = _entry(args, split, tallies, sha256(path), count)
        write_manifest(stage, args.out, entries)
    for name, entry in entries.items():
        _report(args.out / name, entry)


def _examples(split: Split, args: argparse.Namespace, scan: Scan, tallies: dict[str, Tally]) -> Iterator[Example]:
    if not split.amount.all:
        yield from choose(split.name, split.sources, split.amount, args.seed, scan, tallies)
        return
    for source in split.sources:
        for _, example in scan(source, tallies[source.name]):
            tallies[source.name].written += 1
            yield example


def _rows(examples: Iterable[Example], split: Split, args: argparse.Namespace, rules: RowRules) -> Iterator[dict]:
    for index, example in enumerate(examples):
        if args.command == "sft":
            yield sft_row(example, index, split.name, rules, args.cot)
        else:
            yield question_row(example, index, split.name, rules)


def _entry(args: argparse.Namespace, split: Split, tallies: dict[str, Tally], digest: str, count: int) -> dict:
    files = {path for source in split.sources for path in source.files}
    files |= {args.prompt_template} - {None} | set(_overlap_files(args))
    # Where the files are written is no part of what is in them.
    arguments = {key: _plain(value) for key, value in vars(args).items() if key not in ("out", "command")}
    packages = ("pyarrow", "reasoning-ner-verl") + (("transformers",) if args.tokenizer else ())
    versions = {name: _version(name) for name in packages} | {"python": platform.python_version()}
    return {
        "command": args.command,
        "arguments": arguments,
        "rows": count,
        "sha256": digest,
        "datasets": {name: tally.as_dict() for name, tally in tallies.items()},
        "sources": {str(path): sha256(path) for path in sorted(files)},
        "versions": versions,
    }


def _plain(value: object) -> object:
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return None


def _reasons(tallies: dict[str, Tally]) -> str:
    total = sum((tally.skipped + tally.dropped for tally in tallies.values()), Counter())
    read = sum(tally.read + tally.skipped.total() for tally in tallies.values())
    return f"{read} records read" + "".join(f", {n} {reason}" for reason, n in sorted(total.items()))


def _report(path: Path, entry: dict) -> None:
    print(f"{path}: {entry['rows']:,} rows")
    for name, facts in entry["datasets"].items():
        parts = [f"{key} {n:,}" for kind in ("skipped", "dropped", "noted") for key, n in facts[kind].items()]
        print(f"  {name}: {facts['written']:,} of {facts['records']:,}" + "".join(f", {part}" for part in parts))


def _say(note: str) -> None:
    print(f"note: {note}", file=sys.stderr)


# --------------------------------------------------------------------------------------------------------- arguments


def parser() -> argparse.ArgumentParser:
    """The command line; each subcommand has its own --help with examples."""
    raw = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser("to_parquet.py", description=__doc__, formatter_class=raw)
    commands = top.add_subparsers(dest="command", required=True, metavar="{sft,grpo,eval}")

    sft = commands.add_parser("sft", help="rows with answers, for SFT", formatter_class=raw, epilog=_examples_of("sft"))
    source = sft.add_mutually_exclusive_group(required=True)
    source.add_argument("--ner-cot", type=Path, nargs="+", metavar="FILE", help="NER-CoT rows, .json or .jsonl")
    _add_instructuie(sft, source)
    sft.add_argument("--cot", choices=("template", "none"), help="reasoning for --instructuie: from the gold, or none")
    sft.add_argument("--no-cot", action="store_const", const="none", dest="cot", help="answers without reasoning")
    sft.add_argument("--share", type=float, metavar="X", help="this part of each dataset's train rows, such as 0.01")
    _add_amounts(sft, None, None)
    sft.add_argument("--max-tokens", type=_count, metavar="N", help="drop rows of more tokens: prompt, answer and end")
    _add_common(sft)

    grpo = commands.add_parser(
        "grpo", help="a sample of questions, for GRPO", formatter_class=raw, epilog=_examples_of("grpo")
    )
    _add_instructuie(grpo, grpo, required=True)
    _add_amounts(grpo, 5000, 300)
    grpo.set_defaults(share=None)
    _add_common(grpo)

    evaluate = commands.add_parser(
        "eval", help="all questions of a split", formatter_class=raw, epilog=_examples_of("eval")
    )
    _add_instructuie(evaluate, evaluate, required=True)
    evaluate.add_argument("--split", choices=corpora.SPLITS, default="test")
    _add_common(evaluate)
    return top


def _examples_of(command: str) -> str:
    lines = [line for line in __doc__.splitlines() if f"to_parquet.py {command}" in line]
    return "examples:\n" + "\n".join(lines)


def _add_instructuie(
    command: argparse.ArgumentParser, group: argparse._ActionsContainer, required: bool = False
) -> None:
    flags = {"required": True} if required else {}
    group.add_argument("--instructuie", type=Path, metavar="DIR", help="folder of InstructUIE's NER datasets", **flags)
    which = command.add_mutually_exclusive_group()
    which.add_argument("--datasets", nargs="+", metavar="NAME", help="these datasets (default: all that are there)")
    which.add_argument("--list", metavar="LIST", help=f"{', '.join(corpora.LISTS)}, or a file with a name on each line")


def _add_amounts(command: argparse.ArgumentParser, samples: int | None, dev: int | None) -> None:
    default = "(default: %(default)s)" if samples else "(default: all)"
    command.add_argument("--num-samples", type=_count, default=samples, metavar="N", help=f"train rows {default}")
    command.add_argument("--num-dev", type=_count, default=dev, metavar="N", help=f"dev rows {default}")
    cap = 10000 if samples else None
    command.add_argument(
        "--max-per-dataset", type=_count, default=cap, metavar="N", help="a dataset counts as at most so many rows"
    )
    command.add_argument("--seed", type=int, default=42, help="another seed, another sample (default: %(default)s)")
    command.add_argument(
        "--drop-overlap-with",
        type=Path,
        nargs="+",
        default=(),
        metavar="PATH",
        help="drop sentences that stand in these too: Parquet written here, test.json, or a folder of such",
    )


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write into")
    command.add_argument("--prompt-template", type=Path, metavar="FILE", help="prompt with {{SCHEMA}} and {{SENTENCE}}")
    command.add_argument("--add-source", action="store_true", help="begin the prompt with the dataset's name")
    command.add_argument("--tokenizer", type=Path, metavar="DIR", help="the model's tokenizer, for the limits")
    command.add_argument("--max-prompt-tokens", type=_count, metavar="N", help="drop rows with a longer prompt")
    command.add_argument(
        "--on-error", choices=("stop", "skip"), default="stop", help="skip counts bad records (default: %(default)s)"
    )


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return value


def _check(args: argparse.Namespace) -> None:
    if args.command != "sft":
        return
    if args.ner_cot:
        if args.cot == "template" or args.datasets or args.list:
            raise DataError("--cot template, --datasets and --list: go with --instructuie, not with --ner-cot")
        args.cot = args.cot or "ner_cot"
    elif args.cot is None:
        raise DataError("--instructuie has no chain of thought; say --cot template (built from the gold) or --no-cot")
    if args.share is not None and args.num_samples is not None:
        raise DataError("--share and --num-samples: give one of them")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 with one line on stderr where the input is wrong."""
    args = parser().parse_args(argv)
    try:
        _check(args)
        run(args)
    except (DataError, OSError) as error:
        print(f"to_parquet.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
