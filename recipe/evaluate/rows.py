"""Evaluation rows: read from Parquet, grouped into the sentences that are scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from recipe import answers
from recipe.answers import one_type
from recipe.answers.queries import group, merge
from recipe.core.entities import Answer, DataError, Example
from recipe.core.garbage import uncollected
from recipe.core.ground_truth import from_ground_truth
from recipe.evaluate.tool_answers import read_answer
from recipe.generate.predictions import Prediction

if TYPE_CHECKING:
    import pyarrow

COLUMNS = ("data_source", "prompt", "reward_model")
_REMEDY = "write it with: python data_prep/to_parquet.py {}"


@dataclass(frozen=True, slots=True)
class Row:
    """One evaluation row: its position in the Parquet file, its dataset, its prompt and the gold."""

    index: int
    dataset: str
    messages: tuple[dict[str, str], ...]
    example: Example


@uncollected()
def read_rows(path: Path, limit: int | None = None, prompts: bool = True, step: str = "eval") -> list[Row]:
    """The rows of an evaluation file, or those about the first `limit` sentences of each of its datasets.

    Without `prompts` these are checked and no row has them, which takes a third of the time and memory.
    Rows for GRPO are alike; `step` of data preparation writes the file. DataError for a file or a row that
    data_prep/to_parquet.py did not write.
    """
    import pyarrow

    remedy = _REMEDY.format(step)
    try:
        table = _read_table(path, remedy)
        records = None if prompts else _without_prompts(table)
        records = table.to_pylist() if records is None else records
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: not a Parquet file that can be read; {remedy}") from error
    if not records:
        raise DataError(f"{path}: no rows in it; {remedy}")
    rows = []
    for index, record in enumerate(records):
        try:
            rows.append(_read_row(index, record) if isinstance(record, dict) else gold_row(index, *record))
        except DataError as error:
            raise DataError(f"{path}, row {index}: {error}") from error
    return rows if limit is None else first_rows(rows, limit)


def read_gold(path: Path) -> list[tuple[str, str]]:
    """Dataset and ground truth of each row, which `gold_row` reads; none unless all rows of the file are whole."""
    import pyarrow

    try:
        return _without_prompts(_read_table(path, _REMEDY.format("eval"))) or []
    except pyarrow.ArrowException:
        return []


def _read_table(path: Path, remedy: str) -> pyarrow.Table:
    from pyarrow import parquet

    if not path.is_file():
        raise DataError(f"{path}: no such file; {remedy}")
    file = parquet.ParquetFile(path)
    if missing := [column for column in COLUMNS if column not in file.schema_arrow.names]:
        raise DataError(f"{path}: no column {', '.join(missing)}; {remedy}")
    return file.read(columns=list(COLUMNS))


def first_rows(rows: Sequence[Row], limit: int) -> list[Row]:
    """The rows about the first `limit` sentences of each dataset."""
    kept, seen = [], Counter()
    for positions in by_sentence(rows):
        dataset = rows[positions[0]].dataset
        seen[dataset] += 1
        if seen[dataset] <= limit:
            kept += positions
    return [rows[position] for position in sorted(kept)]


@uncollected()
def by_sentence(rows: Sequence[Row]) -> list[list[int]]:
    """The positions of the rows about each sentence: one, unless a row asks about one type alone."""
    if not _about_one_type(rows):
        return [[position] for position in range(len(rows))]
    return group(replace(row.example, dataset=row.dataset) for row in rows)


def _about_one_type(rows: Iterable[Row]) -> bool:
    return any(map(one_type, {row.example.format for row in rows}))


@dataclass(frozen=True, slots=True)
class AnsweredSentences:
    """What is scored: a row for each sentence, and its completion, or what a tool found in it.

    `unread` says how many of the answers behind each completion can't be read, and `asked` how many questions there
    were, both None unless rows ask about single types.
    """

    rows: list[Row]
    outputs: list[str | Answer]
    unread: list[int] | None = None
    asked: int | None = None


def whole_sentences(rows: Sequence[Row], predictions: Mapping[int, Prediction]) -> AnsweredSentences:
    """The sentences of the rows, each with its completion.

    Answers about single types become one, in the default format. Such a row has the index of its first question. An
    answer that can't be read names nothing; where none can, the sentence's is unparsable. DataError for a tool's
    entities that don't fit the sentence.
    """
    outputs = [output_of(row, predictions[row.index]) for row in rows]
    if not _about_one_type(rows):
        return AnsweredSentences(list(rows), outputs)
    merged_rows, completions, unread = [], [], []
    for positions in by_sentence(rows):
        asked = [rows[position] for position in positions]
        examples, given = [row.example for row in asked], [outputs[position] for position in positions]
        by_tool = any(isinstance(output, Answer) for output in given)
        merged = merge(examples, [""] * len(given) if by_tool else given)
        output, unparsable = _together(examples, given) if by_tool else (merged.completion, merged.unparsable)
        merged_rows.append(replace(asked[0], example=merged.example))
        completions.append(output)
        unread.append(unparsable)
    return AnsweredSentences(merged_rows, completions, unread, len(rows))


def output_of(row: Row, prediction: Prediction) -> str | Answer:
    """What was predicted for a row: a completion, or a tool's answer. DataError for one that doesn't fit the row."""
    if prediction.entities is not None and row.example.relation_types:
        raise DataError(f"entities of a tool, and row {row.index} asks for relations; give a completion as output")
    return prediction.output if prediction.entities is None else read_answer(row.example.sentence, prediction)


def _together(questions: Sequence[Example], outputs: Sequence[str | Answer]) -> tuple[Answer, int]:
    """What was found in one sentence, of whose questions some were answered by a tool, and the answers not read.

    An entity of another type than its question's is off-schema; its type then says so, as the sentence asks for more.
    """
    entities, thoughts, unparsable = [], [], 0
    for question, output in zip(questions, outputs, strict=True):
        answer = output if isinstance(output, Answer) else answers.parse(output, question)
        unparsable += not answer.parsed
        thoughts += [answer.reasoning] if answer.reasoning else []
        for entity in answer.entities:
            asked = entity.type in question.types
            label = entity.type if asked else f"{entity.type} (asked for {', '.join(question.types)})"
            entities.append(replace(entity, type=label))
    return Answer(tuple(entities), "\n".join(thoughts) or None, parsed=True), unparsable


def _read_row(index: int, record: dict) -> Row:
    dataset, prompt, reward_model = (record[column] for column in COLUMNS)
    if not isinstance(dataset, str):
        raise DataError("no data_source; name the dataset")
    if not isinstance(prompt, list) or not prompt or not all(_is_message(message) for message in prompt):
        raise DataError("prompt is not a list of {role, content}; write the Parquet file again")
    if not isinstance(reward_model, dict) or "ground_truth" not in reward_model:
        raise DataError("reward_model has no ground_truth; write the Parquet file again")
    return Row(index, dataset, tuple(prompt), from_ground_truth(reward_model["ground_truth"]))


def gold_row(index: int, dataset: str, ground_truth: str) -> Row:
    """A row without its prompt; DataError for another ground truth than data_prep/to_parquet.py writes."""
    return Row(index, dataset, (), from_ground_truth(ground_truth))


def _without_prompts(table: pyarrow.Table) -> list[tuple[str, str]] | None:
    """Dataset and ground truth of each row; None unless all of a table's rows are whole."""
    import pyarrow
    from pyarrow import compute

    def whole(column: pyarrow.ChunkedArray) -> bool:
        return column.null_count == 0 and (pyarrow.types.is_string(column.type) or not len(column))

    datasets, prompts, gold = (table[column] for column in COLUMNS)
    try:
        lengths, messages = compute.list_value_length(prompts), compute.list_flatten(prompts)
        texts = [datasets, *(compute.struct_field(messages, key) for key in ("role", "content"))]
        texts.append(compute.struct_field(gold, "ground_truth"))
    except (pyarrow.ArrowException, TypeError):
        return None
    if not prompts.null_count == messages.null_count == gold.null_count == 0 or not compute.min(lengths).as_py():
        return None
    if not all(map(whole, texts)):
        return None
    return list(zip(datasets.to_pylist(), texts[-1].to_pylist(), strict=True))


def _is_message(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(key), str) for key in ("role", "content"))
