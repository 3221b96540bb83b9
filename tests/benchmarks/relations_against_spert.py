"""Our strict and boundary relation F1 against SpERT's own evaluator, on 2,000 predictions made by corrupting gold.

    git clone https://github.com/lavis-nlp/spert spert
    python tests/benchmarks/relations_against_spert.py --reference spert

SpERT's `Evaluator` (spert/evaluator.py) is called as its `compute_scores` calls it: `_convert_by_setting` with and
without entity types, then `_score`. It compares spans. Our side gets the answer as a model writes it, by names, and
parses it. So the two may differ where a name of the gold stands at two places of its sentence; these cases are counted
apart (`one_name_two_places`), and none else may differ. Needs torch, transformers and scikit-learn. Prints a table,
writes relations_against_spert.json beside this file, and exits with 1 if anything else differs.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recipe import answers
from recipe.core.entities import Answer, DataError, Entity, Example, Relation
from recipe.core.files import write_json
from recipe.core.metrics import TYPED_RELATION_RULES, Counts, count
from recipe.corpora import Reading
from recipe.corpora.datasets import find_datasets, read_dataset

FILES = ("spert/evaluator.py", "spert/entities.py")
FORMAT = answers.formats_of("re")[-1]  # the one with entity types
RULES = ("strict", "boundary")

# -------------------------------------------------------------------------------------------------------- corruptions
# Each gives predicted relations, with the places that SpERT compares.


def exact(example, rng):
    return list(example.relations)


def drop(example, rng):
    return [each for each in example.relations if rng.random() < 0.6]


def add(example, rng):
    ends = [rng.sample(example.entities, 2) for _ in range(rng.randint(1, 3)) if len(example.entities) > 1]
    return [*example.relations, *(Relation(head, rng.choice(example.relation_types), tail) for head, tail in ends)]


def reverse(example, rng):
    return [_one(each, rng, lambda one: Relation(one.tail, one.type, one.head)) for each in example.relations]


def other_relation(example, rng):
    types = example.relation_types
    return [_one(each, rng, lambda one: replace(one, type=rng.choice(types))) for each in example.relations]


def other_mention_type(example, rng):
    def change(one):
        return replace(one, head=replace(one.head, type=rng.choice(example.entity_types)))

    return [_one(each, rng, change) for each in example.relations]


def boundary(example, rng):
    def shorter(one):
        word, _, rest = one.tail.name.partition(" ")
        start = one.tail.start + len(word) + 1
        return replace(one, tail=Entity(rest, one.tail.type, start)) if rest.strip() == rest != "" else one

    return [_one(each, rng, shorter) for each in example.relations]


def nothing(example, rng):
    return []


KINDS = (exact, drop, add, reverse, other_relation, other_mention_type, boundary, nothing)


def _one(relation, rng, change):
    return change(relation) if rng.random() < 0.6 else relation


# --------------------------------------------------------------------------------------------------------- comparison


def import_spert(folder: Path):
    """SpERT's evaluator and its types, from a checkout."""
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise DataError(f"{folder}: no {missing[0]} in it; clone https://github.com/lavis-nlp/spert")
    sys.path.insert(0, str(folder))
    from spert import (
        entities,
        evaluator,  # first, as its modules import each other
    )

    judge = object.__new__(evaluator.Evaluator)  # its constructor wants a model's data; scoring uses this alone
    judge._pseudo_entity_type = entities.EntityType("Entity", 1, "Entity", "Entity")
    return judge, entities


class Spert:
    """F1 by SpERT of predictions beside gold, in [0, 1]."""

    def __init__(self, folder: Path, examples: Sequence[Example]) -> None:
        self.judge, entities = import_spert(folder)
        kinds = sorted({label for example in examples for label in example.entity_types})
        ties = sorted({label for example in examples for label in example.relation_types})
        self.kinds = {label: entities.EntityType(label, i, label, label) for i, label in enumerate(kinds, 1)}
        self.ties = {label: entities.RelationType(label, i, label, label) for i, label in enumerate(ties, 1)}

    def f1(self, gold: Sequence[Sequence[Relation]], found: Sequence[Sequence[Relation]], typed: bool) -> float:
        sides = [[[self._tuple(one) for one in relations] for relations in side] for side in (gold, found)]
        sides = self.judge._convert_by_setting(*sides, include_entity_types=typed)
        with contextlib.redirect_stdout(io.StringIO()):
            return self.judge._score(*sides)[2] / 100

    def _tuple(self, relation: Relation) -> tuple:
        ends = ((each.start, each.start + len(each.name), self.kinds[each.type]) for each in relation.mentions)
        return *ends, self.ties[relation.type]


def written(example: Example, relations: Sequence[Relation]) -> str:
    """The answer in which a model would say so: all mentions as entities, and the relations."""
    mentions = dict.fromkeys(mention for each in relations for mention in each.mentions)
    return answers.render_answer(replace(example, entities=tuple(mentions), relations=tuple(relations), reasoning=None))


def clear(example: Example, relations: Sequence[Relation]) -> bool:
    """True where no name stands for two mentions, so that names say what spans say."""
    mentions = {(m.name, m.start, m.type) for one in (*example.relations, *relations) for m in one.mentions}
    return len({name for name, _, _ in mentions}) == len({(name, start) for name, start, _ in mentions})


