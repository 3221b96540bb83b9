"""Layouts of texts whose entities stand at character offsets, the end exclusive: what annotation tools export.

    doccano         {"id": 1, "text": "EU rejects", "label": [[0, 2, "ORG"]]}, or "data" for "text", or
                    "entities": [{"start_offset": 0, "end_offset": 2, "label": "ORG"}]. spaCy's objects and Label
                    Studio's JSON_MIN ({"start", "end", "text", "labels"}) are the same layout.
    Prodigy         {"text": "EU rejects", "spans": [{"start": 0, "end": 2, "label": "ORG"}], "answer": "accept"}
    spaCy           ["EU rejects", {"entities": [[0, 2, "ORG"]]}]
    Label Studio    {"data": {"text": "EU rejects"}, "annotations": [{"result": [{"type": "labels",
                     "value": {"start": 0, "end": 2, "text": "EU", "labels": ["ORG"]}}]}]}

A text is one example, however many lines it has. Offsets count code points. Tools that run in a browser count UTF-16
units, in which an emoji is two: where a record gives the name and it stands at the UTF-16 place alone, that is its
place. Without a name nothing is guessed. What is worth knowing is counted under `noted`:

    utf16_place            the place of a name counts UTF-16 units
    offsets_within_a_word  a record without names whose offsets cut words, and would not as UTF-16 units, as bytes or
                           with the end inclusive
    not_accepted           a Prodigy record with another answer than "accept", left out
    not_annotated          a Label Studio task without an annotation that counts, left out
    further_annotation     an annotation of a Label Studio task after the first, not read
    other_annotation       a relation, a choice or the like, not read
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate
from pathlib import Path

from recipe.core.entities import DataError
from recipe.corpora.annotated import Annotated, Mention, joiner
from recipe.corpora.reading import Reading
from recipe.corpora.record_layout import RecordLayout, first_record
from recipe.corpora.records import Wrong, check_record, check_text, kind_of

_TEXTS = ("text", "data")
_LISTS = ("label", "labels", "entities")
_ANSWERS = ("accept", "reject", "ignore")

# ------------------------------------------------------------------------------------------------ doccano and Prodigy


def _fits_doccano(record: object) -> bool:
    if not isinstance(record, dict) or not isinstance(_first(record, _TEXTS), str):
        return False
    # Tokens beside the text are another layout's; spans are Prodigy's.
    return _is_list_of_spans(_first(record, _LISTS)) and _first(record, ("tokens", "spans")) is None


def _read_doccano(record: object, _context: None) -> Annotated:
    if not isinstance(record, dict):
        raise Wrong("not_an_object", f"{kind_of(record)}, not an object")
    spans = _first(record, _LISTS)
    if spans is None:
        raise Wrong("no_entities", "lacks 'label', 'labels' or 'entities'")
    filled = [record[key] for key in _LISTS if record.get(key)]  # an empty list may stand beside the one that counts
    spans = filled[0] if filled else spans
    if any(other != spans for other in filled):
        raise Wrong("bad_entities", "has two of 'label', 'labels' and 'entities'; leave one")
    return _annotated(_first(record, _TEXTS), spans, _relations(record))


def _fits_prodigy(record: object) -> bool:
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        return False
    spans = record.get("spans")
    if spans is None:  # left out where an annotator found none or passed the text over; a label is of the whole text
        return record.get("answer") in _ANSWERS and record.keys().isdisjoint(("label", "options"))
    return _is_list_of_spans(spans) and all(isinstance(span, dict) for span in spans)


def _read_prodigy(record: object, _context: None) -> Annotated:
    if isinstance(record, dict) and record.get("answer") not in (None, "accept"):
        return Annotated("", noted=("not_accepted",), left_out=True)
    check_record(record, "text")
    return _annotated(record["text"], record.get("spans") or [], _relations(record))


def _first(record: Mapping[str, object], keys: Iterable[str]) -> object:
    """The first value that is not null: a Parquet file has null for what a record lacks."""
    return next((record[key] for key in keys if record.get(key) is not None), None)


def _relations(record: Mapping[str, object]) -> list[str]:
    relations = record.get("relations")
    return ["other_annotation"] * (len(relations) if isinstance(relations, list) else 0)


# ------------------------------------------------------------------------------------------------------------- spaCy


def _fits_spacy(record: object) -> bool:
    return _is_export(record) or (
        isinstance(record, list)
        and len(record) == 2
        and isinstance(record[0], str)
        and isinstance(record[1], dict)
        and _is_list_of_spans(record[1].get("entities"))
    )


def _read_spacy(record: object, _context: None) -> Annotated:
    if not isinstance(record, list) or len(record) != 2 or not isinstance(record[1], dict):
        raise Wrong("not_a_pair", 'not a pair ["text", {"entities": [[start, end, label]]}]')
    if "entities" not in record[1]:
        raise Wrong("no_entities", "lacks 'entities'")
    return _annotated(record[0], record[1]["entities"])


def _is_export(record: object) -> bool:
    return isinstance(record, dict) and all(isinstance(record.get(key), list) for key in ("classes", "annotations"))


def _refuse_export(path: Path, _reading: Reading) -> None:
    """DataError for an annotator's export, in which the list of pairs is a part of one object."""
    if _is_export(first_record(path)):
        raise DataError(f'{path}: an object of "classes" and "annotations"; save its list of annotations as a file')


