"""The rules that an annotated row must keep, and what is read out of it for them.

| reason | a row breaks the rule if |
| --- | --- |
| `not_annotated` | the teacher gave no answer (annotate.jsonl says why); nothing else can be said of it |
| `too_long` | its reasoning has more than --max-words words; or the output is over MAX_CHARACTERS or names more than MAX_FACTS entities and relations, and then nothing else is looked at |
| `cut_off` | the token limit ended the output |
| `no_think_block` | there is not exactly one think block, or nothing is in it |
| `unparsable` | nothing can be read from the answer without guessing. What is repaired (a fence, text around the JSON, a list of items: recipe.answers) is kept and counted, as export writes the layout anew |
| `off_schema` | the row doesn't have the type of an entity or a relation; where the teacher chose: a type can't be asked for |
| `no_types` | the teacher chose the types and named nothing, or nothing of one of two kinds: there is nothing to ask for |
| `not_an_entity` | a relation's head or tail is none of the entities, in an answer that names both |
| `not_in_sentence` | a name doesn't stand in the sentence, or an entity is given more often than it does (recipe.core.align) |
| `undiscussed` | a name doesn't occur in the reasoning as words of its own, case and white space aside |
| `rejected_in_reasoning` | the last sentence of the reasoning that has the name in it denies it, or the last one that has both names of a relation denies that (recipe.cot.phrases) |
| `leakage` | the reasoning speaks of an answer that was given, in words that the sentence doesn't have |
| `control_token` | sentence, types, names or reasoning hold text that a tokenizer reads as a control token |
| `wrong_language` | the reasoning, names in quotation marks aside, is not in --language. Below JUDGED_WORDS words: not asked |
| `too_short` | its reasoning has fewer than --min-words words |
| `disagrees_with_gold` | with --require-gold-agreement alone: what is named differs from the gold |
| `near_duplicate` | the sentence, whatever its types, is nearly the sentence of a row kept before (recipe.cot.validate) |

A name is that of an entity, or of a relation's head or tail; an event's trigger is an entity, and its arguments are
relations. A rule is a function of that name that says True for a row that breaks it. None raises, whatever a model wrote, and all
time is linear in the output, once for each name that it has.
"""  # noqa: E501

import functools
import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate

from recipe import answers
from recipe.answers.control_tokens import find_control_token
from recipe.answers.think import CLOSE, OPEN
from recipe.core.align import place, place_ends
from recipe.core.entities import IGNORED_TYPES, Answer, DataError, Entity, Example, Fact, Relation, clean_types
from recipe.core.metrics import Counts
from recipe.corpora.texts import check_types
from recipe.cot.facts import asked, of_texts
from recipe.cot.phrases import (
    UNSPACED,
    denials,
    denied_pairs,
    find_leak,
    fold,
    is_taken_back,
    mentions,
    split_sentences,
)

MAX_CHARACTERS, MAX_FACTS = 200_000, 1000
JUDGED_WORDS = 20  # words outside of quotation marks that tell a language
LANGUAGE_FLOOR = 0.02  # a language less probable than that is not the reasoning's
ANY_LANGUAGE = "any"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the user sets: the language's ISO 639-1 code or "any", and the words that a reasoning may have."""

    language: str = "en"
    min_words: int = 5
    max_words: int = 1500
    require_gold_agreement: bool = False


@dataclass(frozen=True, slots=True)
class Annotated:
    """A row as the rules see it: what the teacher wrote, read.

    `found` is the sentence with what the answer names and the reasoning. Its types are the row's own or, where the
    teacher chose (`chosen`), those of the answer. A name is spelt as the sentence has it, with its place; one without
    a place is none of the sentence's. `counts` are against the gold, None without gold or without an answer to compare.
    """

    found: Example
    chosen: bool
    output: str
    finish_reason: str | None
    answer: Answer
    counts: Counts | None

    @property
    def reasoning(self) -> str:
        """The reasoning, closed or not; empty without one."""
        return self.found.reasoning or ""

    @property
    def oversized(self) -> bool:
        """True for an output that is not looked at beyond its size."""
        return len(self.output) > MAX_CHARACTERS or len(self.answer.facts) > MAX_FACTS

    def mentions(self) -> Iterator[Entity]:
        """All that is to stand in the sentence: entities, and heads and tails of relations."""
        return (mention for fact in self.found.facts for mention in fact.mentions)


