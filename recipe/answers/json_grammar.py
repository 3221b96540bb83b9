r"""The grammar that holds a JSON answer to its layout and to the types that were asked for, and what closes a cut one.

It is the layout that the model was trained on, to the space (recipe.answers.json_answer), so that constraining an
answer changes nothing where the model would have kept to it. Types come in their sorted order, each once at most.
The number of names is bounded by the text's length, their own length by the token limit alone: a bound on characters
makes xgrammar's masks a thousand times slower (1.6 s instead of 0.7 ms a token with 150,000 tokens in the vocabulary).
The token limit may cut an answer. `whole_facts` reads what is whole in it, so that the answer can be closed:
whatever the model writes, the answer can be read.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from recipe.core.entities import Entity, Relation

FEWEST_NAMES = 16  # of a type, however short the text is

# A string literal of the grammar. Types hold no control characters, so JSON's escapes are among the grammar's.
_literal = json.JSONEncoder(ensure_ascii=False).encode
_STRING = r'("(?:[^"\\]|\\.)*")'
_TYPE_LINE = re.compile(rf"    {_STRING}: \[")
_NAME_LINE = re.compile(rf"      {_STRING},?")
_PAIR_LINE = re.compile(rf"      \[{_STRING}, {_STRING}\],?")


@dataclass(frozen=True, slots=True)
class Part:
    """A key of the answer and the types under it; their items are names, or pairs of names."""

    key: str
    types: tuple[str, ...]
    pairs: bool = False


@dataclass(frozen=True, slots=True)
class Grammar:
    """What holds decoding to a layout.

    `rules` are EBNF, as xgrammar reads it. An answer begins with the last brace before `start`. `close` makes a
    whole answer out of the beginning of one that the rules allow.
    """

    rules: str
    start: str
    close: Callable[[str], str]


def rules(parts: Sequence[Part], text: str | None = None, reasoning: bool = False) -> str:
    """EBNF, as xgrammar reads it, of every answer about `text` of these parts.

    A type has at most a quarter as many items as the text has characters, rounded up to a power of two so that texts
    share compiled grammars; without a text 128. With `reasoning`, a closed think block of any length comes first.
    """
    most = 128 if text is None else max(FEWEST_NAMES, (1 << max(0, len(text) - 1).bit_length()) // 4)
    # A think block ends at its first closing tag, so no other `</` may stand in it.
    think = r'"<think>\n" ([^<] | "<" [^/])* "</think>\n" ' if reasoning else ""
    of_parts = [_of_part(part, prefix, most) for part, prefix in zip(parts, ("", "second_"), strict=False)]
    answer = r' ",\n" '.join(f"{prefix}part" for _, prefix in zip(parts, ("", "second_"), strict=False))
    lines = [rf'root ::= {think}"{{\n" {answer} "\n}}"']
    for each in of_parts:
        lines += each
    lines += [r'string ::= "\"" character+ "\""', r'character ::= [^"\\\x00-\x1f] | "\\" ["\\/bfnrt]']
    return "\n".join(lines) + "\n"


def _of_part(part: Part, prefix: str, most: int) -> list[str]:
    """The rules of one key; their names begin with `prefix`."""
    key, last = _literal(f'  "{part.key}": '), len(part.types) - 1
    lines = [rf'{prefix}part ::= {key} ("{{}}" | "{{\n" {prefix}first0 "\n  }}")']
    for number, label in enumerate(part.types):
        head = _literal(f"    {_literal(label)}: [\n")
        later = f" | {prefix}first{number + 1}" if number < last else ""
        lines.append(f"{prefix}block{number} ::= {head} {prefix}items")
        lines.append(f"{prefix}first{number} ::= {prefix}block{number} {prefix}rest{number + 1}{later}")
        if number:
            block, rest = f"{prefix}block{number}", f"{prefix}rest{number + 1}"
            lines.append(rf'{prefix}rest{number} ::= ",\n" {block} {rest} | {rest}')
    item = r'"      [" string ", " string "]"' if part.pairs else '"      " string'
    return [
        *lines,
        f'{prefix}rest{last + 1} ::= ""',
        rf'{prefix}items ::= {prefix}item (",\n" {prefix}item){{0,{most - 1}}} "\n    ]"',
        f"{prefix}item ::= {item}",
    ]


def whole_facts(answer: str) -> tuple[list[Entity], list[Relation]]:
    """What is whole in the beginning of an answer that the rules allow: entities, and relations of untyped names."""
    entities, relations, label = [], [], None
    for line in answer.split("\n"):
        if found := _TYPE_LINE.fullmatch(line):
            label = json.loads(found[1])
        elif label is not None and (found := _NAME_LINE.fullmatch(line)):
            entities.append(Entity(json.loads(found[1]), label))
        elif label is not None and (found := _PAIR_LINE.fullmatch(line)):
            head, tail = map(json.loads, found.groups())
            relations.append(Relation(Entity(head, ""), label, Entity(tail, "")))
    return entities, relations
