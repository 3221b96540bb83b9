"""Turns corpora into the Parquet files that verl's SFT and GRPO trainers and our evaluation read.

    python data_prep/to_parquet.py sft --ner-cot ner_cot.jsonl --num-dev 300 --out data/sft
    python data_prep/to_parquet.py sft --corpora NER --datasets bc5cdr AnatEM --cot template --out data/sft
    python data_prep/to_parquet.py sft --corpora NER --datasets "CoNLL 2003" --share 0.05 --no-cot --out data/low
    python data_prep/to_parquet.py grpo --corpora NER --num-samples 5000 --num-dev 300 --seed 42 --out data/grpo
    python data_prep/to_parquet.py grpo --corpora NER --list in_domain_clean --out data/grpo
    python data_prep/to_parquet.py grpo --corpora conll --datasets news --columns 1,-1 --num-samples 500 --out data/grpo
    python data_prep/to_parquet.py sft --corpora NER --protocol low_resource_conll03_5 --seed 42 --no-cot --out data/low
    python data_prep/to_parquet.py sft --corpora own.jsonl --num-dev 100 --cot template --out data/own
    python data_prep/to_parquet.py grpo --corpora hf:tner/wnut2017 --num-samples 2000 --out data/wnut
    python data_prep/to_parquet.py eval --corpora S800 --type species --out data/species
    python data_prep/to_parquet.py eval --corpora numbered --tags tags.txt --out data/numbered
    python data_prep/to_parquet.py grpo --corpora characters --join "" --num-samples 500 --out data/characters
    python data_prep/to_parquet.py eval --corpora NER --list cross_domain --split test --out data/eval
    python data_prep/to_parquet.py sft --corpora crossre_data --task re --cot template --out data/relations
    python data_prep/to_parquet.py grpo --corpora data_prep/sample --task ee --num-samples 500 --out data/events
    python data_prep/to_parquet.py eval --corpora B2NERD/NER_en --protocol zero_shot_7 --out data/zero_shot_7

writes train, dev or test.parquet and manifest.json into --out, all or nothing. rows.py beside this file says what a
row holds. A row of evaluation begins

    {"data_source": "bc5cdr", "prompt": [{"role": "user", "content": "You are ..."}], "ability": "ner", ...

The files of a dataset decide its reader (recipe/corpora). --protocol (hydra_configs/protocol) names the
datasets, and the split or the share of train that an evaluation needs. The command names the datasets that are missing;
the manifest holds their names. An evaluation file's metadata say how many sentences the split had, and what gold the
sentences without a row had (recipe/evaluate/left_out.py). So nobody takes a figure on a part for one on the whole.
"""

from __future__ import annotations

import argparse
import gc
import platform
import sys
from collections import ChainMap, Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from pathlib import Path

if __name__ == "__main__":  # run as a script, from anywhere: Python put this folder first, not the repository
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from data_prep.light_imports import leave_out

    gc.set_threshold(50_000)  # records hold no cycles, and there are many
    leave_out()

from data_prep.arguments import check, parser, read_tags
from data_prep.origins import Origins, locate
from data_prep.output import write_parquet
from data_prep.progress import Progress
from data_prep.rows import RowRules, question_row, row_schema, sentence_key, sft_row
from data_prep.selection import Selection, check_used, select, with_split, without
from data_prep.sources import Amount, Scan, Tally, check_files, choose, say
from data_prep.wordings import KEPT_OUT, choose_wordings
from recipe import answers
from recipe.answers.control_tokens import THINK_TAGS, find_control_token
from recipe.answers.prompt import check_template
from recipe.core.command_line import end_with, exit_status
from recipe.core.entities import DEFAULT_FORMAT, DataError, Example
from recipe.core.files import sha256
from recipe.core.imports import first_import_of
from recipe.core.output import staged, write_manifest
from recipe.corpora import Columns, Reading
from recipe.corpora.dataset import Dataset
from recipe.corpora.datasets import common_format, sentence_files, sentences
from recipe.corpora.json_files import read_text
from recipe.evaluate import left_out
from recipe.evaluate.protocols import read_protocol


