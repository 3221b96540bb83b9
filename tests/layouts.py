"""Examples as files of each layout: `doccano(folder / "train", examples)` writes train.jsonl, or what the layout has.

Every entity has its place. A layout that can't say what an example holds is not asked to.
"""

import json


def doccano(path, examples):
    _lines(path, ({"id": n, "text": one.sentence, "label": _triples(one)} for n, one in enumerate(examples, 1)))


def prodigy(path, examples):
    def record(example):
        spans = [{"start": start, "end": end, "label": label} for start, end, label in _triples(example)]
        return {"text": example.sentence, "spans": spans, "answer": "accept"}

    _lines(path, map(record, examples))


def spacy(path, examples):
    _lines(path, ([one.sentence, {"entities": _triples(one)}] for one in examples))


def label_studio(path, examples):
    def region(example, start, end, label):
        value = {"start": start, "end": end, "text": example.sentence[start:end], "labels": [label]}
        return {"type": "labels", "from_name": "label", "to_name": "text", "value": value}

    tasks = [
        {
            "id": number,
            "data": {"text": example.sentence},
            "annotations": [
                {"was_cancelled": False, "result": [region(example, *triple) for triple in _triples(example)]}
            ],
        }
        for number, example in enumerate(examples, 1)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(path.name + ".json").write_text(json.dumps(tasks, ensure_ascii=False), encoding="utf-8")


def brat(path, examples, lines=100):
    """Documents of so many sentences. A sentence with line ends in it is one only if a mention crosses each of them."""
    examples = list(examples)
    path.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(examples), lines):
        text, annotations = "", []
        for example in examples[first : first + lines]:
            for start, end, label in _triples(example):
                place = f"{len(text) + start} {len(text) + end}"
                quoted = example.sentence[start:end].replace("\n", " ")
                annotations.append(f"T{len(annotations) + 1}\t{label} {place}\t{quoted}\n")
            text += example.sentence + "\n"
        name = f"doc{first // lines:06}"
        (path / f"{name}.txt").write_bytes(text.encode())
        (path / f"{name}.ann").write_bytes("".join(annotations).encode())


def _triples(example):
    return [(one.start, one.start + len(one.name), one.type) for one in example.entities]


def _lines(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
