"""Random annotated sentences in many scripts, with names that stand several times and, if asked for, nested ones."""

from __future__ import annotations

import random
from collections.abc import Iterator

from recipe.core.entities import Entity, Example

TYPES = ("gene-x", "person", "place")
_LATIN = "Ada met Bob in Ulm and New York EU O B-x # - ( ) , . ' \" { } [ ] ; : / \\ & % 1 42 3.5 U.S. C++ _ * <b>"
_MARKED = "élan é ạ̈b Việt Vie\u0323\u0302t Ọlá Ọ̀yọ́ ẹ̀kọ́ Ångström ﬁn ß İzmir مُحَمَّد شَدَّة שָׁלוֹם תֵּל नमस्ते हिन्दी தமிழ்"
_OTHER = "محمد القاهرة אביב Ελλάδα Москва Київ 서울 한국어 👩\u200d👩\u200d👧 🇫🇷 💙 𝕏 \ufffd"
_UNSEEN = "co\u00adop zero\u200bwidth می\u200cخواهم no\u00a0break"
_WORDS = f"{_LATIN} {_MARKED} {_OTHER} {_UNSEEN}".split(" ")


def sentences(number: int, seed: int, nested: bool = False) -> Iterator[Example]:
    """So many examples about TYPES; the same for the same seed."""
    rng = random.Random(seed)
    for _ in range(number):
        few = rng.sample(_WORDS, rng.randint(1, 8))  # so that words and names come more than once
        tokens = [rng.choice(few) for _ in range(rng.randint(1, 14))]
        starts = [sum(len(token) + 1 for token in tokens[:place]) for place in range(len(tokens))]
        sentence, entities, at = " ".join(tokens), [], 0
        while at < len(tokens):
            if rng.random() < 0.25:
                end = min(len(tokens), at + rng.choice((1, 1, 1, 2, 2, 3)))
                entities.append(_entity(sentence, starts, tokens, at, end, rng))
                if nested and end - at > 1 and rng.random() < 0.5:
                    inner = rng.randrange(at, end)
                    entities.append(_entity(sentence, starts, tokens, inner, inner + 1, rng))
                at = end
            else:
                at += 1
        entities.sort(key=lambda one: (one.start, -len(one.name), one.type))
        yield Example(sentence, TYPES, tuple(entities), "toy")


def _entity(sentence: str, starts: list[int], tokens: list[str], first: int, end: int, rng: random.Random) -> Entity:
    start, stop = starts[first], starts[end - 1] + len(tokens[end - 1])
    return Entity(sentence[start:stop], rng.choice(TYPES), start)
