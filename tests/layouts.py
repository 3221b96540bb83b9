"""Examples written as files of a layout, one function a layout: `doccano(folder / "train.jsonl", examples)`."""

import json

from recipe.core.align import place


def _write(path, records):
    """A JSON list, or JSON Lines for `.jsonl`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    text = "".join(line + "\n" for line in lines) if path.suffix == ".jsonl" else f"[{', '.join(lines)}]"
    path.write_text(text, encoding="utf-8")


def _offsets(example):
    """Start, end and type of each entity that has a place."""
    return [(span.start, span.end, span.type) for span in place(example.sentence, example.entities) if span]


def doccano(path, examples):
    """doccano: a record a text, and its spans as lists."""
    _write(path, ({"id": n, "text": one.sentence, "label": _offsets(one)} for n, one in enumerate(examples, 1)))


def prodigy(path, examples):
    """Prodigy: accepted records."""

    def record(example):
        spans = [{"start": start, "end": end, "label": label} for start, end, label in _offsets(example)]
        return {"text": example.sentence, "spans": spans, "answer": "accept"}

    _write(path, map(record, examples))


def spacy(path, examples):
    """spaCy's training pairs."""
    _write(path, ([one.sentence, {"entities": _offsets(one)}] for one in examples))


def label_studio(path, examples):
    """Label Studio's export: a task a text, annotated once."""

    def region(text, start, end, label):
        value = {"start": start, "end": end, "text": text[start:end], "labels": [label]}
        return {"type": "labels", "from_name": "label", "to_name": "text", "value": value}

    def task(number, example):
        result = [region(example.sentence, *span) for span in _offsets(example)]
        annotations = [{"was_cancelled": False, "result": result}]
        return {"id": number, "data": {"text": example.sentence}, "annotations": annotations, "predictions": []}

    _write(path, (task(number, example) for number, example in enumerate(examples, 1)))


def brat(path, examples, lines=100):
    """A folder of brat's pairs, each of so many sentences.

    A sentence with a line end in it is read back as one only if a mention crosses the line end. A blank one is not.
    """
    path.mkdir(parents=True, exist_ok=True)
    examples = list(examples)
    for first in range(0, len(examples), lines):
        text, mentions = "", []
        for example in examples[first : first + lines]:
            for start, end, label in _offsets(example):
                quoted = example.sentence[start:end].replace("\n", " ")
                mentions.append(f"T{len(mentions) + 1}\t{label} {len(text) + start} {len(text) + end}\t{quoted}\n")
            text += example.sentence + "\n"
        name = f"document-{first // lines:06}"
        (path / f"{name}.txt").write_bytes(text.encode())
        (path / f"{name}.ann").write_bytes("".join(mentions).encode())
