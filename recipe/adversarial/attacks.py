"""Answers that try to earn a reward without deserving it, for any answer format.

    attacks(Example("Zoë flew .", ("person",), (Entity("Zoë", "person"),)), limit=100)["right, one word of reasoning"]
    "<think>\\nDone.\\n</think>\\n{...}"

Those that begin with "right" hold the gold answer and cheat with what stands around it.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path

from recipe import answers
from recipe.answers.queries import ask
from recipe.answers.think import CLOSE, OPEN, template_reasoning
from recipe.core.entities import DataError, Entity, Example
from recipe.core.ground_truth import from_ground_truth

SILENCE, WRONG = "names nothing", "wrong names"


def examples(answer_format: str) -> list[Example]:
    """Gold examples, with and without an entity, as the format asks about them. In one a name stands in another."""
    lines = Path(__file__).with_name("sentences.jsonl").read_text(encoding="utf-8").splitlines()
    return [asked for line in lines for asked in ask(replace(from_ground_truth(line), format=answer_format))]


def honest(example: Example) -> str:
    """The gold answer, with reasoning that names each entity and its type."""
    return _say(example, example.entities, template_reasoning(example))


def attacks(example: Example, limit: int) -> dict[str, str]:
    """Completion by attack, without those that the format can't write; `limit`: words that a completion may have."""
    found = {}
    for name, build in _attacks(example, limit):
        try:
            found[name] = build()
        except DataError:  # as where a word has one tag
            continue
    return found


def _attacks(example: Example, limit: int) -> Iterator[tuple[str, object]]:
    gold, sentence, first = example.entities, example.sentence, example.types[0]
    reasoning, right = template_reasoning(example), honest(example)
    bare, silent = _say(example, gold, None), _say(example, (), None)
    named = {word for entity in gold for word in entity.name.split()}
    words = sentence.split()
    others = [word for word in words if word.isalpha() and word not in named]
    substrings = [" ".join(words[i:j]) for i, j in combinations(range(len(words) + 1), 2)]
    every_word = [Entity(word, label) for label in example.types for word in words]
    every_substring = [Entity(span, label) for label in example.types for span in substrings]

    yield "writes nothing", lambda: ""
    yield SILENCE, lambda: _say(example, (), "No span of the sentence names an entity of these types.")
    yield "names nothing, no reasoning", lambda: silent
    yield "every type, no name", lambda: f"{OPEN}\n{reasoning}\n{CLOSE}\n{answers.bare_types(example)}"
    yield "the schema", lambda: json.dumps(list(example.types))
    yield "the prompt", lambda: answers.render_prompt(example)
    yield WRONG, lambda: _say(example, [Entity(word, first) for word in others], reasoning)
    yield "the sentence as one name", lambda: _say(example, [Entity(sentence, first)], reasoning)
    if len(example.types) > 1:
        turned = dict(zip(example.types, example.types[1:] + example.types[:1], strict=True))
        yield "wrong types", lambda: _say(example, [replace(e, type=turned[e.type]) for e in gold], reasoning)
    yield "each name twice", lambda: _say(example, [e for e in gold for _ in range(2)], reasoning)
    yield "every word, one type", lambda: _say(example, [Entity(word, first) for word in words], reasoning)
    yield "every word, every type", lambda: _say(example, every_word, reasoning)
    yield "every substring, every type", lambda: _say(example, every_substring, reasoning)
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
    yield "right, after a draft", lambda: f"{_say(example, gold[:1], reasoning)}\n{bare}"


def _say(example: Example, entities: Iterable[Entity], reasoning: str | None) -> str:
    return answers.render_answer(replace(example, entities=tuple(entities), reasoning=reasoning))


def _fill(text: str, unit: str, limit: int) -> str:
    return text + unit * max(1, (limit - len(text.split())) // len(unit.split()))


def _off_schema(example: Example, reasoning: str) -> str:
    word = next(word for word in reversed(example.sentence.split()) if word.isalpha())
    return _say(example, [*example.entities, Entity(word, "thing")], reasoning)
