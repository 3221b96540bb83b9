"""Which answers of a GRPO run's dumps are shown, and the scores of all of them.

Of the answers that aren't shown only the scores are kept; recipe.models.rollout_dump reads the files.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from recipe.models.rollout_dump import Answered, read_dump

Scores = dict[tuple[int, str], list[float]]  # of each (step, prompt)
F1 = dict[int, list[float]]  # of each step


def evenly(items: Sequence, size: int) -> list:
    """`size` of the items, or all, with the same distance between neighbours."""
    if len(items) <= size:
        return list(items)
    return [items[(2 * number + 1) * len(items) // (2 * size)] for number in range(size)]


def scan(files: Mapping[int, Path], by_input: bool) -> tuple[Scores, F1]:
    """Scores of each (step, prompt), and F1 of each step; the texts are not kept."""
    from tqdm import tqdm

    scores: Scores = defaultdict(list)
    f1: F1 = defaultdict(list)
    for step, path in tqdm(files.items(), desc="dumps", unit="file", leave=False, disable=None):
        for answered in read_dump(path, by_input):
            scores[step, answered.prompt].append(answered.score)
            if answered.f1 is not None:
                f1[step].append(answered.f1)
    return scores, f1


def collect(files: Mapping[int, Path], chosen: Sequence, by_input: bool) -> list[list[Answered]]:
    """The answers of each chosen group, (step, prompt), or with `by_input` prompt, in the order of `chosen`."""
    found: dict = {key: [] for key in chosen}
    steps = set(files) if by_input else {step for step, _ in chosen}
    for step in sorted(steps):
        for answered in read_dump(files[step], by_input):
            key = answered.prompt if by_input else (step, answered.prompt)
            if key in found:
                found[key].append(answered)
    return list(found.values())


def choose_groups(scores: Iterable[tuple[int, str]], size: int, seed: int) -> list[tuple[int, str]]:
    """`size` groups, (step, prompt), evenly over the steps; which of a step's is up to the seed."""
    order = sorted(scores)
    random.Random(seed).shuffle(order)
    return evenly(sorted(order, key=lambda key: key[0]), size)


def choose_prompts(scores: Iterable[tuple[int, str]], size: int, seed: int) -> list[str]:
    """`size` validation prompts, those that were answered at most steps before others."""
    steps: dict[str, set[int]] = defaultdict(set)
    for step, prompt in scores:
        steps[prompt].add(step)
    order = sorted(steps)
    random.Random(seed).shuffle(order)
    return sorted(order, key=lambda prompt: -len(steps[prompt]))[:size]
