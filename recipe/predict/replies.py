"""What answers say about a text: entities and relations with places, the vote of several answers, windows put together.

    read(Example("Ada met Bob .", ("person",)), '{"entities": {"person": ["Ada", "Eve"], "verb": ["met"]}}')
    Reply(spans={Span(0, 3, "person")}, not_in_text={Entity("Eve", "person")}, off_schema={Entity("met", "verb")})

Every span says where its text is, so its name is `text[start:end]` and never the answer's spelling. A name that is
given more often than the text has it counts as often as the text has it. With `all_mentions` it is marked wherever the
text has it (recipe.core.align.mentions), in the other windows of the text too.

A relation ties two places of the text (recipe.core.align.place_ends). Where answers tell of events, entities are the
triggers, and relations the arguments. Of two events with the same trigger, each has the trigger's next place, as long
as the text has one.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from recipe import answers
from recipe.core.align import Placed, Span, folded, mentions, occurs, place, place_ends
from recipe.core.entities import Answer, Entity, Example, Fact, Relation
from recipe.generate.predictions import Prediction
from recipe.predict.questions import Inquiry, Settings
from recipe.predict.windows import Window


class Link(NamedTuple):
    """A relation between two places. The type of a place is "" where the answer says none that was asked for."""

    head: Span
    type: str
    tail: Span

    def moved(self, by: int) -> "Link":
        """The same, so many characters further on."""
        return Link(_moved(self.head, by), self.type, _moved(self.tail, by))


def _moved(span: Span, by: int) -> Span:
    return Span(by + span.start, by + span.end, span.type)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer about one window, offsets within the window. `parsed` is False where nothing could be read.

    Or what enough of several answers say: `spans` and `links` then give the number of answers that have each.
    """

    spans: Collection[Span] | Mapping[Span, int] = frozenset()
    not_in_text: frozenset[Entity] = frozenset()
    off_schema: frozenset[Fact] = frozenset()
    reasoning: str | None = None
    parsed: bool = False
    links: Collection[Link] | Mapping[Link, int] = frozenset()


@dataclass(frozen=True, slots=True)
class Mention:
    """An entity of a text: `text[start:end] == name`. `votes`: how many answers have it; None of a single answer."""

    type: str
    name: str
    start: int
    end: int
    votes: int | None = None


