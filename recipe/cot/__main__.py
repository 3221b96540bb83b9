"""The command `python -m recipe.cot STEP`: runs one step, or ends with one line that says why it can't."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from recipe.core.command_line import end_with, exit_status, unwind_on_sigterm
from recipe.cot import annotate, export, funnel, judge, validate
from recipe.cot.questions import BudgetSpent

_STEPS = {
    "annotate": (annotate, "a teacher writes reasoning and entities, relations or events for each text"),
    "validate": (validate, "rules reject what is unsound, each with its reason"),
    "judge": (judge, "a second model scores what is left"),
    "export": (export, "what was kept becomes NER-CoT JSON and SFT Parquet"),
    "stats": (funnel, "how many rows each step let through, and what it cost"),
}
_EXAMPLES = """\
examples:
  export OPENAI_API_KEY=...
  python -m recipe.cot annotate --input texts.jsonl --types person,place --work cot --teacher endpoint \\
      --base-url https://api.deepseek.com/v1 --model deepseek-reasoner --limit 20 --dry-run
  python -m recipe.cot annotate --corpora IE_INSTRUCTIONS --datasets bc5cdr --gold guide --work cot \\
      --teacher vllm --model Qwen/Qwen3-32B
  python -m recipe.cot annotate --corpora data_prep/sample --task ee --work cot_ee --teacher vllm --model MODEL
  RAY_ADDRESS=10.0.0.1:6379 python -m recipe.cot annotate --input pile.parquet --work cot --teacher ray --model MODEL
  python -m recipe.cot validate --work cot
  python -m recipe.cot judge --work cot --teacher endpoint --base-url http://localhost:8000/v1 --model Qwen/Qwen3-32B
  python -m recipe.cot export --work cot --out data/cot
  python -m recipe.cot stats --work cot

The same command again goes on where an interrupted one stopped. Exit status: 0; 2 for wrong input, after one line;
3 where --max-requests was reached; 130 and 143 after an interruption."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        self.exit(2, f"cot: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m recipe.cot",
        description="Chain-of-thought generation: from raw text to a NER-CoT dataset of entities, relations or "
        "events, in checked steps.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")
    for name, (module, what) in _STEPS.items():
        step = steps.add_parser(
            name,
            help=what,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        step.add_argument("--work", type=Path, required=True, metavar="DIR", help="the folder of the steps' files")
        module.add_arguments(step)
    return parser


def main(argv: Iterable[str] | None = None) -> int:
    """Run a step. 0; 2 after one line about what is wrong with the input; 3 at --max-requests; 130 after Ctrl-C."""
    args = _parser().parse_args(None if argv is None else list(argv))
    module, _ = _STEPS[args.step]

    def run() -> int | None:
        try:
            return module.run(args)
        except BudgetSpent as error:
            print(f"cot: {error}; the same command with a larger number goes on from here", file=sys.stderr)
            return 3
        except SystemExit as end:  # by SIGTERM
            print("cot: terminated; the same command goes on from here", file=sys.stderr)
            return end.code

    return exit_status("cot", run, "interrupted; the same command goes on from here")


if __name__ == "__main__":
    unwind_on_sigterm()  # vLLM's and Ray's processes end before this one
    end_with(main)
