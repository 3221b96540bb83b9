"""The command `python -m recipe.predict`: texts from a file, a pipe or an option, results to standard output or a file.

    python -m recipe.predict models/grpo --types person,location --input texts.txt --output found.jsonl

An output file has the folder `found.jsonl.run` beside it: every answer of the model as it was made, and how
(recipe.generate.predictions), and what vLLM printed, in log.txt. The same command goes on from there after an
interruption; the file itself is written at the end, whole or not at all. Without --output, results are written in the
texts' order as soon as they are there; nothing else is ever written to standard output.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from recipe import answers
from recipe.core.command_line import Failed, end_with, exit_status, unwind_on_sigterm
from recipe.core.console import sent, terminal
from recipe.core.entities import DataError
from recipe.core.files import fingerprint
from recipe.corpora.texts import Record, piped, read_records, split_types
from recipe.generate.bar import bar
from recipe.generate.engine import LOG, Decoding, add_options
from recipe.generate.predictions import journal, package_versions
from recipe.predict import Predictor, Settings, load
from recipe.predict.output_formats import FORMATS, check_form, write
from recipe.predict.questions import Inquiry
from recipe.predict.replies import Result

if TYPE_CHECKING:
    from recipe.generate.predictions import Prediction

_ENDINGS = {".json": "json", ".jsonl": "jsonl", ".conll": "conll", ".bio": "conll"}


def _run(args: argparse.Namespace, out: TextIO) -> None:
    settings, records = _settings(args), _records(args)
    if args.output:
        _check_output(args.output)
    options = {name: getattr(args, name) for name in Decoding.__slots__}
    options |= {name: getattr(settings, name) for name in Settings.__slots__}
    with _log(args.output) as log, load(args.model, log=log, **options) as predictor:
        check_form(args.format, predictor.settings.finds)
        inquiries = _inquiries(predictor, records, args)
        if not args.output:
            for piece in write(
                _counted(predictor.results(inquiries, save=_bar(inquiries, settings)), predictor), args.format
            ):
                out.write(piece)
                out.flush()
            return
        versions = {"model": args.model, "input": str(args.input), **package_versions()}
        with journal(_journal(args.output), _manifest(predictor, records), versions) as (done, save):
            bar = _bar(inquiries, settings, len(done))

            def keep(prediction: Prediction) -> None:
                save(prediction)
                bar(prediction)

            work = _journal(args.output) / args.output.name
            with work.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(write(_counted(predictor.results(inquiries, done, keep), predictor), args.format))
            work.replace(args.output)


def _settings(args: argparse.Namespace) -> Settings:
    from recipe.corpora.json_files import read_text

    if args.temperature is None:
        args.temperature = 0.0 if args.samples == 1 else 0.7
    args.relation_types = tuple(args.relation_types.split(",")) if args.relation_types is not None else ()
    template = read_text(args.prompt_template) if args.prompt_template else None
    named = {name: getattr(args, name) for name in Settings.__slots__ if hasattr(args, name)}
    return Settings(**named, template=template)


def _records(args: argparse.Namespace) -> list[Record]:
    types = split_types(args.types) if args.types is not None else None
    if args.text is None:
        return read_records(args.input, types)
    if types is None:
        raise DataError("--text: no types; name them with --types person,location")
    return [Record(args.text, types)]


def _inquiries(predictor: Predictor, records: Sequence[Record], args: argparse.Namespace) -> list[Inquiry]:
    from tqdm import tqdm

    inquiries = []
    for number, record in enumerate(tqdm(records, desc="prompts", unit="text", leave=False, disable=None)):
        try:
            inquiries.append(predictor.inquiry(record))
        except DataError as error:
            raise DataError(f"{args.input}, record {number}: {error}") from error
    return inquiries


def _bar(inquiries: Sequence[Inquiry], settings: Settings, there: int = 0) -> Callable[[Prediction], None]:
    total = sum(len(inquiry.prompts) for inquiry in inquiries) * settings.samples
    shown = bar(total, there, "answers", "answer", disable=total < 2)

    def show(_: Prediction) -> None:
        shown.update()
        if shown.n >= total:
            shown.close()

    return show


def _counted(results: Iterable[Result], predictor: Predictor) -> Iterator[Result]:
    """The results themselves; at the end, what went wrong with how many of them, on standard error."""
    errors, unparsable, cut = [], 0, 0
    for result in results:
        if result.error:
            errors.append(result)
        unparsable += result.unparsable
        cut += result.cut
        yield result
    if errors:
        first = f"record {errors[0].index}: {errors[0].error}"
        print(f"predict: {len(errors)} texts were not asked about, the first is {first}", file=terminal())
    for count, what in (
        (unparsable, "answers could not be read"),
        (cut, "answers were cut off by the token limit"),
        (predictor.closed_by_limit, "think blocks were closed at the limit"),
    ):
        if count:
            print(f"predict: {count} {what}", file=terminal())


# ------------------------------------------------------------------------------------------------------ output file


def _journal(output: Path) -> Path:
    return output.with_name(output.name + ".run")


@contextmanager
def _log(output: Path | None) -> Iterator[Path]:
    """The file for what vLLM prints: with the answers, else a temporary one, which stays if it tells of a failure."""
    if output:
        yield _journal(output) / LOG
        return
    descriptor, name = tempfile.mkstemp(prefix="recipe.predict.", suffix=f".{LOG}")
    os.close(descriptor)
    try:
        yield Path(name)
    except Failed:
        raise
    except BaseException:
        os.unlink(name)
        raise
    os.unlink(name)


def _check_output(output: Path) -> None:
    if output.is_dir():
        raise DataError(f"{output}: is a folder; --output names a file")
    if not output.parent.is_dir():
        raise DataError(f"{output}: there is no folder {output.parent}; make it")
    if output.exists() and not _journal(output).is_dir():
        raise DataError(f"{output}: is there already, not made by an earlier run; delete it or give another --output")


def _manifest(predictor: Predictor, records: Sequence[Record]) -> dict[str, object]:
    """What the answers depend on."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(json.dumps([record.text, record.types]).encode() + b"\n")
    settings = asdict(predictor.settings)
    settings["template"] = hashlib.sha256((settings["template"] or "").encode("utf-8", "replace")).hexdigest()
    settings["wordings"] = hashlib.sha256(json.dumps(settings["wordings"], sort_keys=True).encode()).hexdigest()
    del settings["min_agreement"]
    for name in ("all_mentions", "relation_types"):
        if not settings[name]:  # a run that was begun before there was the choice goes on
            del settings[name]
    decoding = {key: value for key, value in asdict(predictor.decoding).items() if key in _LENGTHS}
    return {
        "model": fingerprint(predictor.folder),
        "texts": digest.hexdigest(),
        **settings,
        **decoding,
        "stop_token_ids": list(predictor.stop_ids),
    }


