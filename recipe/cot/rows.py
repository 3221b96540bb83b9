"""The rows to annotate: texts with gold, with types to look for, or with neither, read one after the other.

    .txt              a text a line
    .jsonl, .json     {"sentence": "Ada met Bob .", "types": ["person"], "source": "news",
                       "entities": [{"name": "Ada", "type": "person"}]}, a line each or a list; all but the sentence may
                       be missing; "text" for "sentence", "schema" for "types", "text" and "label" in entities do too
    .parquet          the same as columns, or the rows of data_prep/to_parquet.py grpo and eval, whose gold is theirs
    --corpora         a folder of corpora (recipe.corpora.datasets): gold, and the types of each dataset

Rows may ask for relations or events: recipe.corpora.own_types shows their gold, and "relation_types" are the types of
relations or the roles. --task says what is asked for, else the first row does; all rows of a run are asked for that.

A row without types takes those of --types and --relation-types, else the types of its gold. Without either the teacher
chooses. A row that occurs twice counts once, and an empty text is no row.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from recipe import answers
from recipe.answers.control_tokens import find_control_token
from recipe.core.entities import (
    DEFAULT_FORMAT,
    IGNORED_TYPES,
    DataError,
    Entity,
    Example,
    Fact,
    Relation,
    clean_types,
    has_lone_surrogate,
    normalize_type,
)
from recipe.core.ground_truth import from_ground_truth
from recipe.corpora import Reading, own_types
from recipe.corpora import datasets as corpora
from recipe.corpora.json_files import read_lines, read_list, read_text_lines
from recipe.corpora.reading import STRICT
from recipe.corpora.records import Wrong, kind_of, read_entities, refuse
from recipe.corpora.texts import check_types, split_types
from recipe.cot.facts import to_texts

ENDINGS = (".txt", ".jsonl", ".json", ".parquet")
_COLUMNS = (
    "sentence", "text", "types", "schema", "relation_types", "entities", "relations", "events", "source", "data_source",
    "reward_model",
)  # fmt: skip


def digest(*texts: str) -> str:
    """16 hex digits that depend on the texts alone."""
    return blake2b("\0".join(texts).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Row:
    """A text to annotate in an answer format. `types` is None if the teacher chooses them, `gold` is None without gold.

    As in an Example, the last of `types` are those of relations.
    """

    sentence: str
    source: str
    types: tuple[str, ...] | None = None
    gold: tuple[Fact, ...] | None = None
    format: str = DEFAULT_FORMAT
    relation_types: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """16 hex digits that only a row of the same content has."""
        content = [self.source, self.sentence, self.types, self.gold_texts]
        if self.format != DEFAULT_FORMAT:
            content += [self.format, self.relation_types]
        return digest(json.dumps(content))

    @property
    def gold_texts(self) -> list[list[str]] | None:
        """The gold as JSON: `[["Ada", "person"], ...]` (recipe.cot.facts)."""
        return None if self.gold is None else [*map(to_texts, self.gold)]

    @property
    def example(self) -> Example:
        """The row with its gold; of types that the teacher chooses there are none."""
        gold = self.gold or ()
        entities = tuple(fact for fact in gold if isinstance(fact, Entity))
        relations = tuple(fact for fact in gold if isinstance(fact, Relation))
        types = self.types or ()
        return Example(self.sentence, types, entities, self.source, None, self.format, relations, self.relation_types)


def _row(example: Example) -> Row:
    """The row of an example with gold."""
    return Row(example.sentence, example.dataset, example.types, example.facts, example.format, example.relation_types)


def unaskable(row: Row, tokenizer: object = None) -> tuple[str, str] | None:
    """Why a teacher can't be asked about the row, as a reason and a line for people; None if it can be.

    A tokenizer finds the control tokens that only its own model knows.
    """
    names = [mention.name for fact in row.gold or () for mention in fact.mentions]
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
    add("--task", choices=answers.TASKS, help="names, relations or events; default: what the first row is for")
    formats = ", ".join(answers.formats_of(task)[0] for task in answers.TASKS)
    add("--answer-format", choices=tuple(answers.FORMATS), help=f"of the task; default: {formats}")
    add("--types", metavar="A,B", help="types of entities or events, or of relations alone, for rows that bring none")
    add("--relation-types", metavar="A,B", help="types of relations, or roles of an event's arguments, beside --types")
    add("--limit", type=int, metavar="N", help="the first N rows alone")


def open_rows(args: argparse.Namespace) -> Callable[[], Iterator[Row]]:
    """A function that reads the rows from the beginning, each as often as it is there.

    DataError for files that are not there; the function raises it for a record that can't be read.
    """
    asked = _asked(args)
    if args.corpora:
        return _of_corpora(args, asked.format)
    if args.datasets:
        raise DataError("--datasets: names folders of --corpora; give that in place of --input")
    for path in args.input:
        if path.suffix.lower() not in ENDINGS:
            raise DataError(f"{path}: a file of texts ends with {', '.join(ENDINGS)}; rename or convert it")
        if not path.is_file():
            raise DataError(f"{path}: no such file")

    def read() -> Iterator[Row]:
        of_rows = replace(asked)  # the first row may say what is asked
        return (row for path in args.input for row in _of_file(path, of_rows))

    return read


@dataclass(slots=True)
class _Asked:
    """What rows are asked: in `format`, which the first row says where it is None, and for types that a row lacks."""

    format: str | None
    types: tuple[str, ...] | None = None
    relation_types: tuple[str, ...] = ()


def _asked(args: argparse.Namespace) -> _Asked:
    """What the options ask for. DataError for such as don't go together."""
    name = args.answer_format
    if name is not None:
        answers.check_task(name, args.task)
    elif args.task is not None:
        name = answers.formats_of(args.task)[0]
    types, relation_types = (None if each is None else split_types(each) for each in (args.types, args.relation_types))
    if relation_types is not None and types is None:
        raise DataError("--relation-types: go with --types, those of entities or events; name these, too")
    if types is not None and name is not None:
        answers.asked_types(name, types, relation_types or ())
    return _Asked(name, types, relation_types or ())