@dataclass(frozen=True, slots=True)
class Target:
    """One Parquet file to write: `name`.parquet."""

    name: str
    datasets: tuple[Dataset, ...]
    amount: Amount


# -------------------------------------------------------------------------------------------------------- what to do


def plan(args: argparse.Namespace, selection: Selection, origins: Origins) -> list[Target]:
    """The files that the arguments ask for. DataError where they name what is not there."""
    if args.corpora is None:
        datasets = list(map(origins.dataset_of, args.ner_cot))
    else:
        split = selection.split if args.command == "eval" else "train"
        datasets = with_split(selection.found, split)
        check_files(datasets, split)
        if args.command == "eval":
            return [Target(split, tuple(datasets), Amount())]
    dev = _with_dev(args, datasets, origins)
    train = Target("train", tuple(datasets), selection.amount)
    return [Target("dev", tuple(dev), selection.dev), train] if dev else [train]


def _with_dev(args: argparse.Namespace, datasets: Sequence[Dataset], origins: Origins) -> list[Dataset]:
    """The datasets that dev rows are taken from: those with a dev split and, if --num-dev asks for it, single files."""
    if args.num_dev == 0:
        return []
    if args.command == "sft" and args.dev_ner_cot:
        return list(map(origins.dataset_of, args.dev_ner_cot))
    ordinary = [dataset for dataset in datasets if not dataset.one_file]
    lacking = [dataset for dataset in ordinary if not dataset.file("dev").is_file()]
    if lacking:
        say(f"no dev split, so no dev rows: {', '.join(without(dataset, 'dev') for dataset in lacking)}")
    if args.num_dev is None:
        for dataset in datasets:
            if dataset.one_file:
                whole = "is one file" if dataset.folder.is_file() else "knows no splits"
                say(f"{dataset.name} {whole}, so no dev rows; --num-dev N takes some")
        return [dataset for dataset in ordinary if dataset not in lacking]
    found = [dataset for dataset in datasets if dataset not in lacking]
    if not found:
        raise DataError(f"--num-dev: no dataset has a dev split ({_names(lacking)}); pass --num-dev 0")
    return found


def _names(datasets: Iterable[Dataset]) -> str:
    return ", ".join(dataset.name for dataset in datasets)


def _from_one_file(dev: Target, train: Target) -> bool:
    """True if some file gives rows to both."""
    files = {dataset.file("train").resolve() for dataset in train.datasets}
    return not files.isdisjoint(dataset.file("dev").resolve() for dataset in dev.datasets)


def reading_of(args: argparse.Namespace) -> Reading:
    """How corpora are read, as the arguments say."""
    tags = None if args.tags is None else read_tags(args.tags)
    cot = getattr(args, "cot", None)
    columns, asked = args.columns, args.answer_format
    return Reading(not args.drop_else, columns, cot, join=args.join, tags=tags, type_name=args.type, format=asked)


def answer_format(args: argparse.Namespace, datasets: Sequence[Dataset]) -> str:
    """The format that the arguments name or, if none, that of the datasets' task. DataError where they have several."""
    if args.protocol and args.answer_format is None and args.task is None:
        return read_protocol(args.protocol).answer_format or DEFAULT_FORMAT
    if args.answer_format or not datasets:
        return args.answer_format or DEFAULT_FORMAT
    if args.task:
        return answers.formats_of(args.task)[0]
    return common_format(datasets)