def read_annotated(record: dict) -> Annotated:
    """A record of annotate.jsonl that was answered."""
    output, example = record["output"] or "", asked(record)
    answer = answers.parse(output, example) if len(output) <= MAX_CHARACTERS else Answer()
    entities, relations = _located(example.sentence, answer if len(answer.facts) <= MAX_FACTS else Answer())
    chosen = record["types"] is None
    if chosen:
        relation_types = clean_types(one.type for one in relations)
        types = (*clean_types(entity.type for entity in entities), *relation_types)
        example = replace(example, types=types, relation_types=relation_types)
    counts = None
    if record["gold"] is not None and answer.parsed:
        counts = _against_gold(replace(answer, entities=entities, relations=relations), example, record["gold"])
    reasoning = "" if len(output) > MAX_CHARACTERS else answers.parts(output, example)[0]
    found = replace(example, entities=entities, relations=relations, reasoning=reasoning)
    return Annotated(found, chosen, output, record["finish_reason"], answer, counts)


def _located(sentence: str, answer: Answer) -> tuple[tuple[Entity, ...], tuple[Relation, ...]]:
    """Entities and relations of an answer, each name with its place and as the sentence spells it there."""
    spans = place(sentence, answer.entities)
    place_of = place_ends(
        sentence, [*zip(answer.entities, spans, strict=True)], [end for one in answer.relations for end in one.mentions]
    )

    def at(entity: Entity, span: tuple | None) -> Entity:
        return Entity(sentence[span[0] : span[1]], entity.type, span[0]) if span else entity

    entities = tuple(map(at, answer.entities, spans))
    relations = (
        Relation(at(one.head, place_of(one.head)), one.type, at(one.tail, place_of(one.tail)))
        for one in answer.relations
    )
    return entities, tuple(relations)


def _against_gold(answer: Answer, example: Example, gold: Collection[list[str]]) -> Counts:
    """By the format's usual rule; where entities are named beside relations, of both."""
    facts: list[Fact] = [of_texts(texts) for texts in gold]
    entities = tuple(fact for fact in facts if isinstance(fact, Entity))
    relations = tuple(fact for fact in facts if isinstance(fact, Relation))
    example = replace(example, entities=entities, relations=relations)
    return answers.count(answer, example, "joint" if "joint" in answers.rules(example.format) else None)


def broken_rules(row: Annotated, limits: Limits) -> list[str]:
    """The names of all rules that the row breaks, in the order of the table."""
    if row.oversized:
        return ["too_long"]
    return [rule.__name__ for rule in RULES if rule(row, limits)]


# ------------------------------------------------------------------------------------------------------------ layout


def too_long(row: Annotated, limits: Limits) -> bool:
    return row.oversized or count_words(row.reasoning) > limits.max_words


def cut_off(row: Annotated, limits: Limits) -> bool:
    return row.finish_reason == "length"


def no_think_block(row: Annotated, limits: Limits) -> bool:
    # A prompt may have opened the block, so that the output only closes it.
    return row.output.count(CLOSE) != 1 or row.output.count(OPEN) > 1 or not row.reasoning.strip()


def unparsable(row: Annotated, limits: Limits) -> bool:
    return not row.answer.parsed


# ---------------------------------------------------------------------------------------------------------- entities


def off_schema(row: Annotated, limits: Limits) -> bool:
    entities, relations = ({fact.type for fact in facts} for facts in (row.found.entities, row.found.relations))
    if row.chosen:
        return not all(map(_can_be_asked_for, entities | relations))
    return not (entities <= set(row.found.entity_types) and relations <= set(row.found.relation_types))


def _can_be_asked_for(label: str) -> bool:
    if label in IGNORED_TYPES:
        return False
    try:
        check_types([label], "answer")
    except DataError:
        return False
    return True


def no_types(row: Annotated, limits: Limits) -> bool:
    found = row.found
    complete = found.entity_types and found.relation_types if answers.two_kinds(found.format) else found.types
    return row.chosen and row.answer.parsed and not complete


def not_an_entity(row: Annotated, limits: Limits) -> bool:
    if answers.task(row.found.format) != "re" or not answers.two_kinds(row.found.format):
        return False
    return any(not end.type for one in row.found.relations for end in one.mentions)


def not_in_sentence(row: Annotated, limits: Limits) -> bool:
    return any(mention.start is None for mention in row.mentions())


def undiscussed(row: Annotated, limits: Limits) -> bool:
    reasoning = fold(row.reasoning)
    names = {fold(mention.name) for mention in row.mentions() if mention.start is not None}
    return any(next(mentions(reasoning, name), None) is None for name in names)


