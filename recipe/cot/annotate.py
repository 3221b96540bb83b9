"""The first step: a teacher writes reasoning and entities for each row, in one answer.

    python -m recipe.cot annotate --input texts.jsonl --types person,place --teacher endpoint --model NAME --work cot

A line of WORK/annotate.jsonl, as soon as it is there:

    {"id": "9f2c51d07a3be846", "status": "answered", "reason": null, "detail": null, "sentence": "Ada met Bob .",
     "source": "news", "types": ["person"], "gold": [["Ada", "person"]], "mode": "gold_withheld",
     "output": "<think>\\n...\\n</think>\\n{...}", "finish_reason": "stop", "requests": 1, "input_tokens": 512,
     "output_tokens": 180, "cost": 0.0004, "seconds": 2.1}

A row that can't be answered has the status "failed" and a reason, and is not asked about again, unless --retry-failed
says so. Gold that a row brings may guide the teacher ("gold_guided") or be withheld; what the teacher answers is kept
either way, and compared with the gold by the next step.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator

from recipe.core.entities import DataError
from recipe.cot import rows, store
from recipe.cot.asking import Progress, drop_failed, dry_run
from recipe.cot.prompts import ANNOTATION_WORDING, GUIDED, PLAIN, WITHHELD, annotation_messages
from recipe.cot.questions import Feed, Question, Reply
from recipe.cot.rows import Census, Row, distinct, open_rows, unaskable
from recipe.cot.teachers import Chosen, choose, new_meter
from recipe.cot.teachers import add_arguments as add_teacher_arguments

GUIDE, WITHHOLD = "guide", "withhold"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `annotate`, but for --work."""
    rows.add_arguments(parser)
    parser.add_argument(
        "--gold",
        choices=(GUIDE, WITHHOLD),
        default=WITHHOLD,
        help="gold that rows bring is shown to the teacher, or not; default: withhold",
    )
    parser.add_argument("--model", required=True, metavar="NAME", help="the endpoint's name, or a model folder")
    add_teacher_arguments(parser, temperature=0.6)


def run(args: argparse.Namespace) -> None:
    """Ask about every row that has no record yet. DataError for wrong input, before anything is asked."""
    read, census = open_rows(args), Census()
    for _ in distinct(read(), args.limit, census):
        pass  # all are read before one is asked about: a bad record costs no money
    if not census.rows:
        raise DataError(f"{(args.input or [args.corpora])[0]}: no text in it; at least one is needed")
    meter = new_meter(args)
    chosen = choose(args, meter, (args.model,))
    settings = {**chosen.settings, "model_name": args.model, "gold": args.gold, "prompt": ANNOTATION_WORDING}
    questions = _questions(args, read, chosen)
    if args.dry_run:
        done = {record["id"] for record in store.read_if_there(args.work, store.ANNOTATE)}
        there = _there(args, read, done)
        print(f"{census.rows:,} rows ({census.repeated:,} repeated ones left out), {there:,} done")
        dry_run(args, questions(done, lambda row, why: None), "annotate")
        return
    if args.retry_failed:
        drop_failed(args.work, store.ANNOTATE)
    with store.open_store(args.work, store.ANNOTATE, settings) as file:
        meter.before(store.read(args.work, store.ANNOTATE))
        new = Counter()

        def keep(record: dict) -> None:
            file.add(record)
            new[record["reason"] or record["status"]] += 1
            bar.step()

        def refuse(row: Row, why: tuple[str, str]) -> None:
            keep(_record(_about(row, args.gold), _unasked(*why)))

        with Progress("annotate", "row", census.rows, _there(args, read, file.done), meter) as bar:
            feed = Feed(questions(file.done, refuse))
            for reply in chosen.teacher.answers(feed):
                keep(_record(reply.question.about, reply))
    summary = ", ".join(f"{count:,} {name}" for name, count in new.most_common()) or "nothing to do"
    repeated = f"; {census.repeated:,} repeated rows left out" if census.repeated else ""
    print(f"annotate: {summary}{repeated}; in all {meter}", file=sys.stderr)


def _there(args: argparse.Namespace, read: Callable[[], Iterator[Row]], done: set[str]) -> int:
    """How many of the rows are done."""
    return sum(key in done for key, _ in distinct(read(), args.limit)) if done else 0


def _questions(
    args: argparse.Namespace, read: Callable[[], Iterator[Row]], chosen: Chosen
) -> Callable[[set[str], Callable[[Row, tuple[str, str]], None]], Iterator[Question]]:
    """A function that gives the questions about rows that aren't done, and gives `refuse` those that can't be asked."""

    def questions(done: set[str], refuse: Callable[[Row, tuple[str, str]], None]) -> Iterator[Question]:
        for key, row in distinct(read(), args.limit):
            if key in done:
                continue
            if why := unaskable(row, chosen.teacher.tokenizer):
                refuse(row, why)
                continue
            about = _about(row, args.gold)
            yield Question(annotation_messages(row, about["mode"]), about)

    return questions


def _about(row: Row, gold: str) -> dict[str, object]:
    """The fields of a record that come from its row."""
    mode = PLAIN if row.gold is None else GUIDED if gold == GUIDE else WITHHELD
    return {
        "id": row.id,
        "sentence": row.sentence,
        "source": row.source,
        "types": None if row.types is None else list(row.types),
        "gold": row.gold_pairs,
        "mode": mode,
    }


def _unasked(reason: str, detail: str) -> Reply:
    return Reply(Question((), {}), reason=reason, detail=detail, requests=0)


def _record(about: dict[str, object], reply: Reply) -> dict[str, object]:
    key, *row = about.items()
    state = {"status": "failed" if reply.reason else "answered", "reason": reply.reason, "detail": reply.detail}
    answer = {"output": reply.output, "finish_reason": reply.finish_reason}
    return {**dict([key]), **state, **dict(row), **answer, **reply.spent}
