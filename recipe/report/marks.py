"""How a sentence is shown: its text cut into pieces, those that a name covers wrapped in marks, marks inside marks.

    nest("EU rejects German call .", [Named(Entity("EU", "group"), Span(0, 2, "group"), "missed")])
    [{"type": "group", "kind": "missed", "parts": ["EU"]}, " rejects German call ."]

`kind` is the class of a disagreement (recipe.evaluate.disagreements), left out where gold and answer agree. Of two
names that overlap, neither inside the other, the one that starts later is cut in two: its first piece has `"more":
true`, the second `"again": true`.

Relations are lists beside the sentence, of name ("Ada → Rome"), type and kind. A page builds its elements from all
these; text stays text all the way.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from recipe.core.align import Span, place
from recipe.core.entities import Entity, Example, Fact
from recipe.evaluate.verdict import Output, Verdict, scoring_of, texts

MAX_DEPTH, MAX_NAMES = 5, 150  # of what a page draws; a broken answer can repeat a name a thousand times


@dataclass(frozen=True, slots=True)
class Named:
    """An entity, its place in the sentence if it has one, and the class of its disagreement, if any."""

    entity: Entity
    span: Span | None
    kind: str | None


def card(verdict: Verdict, output: Output, shorten: Callable[[str], str]) -> dict:
    """One answer beside its gold, ready for JSON: `answer_card`, and `gold`, the sentence as `nest` gives it.

    `gold_relations` where relations are asked for.
    """
    pieces, rest = _draw(verdict.example.sentence, _gold_side(verdict))
    shown = answer_card(verdict, output, shorten)
    if outside := [*_outside("gold", rest), *shown.get("outside", ())]:
        shown["outside"] = outside
    return {"gold": pieces, **_relations(verdict, "gold"), **shown}


def answer_card(verdict: Verdict, output: Output, shorten: Callable[[str], str]) -> dict:
    """One answer, ready for JSON; `shorten` makes a long text of the model fit a page.

    `kinds` its classes of disagreements; `answer` the sentence as `nest` gives it, None where the answer couldn't be
    read, left out where it is the gold's or neither has names; `answer_relations` where relations are asked for;
    `outside` the names that are not drawn; `reasoning` the text of the think block; `raw` the completion where it
    couldn't be read.
    """
    found = {one.kind for one in verdict.disagreements}
    kinds = [kind for kind in scoring_of(verdict.example.format).kinds if kind in found]
    if not verdict.answer.parsed:  # a completion, then: what a tool found needs no reading
        return {"kinds": kinds, "reasoning": "", "answer": None, "raw": shorten(output)}
    shown = {"kinds": kinds, "reasoning": shorten(texts(output, verdict.example)[0]), **_relations(verdict, "answer")}
    pieces, rest = _draw(verdict.example.sentence, _answer_side(verdict))
    marked = verdict.example.entities or verdict.answer.entities
    if verdict.disagreements and (marked or not verdict.example.relation_types):
        shown["answer"] = pieces
    if rest:
        shown["outside"] = _outside("answer", rest)
    return shown


def _relations(verdict: Verdict, side: str) -> dict[str, list[dict]]:
    """The relations of one side, each with the class of its disagreement, by the key of a card; {} for names alone."""
    if not verdict.example.relation_types:
        return {}
    gold = side == "gold"
    kinds: dict[object, list[str]] = defaultdict(list)
    for one in verdict.disagreements:
        kinds[one.gold if gold else one.predicted].append(one.kind)
    relations = verdict.example.relations if gold else verdict.answer.relations
    unread = "unparsable" if gold and not verdict.answer.parsed else ""
    shown = ((each, kinds[each].pop() if kinds[each] else unread) for each in relations)
    return {f"{side}_relations": _in_words(shown)}


def gold_relations(example: Example) -> list[dict]:
    """The gold relations of a sentence alone."""
    return _in_words((each, "") for each in example.relations)


def gold_pieces(example: Example) -> list:
    """The sentence with its gold entities alone, as `nest` gives it."""
    spans = place(example.sentence, example.entities)
    named = [Named(entity, span, None) for entity, span in zip(example.entities, spans, strict=True)]
    return _draw(example.sentence, named)[0]


def missed(verdict: Verdict) -> list[dict]:
    """The gold entities that an answer lacks altogether, for a page that doesn't show the gold beside each answer."""
    return _outside("gold", [Named(e.gold, e.gold_span, e.kind) for e in verdict.disagreements if e.kind == "missed"])


