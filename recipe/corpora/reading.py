"""How a corpus is read: which types and columns count, what reasoning examples carry, and what a bad record does."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recipe.core.align import place
from recipe.core.entities import DataError, Example
from recipe.corpora.records import Wrong, ignored_types, refuse


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a CoNLL file hold token and tag: from 1, or from the end below 0.

    `chosen` by the user, or where they usually are, which a file may say otherwise.
    """

    token: int = 1
    tag: int = -1
    chosen: bool = field(default=False, compare=False)


FIRST_AND_LAST = Columns()


@dataclass(frozen=True, slots=True)
class Reading:
    """What every layout's reader goes by.

    keep_else  `else`, `misc` and `other` are types like any other; without it, their entities are left out
    cot        "template" builds reasoning from the gold, "none" leaves out the corpus's own, anything else keeps it
    join       stands between the tokens of a sentence; None: a space, or nothing in a script without spaces
    tags       the names of tags that a file has as numbers, from 0; None: as the file says
    type_name  the type of entities whose tags say only where they begin and go on
    format     the answer format that is to be asked in; None: the first of the layout's task
    skipped    counts bad records by reason and goes on; None: the first bad record raises DataError
    noted      counts what is kept but worth knowing: `residual_entity` (an entity that was left out for its type),
               `name_not_in_sentence`, `nothing_asked` (a record that leaves no type to ask for: it is left out),
               `repaired_entity` (tags in no right order), `repeated_entity` (the same mention twice, kept once),
               `no_relation` (a relation whose label says that there is none), `residual_relation`,
               `repeated_relation`, and what recipe.corpora.records.spelled counts
    """

    keep_else: bool = False
    columns: Columns = FIRST_AND_LAST
    cot: str | None = None
    join: str | None = None
    tags: tuple[str, ...] | None = None
    type_name: str | None = None
    format: str | None = None
    skipped: Counter | None = None
    noted: Counter | None = None

    @property
    def ignored(self) -> frozenset[str]:
        """The labels that name no type."""
        return ignored_types(self.keep_else)

    def note(self, what: str, number: int) -> None:
        """Count what is worth knowing."""
        if number and self.noted is not None:
            self.noted[what] += number

    def note_all(self, counts: Counter) -> None:
        """Add counts of what is worth knowing."""
        if counts and self.noted is not None:
            self.noted.update(counts)

    def examples(
        self,
        path: Path,
        records: Iterable[tuple[int, Any]],
        read: Callable[[Any], tuple[Example | None, int]],
        unit: str = "record",
    ) -> Iterator[Example]:
        """The examples of a file's numbered records; `unit` says what the numbers count.

        `read` gives an example, or None for a record that asks about no type, and the number of residual entities. It
        raises Wrong for a bad record.
        """
        for number, record in records:
            try:
                example, residual = read(record)
            except Wrong as wrong:
                refuse(f"{path}: {unit} {number}", wrong, self.skipped)
                continue
            self.note("residual_entity", residual)
            if example is not None:
                self.note("name_not_in_sentence", _without_place(example))
                yield example

    def types(self, path: Path, names: Collection[str], remedy: str) -> tuple[str, ...]:
        """The types among normalised names, sorted. DataError, with the file and the remedy, if none is left."""
        types = tuple(sorted(set(names) - self.ignored))
        if not types:
            raise DataError(f"{path}: leaves no type to ask for ({len(names)} labels); {remedy}")
        return types


def _without_place(example: Example) -> int:
    """How many entities stand nowhere in the sentence: their names aren't there, or not so often."""
    if None not in [entity.start for entity in example.entities]:
        return 0
    lacking = list(map(example.lacks, example.entities))
    if len({(entity.name, entity.type) for entity in example.entities}) == len(lacking):
        return sum(lacking)
    places = place(example.sentence, example.entities)
    return sum(absent or span is None for absent, span in zip(lacking, places, strict=True))


STRICT = Reading()
