"""Sentences that are nearly the same as one before: MinHash candidates (datasketch), then the exact Jaccard similarity.

    index = Index(0.9)
    index.add("9f2c51d07a3be846", "EU rejects German call to boycott British lamb .")
    index.find("EU rejects German call to boycott British lamb !")      # "9f2c51d07a3be846"

Sentences are compared by their normalised words (recipe.corpora.sentence_overlap): as sets of five words in a row,
below SHORT words of five characters in a row. Two of them are similar by the share of what either has that both have.
A sentence that is kept costs about 4 KB of memory.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterable

from recipe.corpora.sentence_overlap import words

GRAM, SHORT = 5, 20
# Of sentences as similar as 0.9, 99.95 % agree in one of 10 bands of 6 hashes, and are then compared in full.
BANDS, ROWS, SEED = 10, 6, 1


def shingles(sentence: str) -> set[int]:
    """32-bit hashes of what stands in a row; of all of a sentence that is shorter than that."""
    normal = words(sentence)
    units, separator = (normal, " ") if len(normal) >= SHORT else (" ".join(normal) or sentence, "")
    grams = (separator.join(units[start : start + GRAM]) for start in range(max(1, len(units) - GRAM + 1)))
    return {zlib.crc32(gram.encode("utf-8", "surrogatepass")) for gram in grams}


class Index:
    """The sentences so far, and which of them is similar to another one."""

    def __init__(self, similarity: float) -> None:
        from datasketch import MinHash, MinHashLSH

        self.similarity = similarity
        self._ids: list[str] = []
        self._shingles: list[array] = []
        self._bands = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
        self._empty = MinHash(num_perm=BANDS * ROWS, seed=SEED, hashfunc=int)

    def add(self, row: str, sentence: str) -> None:
        """Remember a sentence under its row's id."""
        mine = shingles(sentence)
        self._bands.insert(len(self._ids), self._hash(mine), check_duplication=False)
        self._ids.append(row)
        self._shingles.append(array("I", mine))

    def find(self, sentence: str) -> str | None:
        """The id of the earliest sentence that is at least as similar as the index asks for."""
        mine = shingles(sentence)
        for number in sorted(self._bands.query(self._hash(mine))):
            both = len(mine.intersection(self._shingles[number]))
            if both >= self.similarity * (len(mine) + len(self._shingles[number]) - both):
                return self._ids[number]
        return None

    def _hash(self, values: Iterable[int]):
        minhash = self._empty.copy()
        minhash.update_batch(list(values))
        return minhash
