"""The figures of a set of answers (scores.json): by dataset and type, with intervals, disagreements and lengths."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import add, itemgetter
from typing import NamedTuple

from recipe.core.align import Span
from recipe.core.entities import Answer, DataError, Example
from recipe.core.garbage import uncollected
from recipe.core.metrics import RULES, Counts
from recipe.core.pairing import shared
from recipe.core.processes import cores, may_fork, shared_out
from recipe.evaluate.disagreements import Disagreement
from recipe.evaluate.rows import Row
from recipe.evaluate.verdict import (
    KEYED,
    NAMES,
    Output,
    Scoring,
    Verdict,
    beside_gold,
    count_overlaps,
    judge,
    judge_rest,
    keys,
    scoring_of,
    texts,
)  # fmt: skip

_EXAMPLES = 3
SENTENCES = "sentences.parquet"  # beside scores.json
PARTS = ("matched", "predicted", "gold")


def _keyed_parts(scoring: Scoring) -> tuple[tuple[str, str], ...]:
    return tuple((rule, part) for rule in scoring.keyed for part in PARTS)


class _Types(NamedTuple):
    """The type of each entity of a dataset: those that gold and answer agree on, once by `published`, and all others.

    `rest`: in the order of _keyed_parts.
    """

    agreed: list[str]
    published: list[str]
    rest: Sequence[list[str]]


# Lengths of some texts, in tokens or words.
Measure = Callable[[Sequence[str]], Sequence[int]]


def words(texts: Sequence[str]) -> list[int]:
    """Lengths in words, for where no tokenizer is at hand."""
    return [len(text.split()) for text in texts]


class SentenceScore(NamedTuple):
    """The figures of one row: its place in the Parquet file, its dataset, (rules x 3) counts and lengths.

    `digest` agrees where the same was asked and is right; `unparsable` is how many of the answers can't be read, one at
    most unless rows ask about single types.
    """

    index: int
    dataset: str
    digest: str
    counts: tuple[float, ...]
    unparsable: int
    reasoning: int
    answer: int


@dataclass(slots=True)
class Tally:
    """What is added up over the sentences of one dataset, of all or of some of them.

    `labels`: of the entities that a rule counts as matched, predicted and gold, in the order of _keyed_parts, how many
    have each type.
    """

    scoring: Scoring = NAMES
    sentences: list[SentenceScore] = field(default_factory=list)
    unparsable: int = 0
    disagreements: Counter = field(default_factory=Counter)
    examples: dict[str, list[dict]] = field(default_factory=dict)
    labels: list[Counter] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.labels = [Counter() for _ in _keyed_parts(self.scoring)]

    def add(
        self, row: Row, output: Output, drop_else: bool, unread: int | None, lengths: Sequence[int], named: _Types
    ) -> None:
        """Add one sentence; `lengths`: of reasoning and answer. The types that it names go into `named`."""
        example, answer, gold = beside_gold(row.example, output, drop_else)
        if self.scoring is NAMES:
            counts = self._add_names(row.index, example, answer, gold, named)
        else:
            verdict = judge(example, answer, gold)
            counts = self._add_rest(row.index, verdict, (), named)
        unparsable = not answer.parsed
        self.unparsable += unparsable
        unread = int(unparsable) if unread is None else unread
        self.sentences.append(SentenceScore(row.index, row.dataset, digest(example), counts, unread, *lengths))

    def _add_names(
        self, index: int, example: Example, answer: Answer, gold: Sequence[Span | None], named: _Types
    ) -> tuple[float, ...]:
        """Add one sentence's entities, of which those that surely agree need no further look; its counts by rule."""
        agreed, rest = judge_rest(example, answer, gold)
        published = set(RULES["published"](agreed))
        named.agreed.extend([entity.type for entity in agreed])
        named.published.extend([label for _, label in published])
        number = len(agreed)
        counts = (len(published),) * 3 + (number,) * 12
        if rest is None:
            return counts
        overlaps = [(one.matched, one.predicted, one.gold) for one in count_overlaps(rest)]
        of_rest = self._add_rest(index, rest, published, named)
        return tuple(map(add, counts, (*of_rest, *overlaps[0], *overlaps[1])))

    def _add_rest(self, index: int, verdict: Verdict, apart: Collection[tuple], named: _Types) -> tuple[int, ...]:
        """Add what a verdict says; its counts by the rules with figures by type."""
        labels = _labels(verdict, apart, self.scoring.keyed)
        for kept, each in zip(named.rest, labels, strict=True):
            kept += each
        for one in verdict.disagreements:
            self.disagreements[one.kind] += 1
            examples = self.examples.setdefault(one.kind, [])
            if len(examples) < _EXAMPLES:
                examples.append(_as_example(index, one))
        return tuple(map(len, labels))

    def by_type(self) -> dict[str, dict[tuple[str, str], int]]:
        """Entities of each type by rule and part."""
        types: dict[str, dict[tuple[str, str], int]] = {}
        parts = _keyed_parts(self.scoring)
        for place, labels in zip(parts, self.labels, strict=True):
            for label, times in labels.items():
                types.setdefault(label, dict.fromkeys(parts, 0))[place] = times
        return types


