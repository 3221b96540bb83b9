"""Published figures: micro F1 in percent by dataset, each with the label names that it was obtained on.

    of_protocol("zero_shot_7")[0]
    Published(system="GPT-4", protocol="zero_shot_7", labels="not stated", figures={"mit-movie": 60.4, ...},
              average=60.1, source="ReasoningNER (Huang et al., AAAI 2026), table 1, quoted")

They are in published.yaml. A model scores otherwise on other names of the same types, so figures with different
`labels` never share a column.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

INSTRUCTUIE = "InstructUIE"  # the label names that can be checked


@dataclass(frozen=True, slots=True)
class Published:
    """One system under one protocol. `figures` may be empty where only the average was published, and the reverse."""

    system: str
    protocol: str
    labels: str
    figures: Mapping[str, float] = field(default_factory=dict)
    average: float | None = None  # as printed; a mean of rounded figures can be off by 0.1
    source: str = ""


def of_protocol(name: str) -> tuple[Published, ...]:
    """The figures published under a protocol, in their order there."""
    return tuple(row for row in published() if row.protocol == name)


@functools.cache
def published() -> tuple[Published, ...]:
    """All of them."""
    return tuple(Published(protocol=name, **row) for name, rows in _table()["figures"].items() for row in rows)


def instructuie_types() -> Mapping[str, tuple[str, ...]]:
    """InstructUIE's names of the types by dataset: what rows must have for the columns of that name."""
    return {name: tuple(types) for name, types in _table()["instructuie_types"].items()}


@functools.cache
def _table() -> dict:
    import yaml

    return yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
