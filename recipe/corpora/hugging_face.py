"""Hugging Face's layout of token classification: records of tokens and of a tag for each, as text or as numbers.

    {"id": "0", "tokens": ["EU", "rejects", "German"], "ner_tags": [3, 0, 7]}
    {"words": ["EU", "rejects", "German"], "labels": ["B-ORG", "O", "B-MISC"]}

    <Dataset>/train-00000-of-00001.parquet     or data/train-00000-of-00001.parquet, train.jsonl, train.json
    <Dataset>/train/data-00000-of-00001.arrow  what `DatasetDict.save_to_disk` writes

Numbers have their names from the first of these that has any: --tags FILE; the schema of a Parquet or Arrow file;
`dataset_info.json`, `dataset_infos.json`, the YAML block of `README.md`, or `label.json` ({"O": 0, "B-ORG": 1}), in the
file's folder or up to three folders above. `Features` of the package `datasets` say how the names are written there.

recipe.corpora.tags says how tags are written, recipe.corpora.conll where mentions begin and end and how tokens are
joined: as in columns, by the whole of a file.

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
from recipe.corpora import column_survey, conll
from recipe.corpora.annotated import Annotated, unspaced
from recipe.corpora.json_files import read_text
from recipe.corpora.reading import Reading
from recipe.corpora.record_layout import RecordLayout, first_record, records
from recipe.corpora.records import Wrong, kind_of
from recipe.corpora.tags import Style, Tag, style_of

TOKENS = ("tokens", "words")
TAGS = ("ner_tags", "ner", "tags", "labels", "fine_ner_tags")  # the first that is there counts

_ABOVE = 3  # folders: <Dataset>/data/<config>/<split>/0000.parquet
_NAMED = 3  # a tag that the file names is one, however seldom it occurs


@dataclass(frozen=True, slots=True, eq=False)
class Scheme:
    """What the whole of a file tells: the style of its tags and what each says, and what stands between tokens.

    The other fields are those of recipe.corpora.conll.Survey.
    """

    style: Style
    tags: Mapping[str, Tag]
    opens: bool
    closes: bool
    join: str
    words: bool


@dataclass(frozen=True, slots=True)
class Context:
    """Which columns of a file count, whether another could have, the names of numbers, and how the file is written."""

    tokens: str
    tags: str
    chosen: bool
    names: tuple[str, ...] | None
    scheme: Scheme
    join: str | None
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
    if first is None:
        first = next(iter(records(path)), None)  # says why, where it can't be read
    if not isinstance(first, dict) or not fits(first):
        raise DataError(f"{path}: record 1: has no tokens with tags; a record is {SHAPE}")
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
    scheme = _scheme(path, tokens, tags, names, *version)
    return Context(tokens, tags, bool(others), names, scheme, reading.join, reading.type_name)


def read(record: object, context: Context) -> Annotated:
    """The sentence of a record. Wrong for tokens or tags that are none."""
    if not isinstance(record, dict):
        raise Wrong("not_an_object", f"{kind_of(record)}, not an object")
    tokens, tags = _list(record, context.tokens, "bad_tokens"), _list(record, context.tags, "bad_tag")
    for number, token in enumerate(tokens, 1):
        if not isinstance(token, str):
            raise Wrong("bad_tokens", f"token {number} is {kind_of(token)}, not a string")
    if len(tokens) != len(tags):
        raise Wrong("unequal_lengths", f"{len(tokens)} tokens, but {len(tags)} tags")
    parts = [_parts(_tag(tag, number, context), number, context) for number, tag in enumerate(tags, 1)]
    chunks, repaired = conll.mentions_of(parts, context.scheme)
    kept = [bool(visible(token)) for token in tokens]  # some hold a space as a token
    at = list(itertools.accumulate(kept, initial=0))
    for one in chunks:
        if at[one.start] == at[one.end]:
            raise Wrong("bad_name", f"token {one.start + 1} is an entity of which nothing is seen")
    seen = tuple(itertools.compress(tokens, kept))
    sentence = conll.Sentence(0, seen, tuple(conll.Chunk(at[one.start], at[one.end], one.label) for one in chunks))
    join, words = context.join, False
    if join is None:
        join, words = context.scheme.join, context.scheme.words and not context.scheme.join
    annotated = sentence.annotated(join, words)
    noted = {
        "repaired_entity": repaired,
        "other_tag_column": int(context.chosen),
        "dropped_token": len(tokens) - len(seen),
    }
    return Annotated(annotated.text, annotated.mentions, noted=tuple(Counter(noted).elements()))


def _list(record: Mapping[str, object], key: str, reason: str) -> Sequence[object]:
    if not isinstance(record.get(key), list):
        raise Wrong(reason, f"'{key}' is {kind_of(record.get(key))}, not a list")
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


def _parts(tag: str, number: int, context: Context) -> Tag:
    """Prefix and type of a tag; the type that the user gives for one without."""
    found = context.scheme.tags.get(tag)
    what = f"tag {number}, {tag[:40]!r},"
    if found is None:
        if context.scheme.style.several(tag):
            raise Wrong("several_labels", f"{what} holds several labels; write one")
        if tag.isdecimal():
            raise Wrong("unknown_tag", f"{what} is a number written as text; write a number, which --tags FILE names")
        raise Wrong("unknown_tag", f"{what} is no tag (O, or a type behind B-, I-, E-, S-, L-, U- or M-)")
    if found[1] == "":
        if not context.type_name:
            raise Wrong("unknown_tag", f"{what} has no type; name the type of all such tags with --type NAME")
        return found[0], context.type_name
    return found


@functools.lru_cache(maxsize=256)  # a corpus is read several times; its files are surveyed once
def _scheme(path: Path, tokens: str, tags: str, names: tuple[str, ...] | None, _mtime: int, _size: int) -> Scheme:
    """How a file is written. Records that can't be read don't count here."""
    counts, pairs = Counter(dict.fromkeys(names or (), _NAMED)), set()
    letters = foreign = words = characters = 0
    for record in records(path):
        row = record if isinstance(record, dict) else {}
        before = None
        for tag in _texts(row.get(tags), names):
            counts[tag] += names is None
            pairs.add((before, tag))
            before = tag
        for token in row.get(tokens) if isinstance(row.get(tokens), list) else ():
            if isinstance(token, str):
                letters += sum(map(str.isalpha, token))
                foreign += (own := unspaced(token))
                words += not own and len(token) > 1 and token.isalnum()
                characters += not own and len(token) == 1 and token.isalnum()
    style = style_of(counts)
    parsed = {tag: found for tag in counts if (found := style.parse(tag)) is not None}
    join = "" if 2 * foreign > letters > 0 else " "
    return Scheme(style, parsed, *column_survey.scheme_of(pairs, parsed), join, words >= characters)


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
LAYOUT = RecordLayout(
    "Hugging Face token classification", SHAPE, fits, read, context, OPTIONS=("join", "tags", "type_name")
)
