"""The command `python -m recipe.rollouts`: a page of a GRPO run's answers."""

import sys

from recipe.report.rollouts import main

if __name__ == "__main__":
    sys.exit(main())
