"""A sentence as a layout reads it: its text and the mentions in it, with the labels as they are written.

Annotated("EU rejects", (Mention("ORG", 0, 2),))
of_tokens(["EU", "rejects"], [(0, 1, "ORG")])           # the same
Annotated("Ada of Rome", (Mention("PER", 0, 3), Mention("LOC", 7, 11)), ties=(Tie(0, "Lives_In", 1),))
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from recipe.core.entities import Entity, Example, Relation, has_lone_surrogate, normalize_type
from recipe.core.text import UNSPACED
from recipe.corpora.reading import Reading
from recipe.corpora.records import NO_RELATION, Wrong, check_text, in_text_order, spelled, unknown_type


@dataclass(frozen=True, slots=True)
class Mention:
    """`text[start:end]` has this label; `name` where the source gives it, alone (start and end None) or besides."""

    label: str
    start: int | None = None
    end: int | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Tie:
    """A relation: which mention is its head, which its tail, from 0, and its label."""

    head: int
    label: str
    tail: int


@dataclass(frozen=True, slots=True)
class Annotated:
    """A text and its mentions.

    ties      the relations between them
    types     what may be asked of this text alone; None for all types of the dataset
    noted     what is worth knowing of the record, each counted once
    left_out  the record says that it is no example; its text may be empty
    """

    text: str
    mentions: tuple[Mention, ...] = ()
    types: tuple[str, ...] | None = None
    noted: tuple[str, ...] = ()
    left_out: bool = False
    ties: tuple[Tie, ...] = ()


_UNSPACED = re.compile(f"[{UNSPACED}\uff00-\uffef]")  # with the wide letters and digits that stand among these


def unspaced(text: str) -> int:
    """How many characters of a text are of a script without spaces."""
    return len(_UNSPACED.findall(text))


def joiner(tokens: Iterable[str]) -> str:
    """What stands between tokens: nothing if most of their letters are of a script without spaces, else a space."""
    text = "".join(tokens)
    letters = sum(map(str.isalpha, text))
    return "" if 2 * unspaced(text) > letters > 0 else " "


def of_tokens(
    tokens: Sequence[str],
    chunks: Iterable[tuple[int, int, str]],
    join: str | None = None,
    ties: Iterable[Tie] = (),
) -> Annotated:
    """The sentence of tokens; a chunk is first token, end (exclusive) and label. `join`: None to find it out."""
    if join is None:
        join = joiner(tokens)
    starts, at = [], 0
    for token in tokens:
        starts.append(at)
        at += len(token) + len(join)
    mentions = (Mention(label, starts[first], starts[end - 1] + len(tokens[end - 1])) for first, end, label in chunks)
    return Annotated(join.join(tokens), tuple(mentions), ties=tuple(ties))


def example_of(
    annotated: Annotated,
    of_dataset: tuple[str, ...],
    names: Mapping[str, str],
    dataset: str,
    reading: Reading,
    relation_types: tuple[str, ...] = (),
    tied: bool = False,
) -> tuple[Example | None, int]:
    """The example of a text, and how many entities were left out because their type is a residual label.

    None for a record that is left out, and for one that leaves no type to ask for. `names`: what a normalised label is
    called, if otherwise. A mention that is there twice counts once. `relation_types`: those of the dataset, where
    relations are read; a mention need then have no type, and none is residual. `tied`: relations are read even if there
    are none of these, and the record is no less an example.
    """
    tied = tied or bool(relation_types)
    noted = Counter(annotated.noted)
    if annotated.left_out:
        reading.note_all(noted)
        return None, 0
    text = check_text(annotated.text, "bad_sentence", "the text")
    types, ignored = of_dataset, frozenset() if tied else reading.ignored
    if annotated.types is not None:
        own = {names.get(label, label) for label in map(normalize_type, annotated.types)}
        types = tuple(sorted(own - ignored))
        if any(map(has_lone_surrogate, types)):
            raise Wrong("lone_surrogate", "a type holds a lone surrogate (half of a UTF-16 pair)")
    found: list[Entity | None] = []
    for number, mention in enumerate(annotated.mentions, 1):
        label = normalize_type(mention.label)
        label = names.get(label, label)
        what = f"entity {number}"
        if label in ignored:
            found.append(None)
        elif label not in types and not (tied and not label):
            raise Wrong("unknown_type", unknown_type(what, label, types))
        else:
            found.append(spelled(text, label, mention.name, mention.start, mention.end, noted, what))
    entities = in_text_order((entity for entity in found if entity and entity.type), noted)
    relations = _relations(annotated.ties, found, names, relation_types, reading.ignored, noted) if tied else ()
    types = (*types, *relation_types)
    noted["nothing_asked"] += not types
    reading.note_all(noted)
    example = Example(text, types, entities, dataset, relations=relations, relation_types=relation_types)
    return (example if types or tied else None), found.count(None)


def _relations(
    ties: Iterable[Tie],
    mentions: Sequence[Entity],
    names: Mapping[str, str],
    types: tuple[str, ...],
    ignored: Collection[str],
    noted: Counter,
) -> tuple[Relation, ...]:
    """The relations of ties, each once; `noted` counts the others."""
    found: dict[tuple, Relation] = {}
    for number, tie in enumerate(ties, 1):
        label = normalize_type(tie.label)
        label = names.get(label, label)
        if label in NO_RELATION:
            noted["no_relation"] += 1
            continue
        if label in ignored:
            noted["residual_relation"] += 1
            continue
        if label not in types:
            raise Wrong("unknown_type", unknown_type(f"relation {number}", label, types))
        if not all(0 <= end < len(mentions) for end in (tie.head, tie.tail)):
            there = f"{len(mentions)} mentions"
            raise Wrong("bad_relation", f"relation {number} ties mentions {tie.head} and {tie.tail} of {there}")
        head, tail = mentions[tie.head], mentions[tie.tail]
        # Without places, two of one name are two: nobody knows that they are not.
        key = (
            (head.name, head.start, label, tail.name, tail.start)
            if head.start is not None is not tail.start
            else number
        )
        if key in found:
            noted["repeated_relation"] += 1
        found.setdefault(key, Relation(head, label, tail))
    return tuple(found.values())
