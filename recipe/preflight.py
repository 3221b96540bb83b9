"""The command `python -m recipe.preflight`: what can be known to go wrong, before a run loads anything."""

from recipe.core.command_line import end_with
from recipe.train.checks import main

if __name__ == "__main__":
    end_with(main)