# ------------------------------------------------------------------------------------------------------ Label Studio


def _fits_label_studio(record: object) -> bool:
    if not isinstance(record, dict) or not isinstance(record.get("data"), dict):
        return False
    annotations = record.get("annotations")
    return isinstance(annotations, list) and all(
        isinstance(each, dict) and isinstance(each.get("result"), list) for each in annotations
    )


def _read_label_studio(record: object, _context: None) -> Annotated:
    if not isinstance(record, dict):
        raise Wrong("not_an_object", f"{kind_of(record)}, not an object")
    data, annotations = record.get("data"), record.get("annotations")
    if not isinstance(data, dict):
        raise Wrong("no_data", f"'data' is {kind_of(data)}, not an object")
    if not isinstance(annotations, list) or not all(isinstance(each, dict) for each in annotations):
        raise Wrong("bad_annotations", "'annotations' is not a list of objects")
    counting = [each for each in annotations if each.get("was_cancelled") is not True]
    if not counting:
        return Annotated("", noted=("not_annotated",), left_out=True)
    results = counting[0].get("result")
    if not isinstance(results, list) or not all(isinstance(each, dict) for each in results):
        raise Wrong("bad_entities", "'result' is not a list of objects")
    values = [each.get("value") for each in results if _is_region(each)]
    others = ["other_annotation"] * (len(results) - len(values))
    return _annotated(_text_of(data), values, others + ["further_annotation"] * (len(counting) - 1))


def _is_region(result: Mapping[str, object]) -> bool:
    """True for a labelled part of the text; a converter may leave its `type` out."""
    kind, value = result.get("type"), result.get("value")
    return kind == "labels" or (kind is None and isinstance(value, dict) and "labels" in value)


def _text_of(data: Mapping[str, object]) -> object:
    """The text, which a project may call as it likes."""
    if "text" in data:
        return data["text"]
    strings = [value for value in data.values() if isinstance(value, str)]
    if len(strings) != 1:
        raise Wrong("bad_sentence", f"'data' has no 'text', and {len(strings)} other strings in place of one")
    return strings[0]


# ------------------------------------------------------------------------------------------------------------- spans


def _is_list_of_spans(value: object) -> bool:
    return isinstance(value, list) and (not value or _is_span(value[0]))


def _is_span(value: object) -> bool:
    """As far as its shape goes: a place that is none is told when it is read."""
    if isinstance(value, dict):
        return (
            _first(value, ("start_offset", "start")) is not None
            and _first(value, ("end_offset", "end")) is not None
            and isinstance(_first(value, ("label", "labels")), str | list)
        )
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(at, int | float) for at in value[:2])
        and isinstance(value[2], str)
    )


