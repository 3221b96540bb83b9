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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from recipe import answers
from recipe.core.entities import DEFAULT_FORMAT, DataError
from recipe.corpora import Reading
from recipe.corpora import datasets as corpora
from recipe.corpora.json_files import read_lines, read_list, read_text_lines
from recipe.corpora.records import Wrong, refuse
from recipe.corpora.texts import check_types
from recipe.cot.records import Asked, read_row
from recipe.cot.row import Row, of_example

ENDINGS = (".txt", ".jsonl", ".json", ".parquet")
_COLUMNS = (
    "sentence", "text", "types", "schema", "relation_types", "entities", "relations", "events", "source", "data_source",
    "reward_model",
)  # fmt: skip


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


def _asked(args: argparse.Namespace) -> Asked:
    """What the options ask for. DataError for such as don't go together."""
    name = args.answer_format
    if name is not None:
        answers.check_task(name, args.task)
    elif args.task is not None:
        name = answers.formats_of(args.task)[0]
    types, relation_types = (_list(args, option) for option in ("types", "relation_types"))
    if relation_types is not None and types is None:
        raise DataError("--relation-types: go with --types, those of entities or events; name these, too")
    if types is not None and name is not None:
        answers.asked_types(name, types, relation_types or ())
    return Asked(name, types, relation_types or ())


def _list(args: argparse.Namespace, option: str) -> tuple[str, ...] | None:
    text = getattr(args, option)
    return None if text is None else check_types(text.split(","), f"--{option.replace('_', '-')}")


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
        of_example(replace(example, format=name))
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


def _of_file(path: Path, asked: Asked) -> Iterator[Row]:
    for value, where in _records(path):
        try:
            row = read_row(value, where, path.stem, asked)
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
