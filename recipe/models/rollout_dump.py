"""verl's dumps of a GRPO run's answers: RUN/rollouts/STEP.jsonl and RUN/validation/STEP.jsonl, one line an answer.

    {"input": "user\\nYou are ...", "output": "<think>...", "gts": "{\\"types\\": [...], ...}", "score": 6.0, "step": 3,
     "uid": "2b3a62dd-a848-4b32-9236-dba220103cb4_5_0"}

The answers to one prompt of a step share their `uid` up to the last two numbers. `gts` is what recipe.core.entities
writes; validation lines also have `data_source` and the parts of the reward, of which `f1` is read. A run of days
leaves gigabytes: files are read line by line.
"""

import json
import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recipe.core.entities import DataError, Example
from recipe.core.ground_truth import from_ground_truth


@dataclass(frozen=True, slots=True)
class Answered:
    """One line of a dump: the answer to a prompt at a step, with its score and, in validation, its F1."""

    step: int
    prompt: str  # what the answers to one prompt have in common: their uid's stem, or the prompt itself
    input: str
    output: str
    example: Example
    score: float
    f1: float | None = None
    dataset: str = ""


def dumps(folder: Path) -> dict[int, Path]:
    """Step -> its dump, ascending."""
    return dict(sorted((int(path.stem), path) for path in Path(folder).glob("*.jsonl") if path.stem.isdigit()))


def read_dump(path: Path, by_input: bool = False) -> Iterator[Answered]:
    """The answers of one dump. DataError names a line that is no answer.

    A last line that was cut off, in a dump that is being written or was left by a killed run, is passed over. With
    `by_input` answers belong together that have the same prompt: in validation a uid lasts for one step alone.
    """
    with Path(path).open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                record = json.loads(line.decode("utf-8"))
            except (ValueError, RecursionError) as error:
                if not line.endswith(b"\n"):
                    return
                raise DataError(f"{path}, line {number}: not JSON; move the file away, or remove that line") from error
            try:
                yield _answered(int(path.stem), record, by_input)
            except DataError as error:
                raise DataError(f"{path}, line {number}: {error}") from error


def _answered(step: int, record: object, by_input: bool) -> Answered:
    if not isinstance(record, dict):
        raise DataError("not an object; is it a dump of verl?")
    for key in ("input", "output", "gts"):
        if not isinstance(record.get(key), str):
            raise DataError(f"no {key} in it; is it a dump of verl, of a run on data of data_prep/to_parquet.py?")
    if (score := _figure(record.get("score"))) is None:
        raise DataError("no score in it that is a number; is it a dump of verl?")
    uid, dataset = record.get("uid"), record.get("data_source")
    example = from_ground_truth(record["gts"])
    # verl adds two numbers to a prompt's uid, of the rollout and of its output: 2b3a62dd_5_0.
    prompt = re.sub(r"_\d+_\d+\Z", "", uid) if isinstance(uid, str) and not by_input else record["input"]
    # Interned: a prompt is in every dump of the run, and what `scan` keeps of it is this one string.
    return Answered(
        step, sys.intern(prompt), record["input"], record["output"], example, score, _figure(record.get("f1")),
        dataset if isinstance(dataset, str) else "",
    )  # fmt: skip


def _figure(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