def _of_corpora(args: argparse.Namespace, name: str | None) -> Callable[[], Iterator[Row]]:
    found, missing = corpora.find_datasets(args.corpora, args.datasets, task=name and answers.task(name))
    if missing:
        raise DataError(f"{args.corpora}: no dataset {', '.join(missing)}; name one that is there")
    for dataset in found:
        if not dataset.file(args.split).is_file() and not (dataset.may_lack_splits and not args.datasets):
            raise DataError(f"{dataset.file(args.split)}: no such file; name other --datasets or another --split")
    there = [dataset for dataset in found if dataset.file(args.split).is_file()]
    name = name or (corpora.common_format(there) if there else DEFAULT_FORMAT)
    return lambda: (
        _row(replace(example, format=name))
        for dataset in there
        for example in corpora.read_dataset(dataset, args.split, Reading(format=name))
    )


@dataclass(slots=True)
class Census:
    """What is there: different rows, rows that were there before, and the answer format of all."""

    rows: int = 0
    repeated: int = 0
    format: str = DEFAULT_FORMAT


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
        census.format = row.format
        yield key, row
        if census.rows == limit:
            return


# --------------------------------------------------------------------------------------------------------- readers


def _of_file(path: Path, asked: _Asked) -> Iterator[Row]:
    for value, where in _records(path):
        try:
            row = _read(value, where, path.stem, asked)
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


def _read(value: object, where: str, name: str, asked: _Asked) -> Row:
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
        name = _format(asked, answers.task(example.format), example.format, names=True)
        return _asked_in(replace(example, dataset=source), name)
    given = [key for key in ("sentence", "text") if key in value]
    if len(given) != 1 or not isinstance(value[given[0]], str):
        raise Wrong("bad_sentence", "it needs one string, 'sentence' or 'text'")
    value = {**value, "sentence": value[given[0]]}
    of_row = own_types.task_of(value)
    named = value.get("entities") is not None
    format = _format(asked, of_row, names=named)
    types, relation_types = _types(value, where, format, asked)
    task = answers.task(format)
    if task == "ner" and named:
        types, gold = _gold(value["entities"], types, value["sentence"])
        return Row(value["sentence"], source, types, gold)
    if task == "ner" or task != of_row:
        return Row(value["sentence"], source, types, format=format, relation_types=relation_types)
    both, kinds = answers.two_kinds(format), (None, None)
    if types is not None:  # of relations alone, entities may be of any type
        kinds = types[: len(types) - len(relation_types)] if both else None, relation_types
    example = own_types.example_with(value, task, *kinds, source, STRICT)
    if example.relations or (example.relation_types and (example.entity_types or not both)):
        return _asked_in(example, format)
    return Row(value["sentence"], source, None, example.facts if both else example.relations, format)


def _format(asked: _Asked, task: str, own: str | None = None, *, names: bool) -> str:
    """The answer format that a row is asked in. `task`: what it has, "ner" where it has no gold; `own`: its format.

    Wrong for a row of another task than is asked for, unless it has names and these are asked for.
    """
    format = DEFAULT_FORMAT if task == "ner" else own or answers.formats_of(task)[0]
    if asked.format is None:
        asked.format = format
    wanted = answers.task(asked.format)
    if wanted != task != "ner" and not (wanted == "ner" and names):
        has, whose = (answers.subject(each).lower() for each in (format, asked.format))
        raise Wrong("other_task", f"has {has}, and {whose} are asked for (--task {wanted})")
    return asked.format


def _asked_in(example: Example, format: str) -> Row:
    """The row of an example with gold, asked in a format. Wrong where its source doesn't say what that needs."""
    try:
        example = answers.asked_in(example, format)
    except DataError as error:
        raise Wrong("other_task", str(error).removeprefix(f"{example.dataset}: ")) from error
    if not example.types:
        raise Wrong("other_task", f"asks for no {answers.subject(format).lower()}")
    return _row(example)


def _types(value: dict, where: str, format: str, asked: _Asked) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """All types that a record is asked for, or None, and the last of them, those of relations."""
    own, own_relation_types = value.get("types", value.get("schema")), value.get("relation_types")
    if own is None and own_relation_types is None:
        if asked.types is None:
            return None, ()
        if asked.relation_types and answers.task(format) == "ner":
            raise DataError("--relation-types: named entities have none; say --task, too")
        return answers.asked_types(format, asked.types, asked.relation_types)
    own = check_types(own, where) if own or own_relation_types is None else ()
    own_relation_types = check_types(own_relation_types, where) if own_relation_types is not None else ()
    if answers.two_kinds(format):
        if not own or not own_relation_types:
            raise Wrong("bad_types", "it needs both 'types', of entities or events, and 'relation_types', or neither")
        return (*own, *own_relation_types), own_relation_types
    if answers.task(format) == "ner":
        return check_types(own, where), ()
    return own_relation_types or own, own_relation_types or own


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