@dataclass(frozen=True, slots=True)
class Tied:
    """A relation of a text, or an argument of the event that `head` triggers: its role is then `type`.

    `head` and `tail` have no votes of their own, and the type "" where the answer says none that was asked for.
    """

    head: Mention
    type: str
    tail: Mention
    votes: int | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a text: its trigger, which has the event's type, and its arguments."""

    trigger: Mention
    arguments: tuple[Tied, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """All that was found in one text. `entities` are in text order, with one start the longest first.

    `relations` are in the order of their heads, then of their tails. Where the model was asked for events, `entities`
    are the triggers and `relations` the arguments; `events` puts them together. `not_in_text` are names of the answer
    that the text does not hold; one of a relation has the relation's type. `off_schema` are entities and relations of
    a type that was not asked for, and arguments of such events. Both are left out of the others. `unparsable` and
    `cut` count answers: nothing could be read, or the token limit came before the end. `error` says why the model was
    not asked. `finds` says which of "entities", "relations" and "events" the record has.
    """

    index: int
    sentence: str
    types: tuple[str, ...]
    reasoning: str | None = None
    entities: tuple[Mention, ...] = ()
    not_in_text: tuple[Entity, ...] = ()
    off_schema: tuple[Fact, ...] = ()
    answers: int = 0
    unparsable: int = 0
    cut: int = 0
    error: str | None = None
    id: object = None
    relations: tuple[Tied, ...] = ()
    finds: tuple[str, ...] = ("entities",)

    @property
    def events(self) -> tuple[Event, ...]:
        """The triggers, each with its arguments."""
        own: dict[Span, list[Tied]] = {}
        for one in self.relations:
            own.setdefault(_span(one.head), []).append(one)
        return tuple(Event(trigger, tuple(own.get(_span(trigger), ()))) for trigger in self.entities)

    def as_dict(self) -> dict[str, object]:
        """The record that is written: what it `finds`, and `id`, `votes` and `error` only where there is one."""

        def parts(items: Iterable[object], *names: str) -> list[dict[str, object]]:
            return [{n: value for n in names if (value := getattr(item, n)) is not None} for item in items]

        def end(mention: Mention, *more: str) -> dict[str, object]:
            return parts([mention], "name", "start", "end", *more)[0]

        def votes(item: Mention | Tied) -> dict[str, object]:
            return parts([item], "votes")[0]

        def relation(one: Tied) -> dict[str, object]:
            head, tail = (end(each, *(["type"] if each.type else [])) for each in (one.head, one.tail))
            return {"head": head, "type": one.type, "tail": tail, **votes(one)}

        def event(one: Event) -> dict[str, object]:
            arguments = [{"role": each.type, **end(each.tail), **votes(each)} for each in one.arguments]
            return {
                "type": one.trigger.type, "trigger": end(one.trigger), "arguments": arguments, **votes(one.trigger)
            }  # fmt: skip

        found = {
            "entities": lambda: parts(self.entities, "type", "name", "start", "end", "votes"),
            "relations": lambda: [*map(relation, self.relations)],
            "events": lambda: [*map(event, self.events)],
        }
        record = {
            "index": self.index,
            "id": self.id,
            "sentence": self.sentence,
            "reasoning": self.reasoning,
            **{name: found[name]() for name in self.finds},
            "not_in_text": parts(self.not_in_text, "type", "name"),
            "off_schema": parts(self.off_schema, "type", "name"),
            "answers": self.answers,
            "unparsable": self.unparsable,
            "cut": self.cut,
            "error": self.error,
        }
        return {name: value for name, value in record.items() if value is not None or name == "reasoning"}


def _span(mention: Mention) -> Span:
    return Span(mention.start, mention.end, mention.type)


def assemble(index: int, inquiry: Inquiry, completions: Sequence[Prediction], settings: Settings) -> Result:
    """The result of an inquiry out of its completions: for each window and question in order as many as samples."""
    record, samples = inquiry.record, settings.samples
    votes, parsed = [], 0
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
        **join(record.text, inquiry.windows, votes, samples, settings.all_mentions),
        answers=len(completions),
        unparsable=len(completions) - parsed,
        cut=sum(prediction.finish_reason == "length" for prediction in completions),
        error=inquiry.error,
        id=record.id,
        finds=settings.finds,
    )


def read(example: Example, completion: str) -> Reply:
    """One answer, placed in the text that it is about. Never raises."""
    text, types, answer = example.sentence, example.entity_types, answers.parse(completion, example)
    asked = [entity for entity in answer.entities if entity.type in types]
    spans = place(text, asked)
    without = {entity for entity, span in zip(asked, spans, strict=True) if span is None}
    reply = Reply(
        frozenset(span for span in spans if span is not None),
        frozenset(entity for entity in without if not occurs(text, entity.name)),
        frozenset(entity for entity in answer.entities if entity.type not in types),
        answer.reasoning,
        answer.parsed,
    )
    return _with_links(reply, example, answer, [*zip(asked, spans, strict=True)]) if answer.relations else reply