_LENGTHS = ("max_model_len", "max_new_tokens", "dtype")


# ---------------------------------------------------------------------------------------------------------- command


def _window(text: str) -> tuple[int, str]:
    number, unit = (text[:-1], "words") if text.endswith("w") else (text, "tokens")
    if not number.isdecimal() or int(number) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number of tokens (300) nor of words (200w)")
    return int(number), unit


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        self.exit(2, f"predict: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m recipe.predict",
        description="Find entities, relations or events in texts, as the model was trained to: for each text the "
        "model's reasoning, and what was found with its offsets.",
        epilog=(
            "examples:\n"
            '  python -m recipe.predict models/grpo --types person,location --text "Ada met Babbage in London ."\n'
            "  python -m recipe.predict models/grpo --types person,location --input texts.txt --output found.jsonl\n"
            "  cat texts.txt | python -m recipe.predict models/grpo --types person --format inline\n"
            "  python -m recipe.predict models/grpo --input texts.jsonl --constrained --samples 5 --output out.json\n"
            "  python -m recipe.predict models/events --types attack --relation-types attacker,victim --input a.txt\n"
            "  python -m recipe.predict models/grpo --types person --input a.txt --all-mentions --output a.jsonl\n\n"
            '--input: .txt with a text a line; .jsonl with {"text": ..., "id": ..., "types": [...]} a line, the last\n'
            "two optional; .parquet with such columns, or evaluation rows. A pipe is read in place of a file.\n"
            "With --output, the same command again goes on where an interrupted one stopped."
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="model folder or hub name")
    told = "types of entities or events, or of relations alone, with commas between them; a record's own types go first"
    add("--types", metavar="A,B", help=told)
    add("--relation-types", metavar="A,B", help="types of relations, or roles of an event's arguments, beside --types")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--text", metavar="TEXT", help="one text")
    source.add_argument("--input", type=Path, metavar="FILE", help="texts; without it they come from a pipe")
    add("--output", type=Path, metavar="FILE", help="results; without it they go to standard output")
    add("--format", choices=FORMATS, help="default: by the ending of --output, else json for --text, else jsonl")
    add("--window", type=_window, metavar="N", help="text asked about at a time: 300 tokens, or 200w for words")
    add("--max-reasoning-tokens", type=int, metavar="N", help="a think block that is longer is closed")
    add("--constrained", action="store_true", help="answers always keep to their layout and to the types")
    add(
        "--samples",
        type=int,
        default=1,
        metavar="N",
        help="answers to each text, which vote on what is found; default 1",
    )
    add("--temperature", type=float, metavar="T", help="default: 0, or 0.7 with --samples")
    add("--min-agreement", type=float, default=0.5, metavar="SHARE", help="of the answers a find needs; default 0.5")
    add("--seed", type=int, default=0, help="of the samples; default 0")
    add("--all-mentions", action="store_true", help="mark a name wherever it stands, not as often as the answer has it")
    add("--answer-format", choices=tuple(answers.FORMATS), help="default: what the model was trained on, or json")
    add("--prompt-template", type=Path, metavar="FILE", help="the wording that a model was trained on, if not ours")
    add_options(parser, "half of what the model holds")
    return parser


@contextmanager
def _own_stdout() -> Iterator[TextIO]:
    """Standard output for results alone: what any library prints goes to standard error meanwhile."""
    with sent(2, 1) as (kept,), open(kept, "w", encoding="utf-8", newline="\n", closefd=False) as out:
        yield out


def main(argv: Iterable[str] | None = None) -> int:
    """Run the command. 0; 2 after one line about what is wrong with the input; 130 after Ctrl-C; 141, reader gone."""
    parser = _parser()
    args = parser.parse_args(None if argv is None else list(argv))
    if args.text is None and args.input is None and not piped():
        parser.error("name the texts: --text TEXT, --input FILE, or a pipe")
    if args.format is None:
        by_ending = _ENDINGS.get(args.output.suffix.lower()) if args.output else None
        args.format = by_ending or ("json" if args.text is not None else "jsonl")

    def run() -> None:
        with _own_stdout() as out:
            _run(args, out)

    more = "; the same command goes on from here" if args.output else ""
    return exit_status("predict", run, f"interrupted{more}")


if __name__ == "__main__":
    unwind_on_sigterm()  # vLLM's processes end before this one
    end_with(main)
