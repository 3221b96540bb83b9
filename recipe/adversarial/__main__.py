"""What an experiment's reward pays for answers that don't deserve it, beside what it pays for the honest one.

    python -m recipe.adversarial grpo_tiny

    json                                          names     none    mixed   against the honest answer
    honest                                        15.00    15.00    15.00
    right, one word of reasoning                  13.00    15.00    13.50   ties in 2 of 6
    names nothing                                  3.00    15.00     6.00   below
    right, then a remark                           5.00     5.00     5.00   below

One table for each format of the task (names, or with --task relations or events) that the reward can read: mean rewards
on sentences with something to find, on those without, and on a mix of both, which is what a policy earns that always
answers so. Exit status 1 if one beats the honest answer.
"""

import argparse
import logging
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from recipe.adversarial import attacks
from recipe.answers import FORMATS, TASKS, formats_of, task
from recipe.core.command_line import command_parser, exit_status
from recipe.core.entities import DEFAULT_FORMAT, DataError, Example
from recipe.core.ground_truth import to_ground_truth
from recipe.train import config as experiment
from recipe.train.reward import configured_reward

_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Paid:
    """One way to answer: (example, its reward, the honest answer's) for each example that it can be written for.

    Where it is the honest answer itself, the last is None: such an example counts in the means alone.
    """

    name: str
    scores: tuple[tuple[Example, float, float | None], ...]

    def mean(self, named: bool) -> float | None:
        """The mean reward on examples with something to find, or without; None without such examples."""
        these = [score for example, score, _ in self.scores if attacks.finds(example) == named]
        return sum(these) / len(these) if these else None

    def mixed(self, empty_share: float) -> float | None:
        """The mean reward where `empty_share` of the prompts have nothing to find."""
        with_names, without = self.mean(True), self.mean(False)
        if with_names is None or without is None:
            return None
        return (1 - empty_share) * with_names + empty_share * without

    def gains(self, named: bool | None = None) -> list[float]:
        """What it earns more than the honest answer, on each example where it is another one.

        With `named`, on those with something to find alone, or on those without.
        """
        entries = (entry for entry in self.scores if named in (None, attacks.finds(entry[0])))
        return [score - best for _, score, best in entries if best is not None]

    def ties(self, named: bool | None = None) -> int:
        return sum(abs(gain) < _SAME for gain in self.gains(named))

    def above(self, named: bool | None = None) -> int:
        return sum(gain > _SAME for gain in self.gains(named))

    @property
    def verdict(self) -> str:
        compared, above, ties = len(self.gains()), self.above(), self.ties()
        if above:
            return f"ABOVE in {above} of {compared}"
        return f"ties in {ties} of {compared}" if ties else "below"


def rows(reward: Callable[..., dict], answer_format: str, limit: int) -> list[Paid]:
    """The honest answer first, then each attack; empty if the reward can't read answers of this format."""
    golds = attacks.examples(answer_format)
    if not _reads(reward, golds[0]):
        return []
    table: dict[str, list] = {}
    for example in golds:
        truth, text = to_ground_truth(example), attacks.honest(example)
        said = {"honest": text} | attacks.attacks(example, limit)
        paid = {name: reward("", completion, truth, {})["score"] for name, completion in said.items()}
        for name, completion in said.items():
            best = None if completion == text else paid["honest"]
            table.setdefault(name, []).append((example, paid[name], best))
    return [Paid(name, tuple(entries)) for name, entries in table.items()]


def _reads(reward: Callable[..., dict], example: Example) -> bool:
    """Whether the reward pays the example's gold answer anything; what it logs of one that it can't read is no news."""
    logging.disable(logging.ERROR)
    try:
        return reward("", attacks.honest(example), to_ground_truth(example), {})["score"] > 0
    finally:
        logging.disable(logging.NOTSET)


def break_even(table: Sequence[Paid], empty_share: float) -> float:
    """How far from wrong to right names a policy must come, where there are some, to earn what silence earns.

    In [0, 1] where silence earns less than honesty; with a reward that is linear in F1 it is that F1. The policy names
    something where there is nothing, too. Infinite where right names earn no more than wrong ones.
    """
    by_name = {row.name: row for row in table}
    silence, wrong, right = (by_name[name] for name in (attacks.SILENCE, attacks.WRONG, "honest"))
    gain = (1 - empty_share) * (right.mean(True) - wrong.mean(True))
    return (silence.mixed(empty_share) - wrong.mixed(empty_share)) / gain if gain > _SAME else math.inf


def render(answer_format: str, table: Sequence[Paid], empty_share: float) -> str:
    """The table as text, best first, and what always naming nothing is worth."""

    def number(value: float | None) -> str:
        return f"{'-' if value is None else format(value, '.2f'):>9}"

    def line(row: Paid) -> str:
        numbers = "".join(number(value) for value in (row.mean(True), row.mean(False), row.mixed(empty_share)))
        return f"{row.name:<42}{numbers}   {'' if row is table[0] else row.verdict}".rstrip()

    ordered = [table[0], *sorted(table[1:], key=lambda row: -(row.mixed(empty_share) or 0))]
    silence = next(row for row in table if row.name == attacks.SILENCE)
    share = break_even(table, empty_share)
    worth = f"as much as to come {share:.0%} of the way from wrong to right names" if math.isfinite(share) else ""
    return "\n".join(
        (
            f"{answer_format:<42}{'names':>9}{'none':>9}{'mixed':>9}   against the honest answer",
            *(line(row) for row in ordered),
            f"with {empty_share:.0%} of prompts without anything to find, to name nothing always earns "
            f"{silence.mixed(empty_share):.2f},",
            worth or "and right names earn no more than wrong ones",
        )
    )


def main(argv: Iterable[str] | None = None) -> int:
    parser = command_parser(
        "recipe.adversarial",
        "Print what a GRPO experiment's reward pays for answers that don't deserve it.",
        "python -m recipe.adversarial grpo_qwen3_8b",
        "python -m recipe.adversarial grpo_tiny --task ee",
        "python -m recipe.adversarial grpo_tiny reward.custom_reward_function.reward_kwargs.repaired_value=0",
    )
    add = parser.add_argument
    add("experiment", help="name of a GRPO experiment in hydra_configs, without .yaml")
    add("overrides", nargs="*", help="Hydra overrides, as for training")
    add("--task", choices=TASKS, default=task(DEFAULT_FORMAT), help="of the answers; default: %(default)s")
    add("--answer-format", choices=tuple(FORMATS), help="default: all of the task that the reward can read")
    add("--empty-share", type=float, default=0.25, help="of the prompts that have nothing to find; default 0.25")
    args = parser.parse_args(None if argv is None else list(argv))
    return exit_status("adversarial", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    if not 0 <= args.empty_share < 1:
        raise DataError(f"--empty-share {args.empty_share}: not a share; give a number from 0 to below 1")
    config = experiment.compose(args.experiment, args.overrides)
    if "actor_rollout_ref" not in config:
        raise DataError(f"{args.experiment}: is no GRPO experiment, and has no reward; name one of grpo_*")
    reward, limit = configured_reward(config), int(config.data.max_response_length)
    names = [args.answer_format] if args.answer_format else formats_of(args.task)
    tables = {name: table for name in names if (table := rows(reward, name, limit))}
    if not tables:
        raise DataError(f"{args.experiment}: its reward can't read {', '.join(names)}; leave --answer-format out")
    print("\n\n".join(render(name, table, args.empty_share) for name, table in tables.items()))
    return int(any(row.above() for table in tables.values() for row in table))


if __name__ == "__main__":
    sys.exit(main())