def _with_links(reply: Reply, example: Example, answer: Answer, placed: Placed) -> Reply:
    """The reply with the answer's relations. `placed` are the entities of it that were asked for, with their places."""
    of_events, types = answers.task(example.format) == "ee", example.entity_types
    asked, others = [], set()
    for one in answer.relations:
        if one.type in example.relation_types and (one.head.type in types or not of_events):
            asked.append(one)
        else:
            others.add(Relation(Entity(one.head.name, ""), one.type, Entity(one.tail.name, "")))
    place_of = place_ends(example.sentence, placed, [mention for one in asked for mention in one.mentions])

    def span(mention: Entity) -> Span | None:
        at = place_of(mention)
        return at and Span(at.start, at.end, mention.type if mention.type in types else "")

    links, lacking = set(), set()
    for one in asked:
        head, tail = span(one.head), span(one.tail)
        if head and tail:
            links.add(Link(head, one.type, tail))
        if not head and not of_events:  # an event's trigger is an entity, too, and is told of as such
            lacking.add(Entity(one.head.name, one.type))
        if not tail:
            lacking.add(Entity(one.tail.name, one.type))
    return replace(
        reply, links=frozenset(links), not_in_text=reply.not_in_text | lacking, off_schema=reply.off_schema | others
    )


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
        frozenset().union(*(reply.links for reply in replies)),
    )


def vote(replies: Sequence[Reply], min_agreement: float) -> Reply:
    """What at least the share `min_agreement` of the answers says, and the reasoning of the answer closest to that.

    Closest by F1 over spans and links; of equally close ones the first.
    """
    least = max(1.0, min_agreement * len(replies) - 1e-9)

    def agreed(parts: Iterable[Collection]) -> dict:
        counts = Counter(item for part in parts for item in part)
        return {item: count for item, count in counts.items() if count >= least}

    spans, links = agreed(reply.spans for reply in replies), agreed(reply.links for reply in replies)
    not_in_text = agreed(reply.not_in_text for reply in replies)
    off_schema = agreed(reply.off_schema for reply in replies)

    def closeness(reply: Reply) -> tuple[bool, float]:
        total = len(reply.spans) + len(spans) + len(reply.links) + len(links)
        common = len(reply.spans & spans.keys()) + len(reply.links & links.keys())
        return reply.parsed, 2 * common / total if total else 1.0

    closest = max(replies, key=closeness)
    return Reply(spans, frozenset(not_in_text), frozenset(off_schema), closest.reasoning, closest.parsed, links)


def join(
    text: str, windows: Sequence[Window], votes: Sequence[Reply], samples: int, all_mentions: bool = False
) -> dict[str, object]:
    """The fields of a Result that come from the votes on its windows: each place is taken from the window that owns it.

    A relation is taken from the window that owns its head. With `all_mentions`, a name that was found in one window is
    marked in those that don't have it, too. The reasoning about several windows is joined with an empty line between.
    """
    spans: dict[Span, int] = {}
    links: dict[Link, int] = {}
    for window, one in zip(windows, votes, strict=True):
        for span, count in one.spans.items():
            moved = _moved(span, window.start)
            if window.owned_from <= moved.start < window.owned_to:
                spans[moved] = count
        for link, count in one.links.items():
            tied = link.moved(window.start)
            if window.owned_from <= tied.head.start < window.owned_to:
                links[tied] = count
    if all_mentions and len(windows) > 1:
        spans |= _elsewhere(text, windows, spans)
    thoughts = [one.reasoning for one in votes if one.reasoning]
    # What one window lacks may be in another, which answers for it there.
    absent = {entity for one in votes for entity in one.not_in_text if not occurs(text, entity.name)}

    def mention(span: Span, votes: int | None = None) -> Mention:
        return Mention(span.type, text[span.start : span.end], span.start, span.end, votes if samples > 1 else None)

    return {
        "reasoning": "\n\n".join(thoughts) if thoughts else None,
        "entities": tuple(mention(span, spans[span]) for span in sorted(spans, key=_in_text)),
        "relations": tuple(
            Tied(mention(link.head), link.type, mention(link.tail), links[link] if samples > 1 else None)
            for link in sorted(links, key=lambda link: (_in_text(link.head), _in_text(link.tail), link.type))
        ),
        "not_in_text": _sorted(absent),
        "off_schema": _sorted({entity for one in votes for entity in one.off_schema}),
    }


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


def _in_text(span: Span) -> tuple[int, int, str]:
    return span.start, -span.end, span.type


def _sorted(facts: Iterable[Fact]) -> tuple[Fact, ...]:
    return tuple(sorted(facts, key=lambda fact: (fact.type, fact.name)))