def _annotated(text: object, spans: object, noted: Iterable[str] = ()) -> Annotated:
    """The text with the mentions of its spans. Wrong for a blank text and for a bad span."""
    text = check_text(text, "bad_sentence", "the text")
    if not isinstance(spans, list):
        raise Wrong("bad_entities", f"the list of entities is {kind_of(spans)}")
    noted = list(noted)
    mentions = [mention for number, span in enumerate(spans, 1) for mention in _mentions(span, f"entity {number}")]
    if any(mention.name is not None for mention in mentions):
        units = _offsets(text, "utf-16-le", 2)
        moved = [_moved(text, mention, units) for mention in mentions]
        noted += ["utf16_place"] * sum(one is not other for one, other in zip(moved, mentions, strict=True))
        mentions = moved
    elif _cut_words(text, [(mention.start, mention.end) for mention in mentions]):
        noted.append("offsets_within_a_word")
    return Annotated(text, tuple(mentions), noted=tuple(noted))


def _mentions(span: object, what: str) -> list[Mention]:
    """A mention for each label of a span."""
    name = None
    if isinstance(span, dict):
        start, end = _first(span, ("start_offset", "start")), _first(span, ("end_offset", "end"))
        labels, name = _first(span, ("label", "labels")), span.get("text")
        name = None if name is None else check_text(name, "bad_name", f"'text' of {what}")
    elif isinstance(span, list) and len(span) == 3:
        start, end, labels = span
    else:
        described = f"a list of {len(span)}" if isinstance(span, list) else kind_of(span)
        raise Wrong("bad_entity", f"{what} is {described}, not [start, end, label] or an object of these")
    for at in (start, end):
        if type(at) is not int:
            given = "a fraction" if isinstance(at, float) else kind_of(at)
            raise Wrong("bad_place", f"{what} has {given} as an offset, not a whole number")
    if not 0 <= start < end:
        raise Wrong("bad_place", f"{what} is at {start} to {end}, where nothing can stand")
    labels = labels if isinstance(labels, list) else [labels]
    if not labels:
        raise Wrong("bad_type", f"{what} has no label")
    return [Mention(check_text(label, "bad_type", f"the label of {what}"), start, end, name) for label in labels]


def _moved(text: str, mention: Mention, units: Mapping[int, int]) -> Mention:
    """The mention at its place in code points, if its name says that the offsets are UTF-16 units."""
    if mention.name is None or text[mention.start : mention.end] == mention.name:
        return mention
    start, end = units.get(mention.start), units.get(mention.end)
    if start is None or end is None or text[start:end] != mention.name:
        return mention
    return Mention(mention.label, start, end, mention.name)


def _offsets(text: str, encoding: str, width: int) -> dict[int, int]:
    """Offset in units of an encoding -> offset in code points; empty where they are the same."""
    units = [0, *accumulate(len(character.encode(encoding)) // width for character in text)]
    return {unit: at for at, unit in enumerate(units)} if units[-1] != len(text) else {}


def _cut_words(text: str, spans: list[tuple[int, int]]) -> bool:
    """True if spans begin or end within words, and another way to count offsets would have them at word ends."""
    if all(end > len(text) or not _cuts(text, start, end) for start, end in spans) or not joiner([text]):
        return False  # a script without spaces shows no word ends
    readings = []
    if all(_glued(text, end) for _, end in spans):
        readings.append([(start, end + 1) for start, end in spans])
    for encoding, width in () if text.isascii() else (("utf-16-le", 2), ("utf-8", 1)):
        units = _offsets(text, encoding, width)
        if all(at in units for span in spans for at in span):
            readings.append([(units[start], units[end]) for start, end in spans])
    return any(all(end <= len(text) and not _cuts(text, start, end) for start, end in reading) for reading in readings)


def _cuts(text: str, start: int, end: int) -> bool:
    return _glued(text, start) or _glued(text, end)


def _glued(text: str, at: int) -> bool:
    return 0 < at < len(text) and text[at - 1].isalnum() and text[at].isalnum()


DOCCANO = RecordLayout("doccano or spaCy", '{"text", "label" or "entities"}', _fits_doccano, _read_doccano)
PRODIGY = RecordLayout("Prodigy", '{"text", "spans"}', _fits_prodigy, _read_prodigy)
SPACY = RecordLayout("spaCy", '["text", {"entities"}]', _fits_spacy, _read_spacy, _refuse_export)
LABEL_STUDIO = RecordLayout("Label Studio", '{"data", "annotations"}', _fits_label_studio, _read_label_studio)
