"""GLiNER's layout (Zaratiana et al., NAACL 2024): tokens, and spans of tokens with the end inclusive.

    {"tokenized_text": ["EU", "rejects"], "ner": [[0, 0, "organization"]], "ner_negatives": ["person"]}

A record may list types to ask for besides those of its spans (`label`, `labels`, `ner_labels`, `negatives` or
`ner_negatives`). Without such a list it is asked for all types of the dataset; where these are more than 100 (Pile-NER
has 13,020), for those of its own spans, and a record without a span is left out and counted as `nothing_asked`.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from recipe.corpora.annotated import Annotated, of_tokens
from recipe.corpora.reading import Reading
from recipe.corpora.record_layout import RecordLayout
from recipe.corpora.records import Wrong, check_tokens

MOST_TYPES = 100  # more than these are a vocabulary, not what one asks of a sentence
LISTS = ("label", "labels", "ner_labels", "negatives", "ner_negatives")


def fits(record: object) -> bool:
    """True for tokens with spans."""
    return isinstance(record, dict) and isinstance(record.get("tokenized_text"), list) and "ner" in record


def _read(record: object, join: str | None) -> Annotated:
    tokens = check_tokens(record, "tokenized_text", "ner")
    chunks = [_chunk(span, f"entity {number}", len(tokens)) for number, span in enumerate(record["ner"], 1)]
    annotated = of_tokens(tokens, chunks, join)
    asked = _asked(record)
    return annotated if asked is None else replace(annotated, types=(*asked, *(label for _, _, label in chunks)))


def _chunk(span: object, what: str, tokens: int) -> tuple[int, int, str]:
    """First token, end (exclusive) and label."""
    if not isinstance(span, list) or [type(part) for part in span] != [int, int, str]:
        raise Wrong("bad_entity", f'{what} is not a list of first token, last token and type, such as [0, 1, "person"]')
    first, last, label = span
    if not 0 <= first <= last < tokens:
        raise Wrong("bad_place", f"{what} is at tokens {first} to {last} of {tokens}, counted from 0")
    return first, last + 1, label


def _asked(record: Mapping[str, object]) -> list[str] | None:
    """The types that the record lists, None if it has no list."""
    lists = {key: record[key] for key in LISTS if record.get(key) is not None}
    for key, labels in lists.items():
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise Wrong(f"bad_{key}", f"{key!r} is not a list of strings")
    return [label for labels in lists.values() for label in labels] if lists else None


def _join(_path: Path, reading: Reading) -> str | None:
    return reading.join


LAYOUT = RecordLayout("GLiNER", '{"tokenized_text", "ner"}', fits, _read, _join, MOST_TYPES, OPTIONS=("join",))
