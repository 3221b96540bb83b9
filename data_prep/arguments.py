"""The command line of to_parquet.py: three commands, their options, and which of them go together."""

from __future__ import annotations

import argparse
import functools
import unicodedata
from pathlib import Path

from recipe.answers import FORMATS, TASKS, check_task, formats_of
from recipe.core.command_line import count
from recipe.core.entities import DataError, has_lone_surrogate
from recipe.core.sampling import share_size
from recipe.corpora import FIRST_AND_LAST, Columns
from recipe.corpora import datasets as corpora
from recipe.corpora.json_files import read_list, read_text
from recipe.corpora.texts import check_types
from recipe.evaluate.protocols import protocol_names

GRPO_SAMPLES, GRPO_DEV, GRPO_CAP = 5000, 300, 10000  # ReasoningNER's
WORKED_SEED = 42  # not --seed: training and evaluation show the same examples


def parser(description: str) -> argparse.ArgumentParser:
    """The command line; each subcommand's --help shows the lines of the description that are examples of it."""
    raw = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser("to_parquet.py", description=description, formatter_class=raw)
    commands = top.add_subparsers(dest="command", required=True, metavar="{sft,grpo,eval}")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        examples = [line for line in description.splitlines() if f"to_parquet.py {name}" in line]
        command = commands.add_parser(name, help=text, formatter_class=raw, epilog="\n".join(["examples:", *examples]))
        command.set_defaults(drop_else=True)
        return command

    sft = add("sft", "rows with answers, for SFT")
    source = sft.add_mutually_exclusive_group(required=True)
    rows = "files of rows with reasoning (NER-CoT), or hf:OWNER/NAME"
    source.add_argument("--ner-cot", nargs="+", metavar="FILE", help=rows)
    dev = "dev rows from files of their own, with --ner-cot"
    sft.add_argument("--dev-ner-cot", nargs="+", metavar="FILE", help=dev)
    _add_corpora(sft, source)
    sft.add_argument("--cot", choices=("template", "none"), help="reasoning for --corpora: from the gold, or none")
    sft.add_argument("--no-cot", action="store_const", const="none", dest="cot", help="answers without reasoning")
    sft.add_argument("--share", type=float, metavar="X", help="this part of each dataset's train rows, such as 0.01")
    _add_amounts(sft, "all", "all")
    sft.add_argument("--max-tokens", type=count, metavar="N", help="drop rows of more tokens: prompt, answer and end")
    _add_common(sft)

    grpo = add("grpo", "a sample of questions, for GRPO")
    _add_corpora(grpo, grpo, required=True)
    _add_amounts(grpo, GRPO_SAMPLES, GRPO_DEV, GRPO_CAP)
    grpo.set_defaults(share=None)
    _add_common(grpo)

    evaluate = add("eval", "all questions of a split")
    _add_corpora(evaluate, evaluate, required=True)
    evaluate.add_argument("--split", choices=corpora.SPLITS, help="default: the protocol's, or test")
    residual = evaluate.add_mutually_exclusive_group()
    residual.add_argument(
        "--drop-else",
        action="store_true",
        help="else, misc and other in neither schema nor gold (the default)",
    )
    residual.add_argument(
        "--keep-else", action="store_false", dest="drop_else", help="keep them as types like any other"
    )
    _add_common(evaluate)
    return top


def _add_corpora(command: argparse.ArgumentParser, group: argparse._ActionsContainer, required: bool = False) -> None:
    group.add_argument(
        "--corpora",
        metavar="PATH",
        help="a folder with a folder or a file for each dataset, one dataset's folder, or its one file; or "
        "hf:OWNER/NAME[@REVISION], from the Hugging Face hub; data_prep/README.md lists the layouts that are read",
        required=required,
    )
    which = command.add_mutually_exclusive_group()
    which.add_argument("--datasets", nargs="+", metavar="NAME", help="these datasets (default: all that are there)")
    which.add_argument("--list", metavar="LIST", help=f"{', '.join(corpora.LISTS)}, or a file with a name on each line")
    names = _protocols()
    which.add_argument(
        "--protocol",
        choices=names,
        metavar="NAME",
        help=f"the datasets that a protocol trains on or tests on: {', '.join(names)}",
    )
    command.add_argument(
        "--columns",
        type=_columns,
        default=FIRST_AND_LAST,
        metavar="TOKEN,TAG",
        help="of files in columns, from 1, or from the end below 0 (default: those of a header, else 1,-1, but none "
        "that only counts)",
    )
    command.add_argument(
        "--type", type=_type_name, metavar="NAME", help="the type of entities whose tags name none (B, I, O)"
    )
    command.add_argument(
        "--tags", type=Path, metavar="FILE", help="names of tags that are numbers: a JSON list, or a tag on each line"
    )
    command.add_argument(
        "--join",
        type=_join,
        metavar="TEXT",
        help="stands between the tokens of a sentence (default: a space, or nothing in scripts without spaces)",
    )


