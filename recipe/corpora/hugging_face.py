"""Hugging Face's layout of token classification: records of tokens and of a tag for each, as text or as numbers.

    {"id": "0", "tokens": ["EU", "rejects", "German"], "ner_tags": [3, 0, 7]}
    {"words": ["EU", "rejects", "German"], "labels": ["B-ORG", "O", "B-MISC"]}

    <Dataset>/train-00000-of-00001.parquet     or data/train-00000-of-00001.parquet, train.jsonl, train.json
    <Dataset>/train/data-00000-of-00001.arrow  what `DatasetDict.save_to_disk` writes

Numbers have their names from the first of these that has any: --tags FILE; the schema of a Parquet or Arrow file;
`dataset_info.json`, `dataset_infos.json`, the YAML block of `README.md`, or `label.json` ({"O": 0, "B-ORG": 1}), in the
file's folder or up to three folders above. `Features` of the package `datasets` say how the names are written there.

Tags are those of recipe.corpora.conll. Where no tag of a file has a prefix and one is `O`, the others are types: tokens
of one type that follow each other are one mention. Bare B, I, E, S, L, U and M say where mentions of --type NAME are.

Noted are `other_tag_column`, a sentence with another column that may hold tags, and `dropped_token`, one of which
nothing is seen, such as a space.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recipe.core.entities import DataError
from recipe.core.text import visible
from recipe.corpora import conll
from recipe.corpora.annotated import Annotated, joiner, of_tokens
from recipe.corpora.json_files import read_text
from recipe.corpora.reading import Reading
from recipe.corpora.record_layout import RecordLayout, first_record, records
from recipe.corpora.records import Wrong, kind_of

TOKENS = ("tokens", "words")
TAGS = ("ner_tags", "ner", "tags", "labels", "fine_ner_tags")  # the first that is there counts

_ABOVE = 3  # folders: <Dataset>/data/<config>/<split>/0000.parquet
_MOST_BARE = 200  # types without a prefix; a column of words has more
_UNTYPED = frozenset("BIESLUM")


@dataclass(frozen=True, slots=True)
class Scheme:
    """How the tags of a file are written: `bare` types, or what conll.Survey says."""

    bare: bool
    survey: conll.Survey
    join: str


@dataclass(frozen=True, slots=True)
class Context:
    """Which columns of a file count, whether another could have, the names of numbers, and the scheme of the tags."""

    tokens: str
    tags: str
    chosen: bool
    names: tuple[str, ...] | None
    scheme: Scheme
    type_name: str | None


def fits(record: object) -> bool:
    """True for an object with a list of texts as tokens and one of texts or numbers as tags; null may be in either."""
    columns = isinstance(record, dict) and _columns(record)
    if not columns:
        return False
    tokens, tags = (record[key] for key in columns[:2])
    return (tokens, tags) != (None, None) and _list_of(tokens, str) and (_list_of(tags, str) or _list_of(tags, int))


def _columns(record: Mapping[str, object]) -> list[str]:
    """The columns of tokens and of tags, and others that might be of tags; none where one of the two is missing."""
    tokens, tags = ([key for key in keys if key in record] for keys in (TOKENS, TAGS))
    return [tokens[0], *tags] if tokens and tags else []


def _list_of(values: object, kind: type) -> bool:
    return values is None or (isinstance(values, list) and all(one is None or type(one) is kind for one in values))


def context(path: Path, reading: Reading) -> Context:
    """What the file's records are read by. DataError for numbers without names."""
    first = first_record(path)
    if not isinstance(first, dict) or not fits(first):
        raise DataError(f"{path}: its first record has no tokens with tags; a record is {SHAPE}")
    tokens, tags, *others = _columns(first)
    status = path.stat()
    version = (status.st_mtime_ns, status.st_size)
    names = None
    if _numbered(path, tags, *version):
        names = reading.tags or _names(path, tags, *version)
        if names is None:
            named = f"neither the file nor {', '.join(_SOURCES)} beside or above it names them"
            remedy = "give --tags FILE, a tag on each line, from 0 (the dataset's card may list them)"
            raise DataError(f"{path}: '{tags}' holds numbers, and {named}; {remedy}")
    scheme = _scheme(path, tokens, tags, names, reading.join, *version)
    return Context(tokens, tags, bool(others), names, scheme, reading.type_name)


