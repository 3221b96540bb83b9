"""Our `published` F1 against that of ReasoningNER's own code, on 2,000 predictions made by corrupting gold.

    git clone https://github.com/HuiResearch/ReasoningIE reference
    python tests/benchmarks/metrics_against_reference.py --reference reference --data IE_INSTRUCTIONS/NER

Both sides read the test files and the same completions themselves. Of the reference, `load_data` (rner/dataset.py),
`process_completion` (rner/utils.py) and `compute_f1` (rner/metric.py) are called: F1 of a sentence as its reward.py
calls it (an exception is 0), F1 of a dataset as its evaluate.py does. Ours are `compute_score(matching="published")`
and the sum of `recipe.core.metrics.count`. Prints a table and writes metrics_against_reference.json beside this file.
Exits with 1 if any F1 differs in a way that is not in `DOCUMENTED`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tqdm import tqdm

from recipe.answers.json_answer import parse, render_entities
from recipe.core.entities import DataError, Entity, Example
from recipe.core.files import write_json
from recipe.core.ground_truth import to_ground_truth
from recipe.core.metrics import Counts, count
from recipe.corpora import datasets as corpora
from reward_fns.ner import compute_score

FILES = ("rner/dataset.py", "rner/metric.py", "rner/protocol.py", "rner/utils.py")
# `empty` is the one difference of the metrics; the others are of reading what is not quite the layout.
DOCUMENTED = {
    "empty": "no gold and an answer without entities: 1 here, 0 there (the same as garbage)",
    "plain_fence": "a ``` fence without `json`: read here, 0 there",
    "text_after": "text after the JSON: left aside here, 0 there",
    "string_for_list": "a string in place of a list of names: one name here, one for each letter there",
    "entity_list": "a list of {name, type} under `entities`: read here, an exception and so 0 there",
    "open_think": "a think block that is never closed: the answer after it is read here, 0 there",
    "repeated_key": "a type twice: both lists are read here, the last one alone there",
    "number_as_name": "a number in place of a name: the name as written here, left out there",
}
LAYOUTS = tuple(name for name in DOCUMENTED if name != "empty")

# -------------------------------------------------------------------------------------------------------- corruptions
# Each turns gold into a completion; `rng` is seeded by the row, so that kinds can come and go without changing others.


def _swap(entities: Sequence[Entity], rng: random.Random, change: Callable[[Entity], Entity]) -> list[Entity]:
    """The entities with one of them changed."""
    entities = list(entities)
    if entities:
        i = rng.randrange(len(entities))
        entities[i] = change(entities[i])
    return entities


def exact(example, rng):
    return render_entities(example.entities)


def reasoned(example, rng):
    return render_entities(example.entities, f"Of {len(example.types)} types: {{perhaps}} these.")


def drop(example, rng):
    return render_entities([entity for entity in example.entities if rng.random() < 0.6])


def add(example, rng):
    words = example.sentence.split() or ["word"]
    added = [Entity(rng.choice(words), rng.choice(example.types)) for _ in range(rng.randint(1, 3))]
    return render_entities([*example.entities, *added])


def off_schema(example, rng):
    return render_entities(_swap(example.entities, rng, lambda e: replace(e, type="celestial body")))


def boundary(example, rng):
    def shift(entity):
        before, _, after = example.sentence.partition(entity.name)
        longer = [*(before.split()[-1:]), entity.name, *(after.split()[:1])]
        shorter = entity.name.split()[1:] or [entity.name[:-1] or "x"]
        return replace(entity, name=" ".join(rng.choice([longer, longer[1:], longer[:-1], shorter])) or "x")

    return render_entities(_swap(example.entities, rng, shift))


def wrong_type(example, rng):
    return render_entities(_swap(example.entities, rng, lambda e: replace(e, type=rng.choice(example.types))))


def case(example, rng):
    change = rng.choice([str.lower, str.upper, str.title, str.swapcase])
    return render_entities([Entity(change(e.name), change(e.type)) for e in example.entities])


def punctuation(example, rng):
    marks = ["{}.", '"{}"', "the {}", "A {}", " {}  ", "({})", "{}'s", "an-{}", "{}\u00a0the", "{}\u2019"]
    return render_entities([replace(e, name=rng.choice(marks).format(e.name)) for e in example.entities])


def duplicate(example, rng):
    return render_entities([e for e in example.entities for _ in range(rng.randint(1, 3))])


def reorder(example, rng):
    return render_entities(rng.sample(example.entities, len(example.entities)))


def json_fence(example, rng):
    return f"```json\n{render_entities(example.entities)}\n```"


def nothing(example, rng):
    return render_entities([])


def cut_off(example, rng):
    text = render_entities(example.entities)
    return text[: rng.randrange(1, len(text))]


def prose(example, rng):
    return "The entities are: " + ", ".join(entity.name for entity in example.entities)


def think_alone(example, rng):
    return "<think>\n" + " ".join(entity.name for entity in example.entities) + "\n</think>"


KINDS = (
    exact,
    reasoned,
    drop,
    add,
    off_schema,
    boundary,
    wrong_type,
    case,
    punctuation,
    duplicate,
    reorder,
    json_fence,
)
KINDS += (nothing, cut_off, prose, think_alone)


def layout(name: str, example: Example) -> str:
    """Gold, in a layout that the two read differently."""
    gold = render_entities(example.entities)
    first = example.entities[0] if example.entities else Entity("x", example.types[0])
    return {
        "plain_fence": f"```\n{gold}\n```",
        "text_after": f"{gold}\nThese are all.",
        "string_for_list": json.dumps({"entities": {first.type: first.name}}, ensure_ascii=False),
        "entity_list": json.dumps({"entities": [{"name": e.name, "type": e.type} for e in example.entities]}),
        "open_think": f"<think>\nLet me see.\n{gold}",
        "repeated_key": f'{{"entities": {{"{first.type}": ["zzz"], "{first.type}": {json.dumps([first.name])}}}}}',
        "number_as_name": gold.replace("[", "[7, ", 1) if example.entities else '{"entities": {"x": [7]}}',
    }[name]


# --------------------------------------------------------------------------------------------------------- comparison


def import_reference(folder: Path):
    """The reference's package `rner`, from a checkout."""
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise DataError(f"{folder}: no {missing[0]} in it; clone https://github.com/HuiResearch/ReasoningIE")
    sys.path.insert(0, str(folder))
    import rner

    return rner