def rejected_in_reasoning(row: Annotated, limits: Limits) -> bool:
    """Of a name with several places in the sentence the reasoning may deny one, so these are not looked at."""
    sentences, text = split_sentences(row.reasoning), fold(row.found.sentence)
    starts = list(accumulate((len(sentence) + 1 for sentence in sentences), initial=0))
    reasoning = "\n".join(sentences)
    of_names = functools.cache(lambda number: denials(sentences[number], answers.task(row.found.format)))
    of_pairs = functools.cache(lambda number: denied_pairs(sentences[number]))

    @functools.cache
    def said_in(name: str) -> list[int]:
        """The numbers of the sentences that have the name; of one with several places, none."""
        if sum(1 for _ in mentions(text, name)) > 1:
            return []
        return [bisect_right(starts, at) - 1 for at in mentions(reasoning, name)]

    def stands(number: int) -> bool:
        return not (number + 1 < len(sentences) and is_taken_back(sentences[number + 1]))

    for name, labels in _located_names(row).items():
        last = max(said_in(name), default=None)
        if last is None:
            continue
        if of_names(last).intersection([(name, None), *((name, label) for label in labels)]) and stands(last):
            return True
    for (head, tail), labels in _located_pairs(row).items():
        last = max(set(said_in(head)).intersection(said_in(tail)), default=None)
        if last is None:
            continue
        pair = (head, tail)
        if of_pairs(last).intersection([(pair, None), *((pair, label) for label in labels)]) and stands(last):
            return True
    return False


def _located_names(row: Annotated) -> dict[str, set[str]]:
    """Folded names of entities that the sentence has, each with its types; the others break a rule already."""
    found: dict[str, set[str]] = {}
    for entity in row.found.entities:
        if entity.start is not None:
            found.setdefault(fold(entity.name), set()).add(fold(entity.type))
    return found


def _located_pairs(row: Annotated) -> dict[tuple[str, str], set[str]]:
    """Folded heads and tails that the sentence has, each pair with its types."""
    found: dict[tuple[str, str], set[str]] = {}
    for one in row.found.relations:
        if None not in (one.head.start, one.tail.start):
            found.setdefault((fold(one.head.name), fold(one.tail.name)), set()).add(fold(one.type))
    return found


def disagrees_with_gold(row: Annotated, limits: Limits) -> bool:
    return limits.require_gold_agreement and row.counts is not None and row.counts.f1 < 1


# --------------------------------------------------------------------------------------------------------- reasoning


def leakage(row: Annotated, limits: Limits) -> bool:
    return find_leak(row.reasoning, row.found.sentence) is not None


def control_token(row: Annotated, limits: Limits) -> bool:
    named = (part for mention in row.mentions() for part in (mention.name, mention.type))
    types = (*row.found.types, *(one.type for one in row.found.relations))
    return find_control_token("\n".join([row.found.sentence, *types, *named, row.reasoning])) is not None


def wrong_language(row: Annotated, limits: Limits) -> bool:
    if limits.language == ANY_LANGUAGE:
        return False
    own = _QUOTED.sub(" ", row.reasoning)[:5000]
    return count_words(own) >= JUDGED_WORDS and dict(languages().rank(own))[limits.language] < LANGUAGE_FLOOR


def too_short(row: Annotated, limits: Limits) -> bool:
    return bool(row.reasoning.strip()) and count_words(row.reasoning) < limits.min_words


_QUOTED = re.compile(r'"[^"\n]{1,200}"|“[^”\n]{1,200}”|`[^`\n]{1,200}`')
_WORD = re.compile(f"[{UNSPACED}]|[^\\s{UNSPACED}]+")


def count_words(text: str) -> int:
    """Words between white space; in scripts that are written without spaces, characters."""
    return sum(1 for _ in _WORD.finditer(text))


@functools.cache
def languages():
    """The language identifier: naive Bayes over byte n-grams (py3langid), probabilities of all its languages."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


RULES: tuple[Callable[[Annotated, Limits], bool], ...] = (
    too_long, cut_off, no_think_block, unparsable, off_schema, no_types, not_an_entity, not_in_sentence,
    undiscussed, rejected_in_reasoning, leakage, control_token, wrong_language, too_short, disagrees_with_gold,
)  # fmt: skip
NOT_ANNOTATED, NEAR_DUPLICATE = "not_annotated", "near_duplicate"
REASONS = (NOT_ANNOTATED, *(rule.__name__ for rule in RULES), NEAR_DUPLICATE)
