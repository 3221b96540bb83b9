"""The command `python -m recipe.preflight`: what can be known to go wrong, before a run loads anything."""

import sys

from recipe.train.checks import main

if __name__ == "__main__":
    sys.exit(main())
