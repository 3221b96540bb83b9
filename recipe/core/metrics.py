r"""Span-level precision, recall and F1 of extracted entities, under named matching rules.

    count(predicted, gold, "strict") + count(predicted2, gold2, "strict")   # counts of two sentences add up
    Counts(matched=1, predicted=2, gold=1).f1                               # 2 * 1 / (2 + 1)

The reward and the evaluation both call `count`, so a model is trained on what it is judged by.

strict      exact name, as it is seen (recipe.core.text: `EU` and `EU\u200b` are one name), and exact type; a name given
            twice must stand in the gold twice.
published   the rule of the papers (UniversalNER, ReasoningNER): the *set* of normalised name and type of a sentence.
            Its normalisation drops case, ASCII punctuation, the articles a/an/the and extra white space, so `C++`
            equals `C`; kept because published figures can only be compared with it.

Relations have rules of the same kind, `RELATION_RULES`; none of these looks at the entities beside them:

strict      exact names of head and tail, as they are seen, the types of both, and the relation's; one that is given
            twice must stand in the gold twice. The field calls it RE+ or NEC (Taille et al. 2020, 2009.10684).
boundary    the same without the types of head and tail. A figure by it is higher, by about 5 points on ACE05.
published   InstructUIE's rule: the *set* of head, relation and tail, without case, braces, extra white space and runs
            of commas and full stops. It reads `location` as `located`, too, which makes no difference here.

Where rows ask for entities, too, `TYPED_RELATION_RULES` has `entities`, the strict rule of those, and `joint`, which
pools both: ours, for rewards, in which `strict` pays nothing for entities that no relation needs.

Events are triggers, entities of the event's type, and arguments, relations from the trigger. `EVENT_RULES`:

strict                      each trigger with its type, and each argument with its role, its trigger and the event's
                            type; ours, for rewards: it is the only one to see which event an argument belongs to
trigger_identification      the *set* of triggers
trigger_classification      with their types
argument_identification     the *set* of arguments with the type of their event, whatever role and trigger
argument_classification     with their roles. These four are the field's (OneIE, Lin et al. 2020; 2306.06918), by names
published                   InstructUIE's: a sentence is one thing, right if all its events are, as sets of texts

A rule makes a key of each fact that it counts, the type last.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from recipe.core.entities import Fact, Relation
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


Key = tuple[str, ...]  # texts as they are compared, the type last
Rule = Callable[[Iterable[Fact]], list[Key]]


def _strict(entities: Iterable[Fact]) -> list[Key]:
    return [(visible(entity.name), entity.type) for entity in entities]


def _published(entities: Iterable[Fact]) -> list[Key]:
    return list({(published_name(entity.name), entity.type) for entity in entities})


RULES: dict[str, Rule] = {"strict": _strict, "published": _published}


def _entities(facts: Iterable[Fact]) -> list[Key]:
    """Of events: of their triggers."""
    return _strict(fact for fact in facts if not isinstance(fact, Relation))


def _relations(facts: Iterable[Fact]) -> Iterable[Relation]:
    return (fact for fact in facts if isinstance(fact, Relation))


def _relation_strict(facts: Iterable[Fact]) -> list[Key]:
    return [
        (visible(one.head.name), one.head.type, visible(one.tail.name), one.tail.type, one.type)
        for one in _relations(facts)
    ]


def _boundary(facts: Iterable[Fact]) -> list[Key]:
    return [(visible(one.head.name), visible(one.tail.name), one.type) for one in _relations(facts)]


def _relation_published(facts: Iterable[Fact]) -> list[Key]:
    return list({(*map(_instructuie_name, (one.head.name, one.tail.name)), one.type) for one in _relations(facts)})


_RUNS = re.compile(r"([,.;])\1+")


def _instructuie_name(name: str) -> str:
    """`"St..  {Mary}’s"` -> `"st. mary's"`: InstructUIE's normalisation of what it compares."""
    return _RUNS.sub(r"\1", visible(name).lower().replace("{", "").replace("}", "").replace("’", "'"))


def _joint(facts: Iterable[Fact]) -> list[Key]:
    facts = tuple(facts)
    return [*_entities(facts), *_relation_strict(facts)]


RELATION_RULES: dict[str, Rule] = {"boundary": _boundary, "published": _relation_published}
# Of rows that ask for entities, too, whose types tell more; `entities` is the strict rule of those.
TYPED_RELATION_RULES: dict[str, Rule] = {
    "strict": _relation_strict,
    **RELATION_RULES,
    "entities": _entities,
    "joint": _joint,
}


def _event_strict(facts: Iterable[Fact]) -> list[Key]:
    facts = tuple(facts)
    attached = [(visible(one.head.name), one.head.type, visible(one.tail.name), one.type) for one in _relations(facts)]
    return [*_entities(facts), *attached]


def _trigger_identification(facts: Iterable[Fact]) -> list[Key]:
    return list({(name, "trigger") for name, _ in _entities(facts)})


def _trigger_classification(facts: Iterable[Fact]) -> list[Key]:
    return list(set(_entities(facts)))


def _argument_identification(facts: Iterable[Fact]) -> list[Key]:
    return list({(one.head.type, visible(one.tail.name), "argument") for one in _relations(facts)})


def _argument_classification(facts: Iterable[Fact]) -> list[Key]:
    return list({(one.head.type, visible(one.tail.name), one.type) for one in _relations(facts)})


def _event_published(facts: Iterable[Fact]) -> list[Key]:
    events: dict[tuple, set[str]] = {}
    for fact in facts:
        if isinstance(fact, Relation):
            told = f"{_instructuie_name(fact.tail.name)}: {fact.type}"
            events.setdefault((_instructuie_name(fact.head.name), fact.head.type), set()).add(told)
        else:
            events.setdefault((_instructuie_name(fact.name), fact.type), set())
    said = [(*trigger, *sorted(own)) for trigger, own in events.items()]
    return [(repr(sorted(said)), "sentence")]


EVENT_RULES: dict[str, Rule] = {
    "strict": _event_strict,
    "trigger_identification": _trigger_identification,
    "trigger_classification": _trigger_classification,
    "argument_identification": _argument_identification,
    "argument_classification": _argument_classification,
    "published": _event_published,
}


# What a rule compares, in words, by what answers are about.
RULE_MEANINGS: Mapping[str, Mapping[str, str]] = {
    "Relations": {
        "strict": "exact head, tail and relation, and the types of head and tail",
        "boundary": "exact head, tail and relation, whatever the types of head and tail",
        "published": "sets of head, tail and relation without case, as InstructUIE counts",
        "entities": "exact name and type of the entities, mentions counted",
        "joint": "entities and relations together, each as strictly",
    },
    "Events": {
        "strict": "exact trigger and type, and argument with its role and its trigger, each as often as it is there",
        "trigger_identification": "sets of triggers",
        "trigger_classification": "sets of triggers with the event's type",
        "argument_identification": "sets of arguments with the event's type",
        "argument_classification": "sets of arguments with the event's type and the role",
        "published": "sentences of which all events are right, as InstructUIE counts",
    },
}


def count(
    predicted: Iterable[Fact], gold: Iterable[Fact], rule: str = "strict", rules: Mapping[str, Rule] = RULES
) -> Counts:
    """Counts of one sentence under a rule of `rules`; KeyError for an unknown rule."""
    keys = rules[rule]
    found, wanted = keys(predicted), keys(gold)
    return Counts((Counter(found) & Counter(wanted)).total(), len(found), len(wanted))