def read(record: object, context: Context) -> Annotated:
    """The sentence of a record. Wrong for tokens or tags that are none."""
    if not isinstance(record, dict):
        raise Wrong("not_an_object", f"{kind_of(record)}, not an object")
    tokens, tags = (_list(record, key) for key in (context.tokens, context.tags))
    for number, token in enumerate(tokens, 1):
        if not isinstance(token, str):
            raise Wrong("bad_tokens", f"token {number} is {kind_of(token)}, not a string")
    if len(tokens) != len(tags):
        raise Wrong("unequal_lengths", f"{len(tokens)} tokens, but {len(tags)} tags")
    parts = [_parts(_tag(tag, number, context), number, context) for number, tag in enumerate(tags, 1)]
    chunks, repaired = conll._mentions(parts, context.scheme.survey)
    kept = [bool(visible(token)) for token in tokens]  # some hold a space as a token
    at = list(itertools.accumulate(kept, initial=0))
    for one in chunks:
        if at[one.start] == at[one.end]:
            raise Wrong("bad_name", f"token {one.start + 1} is an entity of which nothing is seen")
    seen = list(itertools.compress(tokens, kept))
    sentence = of_tokens(seen, ((at[one.start], at[one.end], one.label) for one in chunks), context.scheme.join)
    noted = {
        "repaired_entity": repaired,
        "other_tag_column": int(context.chosen),
        "dropped_token": len(tokens) - len(seen),
    }
    return Annotated(sentence.text, sentence.mentions, noted=tuple(Counter(noted).elements()))


def _list(record: Mapping[str, object], key: str) -> Sequence[object]:
    if not isinstance(record.get(key), list):
        raise Wrong(f"bad_{key}", f"'{key}' is {kind_of(record.get(key))}, not a list")
    return record[key]


# ------------------------------------------------------------------------------------------------------------- tags


def _tag(tag: object, number: int, context: Context) -> str:
    """The tag as text."""
    if type(tag) is int and context.names is not None:
        if not 0 <= tag < len(context.names):
            raise Wrong("unknown_tag", f"tag {number} is {tag}, which none of the {len(context.names)} names is for")
        return context.names[tag]
    if not isinstance(tag, str) or context.names is not None:
        others = "numbers" if context.names else "strings"
        raise Wrong("bad_tag", f"tag {number} is {kind_of(tag)}, where the file's tags are {others}")
    return tag


def _parts(tag: str, number: int, context: Context) -> tuple[str, str | None]:
    """Prefix and type of a tag; ("O", None) outside of mentions."""
    if tag == "O":
        return "O", None
    if tag in _UNTYPED:
        if context.type_name is None:
            raise Wrong("untyped_tag", f"tag {number} is {tag!r} without a type; name the type with --type NAME")
        return tag, context.type_name
    if context.scheme.bare:
        return "I", tag
    match = conll._TAG.fullmatch(tag)
    if match is None:
        known = "O, or a type behind B-, I-, E-, S-, L-, U- or M-"
        raise Wrong("unknown_tag", f"tag {number}, {tag[:40]!r}, is no tag ({known})")
    return match[1], match[2]


@functools.lru_cache(maxsize=256)  # a corpus is read several times; its files are surveyed once
def _scheme(
    path: Path, tokens: str, tags: str, names: tuple[str, ...] | None, join: str | None, _mtime: int, _size: int
) -> Scheme:
    """The scheme of a file's tags, and what stands between its tokens. Records that can't be read don't count here."""
    seen: set[str] = set(names or ())
    opens = closes = False
    joined = {"": 0, " ": 0}
    for record in records(path):
        row = record if isinstance(record, dict) else {}
        words = [token for token in row.get(tokens) or () if isinstance(token, str)]
        joined[joiner(words)] += len(words)
        before: str | None = None
        for tag in _texts(row.get(tags), names):
            seen.add(tag)
            match = conll._TAG.fullmatch(tag)
            prefix, label = (match[1], match[2]) if match else (tag, "") if tag in _UNTYPED else (None, None)
            opens = opens or prefix in {"S", "U"} or (prefix == "B" and before != label)  # IOB1's B- doesn't count
            closes = closes or prefix in {"E", "S", "L", "U"}
            before = label
    types = seen - {"O", ""} - _UNTYPED
    bare = "O" in seen and 0 < len(types) <= _MOST_BARE and not any(map(conll._TAG.fullmatch, types))
    if join is None:
        join = "" if joined[""] > joined[" "] else " "
    return Scheme(bare, conll.Survey(frozenset(), opens, closes), join)


def _texts(tags: object, names: tuple[str, ...] | None) -> Iterator[str]:
    for tag in tags if isinstance(tags, list) else ():
        if isinstance(tag, str):
            yield tag
        elif type(tag) is int and names is not None and 0 <= tag < len(names):
            yield names[tag]


@functools.lru_cache(maxsize=256)
def _numbered(path: Path, tags: str, _mtime: int, _size: int) -> bool:
    """True if the first tag of the file is a number."""
    rows = (record[tags] for record in records(path) if isinstance(record, dict) and isinstance(record.get(tags), list))
    return type(next((tag for row in rows for tag in row if tag is not None), None)) is int


# ------------------------------------------------------------------------------------------------------------ names


