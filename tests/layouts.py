"""Examples written as files of a layout, one function a layout: `gliner(folder / "train.json", examples)`.

Layouts of tokens take sentences whose tokens are set apart by single spaces and whose entities end where tokens do.
"""

import json

from recipe.core.align import place


def _write(path, records):
    """A JSON list, or JSON Lines for `.jsonl`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    text = "".join(line + "\n" for line in lines) if path.suffix == ".jsonl" else f"[{', '.join(lines)}]"
    path.write_text(text, encoding="utf-8")


def _tokens(example):
    """The tokens, and first and last token and type of each entity."""
    tokens, starts, ends, at = example.sentence.split(" "), {}, {}, 0
    for number, token in enumerate(tokens):
        starts[at], ends[at + len(token)] = number, number
        at += len(token) + 1
    spans = place(example.sentence, example.entities)
    return tokens, [(starts[span.start], ends[span.end], span.type) for span in spans]


def _with_pos(example, name_key, type_key):
    spans = place(example.sentence, example.entities)
    return [
        {name_key: entity.name, type_key: entity.type, **({"pos": [span.start, span.end]} if span else {})}
        for entity, span in zip(example.entities, spans, strict=True)
    ]


def conversations(path, examples):
    """UniversalNER: a record a sentence; the places are lost."""

    def record(number, example):
        turns = [f"Text: {example.sentence}", "I've read this text."]
        for label in example.types:
            names = [entity.name for entity in example.entities if entity.type == label]
            turns += [f"What describes {label} in the text?", json.dumps(names, ensure_ascii=False)]
        talk = [{"from": ("human", "gpt")[turn % 2], "value": value} for turn, value in enumerate(turns)]
        return {"id": str(number), "conversations": talk}

    _write(path, (record(number, example) for number, example in enumerate(examples)))


def gliner(path, examples):
    """GLiNER: spans of tokens, and all types that are asked for."""

    def record(example):
        tokens, spans = _tokens(example)
        return {"tokenized_text": tokens, "ner": list(map(list, spans)), "ner_negatives": list(example.types)}

    _write(path, map(record, examples))


def instructuie(path, examples):
    """InstructUIE, with labels.json beside; a record has types of its own where it asks for less than these."""
    examples = list(examples)
    labels = sorted({label for example in examples for label in example.types})

    def record(example):
        own = {} if list(example.types) == labels else {"labels": list(example.types)}
        return {"sentence": example.sentence, "entities": _with_pos(example, "name", "type"), **own}

    _write(path, map(record, examples))
    _write(path.with_name("labels.json"), labels)


def mrc(path, examples):
    """Reading comprehension: a record a type; `path` is called `mrc-ner.train` or the like."""

    def record(number, example, spans, label):
        own = sorted((first, last) for first, last, other in spans if other == label)
        return {
            "context": example.sentence, "query": f"{label} entities", "entity_label": label, "qas_id": f"{number}",
            "impossible": not own, "start_position": [first for first, _ in own],
            "end_position": [last for _, last in own], "span_position": [f"{first};{last}" for first, last in own],
        }  # fmt: skip

    records = (
        record(number, example, _tokens(example)[1], label)
        for number, example in enumerate(examples)
        for label in example.types
    )
    _write(path, records)


def ner_cot(path, examples):
    """NER-CoT, with the reasoning where there is any."""

    def record(number, example):
        row = {"guid": str(number), "sentence": example.sentence, "schema": list(example.types)}
        row |= {"entities": _with_pos(example, "text", "label"), "source": example.dataset or path.stem}
        return row | ({} if example.reasoning is None else {"cot": example.reasoning})

    _write(path, (record(number, example) for number, example in enumerate(examples)))
