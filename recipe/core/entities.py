"""Entities, relations, labelled sentences and the rules for type names: the nouns every other module shares."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from recipe.core.text import visible

# Residual labels of the corpora: "everything else" is nothing one can ask a model for (ReasoningNER, data release).
IGNORED_TYPES = frozenset({"", "na", "n a", "misc", "else", "other", "nan"})


DEFAULT_FORMAT = "json"  # of ground truths that name none, too


class DataError(ValueError):
    """A user's input is wrong. The message is one line and names file, record and remedy."""


@dataclass(frozen=True, slots=True)
class Entity:
    """One mention: `Entity("Naloxone", "chemical")`. `name` is verbatim text, `type` is normalised.

    `start` is where the name begins in its sentence, in characters, if its source says so: then
    `sentence.startswith(name, start)`. It makes no difference to equality.
    """

    name: str
    type: str
    start: int | None = field(default=None, compare=False)

    @property
    def mentions(self) -> tuple[Entity, ...]:
        """What of it stands in the sentence: itself."""
        return (self,)

    @property
    def texts(self) -> tuple[str, ...]:
        """All that says what it is."""
        return self.name, self.type


@dataclass(frozen=True, slots=True)
class Relation:
    """Two mentions and what ties them: `Relation(Entity("Ada", "person"), "born in", Entity("London", "city"))`.

    `type` is normalised. That of a mention is "" where the source says none. Places make no difference to equality.
    """

    head: Entity
    type: str
    tail: Entity

    @property
    def name(self) -> str:
        """How it is shown: `"Ada → London"`."""
        return f"{self.head.name} → {self.tail.name}"

    @property
    def mentions(self) -> tuple[Entity, ...]:
        """What of it stands in the sentence: head and tail."""
        return self.head, self.tail

    @property
    def texts(self) -> tuple[str, ...]:
        """All that says what it is, but for the types of its mentions."""
        return self.head.name, self.type, self.tail.name


Fact = Entity | Relation  # what a row may ask for, and a rule count


def grouped(triggers: Iterable[Entity], arguments: Iterable[Relation]) -> list[tuple[Entity, list[Relation]]]:
    """Events: each trigger with its arguments, in the triggers' order.

    An argument belongs to the trigger that is the very object of its head, else to the first that is like it: of two
    triggers that are alike nothing else tells them apart, where the source gives no places. DataError for an argument
    of none of them.
    """
    triggers, own = tuple(triggers), {}
    of_object = {id(trigger) for trigger in triggers}
    for each in arguments:
        key = id(each.head) if id(each.head) in of_object else trigger_key(each.head)
        own.setdefault(key, []).append(each)
    events = [(one, [*own.pop(id(one), ()), *own.pop(trigger_key(one), ())]) for one in triggers]
    for lost in own.values():
        raise DataError(f"{lost[0].name!r}: an argument of a trigger that is none of the events")
    return events


def trigger_key(trigger: Entity) -> tuple[str, str, int | None]:
    """What tells a trigger from others: name, type and, where it is known, place."""
    return trigger.name, trigger.type, trigger.start


@dataclass(frozen=True, slots=True)
class Example:
    """One sentence, the types that may be asked for, and its gold in sentence order.

    `types` are of all facts that are asked for; the last of them, `relation_types`, are those of relations.
    """

    sentence: str
    types: tuple[str, ...]
    entities: tuple[Entity, ...] = ()
    dataset: str = ""
    reasoning: str | None = None
    format: str = DEFAULT_FORMAT  # the name of one of recipe.answers
    relations: tuple[Relation, ...] = ()
    relation_types: tuple[str, ...] = ()

    @property
    def facts(self) -> tuple[Fact, ...]:
        """All that is to be found."""
        return (*self.entities, *self.relations) if self.relations else self.entities

    @property
    def entity_types(self) -> tuple[str, ...]:
        """Those of `types` that entities may have."""
        return self.types[: len(self.types) - len(self.relation_types)]

    def lacks(self, entity: Entity) -> bool:
        """True for an entity without a place whose name the sentence doesn't hold."""
        return entity.start is None and entity.name not in self.sentence


@dataclass(frozen=True, slots=True)
class Answer:
    """What a completion says, however it said it.

    `reasoning` is None where there is no closed think block. `parsed` is False where nothing could be read without
    guessing; it then names nothing. `layout` is True only if the part after the reasoning is the answer layout
    itself, with nothing repaired; `types` are then all types it names, those without a name among them.
    """

    entities: tuple[Entity, ...] = ()
    reasoning: str | None = None
    parsed: bool = False
    layout: bool = False
    types: tuple[str, ...] = field(default=(), compare=False)
    relations: tuple[Relation, ...] = ()

    @property
    def facts(self) -> tuple[Fact, ...]:
        """All that it names."""
        return (*self.entities, *self.relations) if self.relations else self.entities


@lru_cache(maxsize=1024)  # a dataset has few
def normalize_type(label: str) -> str:
    r"""`" Location\u200b"` -> `"location"`: lower case, as it is seen."""
    return visible(label).lower()


def clean_types(labels: Iterable[str]) -> tuple[str, ...]:
    """Normalised, sorted, without repeats and without the residual labels; may be empty."""
    return tuple(sorted({normalize_type(label) for label in labels} - IGNORED_TYPES))


def has_lone_surrogate(text: str) -> bool:
    """True for text that no UTF-8 file can hold: half of a surrogate pair."""
    if text.isascii():
        return False
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False
