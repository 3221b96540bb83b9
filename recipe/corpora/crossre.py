"""CrossRE's layout (Bassignana and Plank 2022): tokens, spans of tokens, and relations between the spans.

    {"doc_key": "ai-test-2", "sentence": ["Ada", "left", "Rome"], "ner": [[0, 0, "person"], [2, 2, "location"]],
     "relations": [[0, 0, 2, 2, "physical", "", false, false]]}

Ends are inclusive. What follows the label of a relation (an explanation, and whether the annotators were sure) isn't
read. The six domains stand in one folder, each a dataset: `ai-train.json`, `ai-dev.json`, `ai-test.json`.

A few places in the translations (Multi-CrossRE) have two labels: two entities, and relations are about the first.
"""

from pathlib import Path

from recipe.corpora.annotated import Annotated, Tie, of_tokens
from recipe.corpora.reading import Reading
from recipe.corpora.record_layout import RecordLayout
from recipe.corpora.records import Wrong, check_tokens, kind_of


def fits(record: object) -> bool:
    """True for a sentence of tokens with spans and relations."""
    return isinstance(record, dict) and all(
        isinstance(record.get(key), list) for key in ("sentence", "ner", "relations")
    )


def read(record: object, join: str | None) -> Annotated:
    """The sentence, its spans and its relations; raises Wrong."""
    tokens = check_tokens(record, "sentence", "ner", "relations")
    chunks: list[tuple[int, int, str]] = []
    places: dict[tuple[int, int], int] = {}
    for number, span in enumerate(record["ner"], 1):
        first, last, label = _parts(span, (int, int, str), f"entity {number}", "bad_entity")
        _check_place(first, last, len(tokens), f"entity {number}")
        places.setdefault((first, last), len(chunks))
        chunks.append((first, last + 1, label))
    ties = []
    for number, relation in enumerate(record["relations"], 1):
        what = f"relation {number}"
        *ends, label = _parts(relation, (int, int, int, int, str), what, "bad_relation")
        head, tail = tuple(ends[:2]), tuple(ends[2:])
        for end in (head, tail):
            if end not in places:
                raise Wrong("bad_relation", f"{what} is about tokens {end[0]} to {end[1]}, which are no entity")
        ties.append(Tie(places[head], label, places[tail]))
    return of_tokens(tokens, chunks, join, ties)


def _parts(value: object, types: tuple[type, ...], what: str, reason: str) -> list:
    """The first parts of a list, which must be of these types."""
    found = value[: len(types)] if isinstance(value, list) else []
    if [*map(type, found)] != [*types]:
        shown = ", ".join("token" if each is int else "label" for each in types)
        raise Wrong(reason, f"{what} is {kind_of(value)}, not a list that begins [{shown}]")
    return found


def _check_place(first: int, last: int, tokens: int, what: str) -> None:
    if not 0 <= first <= last < tokens:
        raise Wrong("bad_place", f"{what} is at tokens {first} to {last} of {tokens}, counted from 0")


def _join(_path: Path, reading: Reading) -> str | None:
    return reading.join


LAYOUT = RecordLayout(
    "CrossRE", '{"sentence": [token], "ner", "relations"}', fits, read, _join, OPTIONS=("join",), TASKS=("re", "ner")
)
