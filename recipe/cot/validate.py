"""Step 2: which annotations are sound, by rules that no model is asked for (recipe.cot.rules has the table).

    python -m recipe.cot validate --work cot/
    python -m recipe.cot validate --work cot/ --language de --max-words 800 --require-gold-agreement

A line of WORK/validate.jsonl for each of annotate.jsonl, in its order; entities stand as the sentence spells them:
    {"id": "9f2c51d07a3be846", "status": "kept", "reasons": [], "sentence": "Ada met Bob .", "source": "news",
     "types": ["person"], "reasoning": "\\"Ada\\" is ...", "entities": [{"text": "Ada", "label": "person", "start": 0,
     "end": 3}], "gold": [["Ada", "person"]], "mode": "gold_withheld", "agrees_with_gold": false, "missed": 0,
     "added": 1, "repaired": false, "duplicate_of": null}

A record of relations or events has "format", "relation_types" and "relations", too (recipe.cot.facts); "missed" and
"added" then count by the format's strictest rule (recipe.core.metrics). Running it again goes on with the rows that
have come since. Disagreement with the gold is counted and rejects nothing.

Near-duplicates: sentences are compared by their normalised words (recipe.corpora.sentence_overlap), as sets of five
words in a row, below 20 words of five characters in a row. Two are similar by the share that both have of what
either has. MinHash (datasketch) finds candidates, which are then compared in full.
"""

from __future__ import annotations

import argparse
import zlib
from array import array
from collections.abc import Iterable
from dataclasses import asdict

from recipe.core.command_line import count
from recipe.core.entities import DataError
from recipe.corpora.sentence_overlap import words
from recipe.cot.facts import asked, question, to_fields
from recipe.cot.funnel import validated
from recipe.cot.rules import (
    ANY_LANGUAGE,
    NEAR_DUPLICATE,
    NOT_ANNOTATED,
    Limits,
    broken_rules,
    languages,
    read_annotated,
)
from recipe.cot.store import ANNOTATE, KEPT, REJECTED, VALIDATE, open_store, path_of, read, read_kept

SIMILARITY = 0.9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the step."""
    default, add = Limits(), parser.add_argument
    add(
        "--language",
        default=default.language,
        metavar="CODE",
        help="of the reasoning, ISO 639-1; any: not looked at (default: %(default)s)",
    )
    for name, what in (("min", "fewest"), ("max", "most")):
        add(f"--{name}-words", type=count, default=getattr(default, f"{name}_words"), metavar="N",
            help=f"{what} words of a reasoning (default: %(default)s)")  # fmt: skip
    add("--similarity", type=_share, default=SIMILARITY, metavar="X", help="Jaccard similarity at which a sentence is "
        "a near-duplicate of one kept before (default: %(default)s)")  # fmt: skip
    add("--keep-duplicates", action="store_true", help="don't look for near-duplicates")
    add("--require-gold-agreement", action="store_true", help="reject rows that don't find exactly their gold")


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 1")
    return value


def run(args: argparse.Namespace) -> None:
    """Validate what annotate has written so far, and say why rows were rejected."""
    from tqdm import tqdm

    limits = Limits(args.language, args.min_words, args.max_words, args.require_gold_agreement)
    check_limits(limits)
    work, similarity = args.work, None if args.keep_duplicates else args.similarity
    next(read(work, ANNOTATE), None)  # before anything is written
    with path_of(work, ANNOTATE).open("rb") as file:
        total = sum(1 for _ in file)
    with open_store(work, VALIDATE, asdict(limits) | {"similarity": similarity}) as (done, add):
        index = None if similarity is None else Index(similarity)
        for record in read_kept(work, VALIDATE) if index else ():
            index.add(record["id"], record["sentence"])
        with tqdm(total=total, initial=len(done), unit=" rows", disable=None, leave=False) as bar:
            for record in read(work, ANNOTATE):
                if record["id"] in done:
                    continue
                checked = check(record, limits, index)
                add(checked)
                if index is not None and checked["status"] == KEPT:
                    index.add(checked["id"], checked["sentence"])
                bar.update()
    figures = validated(read(work, VALIDATE))
    print(f"{figures['kept']:,} of {figures['rows']:,} rows kept")
    for reason, numbers in figures["rejected"].items():
        print(f"  {numbers['all']:>9,}  {reason}")
    if figures["rejected"]:
        print("  (a row counts under each rule that it breaks)")


def check_limits(limits: Limits) -> None:
    """DataError for limits that no reasoning can keep, or a language that isn't known."""
    if limits.max_words < limits.min_words:
        raise DataError(f"--min-words {limits.min_words}: more than --max-words {limits.max_words}; lower it")
    if limits.language != ANY_LANGUAGE and limits.language not in languages().labels:
        raise DataError(f"--language {limits.language!r}: not known; give a code of ISO 639-1 such as en, or any")


def check(record: dict, limits: Limits, index: Index | None) -> dict:
    """The record of validate.jsonl for one of annotate.jsonl. `index`: the sentences kept before."""
    row = read_annotated(record) if record["status"] == "answered" else None
    found = row.found if row else asked(record)
    reasons, counts = broken_rules(row, limits) if row else [NOT_ANNOTATED], row.counts if row else None
    duplicate_of = index.find(found.sentence) if row and index else None
    if duplicate_of is not None:
        reasons.append(NEAR_DUPLICATE)
    missed, added = (counts.gold - counts.matched, counts.predicted - counts.matched) if counts else (0, 0)
    return {
        "id": record["id"],
        "status": REJECTED if reasons else KEPT,
        "reasons": reasons,
        "sentence": record["sentence"],
        "source": record["source"],
        "types": list(found.types),
        **question(found.format, found.relation_types),
        "reasoning": row.reasoning.strip() if row else "",
        **to_fields(found),
        "gold": record["gold"],
        "mode": record["mode"],
        "agrees_with_gold": not missed and not added if counts else None,
        "missed": missed,
        "added": added,
        "repaired": bool(row) and row.answer.parsed and not row.answer.layout,
        "duplicate_of": duplicate_of,
    }


# -------------------------------------------------------------------------------------------------- near-duplicates

GRAM, SHORT = 5, 20
# Of sentences as similar as 0.9, 99.95 % agree in one of 10 bands of 6 hashes, and are then compared in full.
BANDS, BAND, SEED = 10, 6, 1


def shingles(sentence: str) -> set[int]:
    """32-bit hashes of GRAM words or characters in a row; of the whole sentence where it is shorter."""
    normal = words(sentence)
    units, separator = (normal, " ") if len(normal) >= SHORT else (" ".join(normal) or sentence, "")
    grams = (separator.join(units[start : start + GRAM]) for start in range(max(1, len(units) - GRAM + 1)))
    return {zlib.crc32(gram.encode("utf-8", "surrogatepass")) for gram in grams}


class Index:
    """The sentences so far, and which of them is similar to another one. A sentence costs about 4 KB of memory."""

    def __init__(self, similarity: float) -> None:
        from datasketch import MinHash, MinHashLSH

        self.similarity = similarity
        self._ids: list[str] = []
        self._shingles: list[array] = []
        self._bands = MinHashLSH(num_perm=BANDS * BAND, params=(BANDS, BAND))
        self._empty = MinHash(num_perm=BANDS * BAND, seed=SEED, hashfunc=int)

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
