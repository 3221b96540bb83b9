"""The third step: a second model scores the coherence and the accuracy of each row that the rules kept.

    python -m recipe.cot judge --work cot --teacher endpoint --model NAME
    python -m recipe.cot judge --work cot --teacher endpoint --model NAME --sample 200        # what would all cost?
    python -m recipe.cot judge --work cot --teacher endpoint --model NAME --second-model OTHER

A line of WORK/judge.jsonl, as soon as it is there:

    {"id": "9f2c51d07a3be846", "status": "kept", "reason": null, "detail": null, "scores": [{"judge": "NAME",
     "coherence": 9, "accuracy": 10, "comment": "..."}], "score": 9.0, "requests": 1, "input_tokens": 640,
     "output_tokens": 40, "cost": 0.0005, "seconds": 1.2}

A judge's score is the lower of its two, a row's the mean over its judges; below --min-score it is rejected. Scores that
can't be read are asked for again, then the row is rejected ("unparsable_score"). A row about which a judge could not be
asked has the status "failed".
"""

import argparse
import heapq
import math
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from recipe.core.entities import DataError
from recipe.cot import store
from recipe.cot.funnel import judged
from recipe.cot.prompts import judge_messages, wording
from recipe.cot.questions import SPENT, Feed, Question, Reply, add_spent
from recipe.cot.row import digest
from recipe.cot.scores import HIGHEST, LOWEST, Scores, read_scores, wilson
from recipe.cot.teachers import add_arguments as add_teacher_arguments
from recipe.cot.teachers import at_least_one, choose, dry_run, results

