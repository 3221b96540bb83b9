r"""Span-level precision, recall and F1 of extracted entities, under named matching rules.

    count(predicted, gold, "strict") + count(predicted2, gold2, "strict")   # counts of two sentences add up
    Counts(matched=1, predicted=2, gold=1).f1                               # 2 * 1 / (2 + 1)

The reward and the evaluation both call `count`, so a model is trained on what it is judged by.

strict      exact name, as it is seen (recipe.core.text: `EU` and `EU\u200b` are one name), and exact type; a name given
            twice must stand in the gold twice.
published   the rule of the papers (UniversalNER, ReasoningNER): the *set* of normalised name and type of a sentence.
            Its normalisation drops case, ASCII punctuation, the articles a/an/the and extra white space, so `C++`
            equals `C`; kept because published figures can only be compared with it.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from recipe.core.entities import Entity
from recipe.core.text import visible


@dataclass(frozen=True, slots=True)
class Counts:
    """Matched, predicted and gold entities; `+` pools sentences, so a sum's F1 is the micro F1."""

    matched: int = 0
    predicted: int = 0
    gold: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.matched + other.matched, self.predicted + other.predicted, self.gold + other.gold)

    @property
    def precision(self) -> float:
        """In [0, 1]. 1 where nothing was predicted and nothing was there to find, else 0 for no prediction."""
        return self.matched / self.predicted if self.predicted else float(not self.gold)

    @property
    def recall(self) -> float:
        """In [0, 1]. 1 where nothing was there to find and nothing was predicted, else 0 for no gold."""
        return self.matched / self.gold if self.gold else float(not self.predicted)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, in [0, 1]: 2 matched / (predicted + gold)."""
        return self.f_beta()

    def f_beta(self, beta: float = 1.0, credit: float = 0.0) -> float:
        """(1 + beta^2) matched / (beta^2 gold + predicted), in [0, 1]; `beta` above 1 weighs recall more.

        `credit` is added to what matched: partial credit for pairs of one predicted and one gold entity that don't.
        """
        total = beta**2 * self.gold + self.predicted
        return min(1.0, (1 + beta**2) * (self.matched + credit) / total) if total else 1.0  # 1 + an ulp, by rounding


_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


@lru_cache(maxsize=4096)  # gold and answer have most names in common, and so have sentences
def published_name(name: str) -> str:
    """`"The  C++"` -> `"c"`: the papers' normalisation of a name."""
    return " ".join(_ARTICLES.sub(" ", name.lower().translate(_PUNCTUATION)).split())


Key = tuple[str, str]  # a name as it is compared, and the type


def _strict(entities: Iterable[Entity]) -> list[Key]:
    return [(visible(entity.name), entity.type) for entity in entities]


def _published(entities: Iterable[Entity]) -> list[Key]:
    return list({(published_name(entity.name), entity.type) for entity in entities})


RULES: dict[str, Callable[[Iterable[Entity]], list[Key]]] = {"strict": _strict, "published": _published}


def count(predicted: Iterable[Entity], gold: Iterable[Entity], rule: str = "strict") -> Counts:
    """Counts of one sentence under a rule of `RULES`; KeyError for an unknown rule."""
    keys = RULES[rule]
    found, wanted = keys(predicted), keys(gold)
    return Counts((Counter(found) & Counter(wanted)).total(), len(found), len(wanted))