@functools.lru_cache(maxsize=256)
def _names(path: Path, column: str, _mtime: int, _size: int) -> tuple[str, ...] | None:
    """The names of the column's numbers, from the file itself or from what stands beside and above it."""
    names = _class_names(_features(_schema(path)).get(column))
    if names:
        return names
    for folder in (path.absolute().parent, *path.absolute().parent.parents[:_ABOVE]):
        for file, lists_of in _SOURCES.items():
            if not (folder / file).is_file():
                continue
            try:
                lists = lists_of(read_text(folder / file), column)
            except (ValueError, RecursionError):  # of no use here, and perhaps not of this dataset
                continue
            own = set(path.absolute().relative_to(folder).parts) & set(lists)
            if len(chosen := {lists[name] for name in own or lists}) == 1:
                return chosen.pop()
            if chosen:
                what = f"its configurations name the tags of '{column}' differently ({', '.join(sorted(lists)[:3])})"
                raise DataError(f"{folder / file}: {what}; give the names with --tags FILE, a tag on each line")
    return None


def _schema(path: Path) -> object:
    """What the package `datasets` writes into the schema of a Parquet or Arrow file; {} for a file without."""
    import pyarrow
    from pyarrow import parquet

    try:
        if path.suffix == ".parquet":
            metadata = parquet.read_schema(path).metadata
        elif path.suffix == ".arrow":
            with pyarrow.memory_map(str(path)) as source:
                try:
                    metadata = pyarrow.ipc.open_stream(source).schema.metadata
                except pyarrow.ArrowInvalid:
                    metadata = pyarrow.ipc.open_file(source).schema.metadata
        else:
            return {}
        return json.loads((metadata or {}).get(b"huggingface", b"{}"))["info"]
    except (pyarrow.ArrowException, ValueError, RecursionError, LookupError, TypeError):
        return {}


def _features(info: object) -> Mapping[str, object]:
    """The features by column; a card lists them with their names."""
    features = info.get("features") if isinstance(info, dict) else None
    if isinstance(features, list):
        return {str(one.get("name")): one for one in features if isinstance(one, dict)}
    return features if isinstance(features, dict) else {}


def _class_names(feature: object) -> tuple[str, ...] | None:
    """The names in a feature, however deep: a ClassLabel in a Sequence or a List."""
    while not isinstance(feature, dict) or not isinstance(feature.get("names"), (list, dict)):
        if isinstance(feature, dict):
            feature = next((feature[key] for key in _INSIDE if feature.get(key)), None)
        elif isinstance(feature, list) and len(feature) == 1:
            feature = feature[0]
        else:
            return None
    names = feature["names"]
    if isinstance(names, dict):
        names = [names.get(str(number)) for number in range(len(names))]
    return tuple(names) if names and all(isinstance(name, str) for name in names) else None


_INSIDE = ("feature", "sequence", "list", "class_label", "dtype")


def _of_infos(infos: Mapping[str, object], column: str) -> dict[str, tuple[str, ...]]:
    found = {name: _class_names(_features(info).get(column)) for name, info in infos.items()}
    return {name: names for name, names in found.items() if names}


def _of_json(text: str, column: str) -> dict[str, tuple[str, ...]]:
    """Configuration -> names, from what `datasets` writes beside its files, of one or of all configurations."""
    info = json.loads(text)
    return _of_infos({**info, "": info}, column) if isinstance(info, dict) else {}


def _of_card(text: str, column: str) -> dict[str, tuple[str, ...]]:
    """The same from the YAML block of a card."""
    import yaml

    if not text.startswith("---\n"):
        return {}
    try:
        card = yaml.load(text[4:].partition("\n---")[0], Loader=yaml.BaseLoader)  # everything is text: NO, '0'
    except yaml.YAMLError:
        return {}
    infos = card.get("dataset_info") if isinstance(card, dict) else None
    infos = infos if isinstance(infos, list) else [infos]
    return _of_infos({str(one.get("config_name", "")): one for one in infos if isinstance(one, dict)}, column)


def _of_numbers(text: str, _column: str) -> dict[str, tuple[str, ...]]:
    """The same from {"O": 0, "B-ORG": 1}, for whichever column."""
    numbers = json.loads(text)
    sound = isinstance(numbers, dict) and all(type(number) is int for number in numbers.values())
    names = _class_names({"names": {str(number): name for name, number in numbers.items()}}) if sound else None
    return {"": names} if names else {}


_SOURCES = {
    "dataset_info.json": _of_json,
    "dataset_infos.json": _of_json,
    "README.md": _of_card,
    "label.json": _of_numbers,
}

SHAPE = '{"tokens", "ner_tags"}'
LAYOUT = RecordLayout("Hugging Face token classification", SHAPE, fits, read, context)
