"""Our trigger and argument F1 against TextEE's own scorer, on 2,000 predictions made by corrupting gold.

    git clone https://github.com/ej0cl6/TextEE textee
    python tests/benchmarks/events_against_textee.py --reference textee

TextEE's `compute_scores(preds, golds, "E2E")` (TextEE/scorer.py) compares spans. Our side gets the answer as a model
writes it, by names, and parses it. So the two may differ where a name stands at two places of its sentence; these cases
are counted apart (`one_name_two_places`), and none else may differ. Prints a table, writes events_against_textee.json
beside this file, and exits with 1 if anything else differs.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import random
import sys
import types
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recipe import answers
from recipe.answers.json_events import grouped
from recipe.core.entities import Answer, DataError, Entity, Example, Relation
from recipe.core.files import write_json
from recipe.core.metrics import Counts
from recipe.corpora import Reading
from recipe.corpora.datasets import find_datasets, read_dataset

SCORER = "TextEE/scorer.py"
RULES = {
    "trigger_identification": "trigger_id",
    "trigger_classification": "trigger_cls",
    "argument_identification": "argument_id",
    "argument_classification": "argument_cls",
}
Event = tuple[Entity, list[Relation]]  # a trigger and its arguments, with the places that TextEE compares

# -------------------------------------------------------------------------------------------------------- corruptions


def exact(example, rng):
    return _events(example)


def drop_events(example, rng):
    return [event for event in _events(example) if rng.random() < 0.5]


def drop_arguments(example, rng):
    return [(trigger, [each for each in own if rng.random() < 0.5]) for trigger, own in _events(example)]


def other_event_type(example, rng):
    return [_typed(event, rng.choice(example.entity_types)) for event in _events(example)]


def other_roles(example, rng):
    def change(one):
        return replace(one, type=rng.choice(example.relation_types)) if rng.random() < 0.6 else one

    return [(trigger, list(map(change, own))) for trigger, own in _events(example)]


def other_trigger(example, rng):
    events = _events(example)
    words = [one.tail for _, own in events for one in own]
    return [_moved(event, rng.choice(words)) if words and rng.random() < 0.6 else event for event in events]


def shorter_arguments(example, rng):
    return [
        (trigger, [_shorter(one) if rng.random() < 0.6 else one for one in own]) for trigger, own in _events(example)
    ]


def swapped_arguments(example, rng):
    events = _events(example)
    owns = [own for _, own in events]
    rng.shuffle(owns)
    return [
        (trigger, [replace(one, head=trigger) for one in own]) for (trigger, _), own in zip(events, owns, strict=True)
    ]


def nothing(example, rng):
    return []


KINDS = (
    exact, drop_events, drop_arguments, other_event_type, other_roles, other_trigger, shorter_arguments,
    swapped_arguments, nothing,
)  # fmt: skip


def _events(example: Example) -> list[Event]:
    return grouped(example.entities, example.relations)


def _typed(event: Event, label: str) -> Event:
    trigger = replace(event[0], type=label)
    return trigger, [replace(one, head=trigger) for one in event[1]]


def _moved(event: Event, to: Entity) -> Event:
    trigger = Entity(to.name, event[0].type, to.start)
    return trigger, [replace(one, head=trigger) for one in event[1]]


def _shorter(one: Relation) -> Relation:
    word, _, rest = one.tail.name.partition(" ")
    start = one.tail.start + len(word) + 1
    return replace(one, tail=Entity(rest, "", start)) if rest.strip() == rest != "" else one


# --------------------------------------------------------------------------------------------------------- comparison


def import_scorer(folder: Path) -> Callable[..., dict]:
    """TextEE's `compute_scores`, from a checkout."""
    path = folder / SCORER
    if not path.is_file():
        raise DataError(f"{folder}: no {SCORER} in it; clone https://github.com/ej0cl6/TextEE")
    sys.modules.setdefault("ipdb", types.ModuleType("ipdb"))  # its debugger, which scoring doesn't call
    spec = importlib.util.spec_from_file_location("textee_scorer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.compute_scores


def theirs(compute: Callable[..., dict], cases: Sequence[tuple[Example, Sequence[Event]]]) -> dict[str, tuple]:
    """Matched, predicted and gold by our name of each rule."""
    golds = [_as_textee(number, _events(example)) for number, (example, _) in enumerate(cases)]
    preds = [_as_textee(number, events) for number, (_, events) in enumerate(cases)]
    scores = compute(preds, golds, "E2E")
    return {
        rule: tuple(scores[name][key] for key in ("match_num", "pred_num", "gold_num")) for rule, name in RULES.items()
    }


def _as_textee(number: int, events: Sequence[Event]) -> dict:
    def span(mention: Entity) -> tuple[int, int]:
        return mention.start, mention.start + len(mention.name)

    told = [
        {"trigger": (*span(trigger), trigger.type), "arguments": [(*span(one.tail), one.type) for one in own]}
        for trigger, own in events
    ]
    return {"doc_id": str(number), "wnd_id": "0", "events": told, "triggers": [each["trigger"] for each in told]}


def read_back(example: Example, events: Sequence[Event]) -> Answer:
    """What is read of the answer in which a model would say so."""
    said = replace(
        example,
        entities=tuple(trigger for trigger, _ in events),
        relations=tuple(one for _, own in events for one in own),
        reasoning=None,
    )
    return answers.parse(answers.render_answer(said), example)


def clear(example: Example, events: Sequence[Event]) -> bool:
    """True where no name of triggers, and none of arguments, stands at two places, so that names say what spans say."""
    every = [*_events(example), *events]
    sides = [trigger for trigger, _ in every], [one.tail for _, own in every for one in own]
    return all(len({m.name for m in side}) == len({(m.name, m.start) for m in side}) for side in sides)


def compare(compute: Callable[..., dict], examples: Sequence[Example], number: int, seed: int) -> dict:
    """The results, as they go into the JSON file."""
    rng = random.Random(seed)
    chosen = rng.choices(examples, k=number)
    kinds: dict[str, Counter] = {}
    differ, whole = [], []
    for i, example in enumerate(chosen):
        kind = KINDS[i % len(KINDS)]
        events = kind(example, random.Random(f"{seed}/{i}"))
        tally = kinds.setdefault(kind.__name__, Counter(predictions=0, equal=0, one_name_two_places=0, differ=0))
        tally["predictions"] += 1
        answer = read_back(example, events)
        ours = {rule: _counts(answers.count(answer, example, rule)) for rule in RULES}
        if ours == theirs(compute, [(example, events)]):
            tally["equal"] += 1
        elif not clear(example, events):
            tally["one_name_two_places"] += 1
            continue
        else:
            tally["differ"] += 1
            differ.append({"kind": kind.__name__, "sentence": example.sentence, "ours": ours})
        whole.append((example, events, answer))
    reference = theirs(compute, [(example, events) for example, events, _ in whole])
    pooled = {}
    for rule in RULES:
        counts = sum((answers.count(answer, example, rule) for example, _, answer in whole), Counts())
        pooled[rule] = {"ours": counts.f1, "textee": Counts(*reference[rule]).f1}
    agrees = not differ and all(abs(each["ours"] - each["textee"]) < 1e-12 for each in pooled.values())
    return {
        "seed": seed,
        "predictions": len(chosen),
        "sentences": {name: dict(tally) for name, tally in kinds.items()},
        "pooled_f1": pooled,
        "differ": differ,
        "agrees": agrees,
    }


def _counts(counts: Counts) -> tuple[int, int, int]:
    return counts.matched, counts.predicted, counts.gold


def table(result: dict) -> str:
    lines = [f"{'counts of a sentence':24} {'n':>5} {'equal':>6} {'one name, two places':>21} {'differ':>7}"]
    for name, tally in result["sentences"].items():
        counts = f"{tally['equal']:>6} {tally['one_name_two_places']:>21} {tally['differ']:>7}"
        lines.append(f"{name:24} {tally['predictions']:>5} {counts}")
    lines.append(f"\n{'pooled F1':24} {'ours':>9} {'TextEE':>9}")
    lines += [f"{rule:24} {each['ours']:>9.6f} {each['textee']:>9.6f}" for rule, each in result["pooled_f1"].items()]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """0 if all counts agree but for the cases counted apart, 1 if not, 2 after one line about wrong input."""
    here = Path(__file__).resolve()
    parser = argparse.ArgumentParser(
        description="Compare our trigger and argument F1 with TextEE's scorer.",
        epilog="example:\n  python tests/benchmarks/events_against_textee.py --reference textee",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--reference", type=Path, required=True, metavar="DIR", help="checkout of TextEE")
    sample = here.parents[2] / "data_prep" / "sample" / "IE_INSTRUCTIONS" / "EE"
    parser.add_argument("--data", type=Path, default=sample, metavar="DIR", help="events with places; default: PHEE")
    parser.add_argument("--num", type=int, default=2000, metavar="N", help="predictions; default 2000")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=here.with_suffix(".json"), metavar="FILE")
    args = parser.parse_args(argv)
    try:
        compute = import_scorer(args.reference)
        found, _ = find_datasets(args.data, task="ee")
        examples = [one for each in found for one in read_dataset(each, "test", Reading()) if one.entities]
        examples = [one for one in examples if all(m.start is not None for f in one.facts for m in f.mentions)]
        result = compare(compute, examples, args.num, args.seed)
    except (DataError, OSError) as error:
        print(f"events_against_textee: {error}", file=sys.stderr)
        return 2
    digest = hashlib.sha256((args.reference / SCORER).read_bytes()).hexdigest()
    data = [each.name for each in found]
    write_json(args.out, {"reference": "ej0cl6/TextEE", "sha256": {SCORER: digest}, "datasets": data, **result})
    print(table(result))
    print("\nagrees" if result["agrees"] else "\nDIFFERS; see " + str(args.out))
    return 0 if result["agrees"] else 1


if __name__ == "__main__":
    sys.exit(main())