def row_rules(args: argparse.Namespace) -> RowRules:
    """Template, limits and sentences to keep out, as the arguments say."""
    max_tokens = getattr(args, "max_tokens", None)
    if args.tokenizer is None and (args.max_prompt_tokens, max_tokens) != (None, None):
        raise DataError("--max-prompt-tokens and --max-tokens: need --tokenizer DIR to count with")
    tokenizer = None if args.tokenizer is None else _load_tokenizer(args.tokenizer)
    name, template = args.answer_format, None
    if args.one_step:
        template = answers.wordings(name).get("one_step")
        if template is None or args.prompt_template is not None:
            having = " or ".join(each for each in answers.FORMATS if "one_step" in answers.wordings(each))
            raise DataError(f"--one-step: is a wording of --answer-format {having}, without --prompt-template")
    if args.prompt_template is not None:
        template = read_text(args.prompt_template).removesuffix("\n")
        try:
            check_template(template)
        except DataError as error:
            raise DataError(f"{args.prompt_template}: {error}") from error
        if token := find_control_token(template, tokenizer, THINK_TAGS):
            raise DataError(f"{args.prompt_template}: holds the control token {token!r}; the chat template adds those")
    files = _overlap_files(args)
    keep_out = {sentence_key(text): "overlap" for path in files for text in sentences(path, reading_of(args))}
    rules = RowRules(name, template, args.add_source, tokenizer, args.max_prompt_tokens, max_tokens, keep_out)
    return rules if args.command == "eval" else replace(rules, keep_empty=args.keep_empty, seed=args.seed)


def with_wordings(rules: RowRules, args: argparse.Namespace, selection: Selection) -> RowRules:
    """The rules with a template for each type; training rows are not about the sentences that those show."""
    evaluation = args.command == "eval"
    # Of one file, all is evaluated: no prompt may show the answers.
    datasets = [dataset for dataset in selection.found if not (evaluation and dataset.one_file)]
    reading = replace(reading_of(args), skipped=Counter() if args.on_error == "skip" else None)
    wordings = choose_wordings(datasets, reading, args.worked_seed, rules.template, rules.format)
    shown = {} if evaluation else {sentence_key(text): KEPT_OUT for text in wordings.shown}
    return replace(rules, wordings=wordings, keep_out={**shown, **rules.keep_out})


def _overlap_files(args: argparse.Namespace) -> list[Path]:
    return [file for path in getattr(args, "drop_overlap_with", ()) for file in sentence_files(path)]


def _load_tokenizer(folder: Path) -> object:
    with first_import_of("transformers"):
        from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: holds no tokenizer that can be loaded; name a model's folder") from error


# ---------------------------------------------------------------------------------------------------------- doing it


def run(args: argparse.Namespace) -> None:
    """Write the Parquet files and the manifest, or nothing."""
    origins = locate(args)
    selection = select(args, origins)
    reasoned = getattr(args, "ner_cot", None) or ()
    args.answer_format = answer_format(args, selection.found or list(map(origins.dataset_of, reasoned)))
    args.task = answers.task(args.answer_format)
    reading, rules = reading_of(args), row_rules(args)
    splits = plan(args, selection, origins)
    check_used(args, [dataset for split in splits for dataset in split.datasets], _overlap_files(args))
    if answers.one_type(rules.format):
        rules = with_wordings(rules, args, selection)
    with staged(args.out) as stage:
        entries = {}
        for split in splits:
            tallies = {dataset.name: Tally() for dataset in split.datasets}
            with Progress(split.name) as progress:
                # What a model is measured on stays as it is.
                of_split = rules if split.name == "train" else replace(rules, keep_empty=1.0)
                scan = Scan(split.name, of_split, reading, args.on_error == "skip", progress)
                examples = _examples(split, args, scan, tallies, stage)
                if len(splits) == 2 and split is splits[0] and _from_one_file(*splits):
                    # Held out of the training rows: no sentence may be in both.
                    held_out: dict[int, str] = {}
                    examples = _holding_out(examples, held_out)
                    rules = replace(rules, keep_out=ChainMap(held_out, rules.keep_out))
                path = stage / f"{split.name}.parquet"
                schema = row_schema(args.command == "sft")
                metadata = partial(_left_out, tallies) if args.command == "eval" else None
                count = write_parquet(path, _rows(examples, split, args, scan.rules), schema, metadata)
            if not count:
                remedy = "; --num-dev 0 does without" if split.name == "dev" and args.command != "eval" else ""
                raise DataError(f"{split.name} split: no row is left; {_reasons(tallies)}{remedy}")
            entry = _entry(args, origins, selection, split, tallies)
            entries[path.name] = entry | {"rows": count, "sha256": sha256(path)}
            if rules.wordings.templates:
                entries[path.name]["wordings"] = rules.wordings.templates
        write_manifest(stage, args.out, entries)
    for name, entry in entries.items():
        _report(args.out / name, entry)
    if selection.missing:
        print(f"protocol {selection.protocol.name}: not here, and so partial: {', '.join(selection.missing)}")


