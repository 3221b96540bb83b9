"""The command `python -m recipe.constrained`: the grammar of an answer, for other servers."""

import sys

from recipe.generate.grammar import main

if __name__ == "__main__":
    sys.exit(main())