def reference_f1(rner, completion: str, gold) -> float:
    """As the reference's reward takes it."""
    try:
        return float(rner.compute_f1([rner.process_completion(completion)], [gold]))
    except Exception:  # what its reward does; this is what is measured
        return 0.0


def our_f1(completion: str, example: Example) -> float:
    return compute_score("", completion, to_ground_truth(example), matching="published")["f1"]


def read_both(rner, data: Path) -> list[tuple[Example, object]]:
    """Every test sentence as we and as the reference read it."""
    pairs = []
    for dataset in corpora.find_datasets(data)[0]:
        ours = list(corpora.read_dataset(dataset, "test"))
        theirs = rner.load_data(str(dataset.folder.parent), [dataset.folder.name], "test")
        if [example.sentence for example in ours] != [example.sentence for example in theirs]:
            raise DataError(f"{dataset.folder}: the two read different sentences")
        pairs += zip(ours, theirs, strict=True)
    return pairs


def compare(rner, pairs: Sequence[tuple[Example, object]], number: int, seed: int) -> dict:
    """The results, as they go into the JSON file."""
    rng = random.Random(seed)
    chosen = rng.sample(pairs, min(number, len(pairs)))
    kinds: dict[str, Counter] = {}
    differences: Counter = Counter()
    undocumented = []
    by_dataset: dict[str, list[tuple[Example, object, str]]] = {}
    for i, (example, gold) in enumerate(tqdm(chosen, desc="predictions")):
        kind = KINDS[i % len(KINDS)]
        completion = kind(example, random.Random(f"{seed}/{i}"))
        by_dataset.setdefault(example.dataset, []).append((example, gold, completion))
        ours, theirs = our_f1(completion, example), reference_f1(rner, completion, gold)
        answer = parse(completion)
        tally = kinds.setdefault(kind.__name__, Counter(predictions=0, equal=0, documented=0, undocumented=0))
        tally["predictions"] += 1
        if abs(ours - theirs) < 1e-12:
            tally["equal"] += 1
        elif answer.parsed and not answer.entities and not example.entities and (ours, theirs) == (1, 0):
            tally["documented"] += 1
            differences["empty"] += 1
        else:
            tally["undocumented"] += 1
            undocumented.append({"kind": kind.__name__, "completion": completion, "ours": ours, "reference": theirs})
    layouts = {}
    for name in LAYOUTS:
        some = rng.sample([pair for pair in pairs if pair[0].entities], 50)
        scored = [(our_f1(text, e), reference_f1(rner, text, g)) for e, g in some for text in [layout(name, e)]]
        layouts[name] = {
            "predictions": len(scored),
            "equal": sum(abs(ours - theirs) < 1e-12 for ours, theirs in scored),
            "ours_mean_f1": round(sum(ours for ours, _ in scored) / len(scored), 4),
            "reference_mean_f1": round(sum(theirs for _, theirs in scored) / len(scored), 4),
        }
    by_dataset["all"] = [row for rows in by_dataset.values() for row in rows]
    corpus = {name: corpus_f1(rner, rows) for name, rows in sorted(by_dataset.items())}
    return {
        "seed": seed,
        "predictions": len(chosen),
        "sentence_f1": {name: dict(tally) for name, tally in kinds.items()},
        "corpus_f1": corpus,
        "other_layouts": layouts,
        "documented_differences": {name: {"cases": differences[name], "what": DOCUMENTED[name]} for name in ["empty"]}
        | {name: {"cases": 50 - layouts[name]["equal"], "what": DOCUMENTED[name]} for name in LAYOUTS},
        "undocumented": undocumented,
        "agrees": not undocumented and all(abs(c["ours"] - c["reference"]) < 1e-12 for c in corpus.values()),
    }


