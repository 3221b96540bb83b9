"""What answers say about a text: entities with their places, the vote of several answers, windows put together.

    read(Example("Ada met Bob .", ("person",)), '{"entities": {"person": ["Ada", "Eve"], "verb": ["met"]}}')
    Reply(spans={Span(0, 3, "person")}, not_in_text={Entity("Eve", "person")}, off_schema={Entity("met", "verb")})

Every span says where its text is, so its name is `text[start:end]` and never the answer's spelling. A name that is
given more often than the text has it counts as often as the text has it. With `all_mentions` it is marked wherever the
text has it (recipe.core.align.mentions), in the other windows of the text too.

A relation ties two places; a name that several relations of an answer have stands in one place. The arguments of an
event are relations from its trigger, which is an entity of the event's type.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from recipe import answers
from recipe.core.align import Span, folded, locate, mentions, occurs, place
from recipe.core.entities import Answer, Entity, Example, Relation
from recipe.generate.predictions import Prediction
from recipe.predict.questions import Inquiry, Settings
from recipe.predict.windows import Window


class Tie(NamedTuple):
    """A relation of this type between two places, each with its entity's type, "" where the answer says none."""

    head: Span
    type: str
    tail: Span


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer about one window, offsets within the window. `parsed` is False where nothing could be read.

    Or what enough of several answers say: `spans` and `ties` then give the number of answers that have each.
    """

    spans: Collection[Span] | Mapping[Span, int] = frozenset()
    not_in_text: frozenset[Entity] = frozenset()
    off_schema: frozenset[Entity] = frozenset()
    reasoning: str | None = None
    parsed: bool = False
    ties: Collection[Tie] | Mapping[Tie, int] = frozenset()


@dataclass(frozen=True, slots=True)
class Mention:
    """An entity of a text: `text[start:end] == name`. `votes`: how many answers have it; None of a single answer."""

    type: str
    name: str
    start: int
    end: int
    votes: int | None = None


@dataclass(frozen=True, slots=True)
class Bond:
    """A relation of a text: its ends have the type "" where the answer says none. `votes` as those of a Mention."""

    head: Mention
    type: str
    tail: Mention
    votes: int | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """All that was found in one text. `entities` are in text order, with one start the longest first.

    `not_in_text` are names of the answer that the text does not hold, `off_schema` entities of a type that was not
    asked for; both are left out of `entities`. `unparsable` and `cut` count answers: nothing could be read, or the
    token limit came before the end. `error` says why the model was not asked. `relations` are in the order of their
    heads, and None where names alone are asked for.
    """

    index: int
    sentence: str
    types: tuple[str, ...]
    reasoning: str | None = None
    entities: tuple[Mention, ...] = ()
    not_in_text: tuple[Entity, ...] = ()
    off_schema: tuple[Entity, ...] = ()
    answers: int = 0
    unparsable: int = 0
    cut: int = 0
    error: str | None = None
    id: object = None
    relations: tuple[Bond, ...] | None = None

    def as_dict(self) -> dict[str, object]:
        """The record that is written; `id`, `votes` and `error` only where there is one."""

        def parts(items: Iterable[object], *names: str) -> list[dict[str, object]]:
            return [{n: value for n in names if (value := getattr(item, n)) is not None} for item in items]

        record = {
            "index": self.index,
            "id": self.id,
            "sentence": self.sentence,
            "reasoning": self.reasoning,
            "entities": parts(self.entities, "type", "name", "start", "end", "votes"),
            "relations": None if self.relations is None else list(map(_bond, self.relations)),
            "not_in_text": parts(self.not_in_text, "type", "name"),
            "off_schema": parts(self.off_schema, "type", "name"),
            "answers": self.answers,
            "unparsable": self.unparsable,
            "cut": self.cut,
            "error": self.error,
        }
        return {name: value for name, value in record.items() if value is not None or name == "reasoning"}


def _bond(bond: Bond) -> dict[str, object]:
    ends = {
        side: {"name": end.name, "start": end.start, "end": end.end, **({"type": end.type} if end.type else {})}
        for side, end in (("head", bond.head), ("tail", bond.tail))
    }
    told = {"head": ends["head"], "type": bond.type, "tail": ends["tail"]}
    return told if bond.votes is None else {**told, "votes": bond.votes}


def assemble(index: int, inquiry: Inquiry, completions: Sequence[Prediction], settings: Settings) -> Result:
    """The result of an inquiry out of its completions: for each window and question in order as many as samples."""
    record, samples = inquiry.record, settings.samples
    votes, parsed = [], 0
    tied = any(example.relation_types for example in settings.asked("", record.types))
    for number, window in enumerate(inquiry.windows):
        text = record.text[window.start : window.end]
        size = len(completions) // len(inquiry.windows)
        made = completions[number * size : (number + 1) * size]
        asked = settings.asked(text, record.types)
        each = [read(asked[question // samples], prediction.output) for question, prediction in enumerate(made)]
        replies = [together(each[sample::samples]) for sample in range(samples)]
        if settings.all_mentions:
            replies = [replace(reply, spans=frozenset(_everywhere(text, reply.spans))) for reply in replies]
        parsed += sum(reply.parsed for reply in each)
        votes.append(vote(replies, settings.min_agreement))
    return Result(
        index,
        record.text,
        record.types,
        **join(record.text, inquiry.windows, votes, samples, settings.all_mentions, tied),
        answers=len(completions),
        unparsable=len(completions) - parsed,
        cut=sum(prediction.finish_reason == "length" for prediction in completions),
        error=inquiry.error,
        id=record.id,
    )


def read(example: Example, completion: str) -> Reply:
    """One answer, placed in the text that it is about. Never raises."""
    text, types, answer = example.sentence, example.entity_types, answers.parse(completion, example)
    asked = [entity for entity in answer.entities if entity.type in types]
    spans = place(text, asked)
    without = {entity for entity, span in zip(asked, spans, strict=True) if span is None}
    beside = {entity for entity in answer.entities if entity.type not in types}
    ties = _ties(example, answer, dict(zip(asked, spans, strict=True))) if example.relation_types else {}
    without |= {Entity(end.name, one.type) for one, tie in ties.items() if tie is None for end in one.mentions}
    beside |= {Entity(one.name, one.type) for one in answer.relations if one.type not in example.relation_types}
    return Reply(
        frozenset(span for span in spans if span is not None),
        frozenset(entity for entity in without if not occurs(text, entity.name)),
        frozenset(beside),
        answer.reasoning,
        answer.parsed,
        frozenset(tie for tie in ties.values() if tie is not None),
    )


def _ties(example: Example, answer: Answer, entities: Mapping[Entity, Span | None]) -> dict[Relation, Tie | None]:
    """The relations of types that were asked for, each with its places; None where the text lacks one of its names.

    A name stands where the answer's entity of that name does, else where alignment finds it once.
    """
    asked = [one for one in answer.relations if one.type in example.relation_types]
    places: dict[str, Span | None] = {}
    for entity, span in entities.items():
        if span is not None:
            places.setdefault(folded(entity.name), span)
    names = {folded(end.name): end.name for one in asked for end in one.mentions}
    others = [key for key in names if key not in places]
    places |= zip(others, locate(example.sentence, [Entity(names[key], "") for key in others]), strict=True)

    def end(mention: Entity) -> Span | None:
        span = places[folded(mention.name)]
        return None if span is None else Span(span.start, span.end, mention.type)

    ties = {}
    for one in asked:
        head, tail = end(one.head), end(one.tail)
        ties[one] = None if head is None or tail is None else Tie(head, one.type, tail)
    return ties


def together(replies: Sequence[Reply]) -> Reply:
    """The answers about the types of one text as one; it is parsed if all are."""
    if len(replies) == 1:
        return replies[0]
    thoughts = [reply.reasoning for reply in replies if reply.reasoning]
    return Reply(
        frozenset().union(*(reply.spans for reply in replies)),
        frozenset().union(*(reply.not_in_text for reply in replies)),
        frozenset().union(*(reply.off_schema for reply in replies)),
        "\n".join(thoughts) if thoughts else None,
        all(reply.parsed for reply in replies),
        frozenset().union(*(reply.ties for reply in replies)),
    )


def vote(replies: Sequence[Reply], min_agreement: float) -> Reply:
    """What at least the share `min_agreement` of the answers says, and the reasoning of the answer closest to that.

    Closest by F1 over spans and relations; of equally close ones the first.
    """
    least = max(1.0, min_agreement * len(replies) - 1e-9)

    def agreed(parts: Iterable[Collection]) -> dict:
        counts = Counter(item for part in parts for item in part)
        return {item: count for item, count in counts.items() if count >= least}

    spans, ties = agreed(reply.spans for reply in replies), agreed(reply.ties for reply in replies)
    not_in_text = agreed(reply.not_in_text for reply in replies)
    off_schema = agreed(reply.off_schema for reply in replies)

    def closeness(reply: Reply) -> tuple[bool, float]:
        total = len(reply.spans) + len(spans) + len(reply.ties) + len(ties)
        common = len(reply.spans & spans.keys()) + len(reply.ties & ties.keys())
        return reply.parsed, 2 * common / total if total else 1.0

    closest = max(replies, key=closeness)
    return Reply(spans, frozenset(not_in_text), frozenset(off_schema), closest.reasoning, closest.parsed, ties)


def join(
    text: str,
    windows: Sequence[Window],
    votes: Sequence[Reply],
    samples: int,
    all_mentions: bool = False,
    tied: bool = False,
) -> dict[str, object]:
    """The fields of a Result that come from the votes on its windows: each place is taken from the window that owns it.

    A relation is taken from the window that owns where its head begins; `tied` says that relations are asked for. With
    `all_mentions`, a name that was found in one window is marked in those that don't have it, too. The reasoning about
    several windows is joined with an empty line between them.
    """
    spans: dict[Span, int] = {}
    for window, one in zip(windows, votes, strict=True):
        for span, count in one.spans.items():
            start, end = window.start + span.start, window.start + span.end
            if window.owned_from <= start < window.owned_to:
                spans[Span(start, end, span.type)] = count
    if all_mentions and len(windows) > 1:
        spans |= _elsewhere(text, windows, spans)
    ties = _of_windows(windows, votes)
    order = sorted(spans, key=lambda span: (span.start, -span.end, span.type))
    thoughts = [one.reasoning for one in votes if one.reasoning]
    # What one window lacks may be in another, which answers for it there.
    absent = {entity for one in votes for entity in one.not_in_text if not occurs(text, entity.name)}
    return {
        "reasoning": "\n\n".join(thoughts) if thoughts else None,
        "entities": tuple(
            Mention(span.type, text[span.start : span.end], span.start, span.end, spans[span] if samples > 1 else None)
            for span in order
        ),
        "relations": tuple(_bonds(text, ties, samples)) if tied else None,
        "not_in_text": _sorted(absent),
        "off_schema": _sorted({entity for one in votes for entity in one.off_schema}),
    }


def _of_windows(windows: Sequence[Window], votes: Sequence[Reply]) -> dict[Tie, int]:
    """The relations of all windows with their votes, offsets in the text."""
    ties: dict[Tie, int] = {}
    for window, one in zip(windows, votes, strict=True):
        for tie, count in one.ties.items():
            head, tail = (Span(window.start + s.start, window.start + s.end, s.type) for s in (tie.head, tie.tail))
            if window.owned_from <= head.start < window.owned_to:
                ties[Tie(head, tie.type, tail)] = count
    return ties


def _bonds(text: str, ties: Mapping[Tie, int], samples: int) -> Iterable[Bond]:
    for tie in sorted(ties):
        head, tail = (Mention(s.type, text[s.start : s.end], s.start, s.end) for s in (tie.head, tie.tail))
        yield Bond(head, tie.type, tail, ties[tie] if samples > 1 else None)


def _elsewhere(text: str, windows: Sequence[Window], spans: Mapping[Span, int]) -> dict[Span, int]:
    """Mentions of what was found in other windows alone, with the most votes that the name has there."""

    def name(span: Span) -> tuple[str, str]:
        return folded(text[span.start : span.end]), span.type

    def owner(span: Span) -> int:
        return next(number for number, window in enumerate(windows) if span.start < window.owned_to)

    most: dict[tuple[str, str], int] = {}
    for span, count in spans.items():
        most[name(span)] = max(count, most.get(name(span), 0))
    there = {(name(span), owner(span)) for span in spans}
    return {span: most[name(span)] for span in _everywhere(text, spans) if (name(span), owner(span)) not in there}


def _everywhere(text: str, spans: Iterable[Span]) -> tuple[Span, ...]:
    return mentions(text, (Entity(text[span.start : span.end], span.type, span.start) for span in spans))


def _sorted(entities: Iterable[Entity]) -> tuple[Entity, ...]:
    return tuple(sorted(entities, key=lambda entity: (entity.type, entity.name)))
