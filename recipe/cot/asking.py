"""What the two steps that ask a teacher share: the bar, the dry run, and failed rows once more."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

from recipe.cot import store
from recipe.cot.meter import Meter
from recipe.cot.questions import Question

CHARACTERS = 4  # of a token, where no tokenizer says better


class Progress:
    """A bar over the rows of a step that shows what they took."""

    def __init__(self, name: str, unit: str, total: int, done: int, meter: Meter) -> None:
        from tqdm import tqdm

        self._bar, self._meter = tqdm(total=total, initial=done, desc=name, unit=unit), meter

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def step(self) -> None:
        """One row more is done."""
        self._bar.set_postfix_str(str(self._meter), refresh=False)
        self._bar.update()


def drop_failed(work: Path, step: str) -> None:
    """Take failed records out of a step's file, so that their rows are asked about again."""
    store.drop(work, step, lambda record: record["status"] == "failed")


def dry_run(args: argparse.Namespace, questions: Iterable[Question], name: str) -> None:
    """Print a whole prompt, how many would be asked, and the tokens that they have."""
    count, asked, first = _counter(args), 0, None
    tokens = 0
    for question in questions:
        first = first or question
        asked += 1
        tokens += sum(count(message["content"]) for message in question.messages)
    if first:
        for message in first.messages:
            print(f"--- {message['role']} ---\n{message['content']}")
        print("---")
    how = "counted by the tokenizer" if args.tokenizer else f"at {CHARACTERS} characters each; --tokenizer counts them"
    print(f"{asked:,} to {name}, about {tokens:,} input tokens ({how})")
    if args.price_input is not None:
        print(f"input costs about {args.price_input * tokens / 1e6:.4g}; what answers cost depends on the teacher")


def _counter(args: argparse.Namespace) -> Callable[[str], int]:
    if not args.tokenizer:
        return lambda text: -(-len(text) // CHARACTERS)
    from recipe.models.folder import load_tokenizer

    tokenizer = load_tokenizer(args.tokenizer)
    return lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"])
