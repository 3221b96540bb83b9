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


def _tokens(example):
    """The tokens, and first and last token and type of each entity."""
    tokens, starts, ends, at = example.sentence.split(" "), {}, {}, 0
    for number, token in enumerate(tokens):
        starts[at], ends[at + len(token)] = number, number
        at += len(token) + 1
    spans = place(example.sentence, example.entities)
    return tokens, [(starts[span.start], ends[span.end], span.type) for span in spans]


def hugging_face(path, examples):
    """Tokens and BIO tags: as text in JSON, as numbers in Parquet, whose schema names them."""
    records, names = [], ["O"]
    for number, example in enumerate(examples):
        tokens, entities = _tokens(example)
        tags = ["O"] * len(tokens)
        for first, last, label in entities:
            tags[first : last + 1] = [f"B-{label}"] + [f"I-{label}"] * (last - first)
        names += dict.fromkeys(tag for tag in tags if tag not in names)
        records.append({"id": str(number), "tokens": tokens, "ner_tags": tags})
    if path.suffix != ".parquet":
        return _write(path, records)
    for record in records:
        record["ner_tags"] = [names.index(tag) for tag in record["ner_tags"]]
    return parquet(path, records, names)


def parquet(path, records, names=None, column="ner_tags"):
    """Records as Parquet; the schema names the numbers of a column as the package `datasets` has it."""
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.Table.from_pylist(records)
    if names is not None:
        feature = {"feature": {"names": list(names), "_type": "ClassLabel"}, "_type": "List"}
        metadata = {"info": {"features": {column: feature}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(metadata)})
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, path)


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


def conll(path, examples):
    """Columns: words, or characters if no sentence has a space. Entities end where tokens do and don't overlap."""
    examples = list(examples)
    by_word = any(" " in example.sentence for example in examples)
    with path.open("w", encoding="utf-8") as file:
        for example in examples:
            tokens = example.sentence.split(" ") if by_word else list(example.sentence)
            tags = ["O"] * len(tokens)
            starts = [sum(len(token) + by_word for token in tokens[:number]) for number in range(len(tokens))]
            ends = [start + len(token) for start, token in zip(starts, tokens, strict=True)]
            for entity in example.entities:
                at = example.sentence.find(entity.name) if entity.start is None else entity.start
                first, last = starts.index(at), ends.index(at + len(entity.name))
                if tags[first : last + 1] != ["O"] * (last + 1 - first):
                    raise ValueError(f"entities overlap in {example.sentence!r}")
                tags[first : last + 1] = [f"B-{entity.type}"] + [f"I-{entity.type}"] * (last - first)
            file.writelines(f"{token}\t{tag}\n" for token, tag in zip(tokens, tags, strict=True))
            file.write("\n")
