"""Examples written as files of a layout, one function a layout: `hugging_face(folder / "train.parquet", examples)`.

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
