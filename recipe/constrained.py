"""The command `python -m recipe.constrained`: the grammar of an answer, for other servers.

python -m recipe.constrained --types person,location            # the grammar, for `structured_outputs` over HTTP
"""

import sys
from collections.abc import Sequence

from recipe import answers
from recipe.core.command_line import command_parser, exit_status
from recipe.core.entities import DEFAULT_FORMAT
from recipe.corpora.texts import split_types


def main(argv: Sequence[str] | None = None) -> int:
    """Print the grammar; 0, or 2 after one line about what is wrong with the types."""
    parser = command_parser(
        "recipe.constrained",
        "Print the grammar of the answers with these types, to be sent to a vLLM server.",
        "python -m recipe.constrained --types person,location",
        "python -m recipe.constrained --types person,location --reasoning",
    )
    add = parser.add_argument
    add("--types", required=True, metavar="A,B", help="entity types, with commas between them")
    add("--text", metavar="TEXT", help="what is asked about: bounds the number of names, as predict does")
    add("--reasoning", action="store_true", help="a think block comes first")
    args = parser.parse_args(argv)

    def show() -> None:
        print(answers.grammar(DEFAULT_FORMAT, split_types(args.types), args.text, args.reasoning).rules, end="")

    return exit_status("constrained", show)


if __name__ == "__main__":
    sys.exit(main())