def corpus_f1(rner, rows: Sequence[tuple[Example, object, str]]) -> dict:
    """Micro F1 of many predictions; the reference's takes completions as strings, its own reading included."""
    counts = sum((count(parse(text).entities, e.entities, "published") for e, _, text in rows), Counts())
    return {
        "ours": counts.f1,
        "reference": float(rner.compute_f1([text for *_, text in rows], [g for _, g, _ in rows])),
    }


def table(result: dict) -> str:
    lines = [f"{'sentence F1':16} {'n':>5} {'equal':>6} {'documented':>11} {'undocumented':>13}"]
    for name, tally in result["sentence_f1"].items():
        lines.append(
            f"{name:16} {tally['predictions']:>5} {tally['equal']:>6} {tally['documented']:>11} "
            f"{tally['undocumented']:>13}"
        )
    lines.append(f"\n{'corpus F1':22} {'ours':>9} {'reference':>10}")
    lines += [f"{name:22} {c['ours']:>9.6f} {c['reference']:>10.6f}" for name, c in result["corpus_f1"].items()]
    lines.append(f"\n{'other layouts':16} {'n':>5} {'equal':>6} {'ours':>7} {'reference':>10}")
    for name, row in result["other_layouts"].items():
        lines.append(
            f"{name:16} {row['predictions']:>5} {row['equal']:>6} {row['ours_mean_f1']:>7.3f} "
            f"{row['reference_mean_f1']:>10.3f}"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """0 if all F1 agree but for the documented cases, 1 if not, 2 after one line about wrong input."""
    here = Path(__file__).resolve()
    parser = argparse.ArgumentParser(
        description="Compare our published F1 with the reference implementation's.",
        epilog="example:\n  python tests/benchmarks/metrics_against_reference.py --reference ReasoningIE --data NER",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--reference", type=Path, required=True, metavar="DIR", help="checkout of ReasoningIE")
    sample = here.parents[2] / "data_prep" / "sample" / "IE_INSTRUCTIONS" / "NER"
    parser.add_argument("--data", type=Path, default=sample, metavar="DIR", help="default: the shipped sample")
    parser.add_argument("--num", type=int, default=2000, metavar="N", help="predictions; default 2000")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=here.with_suffix(".json"), metavar="FILE")
    args = parser.parse_args(argv)
    try:
        rner = import_reference(args.reference)
        result = compare(rner, read_both(rner, args.data), args.num, args.seed)
    except (DataError, OSError) as error:
        print(f"metrics_against_reference: {error}", file=sys.stderr)
        return 2
    digests = {name: hashlib.sha256((args.reference / name).read_bytes()).hexdigest() for name in FILES}
    write_json(args.out, {"reference": "HuiResearch/ReasoningIE", "sha256": digests, **result})
    print(table(result))
    print("\nagrees, but for the documented differences" if result["agrees"] else "\nDIFFERS; see " + str(args.out))
    return 0 if result["agrees"] else 1


if __name__ == "__main__":
    sys.exit(main())
