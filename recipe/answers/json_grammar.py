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

    A type has at most as many items as `bound` says. With `reasoning`, a closed think block of any length comes first.
    """
    most, prefixes = bound(text), ("", "second_")
    answer = r' ",\n" '.join(f"{prefix}part" for _, prefix in zip(parts, prefixes, strict=False))
    lines = [rf'root ::= THINK"{{\n" {answer} "\n}}"']
    for part, prefix in zip(parts, prefixes, strict=False):
        key, item = _literal(f'  "{part.key}": '), r'"[" string ", " string "]"' if part.pairs else "string"
        lines.append(rf'{prefix}part ::= {key} ("{{}}" | "{{\n" {prefix}first0 "\n  }}")')
        heads = (_literal(f"    {_literal(label)}: [\n") for label in part.types)
        lines += in_order([f"{head} {prefix}items" for head in heads], prefix)
        lines.append(rf'{prefix}items ::= {prefix}item (",\n" {prefix}item){{0,MOST}} "\n    ]"')
        lines.append(f'{prefix}item ::= "      " {item}')
    return end_rules(lines, most, reasoning)


def bound(text: str | None) -> int:
    """The most items of a type: a quarter of the text's characters, rounded up to a power of two; 128 without a text.

    Rounded, so that texts share compiled grammars.
    """
    return 128 if text is None else max(FEWEST_NAMES, (1 << max(0, len(text) - 1).bit_length()) // 4)


def choice(texts: Sequence[str]) -> str:
    """One of these texts as a JSON string."""
    return " | ".join(_literal(_literal(text)) for text in texts)


def in_order(blocks: Sequence[str], prefix: str) -> list[str]:
    """The rules of `first0`: one block or more, in their order, each once at most, a comma and a line's end between."""
    last, lines = len(blocks) - 1, []
    for number, each in enumerate(blocks):
        later = f" | {prefix}first{number + 1}" if number < last else ""
        lines.append(f"{prefix}block{number} ::= {each}")
        lines.append(f"{prefix}first{number} ::= {prefix}block{number} {prefix}rest{number + 1}{later}")
        if number:
            own, rest = f"{prefix}block{number}", f"{prefix}rest{number + 1}"
            lines.append(rf'{prefix}rest{number} ::= ",\n" {own} {rest} | {rest}')
    return [*lines, f'{prefix}rest{last + 1} ::= ""']


def end_rules(lines: Sequence[str], most: int, reasoning: bool) -> str:
    """The rules with those of strings; MOST and THINK in them are the number of further items and the think block."""
    # A think block ends at its first closing tag, so no other `</` may stand in it.
    think = r'"<think>\n" ([^<] | "<" [^/])* "</think>\n" ' if reasoning else ""
    root, *others = (line.replace("{0,MOST}", f"{{0,{most - 1}}}") for line in lines)
    strings = [r'string ::= "\"" character+ "\""', r'character ::= [^"\\\x00-\x1f] | "\\" ["\\/bfnrt]']
    return "\n".join([root.replace("THINK", think, 1), *others, *strings]) + "\n"


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