# By dataset, in the order in which these come.
Tallies = Mapping[str, Tally]


def _labels(verdict: Verdict, apart: Collection[tuple], rules: Sequence[str]) -> Sequence[list[str]]:
    """The types of the entities that a rule counts as matched, predicted and gold, in the order of _keyed_parts.

    `apart`: keys of the rule `published`, which takes each once, that are counted elsewhere.
    """
    labels: list[list[str]] = []
    if rules is not KEYED:  # each rule of relations counts some of the facts alone
        for rule in rules:
            sides = keys(verdict, rule)
            labels += [[key[-1] for key in each] for each in (shared(*sides), *sides)]
        return labels
    every = [[entity.type for entity in side.entities] for side in (verdict.answer, verdict.example)]
    for rule in rules:
        matched, found = [], every  # of all rules but `published` all entities have a key
        if all(every) or rule == "published":
            sides = keys(verdict, rule)
            if rule == "published":
                sides = [[key for key in side if key not in apart] for side in sides]
                found = [[label for _, label in side] for side in sides]
            matched = [key[-1] for key in shared(*sides)]
        labels += [matched, *found]
    return labels


def _as_example(index: int, disagreement: Disagreement) -> dict:
    sides = {"gold": disagreement.gold, "predicted": disagreement.predicted}
    return {"index": index, **{side: [e.name, e.type] if e else None for side, e in sides.items()}}


_quote = json.encoder.encode_basestring_ascii  # what json.dumps has for text


def digest(example: Example) -> str:
    """64 bits in hex of a sentence, its types and its gold, whatever the order and the answer format.

    Places are no part of it: a row says them only where alignment would look elsewhere, which depends on what else it
    asks about, and older rows never do. All of these are the same sentence with the same names to be found.
    """
    types = ", ".join(map(_quote, sorted(example.types)))
    gold = sorted((fact.name, fact.type) for fact in example.facts)
    names = ", ".join([f"[{_quote(name)}, {_quote(label)}]" for name, label in gold])
    # The text is json.dumps([sentence, types, gold]), which takes twice as long over it.
    text = f"[{_quote(example.sentence)}, [{types}], [{names}]]"
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def score(
    rows: Sequence[Row],
    outputs: Sequence[Output],
    measure: Measure | None = None,
    drop_else: bool = True,
    unread: Sequence[int] | None = None,
) -> tuple[dict, list[SentenceScore]]:
    """Scores of `outputs`, completions or answers, one for each row in the rows' order.

    Returns what scores.json holds (see recipe.evaluate) and each sentence's own figures. `measure` gives lengths in
    tokens of the model; without it they are in words. `unread` says how many answers behind each output can't be read,
    where it was made from several. DataError if the lengths differ.
    """
    if len(rows) != len(outputs):
        raise DataError(f"predictions: {len(outputs)} for {len(rows)} rows; one for each row is needed")
    tallies = None if measure else _shared_tallies(rows, outputs, drop_else, unread)
    if tallies is None:
        tallies = tally(rows, outputs, measure, drop_else, unread)
    return summary(tallies, "tokens" if measure else "words")


