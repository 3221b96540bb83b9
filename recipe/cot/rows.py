"""The rows to annotate: texts with gold, with types to look for, or with neither, read one after the other.

    .txt              a text a line
    .jsonl, .json     {"sentence": "Ada met Bob .", "types": ["person"], "source": "news",
                       "entities": [{"name": "Ada", "type": "person"}]}, a line each or a list; all but the sentence may
                       be missing; "text" for "sentence", "schema" for "types", "text" and "label" in entities do too
    .parquet          the same as columns, or the rows of data_prep/to_parquet.py grpo and eval, whose gold is theirs
    --corpora         a folder of corpora (recipe.corpora.datasets): gold, and the types of each dataset

A row without types takes the types of --types, else the types of its gold. Without either the teacher chooses. A row
that occurs twice counts once, and an empty text is no row.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from recipe.answers.control_tokens import find_control_token
from recipe.core.entities import (
    DEFAULT_FORMAT,
    IGNORED_TYPES,
    DataError,
    Entity,
    clean_types,
    has_lone_surrogate,
    normalize_type,
)
from recipe.core.ground_truth import from_ground_truth
from recipe.corpora import Reading
from recipe.corpora import datasets as corpora
from recipe.corpora.json_files import read_lines, read_list, read_text_lines
from recipe.corpora.records import Wrong, kind_of, read_entities, refuse
from recipe.corpora.texts import check_types, split_types

ENDINGS = (".txt", ".jsonl", ".json", ".parquet")
_COLUMNS = ("sentence", "text", "types", "schema", "entities", "source", "data_source", "reward_model")


def digest(*texts: str) -> str:
    """16 hex digits that depend on the texts alone."""
    return blake2b("\0".join(texts).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Row:
    """A text to annotate. `types` is None if the teacher chooses them, `gold` is None if the row has no gold."""

    sentence: str
    source: str
    types: tuple[str, ...] | None = None
    gold: tuple[Entity, ...] | None = None

    @property
    def id(self) -> str:
        """16 hex digits that only a row of the same content has."""
        return digest(json.dumps([self.source, self.sentence, self.types, self.gold_pairs]))

    @property
    def gold_pairs(self) -> list[list[str]] | None:
        """The gold as JSON: `[["Ada", "person"], ...]`."""
        return None if self.gold is None else [[entity.name, entity.type] for entity in self.gold]


def unaskable(row: Row, tokenizer: object = None) -> tuple[str, str] | None:
    """Why a teacher can't be asked about the row, as a reason and a line for people; None if it can be.

    A tokenizer finds the control tokens that only its own model knows.
    """
    names = [entity.name for entity in row.gold or ()]
    if any(has_lone_surrogate(text) for text in (row.sentence, *names)):
        return "lone_surrogate", "the text holds half of a surrogate pair"
    for text in (row.sentence, *names):
        if token := find_control_token(text, tokenizer):
            return "control_token", f"the text holds the control token {token!r}"
    return None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say which rows."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--input", type=Path, nargs="+", metavar="FILE", help=f"texts: {', '.join(ENDINGS)}")
    source.add_argument("--corpora", type=Path, metavar="DIR", help="a folder with a folder for each dataset")
    add = parser.add_argument
    add("--datasets", nargs="+", metavar="NAME", help="of --corpora; default: all that are there")
    add("--split", choices=corpora.SPLITS, default="train", help="of --corpora; default: train")
    add("--types", metavar="A,B", help="entity types for rows that bring none")
    add("--limit", type=int, metavar="N", help="the first N rows alone")


def open_rows(args: argparse.Namespace) -> Callable[[], Iterator[Row]]:
    """A function that reads the rows from the beginning, each as often as it is there.

    DataError for files that are not there; the function raises it for a record that can't be read.
    """
    types = split_types(args.types) if args.types is not None else None
    if args.corpora:
        found, missing = corpora.find_datasets(args.corpora, args.datasets)
        if missing:
            raise DataError(f"{args.corpora}: no dataset {', '.join(missing)}; name one that is there")
        for dataset in found:
            if not dataset.file(args.split).is_file() and not (dataset.may_lack_splits and not args.datasets):
                raise DataError(f"{dataset.file(args.split)}: no such file; name other --datasets or another --split")
        there = [dataset for dataset in found if dataset.file(args.split).is_file()]
        return lambda: (
            Row(example.sentence, example.dataset, example.types, example.entities)
            for dataset in there
            for example in corpora.read_dataset(dataset, args.split, Reading(format=DEFAULT_FORMAT))
        )
    if args.datasets:
        raise DataError("--datasets: names folders of --corpora; give that in place of --input")
    for path in args.input:
        if path.suffix.lower() not in ENDINGS:
            raise DataError(f"{path}: a file of texts ends with {', '.join(ENDINGS)}; rename or convert it")
        if not path.is_file():
            raise DataError(f"{path}: no such file")
    return lambda: (row for path in args.input for row in _of_file(path, types))


@dataclass(slots=True)
class Census:
    """What is there: different rows, and rows that were there before."""

    rows: int = 0
    repeated: int = 0


def distinct(rows: Iterable[Row], limit: int | None, census: Census | None = None) -> Iterator[tuple[str, Row]]:
    """Each row once with its id, the first `limit` of them; counted in `census`. Memory: 8 bytes of each id."""
    census, seen = census or Census(), set()
    for row in rows:
        key = row.id
        if (number := int(key, 16)) in seen:
            census.repeated += 1
            continue
        seen.add(number)
        census.rows += 1
        yield key, row
        if census.rows == limit:
            return


# --------------------------------------------------------------------------------------------------------- readers


def _of_file(path: Path, types: tuple[str, ...] | None) -> Iterator[Row]:
    for value, where in _records(path):
        try:
            row = _read(value, where, path.stem, types)
        except Wrong as wrong:
            refuse(where, wrong, None)
        else:
            if row.sentence.strip():
                yield row


def _records(path: Path) -> Iterator[tuple[object, str]]:
    ending = path.suffix.lower()
    if ending == ".parquet":
        yield from _parquet(path)
    elif ending == ".txt":
        for number, line in read_text_lines(path):
            yield {"text": line}, f"{path}, line {number}"
    else:
        for number, value in enumerate(read_lines(path) if ending == ".jsonl" else read_list(path), 1):
            yield value, f"{path}, record {number}"


def _parquet(path: Path) -> Iterator[tuple[dict, str]]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            there = [name for name in _COLUMNS if name in file.schema_arrow.names]
            if not {"sentence", "text", "reward_model"} & set(there):
                raise DataError(f"{path}: no column sentence or text, and no rows of data_prep; add one")
            index = 0
            for batch in file.iter_batches(batch_size=1024, columns=there):
                for record in batch.to_pylist():
                    yield {key: value for key, value in record.items() if value is not None}, f"{path}, row {index}"
                    index += 1
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: not a Parquet file that can be read") from error


def _read(value: object, where: str, name: str, types: tuple[str, ...] | None) -> Row:
    """The row of one record. Wrong or DataError for a record that is not a row."""
    if not isinstance(value, dict):
        raise Wrong("not_an_object", f"{kind_of(value)}, not an object")
    source = value.get("source", value.get("data_source")) or name
    if not isinstance(source, str) or has_lone_surrogate(source):
        raise Wrong("bad_source", "'source' is no string that can be written to a file")
    if "reward_model" in value:
        try:
            example = from_ground_truth(value["reward_model"]["ground_truth"])
        except (KeyError, TypeError, DataError) as error:
            raise DataError(f"{where}: no gold in reward_model; write the Parquet file again") from error
        return Row(example.sentence, source, example.types, example.entities)
    given = [key for key in ("sentence", "text") if key in value]
    if len(given) != 1 or not isinstance(value[given[0]], str):
        raise Wrong("bad_sentence", "it needs one string, 'sentence' or 'text'")
    own = value.get("types", value.get("schema"))
    types = types if own is None else check_types(own, where)
    if value.get("entities") is None:
        return Row(value[given[0]], source, types)
    types, gold = _gold(value["entities"], types, value[given[0]])
    return Row(value[given[0]], source, types, gold)


def _gold(
    records: object, types: tuple[str, ...] | None, sentence: str
) -> tuple[tuple[str, ...] | None, tuple[Entity, ...]]:
    """The types of a row, by default the types of its gold, and the gold."""
    first = records[0] if isinstance(records, list) and records and isinstance(records[0], dict) else {}
    name_key, type_key = ("name" if "name" in first else "text"), ("type" if "type" in first else "label")
    if types is None and isinstance(records, list):
        labels = [record.get(type_key) for record in records if isinstance(record, dict)]
        types = clean_types(normalize_type(label) for label in labels if isinstance(label, str)) or None
    ignored = IGNORED_TYPES - set(types or ())
    entities, _ = read_entities(records, name_key, type_key, types or (), ignored, sentence, Counter())
    return types, entities
