"""Answers that try to earn a reward without deserving it, for any answer format.

    attacks(Example("Zoë flew .", ("person",), (Entity("Zoë", "person"),)), limit=100)["right, one word of reasoning"]
    "<think>\\nDone.\\n</think>\\n{...}"

Those that begin with "right" hold the gold answer and cheat with what stands around it.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations, pairwise, permutations
from pathlib import Path

from recipe import answers
from recipe.answers.queries import ask
from recipe.answers.think import CLOSE, OPEN
from recipe.core.entities import DataError, Entity, Example, Fact, Relation
from recipe.core.ground_truth import from_ground_truth

SILENCE, WRONG = "names nothing", "wrong names"
_SENTENCES = Path(__file__).with_name("sentences")


def examples(answer_format: str) -> list[Example]:
    """Gold examples of a format's task, with and without something to find, as the format asks about them.

    In one a name stands in another, and in one it stands twice.
    """
    lines = (_SENTENCES / f"{answers.task(answer_format)}.jsonl").read_text(encoding="utf-8").splitlines()
    return [asked for line in lines for asked in ask(answers.asked_in(from_ground_truth(line), answer_format))]


def finds(example: Example) -> bool:
    """True where the gold has something that the format's usual rule counts."""
    return bool(answers.keys(example.facts, example.format))


def honest(example: Example) -> str:
    """The gold answer, with reasoning that names all of it."""
    return _say(example, example.facts, answers.template_reasoning(example))


def attacks(example: Example, limit: int) -> dict[str, str]:
    """Completion by attack, without those that the format can't write; `limit`: words that a completion may have."""
    found = {}
    for name, build in _attacks(example, limit):
        try:
            found[name] = build()
        except DataError:  # as where a word has one tag
            continue
    return found


_Pairs = Callable[[Sequence[str]], Iterable[Sequence[str]]]


def _all_pairs(spans: Sequence[str]) -> Iterable[Sequence[str]]:
    return permutations(spans, 2)


def _attacks(example: Example, limit: int) -> Iterator[tuple[str, object]]:
    gold, sentence = example.facts, example.sentence
    reasoning, right = answers.template_reasoning(example), honest(example)
    bare, silent = _say(example, gold, None), _say(example, (), None)
    named = {word for fact in gold for mention in fact.mentions for word in mention.name.split()}
    words = sentence.split()
    others = [word for word in words if word.isalpha() and word not in named]
    substrings = [" ".join(words[i:j]) for i, j in combinations(range(len(words) + 1), 2)]

    def naming(spans: Sequence[str], one_type: bool = False, pairs: _Pairs = _all_pairs) -> str:
        return _say(example, _of_spans(example, spans, one_type, pairs), reasoning)

    yield "writes nothing", lambda: ""
    yield SILENCE, lambda: _say(example, (), "No span of the sentence names an entity of these types.")
    yield "names nothing, no reasoning", lambda: silent
    yield "every type, no name", lambda: f"{OPEN}\n{reasoning}\n{CLOSE}\n{answers.bare_types(example)}"
    yield "the schema", lambda: json.dumps(list(example.types))
    yield "the prompt", lambda: answers.render_prompt(example)
    yield WRONG, lambda: naming(others, True, pairwise)
    yield "the sentence as one name", lambda: naming([sentence], True, lambda spans: [spans * 2])
    if turned := _turned(example):
        yield "wrong types", lambda: _say(example, turned, reasoning)
    yield "each name twice", lambda: _say(example, [fact for fact in gold for _ in range(2)], reasoning)
    yield "every word, one type", lambda: naming(words, True)
    yield "every word, every type", lambda: naming(words)
    if answers.task(example.format) == "ner":  # the others would take the cube of the sentence's length
        yield "every substring, every type", lambda: naming(substrings)
    if example.relations and answers.task(example.format) == "re":
        heads = [replace(one, head=one.tail, tail=one.head) for one in example.relations]
        yield "heads and tails in each other's place", lambda: _say(example, (*example.entities, *heads), reasoning)
    if example.relations:
        yield "all but the relations or arguments", lambda: _say(example, example.entities, reasoning)
    yield "reasoning that never ends", lambda: _fill(f"{OPEN}\n", f"{reasoning} ", limit)
    yield "right, never closed the block", lambda: f"{OPEN}\n{reasoning}\n{bare}"
    yield "right, inside the reasoning alone", lambda: f"{OPEN}\n{reasoning}\n{bare}\n{CLOSE}"
    yield "right, no reasoning", lambda: bare
    yield "right, empty reasoning", lambda: f"{OPEN}\n\n{CLOSE}\n{bare}"
    yield "right, one word of reasoning", lambda: _say(example, gold, "Done.")
    yield "right, the sentence as reasoning", lambda: _say(example, gold, sentence)
    yield "right, types and sentence as reasoning", lambda: _say(example, gold, f"{' '.join(example.types)} {sentence}")
    yield "right, the prompt as reasoning", lambda: f"{OPEN}\n{answers.render_prompt(example)}\n{CLOSE}\n{bare}"
    yield "right, reasoning to the limit", lambda: f"{_fill(f'{OPEN}{chr(10)}', f'{reasoning} ', limit)}{CLOSE}\n{bare}"
    yield "right, think tags nested", lambda: f"{OPEN}\n{OPEN}\n{reasoning}\n{CLOSE}\n{CLOSE}\n{bare}"
    yield "right, think tag opened twice", lambda: f"{OPEN}\n{OPEN}\n{reasoning}\n{CLOSE}\n{bare}"
    yield "right, in a code fence", lambda: f"{OPEN}\n{reasoning}\n{CLOSE}\n```\n{bare}\n```"
    yield "one name of a type off the schema", lambda: _off_schema(example, reasoning)
    yield "right, then a remark", lambda: f"{right}\nThese are all of them."
    yield "right, then words to the limit", lambda: _fill(f"{right}\n", "and so on ", limit)
    yield "right, then white space to the limit", lambda: right + "\n" * limit
    yield "right, again and again to the limit", lambda: _fill(f"{right}\n", f"{bare}\n", limit)
    yield "right, then an answer that names nothing", lambda: f"{right}\n{silent}"
    draft = example.entities[:1] or example.relations[:1]
    yield "right, after a draft", lambda: f"{_say(example, draft, reasoning)}\n{bare}"


