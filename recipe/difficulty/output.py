"""What a folder of samples holds beside them: a table of all rows, and the rows that a model can learn from.

rows.parquet     every sampled row: verl's columns, then index, samples, mean_f1, spread, unreadable, names_nothing,
                 gold_empty; its metadata say how the samples were made and scored
train.parquet    the rows that are kept, with the columns of the file that they are from; manifest.json describes it
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.core.entities import DataError
from recipe.core.files import sha256, whole
from recipe.core.output import read_manifest, staged, write_manifest
from recipe.difficulty.scores import Difficulty
from recipe.evaluate.rows import Row, read_rows
from recipe.generate.samples import FILE, settings_of

if TYPE_CHECKING:
    import pyarrow

COMMAND = "difficulty"
ROWS, TRAIN = "rows.parquet", "train.parquet"
VERL = ("data_source", "prompt", "ability", "reward_model", "extra_info")
_KEY = b"reasoning_ner.samples"
_INHERITED = ("arguments", "drop_else", "hub", "protocol", "wordings")  # what later stages are told of the rows


@dataclass(frozen=True, slots=True)
class Scoring:
    """How the samples behind a table of rows were made and scored.

    `rows` is what the manifest beside the rows' own file says of each of them: options, wordings, protocol.
    """

    sampling: Mapping[str, object]
    samples: int
    matching: str
    rows: Mapping[str, object]

    @classmethod
    def of(cls, out: Path, data: Path, samples: int, matching: str) -> Scoring:
        """What is known once the samples of the file `data` are in `out`."""
        entry = read_manifest(data.parent).get(data.name, {})
        return cls(settings_of(out)[0], samples, matching, {key: entry[key] for key in _INHERITED if key in entry})

    def entry(self, command: str, versions: Mapping[str, str], datasets: Mapping[str, Mapping]) -> dict[str, object]:
        """What the manifest says of rows that were chosen by the samples."""
        sampling = {**self.sampling, "samples": self.samples, "matching": self.matching}
        return {**self.rows, "command": command, "sampling": sampling, "versions": versions, "datasets": datasets}


def check_columns(data: Path) -> None:
    """DataError for a Parquet file that lacks a column that verl's GRPO reads."""
    from pyarrow import parquet

    missing = [name for name in VERL if name not in parquet.read_schema(data).names]
    if missing:
        remedy = "write it with: python data_prep/to_parquet.py grpo"
        raise DataError(f"{data}: no column {', '.join(missing)}; {remedy}")


def write_rows(out: Path, data: Path, difficulties: Sequence[Difficulty], scoring: Scoring) -> None:
    """OUT/rows.parquet, whole or not at all."""
    import pyarrow as pa
    from pyarrow import parquet

    table = _taken(data, difficulties).select(list(VERL))
    size = scoring.samples
    columns = {
        "index": pa.array([each.index for each in difficulties], pa.int64()),
        "samples": pa.array([size] * len(difficulties), pa.int64()),
        "mean_f1": [each.mean for each in difficulties],
        "spread": [each.spread for each in difficulties],
        "unreadable": [each.unreadable / size for each in difficulties],
        "names_nothing": [each.silent / size for each in difficulties],
        "gold_empty": [each.gold_empty for each in difficulties],
    }
    for name, values in columns.items():
        table = table.append_column(name, values if isinstance(values, pa.Array) else pa.array(values))
    metadata = {**(table.schema.metadata or {}), _KEY: json.dumps(asdict(scoring), sort_keys=True).encode()}
    with whole(out / ROWS) as work:
        parquet.write_table(table.replace_schema_metadata(metadata), work, compression="zstd")


def read_scoring(folder: Path) -> Scoring:
    """How the samples behind a folder's rows.parquet were made and scored.

    DataError for a folder without the two, and where the samples that are there now were made otherwise.
    """
    import pyarrow as pa
    from pyarrow import parquet

    sampling, _ = settings_of(folder)
    remedy = f"finish the samples: python -m recipe.difficulty ... --out {folder}"
    try:
        told = json.loads((parquet.read_metadata(folder / ROWS).metadata or {})[_KEY])
        scoring = Scoring(**told)
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder / ROWS}: not there, or not of recipe.difficulty; {remedy}") from error
    if scoring.sampling != sampling:
        raise DataError(f"{folder / ROWS}: of other samples than {FILE} holds; {remedy}")
    return scoring


def read_sampled(folder: Path) -> tuple[list[Row], Scoring]:
    """The rows of a folder's rows.parquet, `index` being the place in their own file, and how they were scored."""
    from pyarrow import parquet

    scoring, path = read_scoring(folder), folder / ROWS
    places = parquet.read_table(path, columns=["index"])["index"].to_pylist()
    rows = read_rows(path, step="grpo")
    return [replace(row, index=place) for row, place in zip(rows, places, strict=True)], scoring


def write_train(
    out: Path, data: Path, difficulties: Sequence[Difficulty], scoring: Scoring, min_spread: float, max_mean: float
) -> int:
    """OUT/train.parquet and its entry in OUT/manifest.json; the number of rows. DataError where none would be kept."""
    from pyarrow import parquet

    kept = [each for each in difficulties if not each.dropped(min_spread, max_mean)]
    reasons = {
        name: Counter(each.dropped(min_spread, max_mean) for each in rows)
        for name, rows in by_dataset(difficulties).items()
    }
    if not kept:
        told = ", ".join(f"{number:,} {reason}" for reason, number in sum(reasons.values(), Counter()).most_common())
        raise DataError(
            f"{data}: no row is kept of {len(difficulties):,} ({told}), so GRPO would learn nothing from them; sample "
            f"more or hotter, or train the model further first. {out / ROWS} has each row"
        )
    datasets = {
        name: {"records": counts.total(), "written": counts.pop(None, 0), "dropped": dict(sorted(counts.items()))}
        for name, counts in reasons.items()
    }
    entry = scoring.entry(COMMAND, settings_of(out)[1], datasets)
    entry |= {"selection": {"min_spread": min_spread, "max_mean": max_mean}, "sources": {str(data): sha256(data)}}
    with staged(out) as stage:
        parquet.write_table(_taken(data, kept), stage / TRAIN, compression="zstd")
        write_manifest(stage, out, {TRAIN: {**entry, "rows": len(kept), "sha256": sha256(stage / TRAIN)}})
    return len(kept)


def by_dataset(difficulties: Iterable[Difficulty]) -> dict[str, list[Difficulty]]:
    """The rows of each dataset, by name."""
    found: dict[str, list[Difficulty]] = {}
    for each in difficulties:
        found.setdefault(each.dataset, []).append(each)
    return dict(sorted(found.items()))


def _taken(data: Path, rows: Iterable[Difficulty]) -> pyarrow.Table:
    """These rows of a file, with all its columns."""
    from pyarrow import parquet

    return parquet.read_table(data).take([row.index for row in rows])
