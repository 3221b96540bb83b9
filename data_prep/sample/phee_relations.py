"""PHEE's events as relations between drugs, effects and disorders: how the sample RE/PHEE_drugs was made.

    cd data_prep/sample/IE_INSTRUCTIONS
    python ../phee_relations.py EE/PHEE RE/PHEE_drugs

In an adverse event each drug `causes` each effect, and in any event each drug `treats` each disorder of the treatment.
PHEE has no relations of its own: these two names are ours. Its text and its spans are as they were.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

SPLITS = ("train", "dev", "test")


def spans(argument: dict | None, type_name: str) -> Iterator[dict]:
    """The spans of an argument, those in several pieces each piece alone."""
    argument = argument or {}
    for texts, starts in zip(argument.get("text", ()), argument.get("start", ()), strict=True):
        for name, start in zip(texts, starts, strict=True):
            yield {"name": name, "type": type_name, "pos": [start, start + len(name)]}


def relations(event: dict) -> Iterator[dict]:
    """The relations of one event."""
    treatment = event.get("Treatment") or {}
    for drug in spans(treatment.get("Drug"), "drug"):
        if event["event_type"] == "Adverse_event":
            for effect in spans(event.get("Effect"), "effect"):
                yield {"head": drug, "type": "causes", "tail": effect}
        for disorder in spans(treatment.get("Disorder"), "disorder"):
            yield {"head": drug, "type": "treats", "tail": disorder}


def row(record: dict) -> dict:
    """The sentence with its relations, each once, in the order of its text."""
    events = (event for annotation in record["annotations"] for event in annotation["events"])
    found = {json.dumps(one): one for event in events for one in relations(event)}
    order = sorted(found.values(), key=lambda one: (one["head"]["pos"], one["tail"]["pos"], one["type"]))
    return {"sentence": record["context"], "relations": order}


def main(source: str, out: str) -> None:
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        lines = (Path(source) / f"{split}.json").read_text(encoding="utf-8").splitlines()
        rows = (json.dumps(row(json.loads(line)), ensure_ascii=False) for line in lines)
        (folder / f"{split}.json").write_text("[\n" + ",\n".join(rows) + "\n]\n", encoding="utf-8")
    (folder / "labels.json").write_text('["causes", "treats"]\n', encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
