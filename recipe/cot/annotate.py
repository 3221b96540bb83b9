"""The first step: a teacher writes reasoning and entities, relations or events for each row, in one answer.

    python -m recipe.cot annotate --input texts.jsonl --types person,place --teacher endpoint --model NAME --work cot

A line of WORK/annotate.jsonl, as soon as it is there:

    {"id": "9f2c51d07a3be846", "status": "answered", "reason": null, "detail": null, "sentence": "Ada met Bob .",
     "source": "news", "types": ["person"], "gold": [["Ada", "person"]], "mode": "gold_withheld",
     "output": "<think>\\n...\\n</think>\\n{...}", "finish_reason": "stop", "requests": 1, "input_tokens": 512,
     "output_tokens": 180, "cost": 0.0004, "seconds": 2.1}

Rows of relations and events say their answer `format` and their `relation_types`, too, and the gold has relations
(recipe.cot.facts). A row that can't be answered has the status "failed" and a reason, and is not asked about again,
unless --retry-failed says so. Gold that a row brings may guide the teacher ("gold_guided") or be withheld; what the
teacher answers is kept either way, and compared with the gold by the next step.
"""

import argparse
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from recipe.core.entities import DEFAULT_FORMAT, DataError
from recipe.cot import rows, store
from recipe.cot.facts import question
from recipe.cot.prompts import GUIDED, PLAIN, WITHHELD, annotation_messages, wording
from recipe.cot.questions import Feed, Question, Reply
from recipe.cot.row import Row, unaskable
from recipe.cot.rows import Census, distinct, open_rows
from recipe.cot.teachers import add_arguments as add_teacher_arguments
from recipe.cot.teachers import at_least_one, choose, dry_run, results

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
    at_least_one(args, "limit")
    if args.answer_format is not None:
        wording(args.answer_format)  # there is one
    read, census = open_rows(args), Census()
    for _ in distinct(read(), args.limit, census):
        pass  # all are read before one is asked about: a bad record costs no money
    if not census.rows:
        raise DataError(f"{(args.input or [args.corpora])[0]}: no text in it; at least one is needed")
    settings = {"model_name": args.model, "gold": args.gold, "prompt": wording(census.format).of_annotation}
    if census.format != DEFAULT_FORMAT:
        settings["answer_format"] = census.format
    chosen = choose(args, (args.model,), settings)
    task = _Task(read, args.limit, args.gold, chosen.teacher.tokenizer)
    if args.dry_run:
        done = store.read_ids(args.work, store.ANNOTATE)
        print(f"{census.rows:,} rows ({census.repeated:,} repeated ones left out), {task.count(done):,} done")
        dry_run(args, store.ANNOTATE, task.questions(done, lambda record: None))
        return
    note = f"; {census.repeated:,} repeated rows left out" if census.repeated else ""
    with results(args, store.ANNOTATE, chosen, census.rows, task.count, note) as (done, keep):
        for reply in chosen.teacher.answers(Feed(task.questions(done, keep))):
            keep(_record(reply))


@dataclass(frozen=True, slots=True)
class _Task:
    """The rows to annotate, read from the beginning by each call of `read`, and how they are asked about."""

    read: Callable[[], Iterator[Row]]
    limit: int | None
    gold: str
    tokenizer: object

    def count(self, ids: Collection[str]) -> int:
        """How many of the rows have one of these ids."""
        return sum(key in ids for key, _ in distinct(self.read(), self.limit)) if ids else 0

    def questions(self, done: Collection[str], keep: Callable[[Mapping], None]) -> Iterator[Question]:
        """The questions about rows that aren't `done`. The record of a row that can't be asked about goes to `keep`."""
        for key, row in distinct(self.read(), self.limit):
            if key in done:
                continue
            mode = PLAIN if row.gold is None else GUIDED if self.gold == GUIDE else WITHHELD
            about = {
                "id": key,
                "sentence": row.sentence,
                "source": row.source,
                "types": None if row.types is None else list(row.types),
                **question(row.format, row.relation_types),
                "gold": row.gold_texts,
                "mode": mode,
            }
            if why := unaskable(row, self.tokenizer):
                reason, detail = why
                keep(_record(Reply(Question((), about), reason=reason, detail=detail, requests=0)))
            else:
                yield Question(annotation_messages(row, mode), about)


def _record(reply: Reply) -> dict[str, object]:
    """The line of the file: the row's fields, the answer, and what it took."""
    state = {"status": store.FAILED if reply.reason else "answered", "reason": reply.reason, "detail": reply.detail}
    answer = {"output": reply.output, "finish_reason": reply.finish_reason}
    about = reply.question.about
    return {"id": about["id"], **state, **about, **answer, **reply.spent}