def _scoring(rows: Sequence[Row]) -> Scoring:
    """How all of the rows are scored. DataError where that differs."""
    ways = [scoring_of(name) for name in {row.example.format for row in rows}]
    _check_alike(ways)
    return ways[0] if ways else NAMES


def _check_alike(ways: Sequence[Scoring]) -> None:
    for other in ways[1:]:
        if other != ways[0]:
            one, two = (", ".join(way.rules) for way in (ways[0], other))
            raise DataError(f"the rows ask for answers that are scored in two ways ({one}; {two}); evaluate them apart")


LEAST = 10_000  # sentences of a share: fewer are scored sooner than a process is started


def _shared_tallies(
    rows: Sequence[Row], outputs: Sequence[Output], drop_else: bool, unread: Sequence[int] | None
) -> Tallies | None:
    """What `tally` gives, by as many processes as there are cores; None where that is not sooner or can't be done."""
    shares = min(cores(), len(rows) // LEAST)
    indices = [row.index for row in rows]
    if shares < 2 or not may_fork() or indices != sorted(indices):
        return None

    def share(part: slice) -> Tallies:
        return tally(rows[part], outputs[part], None, drop_else, None if unread is None else unread[part])

    bounds = [len(rows) * number // shares for number in range(shares + 1)]
    parts = shared_out(share, [slice(*pair) for pair in pairwise(bounds)])
    return None if parts is None else joined(parts)


@uncollected()
def tally(
    rows: Sequence[Row],
    outputs: Sequence[Output],
    measure: Measure | None = None,
    drop_else: bool = True,
    unread: Sequence[int] | None = None,
) -> Tallies:
    """What `score` makes its figures of."""
    tallies: dict[str, Tally] = {}
    named: dict[str, _Types] = {}
    scoring = _scoring(rows)
    several = [None] * len(rows) if unread is None else unread
    answered = list(zip(rows, outputs, several, strict=True))
    for start in range(0, len(answered), 2048):
        batch = answered[start : start + 2048]
        pairs = [texts(output, row.example) for row, output, _ in batch]
        lengths = (measure or words)([text for pair in pairs for text in pair])
        for number, (row, output, times) in enumerate(batch):
            if (of_dataset := tallies.get(row.dataset)) is None:
                of_dataset = tallies[row.dataset] = Tally(scoring)
                named[row.dataset] = _Types([], [], [[] for _ in _keyed_parts(scoring)])
            span = lengths[2 * number : 2 * number + 2]
            of_dataset.add(row, output, drop_else, times, span, named[row.dataset])
    for dataset, types in named.items():
        for (rule, _), labels, rest in zip(_keyed_parts(scoring), tallies[dataset].labels, types.rest, strict=True):
            labels.update(types.published if rule == "published" else types.agreed)
            labels.update(rest)
    return tallies


def joined(parts: Iterable[Tallies]) -> Tallies:
    """The tallies of all rows from those of some each, whichever rows each is of: as if one had gone through all."""
    whole: dict[str, Tally] = {}
    for part in parts:
        for dataset, one in part.items():
            into = whole.setdefault(dataset, Tally(one.scoring))
            _check_alike([into.scoring, one.scoring])
            into.sentences += one.sentences
            into.unparsable += one.unparsable
            into.disagreements += one.disagreements
            for kind, examples in one.examples.items():
                into.examples.setdefault(kind, []).extend(examples)
            for labels, more in zip(into.labels, one.labels, strict=True):
                labels.update(more)
    for one in whole.values():
        one.sentences.sort(key=itemgetter(0))
        for examples in one.examples.values():
            examples.sort(key=itemgetter("index"))
            del examples[_EXAMPLES:]
    return dict(sorted(whole.items(), key=lambda item: item[1].sentences[0].index))


@uncollected()
def summary(tallies: Tallies, unit: str) -> tuple[dict, list[SentenceScore]]:
    """What scores.json holds, and each sentence's own figures, dataset by dataset. `unit`: of lengths."""
    return _figures_of(tallies, unit), [sentence for one in tallies.values() for sentence in one.sentences]


def _figures_of(tallies: Tallies, unit: str) -> dict:
    import numpy as np

    from recipe.evaluate.intervals import SEED, f1_of, interval, resampled_sums

    rng = np.random.default_rng(SEED)
    datasets, sums, samples = {}, [], []
    scoring = next((one.scoring for one in tallies.values()), NAMES)
    rules = scoring.rules
    for name, one in tallies.items():
        counts = np.array([each.counts for each in one.sentences]).reshape(-1, len(rules), 3)
        sums.append(counts.sum(axis=0))
        samples.append(resampled_sums(counts, rng))
        lengths = {
            f"{part}_{unit}": np.array([getattr(each, part) for each in one.sentences])
            for part in ("reasoning", "answer")
        }
        datasets[name] = {
            "sentences": len(counts),
            **_figures(rules, sums[-1], *interval(f1_of(samples[-1]))),
            "unparsable": one.unparsable / len(counts),
            **{key: float(values.mean()) for key, values in lengths.items()},
            **{f"{key}_p95": float(np.percentile(values, 95)) for key, values in lengths.items()},
            # The file keeps this name, which its readers know.
            "errors": {kind: one.disagreements[kind] for kind in scoring.kinds},
            "examples": {kind: one.examples[kind] for kind in scoring.kinds if kind in one.examples},
            "types": {
                label: _type_figures(of_type, scoring)
                for label, of_type in sorted(one.by_type().items())
                if of_type[scoring.usual, "gold"] or of_type[scoring.usual, "predicted"]  # not the keys of other rules
            },
            "counts": {rule: dict(zip(PARTS, map(_number, sums[-1][i]), strict=True)) for i, rule in enumerate(rules)},
        }
    if not datasets:
        return {"datasets": {}, "macro": dict.fromkeys(rules, 0.0), "macro_interval": {}, "micro": {}}
    macro = np.mean([f1_of(s) for s in sums], axis=0)
    low, high = interval(np.mean([f1_of(s) for s in samples], axis=0))
    return {
        "datasets": datasets,
        "macro": {rule: float(macro[i]) for i, rule in enumerate(rules)},
        "macro_interval": {rule: [float(low[i]), float(high[i])] for i, rule in enumerate(rules)},
        "micro": _figures(rules, np.sum(sums, axis=0), *interval(f1_of(np.sum(samples, axis=0)))),
    }


def _number(value: float) -> int | float:
    return int(value) if value == int(value) else float(value)


def _figures(rules: Sequence[str], sums, low, high) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and its interval by rule, from sums of (rules, 3)."""
    return {
        rule: {**_prf(Counts(*map(float, sums[i]))), "low": float(low[i]), "high": float(high[i])}
        for i, rule in enumerate(rules)
    }


def _prf(counts: Counts) -> dict[str, float]:
    return {"precision": counts.precision, "recall": counts.recall, "f1": counts.f1}


def _type_figures(tally: Mapping[tuple[str, str], int], scoring: Scoring) -> dict:
    """What is of one type, and its figures under the rules that compare types."""
    by_rule = {rule: Counts(*(tally[rule, part] for part in PARTS)) for rule in scoring.keyed}
    return {
        "gold": by_rule[scoring.usual].gold,
        "predicted": by_rule[scoring.usual].predicted,
        **{rule: _prf(counts) for rule, counts in by_rule.items()},
    }
