"""How sure a score is: bootstrap intervals over sentences, and a paired test of two models on the same sentences.

Counts are arrays of (sentences, rules, 3): matched, predicted and gold of each sentence under each rule. Sums over
sentences give the micro F1 of a dataset, so a resample is a row of weights times that array.
"""

from collections.abc import Sequence

import numpy as np

RESAMPLES, LEVEL, SEED = 1000, 0.95, 0


def f1_of(sums: np.ndarray) -> np.ndarray:
    """F1 of summed counts (..., 3) -> (...); 1 where nothing was predicted and nothing was there to find."""
    matched, total = sums[..., 0], sums[..., 1] + sums[..., 2]
    return np.where(total > 0, 2 * matched / np.where(total > 0, total, 1), 1.0)


def resampled_sums(counts: np.ndarray, rng: np.random.Generator, resamples: int = RESAMPLES) -> np.ndarray:
    """(sentences, rules, 3) -> (resamples, rules, 3): sums over as many sentences, drawn with replacement."""
    sentences, flat = len(counts), np.ascontiguousarray(counts.reshape(len(counts), -1), np.float64)
    # Few sentences have counts that no other one has. How often each was drawn needn't be known, only how often its
    # counts were; these sums are of whole numbers and halves, so nothing is rounded.
    as_bytes = flat.view(np.dtype((np.void, flat.itemsize * flat.shape[1]))).ravel()
    _, first, kind = np.unique(as_bytes, return_index=True, return_inverse=True)
    kind = kind.astype(np.intp)
    sums = np.empty((resamples, flat.shape[1]))
    drawn = np.empty((min(resamples, max(1, (1 << 22) // len(first))), len(first)))  # 32 MB, however many sentences
    for start in range(0, resamples, len(drawn)):
        times = drawn[: resamples - start]
        for row in times:
            row[:] = np.bincount(kind[rng.integers(sentences, size=sentences)], minlength=len(first))
        sums[start : start + len(times)] = times @ flat[first]
    return sums.reshape(resamples, *counts.shape[1:])


def interval(samples: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval over the first axis: (resamples, ...) -> two arrays (...)."""
    tail = (1 - level) / 2
    low, high = np.quantile(samples, [tail, 1 - tail], axis=0)
    return low, high


def paired_p_value(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray], resamples: int = 10_000, seed: int = SEED
) -> tuple[np.ndarray, np.ndarray]:
    """Difference of macro F1, second minus first, and its two-sided p-value by approximate randomisation.

    Both of shape (rules,). `first` and `second` hold one array (sentences, rules, 3) for each dataset, of the same
    sentences in the same order.
    Under the null hypothesis a sentence's two answers are exchangeable: each resample swaps them with probability 1/2
    (Noreen 1989; Yeh, COLING 2000). The p-value counts the observed arrangement, so it is never 0.
    """
    rng = np.random.default_rng(seed)
    observed = np.zeros(first[0].shape[1])
    differences = np.zeros((resamples, first[0].shape[1]))
    for a, b in zip(first, second, strict=True):
        flat_a, flat_b = (x.reshape(len(x), -1).astype(np.float64) for x in (a, b))
        observed += f1_of(b.sum(axis=0)) - f1_of(a.sum(axis=0))
        step = max(1, (1 << 22) // max(1, len(a)))
        for start in range(0, resamples, step):
            size = min(step, resamples - start)
            swapped = rng.integers(2, size=(size, len(a)), dtype=np.int8).astype(np.float64)
            moved = (swapped @ (flat_b - flat_a)).reshape(size, *a.shape[1:])
            differences[start : start + size] += f1_of(b.sum(axis=0) - moved) - f1_of(a.sum(axis=0) + moved)
    # Sums of the same terms in another order differ in the last bits.
    extreme = (np.abs(differences) >= np.abs(observed) - 1e-12).sum(axis=0)
    return observed / len(first), (extreme + 1) / (resamples + 1)


def two_level_differences(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray], resamples: int = RESAMPLES, seed: int = SEED
) -> np.ndarray:
    """Resampled differences of macro F1, second minus first, as the mean over training seeds: (resamples,).

    `first` and `second` hold one array (sentences, seeds, 3) for each dataset, of the same sentences and the same seeds
    in the same order. A resample draws seeds with replacement, and of each dataset as many sentences as it has; all
    seeds, and both sides, answer the sentences that were drawn. Seeds and sentences are crossed, not one within the
    other: how hard a sentence is, it is for every seed (the pigeonhole bootstrap, Owen 2007). With one seed the
    resamples are over sentences alone.
    """
    rng = np.random.default_rng(seed)
    seeds = first[0].shape[1]
    differences = np.zeros((resamples, seeds))
    for a, b in zip(first, second, strict=True):
        f1 = f1_of(resampled_sums(np.concatenate([a, b], axis=1), rng, resamples))
        differences += f1[:, seeds:] - f1[:, :seeds]
    drawn = rng.integers(seeds, size=(resamples, seeds))
    return np.take_along_axis(differences, drawn, axis=1).mean(axis=1) / len(first)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for being so many, in their order (Holm 1979).

    Where no difference is real, the chance that any of them is below 0.05 is at most 5 %.
    """
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = least
    return adjusted