MIN_SCORE = 9.0  # ReasoningNER, stage CG


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `judge`, but for --work."""
    add = parser.add_argument
    add("--model", required=True, metavar="NAME", help="the endpoint's name, or a model folder")
    add("--second-model", metavar="NAME", help="a second judge at the same endpoint; agreement is printed")
    add("--min-score", type=float, default=MIN_SCORE, metavar="S", help="that a kept row has; default 9 of 10")
    add("--sample", type=int, metavar="N", help="N rows alone, and what that says about all; they are kept on file")
    add("--score-attempts", type=int, default=3, metavar="N", help="for a score that can be read; default 3")
    add_teacher_arguments(parser, temperature=0.0)


@dataclass(frozen=True, slots=True)
class _Task:
    """What is judged, and how. `total`: all kept rows; `sample`: the ids of a few of them, None without --sample."""

    work: Path
    judges: tuple[str, ...]
    min_score: float
    attempts: int
    total: int
    sample: frozenset[str] | None


def run(args: argparse.Namespace) -> None:
    """Score every kept row that has no record yet. DataError for wrong input, before anything is asked."""
    task = _task(args)
    prompt = wording(store.answer_format(args.work)).of_judge
    settings = {"judges": list(task.judges), "min_score": task.min_score, "prompt": prompt}
    chosen = choose(args, task.judges, settings)
    if args.dry_run:
        done = store.read_ids(task.work, store.JUDGE)
        print(f"{task.total:,} kept rows, {len(done):,} judged")
        dry_run(args, store.JUDGE, _questions(task, done))
        return
    rows = task.total if task.sample is None else len(task.sample)
    with results(args, store.JUDGE, chosen, rows, lambda done: len(_of_sample(task, done))) as (done, keep):
        feed, under_way = Feed(_questions(task, done)), {}
        for reply in chosen.teacher.answers(feed):
            key = reply.question.about["id"]
            verdicts: _Verdicts = under_way.setdefault(key, _Verdicts())
            if verdicts.take(reply, task.attempts):
                feed.put_back(reply.question)
            elif len(verdicts.of) == len(task.judges):
                keep(under_way.pop(key).record(key, task))
    _report(args, task)


def _task(args: argparse.Namespace) -> _Task:
    """The options, checked, and the rows that they say."""
    if not LOWEST <= args.min_score <= HIGHEST:
        raise DataError(f"--min-score {args.min_score:g}: scores go from {LOWEST} to {HIGHEST}")
    at_least_one(args, "sample", "score_attempts")
    if args.second_model == args.model:
        raise DataError("--second-model: is the first one; name another")
    judges = (args.model, args.second_model) if args.second_model else (args.model,)
    total = sum(1 for _ in store.read_kept(args.work, store.VALIDATE))
    if not total:
        raise DataError(f"{store.path_of(args.work, store.VALIDATE)}: no row was kept, so there is none to judge")
    sample = None
    if args.sample:  # always the same rows, as long as there are no others
        ids = (record["id"] for record in store.read_kept(args.work, store.VALIDATE))
        sample = frozenset(heapq.nsmallest(args.sample, ids, key=lambda key: digest(f"{args.seed or 0} {key}")))
    return _Task(args.work, judges, args.min_score, args.score_attempts, total, sample)


def _of_sample(task: _Task, ids: Collection[str]) -> Collection[str]:
    return ids if task.sample is None else task.sample.intersection(ids)


def _questions(task: _Task, done: Collection[str]) -> Iterator[Question]:
    """One for each judge of each row of the task that has no record."""
    for record in store.read_kept(task.work, store.VALIDATE):
        key = record["id"]
        if key not in done and _of_sample(task, [key]):
            messages = judge_messages(record)
            for judge in task.judges:
                yield Question(messages, {"id": key}, judge)


@dataclass(slots=True)
class _Verdicts:
    """What the judges have said `of` a row so far, by their names: scores, or the reason why there are none."""

    of: dict[str, Scores | str] = field(default_factory=dict)
    detail: str | None = None
    spent: dict[str, float | None] = field(default_factory=lambda: dict.fromkeys(SPENT))

    def take(self, reply: Reply, attempts: int) -> bool:
        """Note a reply; True if the question is to be asked once more."""
        add_spent(self.spent, reply.spent)
        scores = None if reply.reason else read_scores(reply.output)
        if not reply.reason and scores is None and reply.question.attempt + 1 < attempts:
            return True
        if reply.reason:
            self.detail = reply.detail
        self.of[reply.question.model] = scores or reply.reason or "unparsable_score"
        return False

    def record(self, key: str, task: _Task) -> dict[str, object]:
        """The line of the file. A judge that could not be asked weighs more than one that could not be read."""
        verdicts = [(judge, self.of[judge]) for judge in task.judges]
        scores = [(judge, verdict) for judge, verdict in verdicts if isinstance(verdict, Scores)]
        reasons = [verdict for _, verdict in verdicts if isinstance(verdict, str)]
        failed = [reason for reason in reasons if reason != "unparsable_score"]
        score = None if reasons else sum(verdict.score for _, verdict in scores) / len(scores)
        if failed:
            status, reason = store.FAILED, failed[0]
        elif reasons:
            status, reason = store.REJECTED, reasons[0]
        else:
            status, reason = (store.KEPT, None) if score >= task.min_score else (store.REJECTED, "below_min_score")
        return {
            "id": key,
            "status": status,
            "reason": reason,
            "detail": self.detail if failed else None,
            "scores": [{"judge": judge, **asdict(verdict)} for judge, verdict in scores],
            "score": score,
            **self.spent,
            "seconds": round(self.spent["seconds"], 3),
        }


def _report(args: argparse.Namespace, task: _Task) -> None:
    """Print what a sample says about all rows, and how far two judges agree."""
    records = (record for record in store.read(task.work, store.JUDGE) if record["status"] != store.FAILED)
    figures = judged(record for record in records if _of_sample(task, [record["id"]]))
    scored, kept, total = figures["rows"], figures["kept"], task.total
    if task.sample is not None and scored:
        low, high = wilson(kept, scored)
        print(
            f"sample: {kept} of {scored} kept, {kept / scored:.1%} (95 %: {low:.1%} to {high:.1%}); of all {total:,} "
            f"rows about {round(total * kept / scored):,} ({math.floor(total * low):,} to {math.ceil(total * high):,})"
        )
        requests, tokens_in, tokens_out, cost, _ = ((figures[name] or 0) / scored * total for name in SPENT)
        priced = f", cost {cost:.4g}" if args.price_input is not None else ""
        tokens = f"{round(tokens_in):,} + {round(tokens_out):,} tokens"
        print(f"all rows take about {round(requests):,} requests, {tokens}{priced}")
    if given := figures["agreement"]:
        shown = ", ".join(f"{name} {value:.3f}" for name, value in given.items() if isinstance(value, float))
        print(f"agreement of {' and '.join(task.judges)} on {given['rows']:,} rows: {shown}")
