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

from __future__ import annotations

import argparse
import heapq
import math
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

from recipe.core.entities import DataError
from recipe.cot import store
from recipe.cot.asking import Progress, drop_failed, dry_run
from recipe.cot.judge_prompt import HIGHEST, LOWEST, WORDING, Scores, judge_messages, read_scores
from recipe.cot.questions import Feed, Question, Reply
from recipe.cot.teachers import add_arguments as add_teacher_arguments
from recipe.cot.teachers import choose, new_meter

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


def run(args: argparse.Namespace) -> None:
    """Score every kept row that has no record yet. DataError for wrong input, before anything is asked."""
    if not LOWEST <= args.min_score <= HIGHEST:
        raise DataError(f"--min-score {args.min_score:g}: scores go from {LOWEST} to {HIGHEST}")
    for name in ("sample", "score_attempts"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise DataError(f"--{name.replace('_', '-')} {value}: at least 1 is needed")
    judges = (args.model, args.second_model) if args.second_model else (args.model,)
    if len(set(judges)) < len(judges):
        raise DataError("--second-model: is the first one; name another")
    total = sum(record["status"] == "kept" for record in store.read(args.work, store.VALIDATE))
    if not total:
        raise DataError(f"{store.path_of(args.work, store.VALIDATE)}: no row was kept, so there is none to judge")
    wanted = _sample(args) if args.sample else None
    meter = new_meter(args)
    chosen = choose(args, meter, judges)
    if args.dry_run:
        done = {record["id"] for record in store.read_if_there(args.work, store.JUDGE)}
        print(f"{total:,} kept rows, {len(done):,} judged")
        dry_run(args, _questions(args, judges, done, wanted), "judge")
        return
    if args.retry_failed:
        drop_failed(args.work, store.JUDGE)
    settings = {**chosen.settings, "judges": list(judges), "min_score": args.min_score, "prompt": WORDING}
    with store.open_store(args.work, store.JUDGE, settings) as file:
        meter.before(store.read(args.work, store.JUDGE))
        count = total if wanted is None else len(wanted)
        there = len(file.done) if wanted is None else len(wanted & file.done)
        new: Counter[str] = Counter()
        with Progress("judge", "row", count, there, meter) as bar:
            open_rows: dict[str, _Row] = {}
            feed = Feed(_questions(args, judges, file.done, wanted))
            for reply in chosen.teacher.answers(feed):
                key = reply.question.about["id"]
                row = open_rows.setdefault(key, _Row())
                if row.take(reply, args.score_attempts):
                    feed.put_back(reply.question)
                elif len(row.verdicts) == len(judges):
                    record = open_rows.pop(key).record(key, judges, args.min_score)
                    file.add(record)
                    new[record["reason"] or record["status"]] += 1
                    bar.step()
    summary = ", ".join(f"{count:,} {name}" for name, count in new.most_common()) or "nothing to do"
    print(f"judge: {summary}; in all {meter}", file=sys.stderr)
    _report(args, judges, total, wanted)


def _questions(
    args: argparse.Namespace, judges: tuple[str, ...], done: Collection[str], wanted: Collection[str] | None
) -> Iterator[Question]:
    """One for each judge of each kept row that has no record; only of `wanted` rows, unless that is None."""
    for record in store.read(args.work, store.VALIDATE):
        key = record["id"]
        if record["status"] == "kept" and key not in done and (wanted is None or key in wanted):
            messages = judge_messages(record)
            for judge in judges:
                yield Question(messages, {"id": key, "judge": judge}, judge)


def _sample(args: argparse.Namespace) -> set[str]:
    """The ids of --sample rows, chosen by --seed, always the same as long as the rows are."""
    ids = (record["id"] for record in store.read(args.work, store.VALIDATE) if record["status"] == "kept")

    def drawn(key: str) -> bytes:
        return blake2b(f"{args.seed or 0} {key}".encode(), digest_size=8).digest()

    return set(heapq.nsmallest(args.sample, ids, key=drawn))


@dataclass(slots=True)
class _Row:
    """What the judges have said of a row so far. A verdict is scores, or the reason why there are none."""

    verdicts: dict[str, Scores | str] = field(default_factory=dict)
    detail: str | None = None
    spent: list[Reply] = field(default_factory=list)

    def take(self, reply: Reply, attempts: int) -> bool:
        """Note a reply; True if the question is to be asked once more."""
        question = reply.question
        self.spent.append(reply)
        if reply.reason:
            self.detail = reply.detail
            self.verdicts[question.about["judge"]] = reply.reason
            return False
        scores = read_scores(reply.output)
        if scores is None and question.attempt + 1 < attempts:
            return True
        self.verdicts[question.about["judge"]] = scores or "unparsable_score"
        return False

    def record(self, key: str, judges: tuple[str, ...], min_score: float) -> dict[str, object]:
        """The line of the file. A judge that could not be asked weighs more than one that could not be read."""
        scores = [(judge, verdict) for judge in judges if isinstance(verdict := self.verdicts[judge], Scores)]
        reasons = [verdict for judge in judges if isinstance(verdict := self.verdicts[judge], str)]
        failed = [reason for reason in reasons if reason != "unparsable_score"]
        score = None if reasons else sum(verdict.score for _, verdict in scores) / len(scores)
        if failed:
            status, reason = "failed", failed[0]
        elif reasons:
            status, reason = "rejected", reasons[0]
        else:
            status, reason = ("kept", None) if score >= min_score else ("rejected", "below_min_score")
        return {
            "id": key,
            "status": status,
            "reason": reason,
            "detail": self.detail if failed else None,
            "scores": [
                {"judge": judge, "coherence": v.coherence, "accuracy": v.accuracy, "comment": v.comment}
                for judge, v in scores
            ],
            "score": score,
            **self._sums(),
        }

    def _sums(self) -> dict[str, object]:
        def total(values: list) -> float | None:
            known = [value for value in values if value is not None]
            return sum(known) if known else None

        return {
            "requests": sum(reply.requests for reply in self.spent),
            "input_tokens": total([reply.input_tokens for reply in self.spent]),
            "output_tokens": total([reply.output_tokens for reply in self.spent]),
            "cost": total([reply.cost for reply in self.spent]),
            "seconds": round(sum(reply.seconds for reply in self.spent), 3),
        }


# ---------------------------------------------------------------------------------------------------------- report


def _report(args: argparse.Namespace, judges: tuple[str, ...], total: int, wanted: Collection[str] | None) -> None:
    """Print what a sample says about all rows, and how far two judges agree."""
    scored, kept, spent, pairs = 0, 0, Counter(), []
    for record in store.read(args.work, store.JUDGE):
        if wanted is not None and record["id"] not in wanted:
            continue
        if record["status"] != "failed":
            scored += 1
            kept += record["status"] == "kept"
            for name in ("requests", "input_tokens", "output_tokens", "cost"):
                spent[name] += record[name] or 0
        if len(record["scores"]) == len(judges) == 2:
            pairs.append(tuple(float(min(s["coherence"], s["accuracy"])) for s in record["scores"]))
    if wanted is not None and scored:
        low, high = wilson(kept, scored)
        print(
            f"sample: {kept} of {scored} kept, {kept / scored:.1%} (95 %: {low:.1%} to {high:.1%}); of all {total:,} "
            f"rows about {round(total * kept / scored):,} ({math.floor(total * low):,} to {math.ceil(total * high):,})"
        )
        tokens = (round(spent[name] / scored * total) for name in ("requests", "input_tokens", "output_tokens"))
        cost = f", cost {spent['cost'] / scored * total:.4g}" if args.price_input is not None else ""
        print("all rows take about {:,} requests, {:,} + {:,} tokens{}".format(*tokens, cost))
    if pairs:
        from recipe.cot.agreement import agreement

        figures = ", ".join(f"{name} {value:.3f}" for name, value in agreement(pairs).items() if _is_figure(value))
        print(f"agreement of {' and '.join(judges)} on {len(pairs):,} rows: {figures}")


def _is_figure(value: object) -> bool:
    return isinstance(value, float)


def wilson(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson, JASA 1927), 95 % for z = 1.96. It never leaves 0 to 1."""
    share, width = successes / trials, z * z / trials
    centre = (share + width / 2) / (1 + width)
    half = z / (1 + width) * math.sqrt(share * (1 - share) / trials + width / (4 * trials))
    return max(0.0, centre - half), min(1.0, centre + half)