def one_type_a_name(relations: Sequence[Relation]) -> bool:
    """True where a prediction gives each name one type, as an answer by names must."""
    mentions = {(m.name, m.type) for one in relations for m in one.mentions}
    return len({name for name, _ in mentions}) == len(mentions)


def compare(spert: Spert, examples: Sequence[Example], number: int, seed: int) -> dict:
    """The results, as they go into the JSON file."""
    rng = random.Random(seed)
    chosen = (
        rng.sample(examples, min(number, len(examples))) if number <= len(examples) else rng.choices(examples, k=number)
    )
    kinds: dict[str, Counter] = {}
    differ = []
    whole: list[tuple[Example, list[Relation], Answer]] = []
    for i, example in enumerate(chosen):
        kind, dice = KINDS[i % len(KINDS)], random.Random(f"{seed}/{i}")
        relations = list({(one, *(m.start for m in one.mentions)): one for one in kind(example, dice)}.values())
        tally = kinds.setdefault(kind.__name__, Counter(predictions=0, equal=0, one_name_two_places=0, differ=0))
        tally["predictions"] += 1
        while not one_type_a_name(relations):
            relations.pop()
        answer = answers.parse(written(example, relations), example)
        ours = {rule: count(answer.facts, example.facts, rule, TYPED_RELATION_RULES) for rule in RULES}
        theirs = {rule: spert.f1([example.relations], [relations], rule == "strict") for rule in RULES}
        if all(abs(ours[rule].f1 - theirs[rule]) < 1e-9 for rule in RULES):
            tally["equal"] += 1
        elif not clear(example, relations):
            tally["one_name_two_places"] += 1
            continue
        else:
            tally["differ"] += 1
            differ.append({"kind": kind.__name__, "sentence": example.sentence, "spert": theirs})
        whole.append((example, relations, answer))
    pooled = {}
    for rule in RULES:
        counts = sum((count(a.facts, e.facts, rule, TYPED_RELATION_RULES) for e, _, a in whole), Counts())
        theirs = spert.f1([e.relations for e, _, _ in whole], [r for _, r, _ in whole], rule == "strict")
        pooled[rule] = {"ours": counts.f1, "spert": theirs}
    agrees = not differ and all(abs(each["ours"] - each["spert"]) < 1e-9 for each in pooled.values())
    return {
        "seed": seed,
        "predictions": len(chosen),
        "sentence_f1": {name: dict(tally) for name, tally in kinds.items()},
        "pooled_f1": pooled,
        "differ": differ,
        "agrees": agrees,
    }


def table(result: dict) -> str:
    lines = [f"{'sentence F1':20} {'n':>5} {'equal':>6} {'one name, two places':>21} {'differ':>7}"]
    for name, tally in result["sentence_f1"].items():
        counts = f"{tally['equal']:>6} {tally['one_name_two_places']:>21} {tally['differ']:>7}"
        lines.append(f"{name:20} {tally['predictions']:>5} {counts}")
    lines.append(f"\n{'pooled F1':20} {'ours':>9} {'SpERT':>9}")
    lines += [f"{rule:20} {each['ours']:>9.6f} {each['spert']:>9.6f}" for rule, each in result["pooled_f1"].items()]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """0 if all F1 agree but for the cases counted apart, 1 if not, 2 after one line about wrong input."""
    here = Path(__file__).resolve()
    parser = argparse.ArgumentParser(
        description="Compare our strict and boundary relation F1 with SpERT's evaluator.",
        epilog="example:\n  python tests/benchmarks/relations_against_spert.py --reference spert --data RE",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--reference", type=Path, required=True, metavar="DIR", help="checkout of SpERT")
    sample = here.parents[2] / "data_prep" / "sample" / "IE_INSTRUCTIONS" / "RE"
    parser.add_argument("--data", type=Path, default=sample, metavar="DIR", help="default: the shipped sample")
    parser.add_argument("--num", type=int, default=2000, metavar="N", help="predictions; default 2000")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=here.with_suffix(".json"), metavar="FILE")
    args = parser.parse_args(argv)
    try:
        found, _ = find_datasets(args.data, task="re")
        reading = Reading(format=FORMAT)
        examples = [one for each in found for one in read_dataset(each, "test", reading) if one.relations]
        examples = [one for one in examples if all(m.start is not None for r in one.relations for m in r.mentions)]
        result = compare(Spert(args.reference, examples), examples, args.num, args.seed)
    except (DataError, OSError) as error:
        print(f"relations_against_spert: {error}", file=sys.stderr)
        return 2
    digests = {name: hashlib.sha256((args.reference / name).read_bytes()).hexdigest() for name in FILES}
    data = [each.name for each in found]
    write_json(args.out, {"reference": "lavis-nlp/spert", "sha256": digests, "datasets": data, **result})
    print(table(result))
    print("\nagrees" if result["agrees"] else "\nDIFFERS; see " + str(args.out))
    return 0 if result["agrees"] else 1


if __name__ == "__main__":
    sys.exit(main())