def _add_amounts(
    command: argparse.ArgumentParser, samples: int | str, dev: int | str, cap: int | str = "no limit"
) -> None:
    add = command.add_argument
    fewer = "" if samples == "all" else ", or all if there are fewer"
    add("--num-samples", type=count, metavar="N", help=f"train rows (default: {samples}{fewer})")
    held_out = "of a dataset that is one file, they are held out of train"
    add("--num-dev", type=count, metavar="N", help=f"dev rows (default: {dev}{fewer}); {held_out}")
    limit = f"a dataset counts as at most so many rows (default: {cap})"
    add("--max-per-dataset", type=count, metavar="N", help=limit)
    empty = "of the train rows with nothing to find, keep about this share, such as 0.5 (default: all)"
    add("--keep-empty", type=_part, default=1.0, metavar="X", help=empty)
    add("--seed", type=int, default=42, help="another seed, another sample (default: %(default)s)")
    add(
        "--drop-overlap-with",
        type=Path,
        nargs="+",
        default=(),
        metavar="PATH",
        help="drop sentences that these hold, too: Parquet written here, a file of a layout, a folder of test splits",
    )


def _add_common(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write into")
    told = "what is asked for: names, relations or events (default: what the files are for, names where they have more)"
    add("--task", choices=TASKS, help=told)
    formats = ", ".join(f"{formats_of(each)[0]} for {each}" for each in TASKS)
    add("--answer-format", choices=tuple(FORMATS), help=f"how it is answered (default: {formats})")
    add("--one-step", action="store_true", help="a prompt without the two steps, where the format has them")
    worked = "draws the worked examples of prompts about one type (default: %(default)s)"
    add("--worked-seed", type=int, default=WORKED_SEED, metavar="N", help=worked)
    add("--prompt-template", type=Path, metavar="FILE", help="prompt with {{SCHEMA}} and {{SENTENCE}}")
    add("--add-source", action="store_true", help="begin the prompt with the dataset's name")
    add("--tokenizer", type=Path, metavar="DIR", help="counts for the limits, and names the model's control tokens")
    add("--max-prompt-tokens", type=count, metavar="N", help="drop rows with a longer prompt")
    add("--on-error", choices=("stop", "skip"), default="stop", help="skip counts bad records (default: %(default)s)")


@functools.cache  # three commands name them
def _protocols() -> tuple[str, ...]:
    return tuple(protocol_names())


def _columns(text: str) -> Columns:
    try:
        token, tag = map(int, text.split(","))
    except ValueError:
        token = tag = 0
    if 0 in (token, tag) or token == tag:
        raise argparse.ArgumentTypeError(f"{text!r} names no two columns; 1,-1 are the first and the last one")
    return Columns(token, tag, chosen=True)


def _part(text: str) -> float:
    try:
        part = float(text)
    except ValueError:
        part = -1.0
    if not 0 <= part <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share from 0, none of them, to 1, all")
    return part


def _type_name(text: str) -> str:
    try:
        (name,) = check_types([text], "--type")
    except DataError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("--type: ")) from error
    return name


def _join(text: str) -> str:
    # Control characters, halves of surrogate pairs, and what ends a line or a paragraph.
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text):
        raise argparse.ArgumentTypeError(f"{text!r} holds control characters; such as ' ' or '' stands between tokens")
    return text


def read_tags(path: Path) -> tuple[str, ...]:
    """The names of numbered tags, from 0: a JSON list, or a tag on each line. DataError for a file that is neither."""
    text = read_text(path)
    in_json = text.lstrip()[:1] in ("[", "{")
    tags = list(read_list(path)) if in_json else [line.strip() for line in text.rstrip().split("\n")]
    what = 'a JSON list such as ["O", "B-PER", "I-PER"], or a tag on each line, belongs here'
    seen: set[str] = set()
    for number, tag in enumerate(tags):
        if not isinstance(tag, str) or not tag.strip() or has_lone_surrogate(tag):
            raise DataError(f"{path}: tag {number} (from 0) is no text; {what}")
        if tag in seen:
            raise DataError(f"{path}: tag {number} (from 0) is {tag!r}, which was there before; {what}")
        seen.add(tag)
    if not tags:
        raise DataError(f"{path}: holds no tag; {what}")
    return tuple(tags)


def check(args: argparse.Namespace) -> None:
    """DataError for options that don't go together or are no text; sets where the reasoning of SFT rows is from."""
    for option, value in vars(args).items():
        values = value if isinstance(value, (list, tuple)) else [value]
        if any(isinstance(each, (str, Path)) and has_lone_surrogate(str(each)) for each in values):
            raise DataError(f"--{option.replace('_', '-')}: {str(value)!a} is no UTF-8 text; rename what is called so")
    if args.answer_format:
        args.task = check_task(args.answer_format, args.task)
    if args.command != "sft":
        return
    if args.share is not None:
        try:
            share_size(1, args.share)
        except DataError as error:
            raise DataError(f"--share: {str(error).removeprefix('share ')}") from error
    if args.ner_cot:
        if args.cot == "template" or args.datasets or args.list or args.protocol:
            raise DataError("--cot template, --datasets, --list, --protocol: go with --corpora, not with --ner-cot")
        if args.dev_ner_cot and args.num_dev == 0:
            raise DataError("--dev-ner-cot and --num-dev 0: give one of them")
        args.cot = args.cot or "ner_cot"
    elif args.dev_ner_cot:
        raise DataError("--dev-ner-cot: goes with --ner-cot, not with --corpora")
    elif args.cot is None:
        raise DataError("--corpora has no chain of thought; say --cot template (built from the gold) or --no-cot")
    if args.share is not None and args.num_samples is not None:
        raise DataError("--share and --num-samples: give one of them")
