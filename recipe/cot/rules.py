"""The rules that an annotated row must keep, and what is read out of it for them.

| reason | a row breaks the rule if |
| --- | --- |
| `not_annotated` | the teacher gave no answer (annotate.jsonl says why); nothing else can be said of it |
| `too_long` | its reasoning has more than --max-words words; or the output is over MAX_CHARACTERS or names more than MAX_ENTITIES entities, and then nothing else is looked at |
| `cut_off` | the token limit ended the output |
| `no_think_block` | there is not exactly one think block, or nothing is in it |
| `unparsable` | no entities can be read from the answer without guessing. What is repaired (a fence, text around the JSON, a list of items: recipe.answers) is kept and counted, as export writes the layout anew |
| `off_schema` | the row doesn't have an entity's type; where the teacher chose: a type can't be asked for |
| `no_types` | the teacher chose the types and named nothing: there is nothing to ask for |
| `not_in_sentence` | a name doesn't stand in the sentence, or is given more often than it does (recipe.core.align) |
| `undiscussed` | a name doesn't occur in the reasoning as words of its own, case and white space aside |
| `rejected_in_reasoning` | the last sentence of the reasoning that has the name in it denies it (recipe.cot.phrases) |
| `leakage` | the reasoning speaks of an answer that was given, in words that the sentence doesn't have |
| `control_token` | sentence, types, names or reasoning hold text that a tokenizer reads as a control token |
| `wrong_language` | the reasoning, names in quotation marks aside, is not in --language. Below JUDGED_WORDS words: not asked |
| `too_short` | its reasoning has fewer than --min-words words |
| `disagrees_with_gold` | with --require-gold-agreement alone: the entities differ from the gold |
| `near_duplicate` | the sentence, whatever its types, is nearly the sentence of a row kept before (recipe.cot.validate) |

A rule is a function of that name that says True for a row that breaks it. None raises, whatever a model wrote, and all
time is linear in the output, once for each name that it has.
"""  # noqa: E501

import functools
import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

from recipe import answers
from recipe.answers.control_tokens import find_control_token
from recipe.answers.think import CLOSE, OPEN
from recipe.core.align import Span, place
from recipe.core.entities import IGNORED_TYPES, Answer, DataError, Entity, Example, clean_types, normalize_type
from recipe.core.metrics import Counts, count
from recipe.corpora.texts import check_types
from recipe.cot.phrases import UNSPACED, denials, find_leak, fold, is_taken_back, mentions, split_sentences

MAX_CHARACTERS, MAX_ENTITIES = 200_000, 1000
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
    """A row as the rules see it: what the teacher wrote, read. `spans` are in the order of `entities`.

    `types` are the row's own or, where the teacher chose (`chosen`), the types of its entities. An entity is spelt as
    the sentence has it. `counts` are against the gold, None without gold or without an answer to compare.
    """

    sentence: str
    types: tuple[str, ...]
    chosen: bool
    output: str
    finish_reason: str | None
    reasoning: str
    answer: Answer
    entities: tuple[Entity, ...]
    spans: tuple[Span | None, ...]
    counts: Counts | None

    @property
    def oversized(self) -> bool:
        """True for an output that is not looked at beyond its size."""
        return len(self.output) > MAX_CHARACTERS or len(self.answer.entities) > MAX_ENTITIES


def read_annotated(record: dict) -> Annotated:
    """A record of annotate.jsonl that was answered."""
    sentence, output, given, gold = record["sentence"], record["output"] or "", record["types"], record["gold"]
    asked = Example(sentence, tuple(given or ()))
    answer = answers.parse(output, asked) if len(output) <= MAX_CHARACTERS else Answer()
    named = answer.entities if len(answer.entities) <= MAX_ENTITIES else ()
    spans = place(sentence, named)
    entities = tuple(
        Entity(entity.name if span is None else sentence[span.start : span.end], entity.type)
        for entity, span in zip(named, spans, strict=True)
    )
    types = clean_types(given if given is not None else (entity.type for entity in entities))
    counts = None
    if gold is not None and answer.parsed:
        counts = count(entities, [Entity(name, normalize_type(label)) for name, label in gold], "strict")
    reasoning = "" if len(output) > MAX_CHARACTERS else answers.parts(output, asked)[0]
    return Annotated(
        sentence, types, given is None, output, record["finish_reason"], reasoning, answer, entities, spans, counts
    )


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
    if row.chosen:
        return not all(_can_be_asked_for(label) for label in {entity.type for entity in row.entities})
    return any(entity.type not in row.types for entity in row.entities)


def _can_be_asked_for(label: str) -> bool:
    if label in IGNORED_TYPES:
        return False
    try:
        check_types([label], "answer")
    except DataError:
        return False
    return True


def no_types(row: Annotated, limits: Limits) -> bool:
    return row.chosen and row.answer.parsed and not row.types


def not_in_sentence(row: Annotated, limits: Limits) -> bool:
    return None in row.spans


def undiscussed(row: Annotated, limits: Limits) -> bool:
    reasoning = fold(row.reasoning)
    return any(next(mentions(reasoning, name), None) is None for name in _located_names(row))


def rejected_in_reasoning(row: Annotated, limits: Limits) -> bool:
    sentences = split_sentences(row.reasoning)
    starts = list(accumulate((len(sentence) + 1 for sentence in sentences), initial=0))
    reasoning, text = "\n".join(sentences), fold(row.sentence)
    denied_in = functools.cache(lambda number: denials(sentences[number]))
    for name, labels in _located_names(row).items():
        last = max(mentions(reasoning, name), default=None)
        # Of a name with several places the reasoning may deny one.
        if last is None or sum(1 for _ in mentions(text, name)) > 1:
            continue
        number = bisect_right(starts, last) - 1
        denied = denied_in(number).intersection([(name, None), *((name, label) for label in labels)])
        if denied and not (number + 1 < len(sentences) and is_taken_back(sentences[number + 1])):
            return True
    return False


def _located_names(row: Annotated) -> dict[str, set[str]]:
    """Folded names that the sentence has, each with its types; the others break a rule already."""
    found: dict[str, set[str]] = {}
    for entity, span in zip(row.entities, row.spans, strict=True):
        if span is not None:
            found.setdefault(fold(entity.name), set()).add(fold(entity.type))
    return found


def disagrees_with_gold(row: Annotated, limits: Limits) -> bool:
    return limits.require_gold_agreement and row.counts is not None and row.counts.f1 < 1


# --------------------------------------------------------------------------------------------------------- reasoning


def leakage(row: Annotated, limits: Limits) -> bool:
    return find_leak(row.reasoning, row.sentence) is not None


def control_token(row: Annotated, limits: Limits) -> bool:
    names = (part for entity in row.entities for part in (entity.name, entity.type))
    return find_control_token("\n".join([row.sentence, *row.types, *names, row.reasoning])) is not None


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
    too_long, cut_off, no_think_block, unparsable, off_schema, no_types, not_in_sentence, undiscussed,
    rejected_in_reasoning, leakage, control_token, wrong_language, too_short, disagrees_with_gold,
)  # fmt: skip
NOT_ANNOTATED, NEAR_DUPLICATE = "not_annotated", "near_duplicate"
REASONS = (NOT_ANNOTATED, *(rule.__name__ for rule in RULES), NEAR_DUPLICATE)