def _say(example: Example, facts: Iterable[Fact], reasoning: str | None) -> str:
    facts = tuple(facts)
    entities = tuple(fact for fact in facts if isinstance(fact, Entity))
    relations = tuple(fact for fact in facts if isinstance(fact, Relation))
    return answers.render_answer(replace(example, entities=entities, relations=relations, reasoning=reasoning))


def _of_spans(example: Example, spans: Sequence[str], one_type: bool, pairs: _Pairs) -> list[Fact]:
    """All that can be said of spans: names, relations between pairs of them, or events of all with all arguments."""
    last = 1 if one_type else None
    labels, ties = example.entity_types[:last], example.relation_types[:last]
    named = [Entity(span, label) for label in labels for span in spans]
    if answers.task(example.format) == "ee":
        return [*named, *(Relation(one, tie, Entity(span, "")) for one in named for tie in ties for span in spans)]
    label = next(iter(labels), "")  # a name has one type where relations are tied to it
    tied = [Relation(Entity(a, label), tie, Entity(b, label)) for tie in ties for a, b in pairs(spans)]
    return [*(named[: len(spans)] if ties else named), *tied]


def _turned(example: Example) -> list[Fact]:
    """The gold with each type in the place of another one of its kind; empty where a kind has one type alone."""
    of = {}
    for labels in (example.entity_types, example.relation_types):
        if len(labels) == 1:
            return []
        of |= dict(zip(labels, (*labels[1:], *labels[:1]), strict=True))

    def other(entity: Entity) -> Entity:
        return replace(entity, type=of.get(entity.type, ""))

    ties = (replace(one, head=other(one.head), type=of[one.type], tail=other(one.tail)) for one in example.relations)
    return [*map(other, example.entities), *ties]


def _fill(text: str, unit: str, limit: int) -> str:
    return text + unit * max(1, (limit - len(text.split())) // len(unit.split()))


def _off_schema(example: Example, reasoning: str) -> str:
    word = next(word for word in reversed(example.sentence.split()) if word.isalpha())
    if answers.task(example.format) == "re":
        return _say(example, [*example.facts, Relation(Entity(word, ""), "thing", Entity(word, ""))], reasoning)
    return _say(example, [*example.facts, Entity(word, "thing")], reasoning)