def _left_out(tallies: dict[str, Tally]) -> dict[bytes, bytes]:
    """What an evaluation file says of itself: what the split had that became no row."""
    return left_out.to_metadata({name: tally.split for name, tally in tallies.items()})


def _examples(
    split: Target, args: argparse.Namespace, scan: Scan, tallies: dict[str, Tally], spare: Path
) -> Iterator[Example]:
    """The split's examples: those that are chosen, or all."""
    if not split.amount.all:
        yield from choose(split.datasets, split.amount, args.seed, scan, tallies, spare)
        return
    for dataset in split.datasets:
        for _, example in scan(dataset, tallies[dataset.name]):
            tallies[dataset.name].written += 1
            yield example


def _holding_out(examples: Iterable[Example], held_out: dict[int, str]) -> Iterator[Example]:
    """The examples; their sentences' keys are in `held_out` then."""
    for example in examples:
        held_out[sentence_key(example.sentence)] = "in_dev"
        yield example


def _rows(examples: Iterable[Example], split: Target, args: argparse.Namespace, rules: RowRules) -> Iterator[dict]:
    for index, example in enumerate(examples):
        if args.command == "sft":
            yield sft_row(example, index, split.name, rules, args.cot)
        else:
            yield question_row(example, index, split.name, rules, args.drop_else)


def _entry(
    args: argparse.Namespace, origins: Origins, selection: Selection, split: Target, tallies: dict[str, Tally]
) -> dict:
    files = {path for dataset in split.datasets for path in dataset.files(split.name)}
    files |= {args.prompt_template, args.tags} - {None} | set(_overlap_files(args))
    # The output folder doesn't change what is in the files.
    arguments = {
        key: _plain(value)
        for key, value in (vars(args) | origins.given | selection.arguments(args.command)).items()
        if key not in ("out", "command")
    }
    packages = ("pyarrow", "reasoning-ner-verl") + (("transformers",) if args.tokenizer else ())
    versions = {name: _version(name) for name in packages} | {"python": platform.python_version()}
    entry = {
        "command": args.command,
        "drop_else": args.drop_else,
        "arguments": arguments,
        "datasets": {name: tally.as_dict() for name, tally in tallies.items()},
        "sources": {str(path): sha256(path) for path in sorted(files)},
        "versions": versions,
    }
    if origins.hub:
        entry["hub"] = dict(origins.hub)
    if args.command == "eval":
        entry["splits"] = {name: tally.split.as_dict() for name, tally in tallies.items()}
    if selection.protocol is not None:
        present, missing = [dataset.name for dataset in selection.found], list(selection.missing)
        entry["protocol"] = {"name": selection.protocol.name, "present": present, "missing": missing}
    return entry


def _plain(value: object) -> object:
    if isinstance(value, Columns):
        return [value.token, value.tag]
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


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 with one line on stderr where the input is wrong."""
    args = parser(__doc__).parse_args(argv)

    def checked() -> None:
        check(args)
        run(args)

    return exit_status("to_parquet.py", checked)


if __name__ == "__main__":
    end_with(main)
