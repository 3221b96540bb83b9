"""The figures of cells and of their differences, as the JSON file has them. Shares are fractions, differences points.

A cell's precision, recall and F1 are macro averages over the datasets of a test, then means over seeds; its shares are
of all sentences. `names_nothing` is the share of the sentences with entities whose answer can be read and names none.
A difference is the mean over the seeds that both cells have. Its parts are recipe.evaluate.difference's, means over
seeds that add up to it; of the part that both could read, macro F1, precision and recall are told, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, stdev

import numpy as np

from recipe.compare import ScoredFolder
from recipe.core.metrics import Counts
from recipe.evaluate.difference import part_of, split_difference
from recipe.evaluate.intervals import interval, paired_p_value, two_level_differences

READ_IN_BOTH = "read in both"
_RATIOS = ("f1", "precision", "recall")


def cell_figures(by_seed: Mapping[int, ScoredFolder], rule: str) -> dict:
    """Means over seeds, the spread of F1 over them (None for one), F1 of each dataset, and F1 of each seed."""
    each = [_one(folder, rule) for folder in by_seed.values()]
    f1 = [one["f1"] for one in each]
    datasets = next(iter(by_seed.values())).scores["datasets"]
    return {
        "seeds": list(by_seed),
        **{name: fmean(one[name] for one in each) for name in each[0]},
        "f1_sd": stdev(f1) if len(f1) > 1 else None,
        "f1_by_dataset": {
            name: fmean(folder.scores["datasets"][name][rule]["f1"] for folder in by_seed.values()) for name in datasets
        },
        "f1_by_seed": dict(zip(map(str, by_seed), f1, strict=True)),
    }


def _one(folder: ScoredFolder, rule: str) -> dict[str, float]:
    datasets = folder.scores["datasets"].values()
    predicted, gold = folder.counts[:, 1], folder.counts[:, 2]
    with_entities = gold > 0
    silent = (predicted == 0) & ~folder.unread & with_entities
    unit = "tokens" if all("answer_tokens" in one for one in datasets) else "words"
    sentences = sum(one["sentences"] for one in datasets)
    return {
        **{name: fmean(one[rule][name] for one in datasets) for name in ("precision", "recall", "f1")},
        "unreadable": float(folder.unread.mean()),
        "names_nothing": float(silent.sum() / max(1, with_entities.sum())),
        **{
            f"{part}_{unit}": sum(one["sentences"] * one[f"{part}_{unit}"] for one in datasets) / sentences
            for part in ("reasoning", "answer")
        },
    }


def difference(first: Mapping[int, ScoredFolder], second: Mapping[int, ScoredFolder]) -> dict | None:
    """`second` minus `first` in points of macro F1; None where no seed has both.

    `interval`: 95 %, resampled over `over`; `p`: paired randomisation over sentences, each sentence's counts being the
    sums over seeds. It is of these runs; that other seeds may turn out otherwise is in the interval alone.
    """
    seeds = [seed for seed in first if seed in second]
    if not seeds:
        return None
    sides = [_stacked([side[seed] for seed in seeds]) for side in (first, second)]
    low, high = interval(two_level_differences(*sides))
    _, p = paired_p_value(*([counts.sum(axis=1)[:, None, :] for counts in side] for side in sides))
    splits = [
        split_difference(a.datasets, a.counts, b.counts, part_of(a.unread, b.unread))
        for a, b in ((first[seed], second[seed]) for seed in seeds)
    ]
    by_seed = [100 * sum(part.points for part in parts) for parts in splits]
    parts = {}
    for each in zip(*splits, strict=True):
        parts[each[0].name] = {
            "sentences": fmean(part.sentences for part in each),
            "points": 100 * fmean(part.points for part in each),
        }
    parts[READ_IN_BOTH] |= _read_in_both(first, second, seeds)
    return {
        "seeds": seeds,
        "points": fmean(by_seed),
        "interval": [100 * float(low), 100 * float(high)],
        "over": "seeds and sentences" if len(seeds) > 1 else "sentences",
        "p": float(p[0]),
        "points_by_seed": dict(zip(map(str, seeds), by_seed, strict=True)),
        "parts": parts,
    }


def _read_in_both(first: Mapping[int, ScoredFolder], second: Mapping[int, ScoredFolder], seeds: Sequence[int]) -> dict:
    """Differences of macro precision, recall and F1 on the sentences whose answers of a seed can be read on both sides.

    `interval` is F1's, as the whole difference has it. Which sentences these are, a resample doesn't draw anew.
    """
    sides = []
    for side in (first, second):
        kept = {seed: ~(first[seed].unread | second[seed].unread)[:, None] for seed in seeds}
        sides.append(_stacked([replace(side[seed], counts=side[seed].counts * kept[seed]) for seed in seeds]))
    low, high = interval(two_level_differences(*sides))
    told = {name: 100 * (after - before) for name, before, after in zip(_RATIOS, *map(_macro, sides), strict=True)}
    return {**told, "interval": [100 * float(low), 100 * float(high)]}


def _macro(side: Sequence[np.ndarray]) -> list[float]:
    """_RATIOS of (sentences, seeds, 3) for each dataset: means over datasets and seeds."""
    sums = [Counts(*seed) for counts in side for seed in counts.sum(axis=0)]
    return [fmean(getattr(one, name) for one in sums) for name in _RATIOS]


def _stacked(folders: Sequence[ScoredFolder]) -> list[np.ndarray]:
    """Counts of each dataset's sentences: (sentences, seeds, 3)."""
    return [np.concatenate(counts, axis=1) for counts in zip(*(one.by_dataset for one in folders), strict=True)]
