"""SpERT's layout (Eberts and Ulges 2020): tokens, entities, and relations that number the entities from 0.

    {"tokens": ["Ada", "left", "Rome"], "entities": [{"type": "Peop", "start": 0, "end": 1}, ...],
     "relations": [{"type": "Live_In", "head": 0, "tail": 1}], "orig_id": 5178}

An entity's end is exclusive. TablERT-CNN's files are the same with a tag for each token (BILOU) in place of entities,
which are then numbered as they stand in the sentence:

    {"tokens": ["Ada", "left", "Rome"], "tags": ["U-Peop", "O", "U-Loc"], "relations": [{"head": 0, "tail": 1, ...}]}

Their `conll04_train.json`, `_dev` and `_test` are one dataset, `conll04`. Without `--task re` files with tags are rows
of names.
"""

from collections import Counter
from pathlib import Path

from recipe.corpora.annotated import Annotated, Tie, of_tokens
from recipe.corpora.reading import Reading
from recipe.corpora.record_layout import RecordLayout
from recipe.corpora.records import Wrong, check_tokens, kind_of
from recipe.corpora.tags import style_of

_OPEN, _CLOSE = frozenset("BSU"), frozenset("ELSU")
_STYLE = style_of(Counter(["B-Peop", "L-Peop"]))


def fits(record: object) -> bool:
    """True for tokens with relations that number entities, or tags' mentions."""
    if not isinstance(record, dict) or not all(isinstance(record.get(key), list) for key in ("tokens", "relations")):
        return False
    return isinstance(record.get("entities"), list) or isinstance(record.get("tags"), list)


def read(record: object, join: str | None) -> Annotated:
    """The sentence, its entities and its relations; raises Wrong."""
    tokens = check_tokens(record, "tokens", "relations")
    chunks = (
        _tagged(record["tags"], len(tokens)) if "tags" in record else _entities(record.get("entities"), len(tokens))
    )
    ties = []
    for number, relation in enumerate(record["relations"], 1):
        fields = relation if isinstance(relation, dict) else {}
        head, label, tail = (fields.get(key) for key in ("head", "type", "tail"))
        if [type(head), type(label), type(tail)] != [int, str, int]:
            raise Wrong("bad_relation", f"relation {number} is no object of head, type and tail")
        ties.append(Tie(head, label, tail))
    return of_tokens(tokens, chunks, join, ties)


def _entities(value: object, tokens: int) -> list[tuple[int, int, str]]:
    if not isinstance(value, list):
        raise Wrong("bad_entities", f"'entities' is {kind_of(value)}, not a list")
    chunks = []
    for number, entity in enumerate(value, 1):
        fields = entity if isinstance(entity, dict) else {}
        start, end, label = (fields.get(key) for key in ("start", "end", "type"))
        if [type(start), type(end), type(label)] != [int, int, str]:
            raise Wrong("bad_entity", f"entity {number} is no object of type, start and end")
        if not 0 <= start < end <= tokens:
            raise Wrong("bad_place", f"entity {number} is at tokens {start} to {end} of {tokens}, counted from 0")
        chunks.append((start, end, label))
    return chunks


def _tagged(tags: object, tokens: int) -> list[tuple[int, int, str]]:
    """The mentions of BILOU tags; relations number them, so that none may be guessed."""
    if not isinstance(tags, list) or len(tags) != tokens:
        raise Wrong("bad_tags", f"'tags' is no list of {tokens} tags, one for each token")
    chunks, start, before = [], None, None
    for number, tag in enumerate(tags):
        parsed = _STYLE.parse(tag) if isinstance(tag, str) else None
        if parsed is None:
            raise Wrong("unknown_tag", f"tag {number + 1} is no tag such as B-Peop, I-Peop, L-Peop, U-Peop or O")
        prefix, label = parsed
        if prefix in _OPEN and start is None:
            start, before = number, label
        elif (prefix in _OPEN or prefix == "O") != (start is None) or (start is not None and label != before):
            raise Wrong(
                "bad_tags", f"tag {number + 1} ({tag[:40]}) goes on with no mention, or begins one inside another"
            )
        if prefix in _CLOSE:
            chunks.append((start, number + 1, label))
            start = None
    if start is not None:
        raise Wrong("bad_tags", f"the mention that begins with tag {start + 1} doesn't end")
    return chunks


def _join(_path: Path, reading: Reading) -> str | None:
    return reading.join


LAYOUT = RecordLayout(
    "SpERT", '{"tokens", "entities" or "tags", "relations"}', fits, read, _join, OPTIONS=("join",), TASKS=("re", "ner")
)
