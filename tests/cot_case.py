"""Rows as the steps of recipe.cot leave them behind, for the tests of the steps that follow."""

import argparse
import json

from recipe.answers.json_answer import render_entities
from recipe.core.entities import Entity
from recipe.corpora.datasets import dataset_of_file, read_dataset
from recipe.corpora.reading import STRICT
from recipe.cot import export, funnel, validate

NAMES = ["Ada", "Bob", "Eve", "Zoe", "Ann", "Tom", "Kim", "Leo", "Mia", "Max", "Amy", "Ben", "Dan", "Fay", "Gus"]
TOWNS = ["Paris", "Rome", "Lyon", "Oslo", "Bern", "Kyiv", "Riga", "Cork", "Nice", "Graz", "Linz", "Bonn", "Gent"]
VERBS = ["met", "left", "saw", "liked", "lost", "sold", "drew", "knew", "fled", "won", "hit"]


def annotation(number, **changes):
    """A sound line of annotate.jsonl; numbers below 2,145 have different sentences."""
    name, town = NAMES[number % len(NAMES)], TOWNS[number // len(NAMES) % len(TOWNS)]
    verb = VERBS[number // len(NAMES) // len(TOWNS) % len(VERBS)]
    thought = f'"{name}" is the one who acts, hence a person. "{town}" is a town, hence a place.'
    pairs = [Entity(town, "place"), Entity(name, "person")]
    return {
        "id": f"{number:016x}", "status": "answered", "reason": None, "detail": None,
        "sentence": f"{name} {verb} all of old {town} and more of it .", "source": "news", "types": ["person", "place"],
        "gold": None, "mode": "plain", "output": render_entities(pairs, thought), "finish_reason": "stop",
        "requests": 1, "input_tokens": 100, "output_tokens": 50, "cost": 0.25, "seconds": 1.0,
    } | changes  # fmt: skip


def failure(number, reason="http_400"):
    """A line of annotate.jsonl about a row that the teacher did not answer."""
    spent = {"input_tokens": None, "output_tokens": None, "cost": None}
    return annotation(number, status="failed", reason=reason, output=None, finish_reason=None, **spent)


def verdict(number, score=9.0, **changes):
    """A line of judge.jsonl; kept from 9 on."""
    kept = score is not None and score >= 9
    return {
        "id": f"{number:016x}", "status": "kept" if kept else "rejected", "reason": None if kept else "below_min_score",
        "scores": [] if score is None else [{"judge": "judge", "coherence": 10, "accuracy": score, "comment": "fine"}],
        "score": score, "requests": 1, "input_tokens": 10, "output_tokens": 5, "cost": 0.5, "seconds": 1.0,
    } | changes  # fmt: skip


SETTINGS = {
    "annotate": {"teacher": "endpoint", "model_name": "teacher", "gold": "withhold"},
    "judge": {"judges": ["judge"], "min_score": 9.0},
}


def write(work, step, records):
    """The file of a step with its manifest."""
    work.mkdir(exist_ok=True)
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    (work / f"{step}.jsonl").write_text("".join(lines), encoding="utf-8")
    manifest = {"settings": SETTINGS[step], "versions": {}}
    (work / f"{step}.manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return work


def lines(work, step):
    """The records of a step."""
    return [json.loads(line) for line in (work / f"{step}.jsonl").read_text(encoding="utf-8").splitlines()]


def run(step, work, *options):
    """Run a step of this package's own (validate, export, stats) as its command does."""
    module = {"validate": validate, "export": export, "stats": funnel}[step]
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    args = parser.parse_args([str(option) for option in options])
    args.work = work
    module.run(args)


def read_ner_cot(path, reading=STRICT):
    return read_dataset(dataset_of_file(path), "train", reading)
