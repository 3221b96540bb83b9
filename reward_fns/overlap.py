"""Partial credit: how far the wrong names of an answer are the gold names that it missed.

    overlap([("Hilton", "person")], [("Paris Hilton", "person")])     # 2 * 1 / (1 + 2) = 0.67

A name that no gold name equals, under the reward's rule `matching`, may stand for one missed gold name of its type, and
each missed name is stood for once. A pair's credit is the Dice coefficient of their words, 2 common / (words + words),
so 0 without a common word. Of all one-to-one pairings the one counts whose credits have the greatest sum.

Words are those of recipe.corpora.sentence_overlap: without case and punctuation, each a character in scripts without
spaces. So `EU` and `eu`, two names under `strict`, have a credit of 1, of which `overlap_value` is paid.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from heapq import heappush, heappushpop

from recipe.core.metrics import Key
from recipe.core.pairing import best
from recipe.corpora.sentence_overlap import words


def overlap(predicted: Iterable[Key], gold: Iterable[Key]) -> float:
    """The sum of the credits, in names: from 0 to the number of missed gold names. Names and types as a rule has them.

    Exact, in time linear in the answer, however much it names: a gold name is paired with one of as many candidates as
    there are missed names, those of the highest credit. Where it could be paired with another, one of these is free,
    and its credit is no less.
    """
    found, wanted = Counter(predicted), Counter(gold)
    found, wanted = found - wanted, list((wanted - found).elements())
    if not found or not wanted:
        return 0.0
    bags = [Counter(words(" ".join(names))) for *names, _ in wanted]
    holders: dict[tuple[str, str], list[int]] = defaultdict(list)  # (type, word) -> the missed names with that word
    for number, (bag, (*_, label)) in enumerate(zip(bags, wanted, strict=True)):
        for word in bag:
            holders[label, word].append(number)
    labels = {label for *_, label in wanted}
    candidates: list[list[tuple[float, int]]] = [[] for _ in wanted]
    position = 0
    for (*names, label), times in found.items():
        if label not in labels:
            continue
        bag, common = Counter(words(" ".join(names))), Counter()
        for word, held in bag.items():
            for number in holders.get((label, word), ()):
                common[number] += min(held, bags[number][word])
        times, size = min(times, len(wanted)), bag.total()
        for number, both in common.items():
            credit = 2 * both / (size + bags[number].total())
            for place in range(position, position + times):
                if len(candidates[number]) < len(wanted):
                    heappush(candidates[number], (credit, place))
                else:
                    heappushpop(candidates[number], (credit, place))
        position += times
    credits = {(number, place): credit for number, each in enumerate(candidates) for credit, place in each}
    return sum((credits[pair] for pair in best([(*pair, credit) for pair, credit in credits.items()])), 0.0)
