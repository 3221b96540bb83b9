r"""The grammar that holds a JSON answer to its layout and to the types that were asked for, and what closes a cut one.

It is the layout that the model was trained on, to the space (recipe.answers.json_answer), so that constraining an
answer changes nothing where the model would have kept to it. Types come in their sorted order, each once at most.
The number of names is bounded by the text's length, their own length by the token limit alone: a bound on characters
makes xgrammar's masks a thousand times slower (1.6 s instead of 0.7 ms a token with 150,000 tokens in the vocabulary).
The token limit may cut an answer. `whole_names` reads what is whole in it, so that the answer can be closed:
whatever the model writes, the answer can be read.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from recipe.core.entities import Entity

FEWEST_NAMES = 16  # of a type, however short the text is

# A string literal of the grammar. Types hold no control characters, so JSON's escapes are among the grammar's.
_literal = json.JSONEncoder(ensure_ascii=False).encode
_TYPE_LINE = re.compile(r'    ("(?:[^"\\]|\\.)*"): \[')
_NAME_LINE = re.compile(r'      ("(?:[^"\\]|\\.)*"),?')


@dataclass(frozen=True, slots=True)
class Grammar:
    """What holds decoding to a layout.

    `rules` are EBNF, as xgrammar reads it. An answer begins with the last brace before `start`. `close` makes a
    whole answer out of the beginning of one that the rules allow.
    """

    rules: str
    start: str
    close: Callable[[str], str]


def rules(types: Sequence[str], text: str | None = None, reasoning: bool = False) -> str:
    """EBNF, as xgrammar reads it, of every answer about `text` with these types.

    A type has at most a quarter as many names as the text has characters, rounded up to a power of two so that texts
    share compiled grammars; without a text 128. With `reasoning`, a closed think block of any length comes first.
    """
    names = 128 if text is None else max(FEWEST_NAMES, (1 << max(0, len(text) - 1).bit_length()) // 4)
    answer = r'"{\n  \"entities\": " ("{}" | "{\n" first0 "\n  }") "\n}"'
    # A think block ends at its first closing tag, so no other `</` may stand in it.
    think = r'"<think>\n" ([^<] | "<" [^/])* "</think>\n" ' if reasoning else ""
    lines = [f"root ::= {think}{answer}"]
    last = len(types) - 1
    for number, label in enumerate(types):
        head = _literal(f"    {_literal(label)}: [\n")
        later = f" | first{number + 1}" if number < last else ""
        lines.append(f"block{number} ::= {head} names")
        lines.append(f"first{number} ::= block{number} rest{number + 1}{later}")
        if number:
            lines.append(rf'rest{number} ::= ",\n" block{number} rest{number + 1} | rest{number + 1}')
    lines += [
        f'rest{last + 1} ::= ""',
        rf'names ::= name (",\n" name){{0,{names - 1}}} "\n    ]"',
        r'name ::= "      \"" character+ "\""',
        r'character ::= [^"\\\x00-\x1f] | "\\" ["\\/bfnrt]',
    ]
    return "\n".join(lines) + "\n"


def whole_names(answer: str) -> Iterator[Entity]:
    """The names that are whole in the beginning of an answer that the rules allow."""
    label = None
    for line in answer.split("\n"):
        if found := _TYPE_LINE.fullmatch(line):
            label = json.loads(found.group(1))
        elif label is not None and (found := _NAME_LINE.fullmatch(line)):
            yield Entity(json.loads(found.group(1)), label)