def _outside(side: str, names: Iterable[Named]) -> list[dict]:
    """Names in words, with the side that they are of."""
    return [{"side": side, **told} for told in _in_words((named.entity, named.kind or "") for named in names)]


def _in_words(facts: Iterable[tuple[Fact, str]]) -> list[dict]:
    """Facts, each with the class of its disagreement; a repeated one is there once."""
    times = Counter(facts)
    return [
        {"name": fact.name, "type": fact.type, "kind": kind, "times": number}
        for (fact, kind), number in list(times.items())[:MAX_NAMES]
    ]


def _gold_side(verdict: Verdict) -> list[Named]:
    """The gold entities, each with the class of its disagreement."""
    entities, spans = verdict.example.entities, verdict.gold_spans
    if not verdict.answer.parsed:
        return [Named(entity, span, "unparsable") for entity, span in zip(entities, spans, strict=True)]
    return _with_kinds(entities, spans, ((one.gold, one.gold_span, one.kind) for one in verdict.disagreements))


def _answer_side(verdict: Verdict) -> list[Named]:
    """The entities of the answer, each with the class of its disagreement."""
    kinds = ((one.predicted, one.predicted_span, one.kind) for one in verdict.disagreements)
    return _with_kinds(verdict.answer.entities, verdict.predicted_spans, kinds)


def _with_kinds(
    entities: Sequence[Entity], spans: Sequence[Span | None], disagreements: Iterable[tuple]
) -> list[Named]:
    kinds: dict[tuple, list[str]] = defaultdict(list)
    for entity, span, kind in disagreements:
        kinds[entity, span].append(kind)
    return [
        Named(entity, span, kinds[entity, span].pop() if kinds[entity, span] else None)
        for entity, span in zip(entities, spans, strict=True)
    ]


def _draw(sentence: str, named: Iterable[Named]) -> tuple[list, list[Named]]:
    """The sentence with the names that there is room for, and the names that are not drawn."""
    drawn, rest = [], []
    for item in sorted((n for n in named if n.span), key=lambda n: (n.span.start, -n.span.end, n.span.type)):
        depth = sum(item.span.start < other.span.end for other in drawn)
        (drawn if depth < MAX_DEPTH and len(drawn) < MAX_NAMES else rest).append(item)
    return nest(sentence, drawn), rest + [item for item in named if not item.span]


def nest(sentence: str, named: Iterable[Named]) -> list:
    """The sentence as pieces of text and marks; see the module's example. Every name must have a span."""
    starting, ends = defaultdict(list), set()
    for item in named:
        starting[item.span.start].append(item)
        ends.add(item.span.end)
    pieces: list = []
    stack: list[tuple[Named, dict]] = []  # the marks that are open, the outermost first
    position = 0
    for border in sorted(ends.union(starting)):
        _add_text(stack, pieces, sentence[position:border])
        position = border
        ending = [depth for depth, (item, _) in enumerate(stack) if item.span.end == border]
        if ending:
            above = stack[ending[0] :]
            del stack[ending[0] :]
            for item, mark in above:
                if item.span.end > border:
                    mark["more"] = True
                    _open(stack, pieces, item, again=True)
        for item in sorted(starting[border], key=lambda item: (-item.span.end, item.span.type)):
            _open(stack, pieces, item)
    _add_text(stack, pieces, sentence[position:])
    return pieces


def _add_text(stack: list, pieces: list, text: str) -> None:
    if text:
        (stack[-1][1]["parts"] if stack else pieces).append(text)


def _open(stack: list, pieces: list, item: Named, again: bool = False) -> None:
    mark = {"type": item.entity.type, "parts": []}
    if item.kind:
        mark["kind"] = item.kind
    if again:
        mark["again"] = True
    (stack[-1][1]["parts"] if stack else pieces).append(mark)
    stack.append((item, mark))
