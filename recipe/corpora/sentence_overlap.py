"""Sentences that two sets share, wholly or in part: what makes evaluation sentences overlap with training data.

exact        the same characters
normalised   the same under Unicode's NFKC and case folding, where a run of white space, punctuation and symbols is one
             space: `The U.S. , too!` is `the u s too`
8-gram       eight normalised words in a row that both hold. A sentence of fewer words overlaps only as a whole.
             Chinese, Japanese, Thai, Lao, Khmer and Burmese are written without spaces: there a character is a word.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from recipe.core.words import words

KINDS = ("exact", "normalised", "8-gram")  # from the narrowest to the widest
GRAM = 8


@dataclass(frozen=True, slots=True)
class Found:
    """Where an evaluation sentence overlaps: its row, and the first training row of the narrowest kind."""

    index: int
    dataset: str
    kind: str
    train: str
    row: int


def digests(sentence: str) -> Iterator[tuple[str, int]]:
    """(kind, 64 bits) of everything that two sentences may have in common."""
    yield "exact", _digest("=", sentence)
    normal = words(sentence)
    if normal:  # a sentence of emoji alone is the same as another one only if it is so exactly
        yield "normalised", _digest("~", " ".join(normal))
    for start in range(len(normal) - GRAM + 1):
        yield "8-gram", _digest("8", " ".join(normal[start : start + GRAM]))


def _digest(kind: str, text: str) -> int:
    return int.from_bytes(
        hashlib.blake2b(f"{kind}{text}".encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big"
    )


def find_overlap(train: Iterable[tuple[str, int, str]], rows: Sequence[tuple[str, str]]) -> list[Found]:
    """The evaluation rows (dataset, sentence) that overlap with training sentences (file, row, sentence)."""
    wanted = {digest for _, sentence in rows for _, digest in digests(sentence)}
    first: dict[int, tuple[str, int]] = {}
    for file, number, sentence in train:
        for _, digest in digests(sentence):
            if digest in wanted:
                first.setdefault(digest, (file, number))
    found = []
    for index, (dataset, sentence) in enumerate(rows):
        hit = next(((kind, first[digest]) for kind, digest in digests(sentence) if digest in first), None)
        if hit is not None:
            found.append(Found(index, dataset, hit[0], *hit[1]))
    return found
