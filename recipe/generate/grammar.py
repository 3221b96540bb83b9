r"""The grammar that keeps an answer to its JSON layout and to the types that were asked for, and what closes a cut one.

    python -m recipe.constrained --types person,location            # the grammar, for `structured_outputs` over HTTP

It is the layout that the model was trained on, to the space (recipe.answers.json_answer), so that constraining an
answer changes nothing where the model would have kept to it. Types stand in their sorted order, each once at most.
The number of names is bounded by the text's length, their own length by the token limit alone: a bound on characters
makes xgrammar's masks a thousand times slower (1.6 s instead of 0.7 ms a token with 150,000 tokens in the vocabulary).
An answer that the token limit cuts is closed by `close`: names that are whole stay, the one that was being written is
dropped. So whatever the model writes, the answer can be read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from recipe.answers.json_answer import render_answer
from recipe.core.command_line import command_parser, exit_status
from recipe.core.entities import Entity

FEWEST_NAMES = 16  # of a type, however short the text is

_TYPE_LINE = re.compile(r'    ("(?:[^"\\]|\\.)*"): \[')
_NAME_LINE = re.compile(r'      ("(?:[^"\\]|\\.)*"),?')


def grammar(types: Sequence[str], text: str | None = None, reasoning: bool = False) -> str:
    """EBNF, as xgrammar reads it, of every answer about `text` with these types.

    A type has at most a quarter as many names as the text has characters, rounded up to a power of two so that texts
    share compiled grammars; without a text 128. With `reasoning`, a closed think block of any length comes first.
    """
    names = 128 if text is None else max(FEWEST_NAMES, (1 << max(0, len(text) - 1).bit_length()) // 4)
    answer = r'"{\n  \"entities\": " ("{}" | "{\n" first0 "\n  }") "\n}"'
    # A think block ends at its first closing tag, so no other `</` may stand in it.
    think = r'"<think>\n" ([^<] | "<" [^/])* "</think>\n" ' if reasoning else ""
    rules = [f"root ::= {think}{answer}"]
    last = len(types) - 1
    for number, label in enumerate(types):
        head = _literal(f"    {json.dumps(label, ensure_ascii=False)}: [\n")
        later = f" | first{number + 1}" if number < last else ""
        rules.append(f"block{number} ::= {head} names")
        rules.append(f"first{number} ::= block{number} rest{number + 1}{later}")
        if number:
            rules.append(rf'rest{number} ::= ",\n" block{number} rest{number + 1} | rest{number + 1}')
    rules += [
        f'rest{last + 1} ::= ""',
        rf'names ::= name (",\n" name){{0,{names - 1}}} "\n    ]"',
        r'name ::= "      \"" character+ "\""',
        r'character ::= [^"\\\x00-\x1f] | "\\" ["\\/bfnrt]',
    ]
    return "\n".join(rules) + "\n"


def close(answer: str) -> str:
    """A whole answer out of the beginning of one that the grammar allows: the names that are whole, in the layout."""
    entities, label = [], None
    for line in answer.split("\n"):
        if found := _TYPE_LINE.fullmatch(line):
            label = json.loads(found.group(1))
        elif label is not None and (found := _NAME_LINE.fullmatch(line)):
            entities.append(Entity(json.loads(found.group(1)), label))
    return render_answer(entities)


def _literal(text: str) -> str:
    """A string literal of the grammar. Types hold no control characters, so JSON's escapes are among the grammar's."""
    return json.dumps(text, ensure_ascii=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the grammar; 0, or 2 after one line about what is wrong with the types."""
    from recipe.corpora.texts import split_types

    parser = command_parser(
        "recipe.constrained",
        "Print the grammar of the answers with these types, to be sent to a vLLM server.",
        "python -m recipe.constrained --types person,location",
        "python -m recipe.constrained --types person,location --reasoning",
    )
    parser.add_argument("--types", required=True, metavar="A,B", help="entity types, with commas between them")
    parser.add_argument(
        "--text", metavar="TEXT", help="what is asked about: bounds the number of names, as predict does"
    )
    parser.add_argument("--reasoning", action="store_true", help="a think block comes first")
    args = parser.parse_args(argv)
    return exit_status(
        "constrained", lambda: print(grammar(split_types(args.types), args.text, args.reasoning), end="")
    )
