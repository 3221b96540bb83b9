"""SciER's layout for language models (Zhang et al. 2024): names with types, and triples of names.

    {"doc_id": "1", "sentence": "BERT for NER", "ner": [["BERT", "Method"], ["NER", "Task"]],
     "rel": [["BERT", "Used-For", "NER"]], "rel_plus": [["BERT:Method", "Used-For", "NER:Task"]]}

It says no places. Head and tail have the type that `rel_plus` gives them. `SciER/PLM` has the same as documents of
tokens, which aren't read. Its second test split is a file: `--corpora SciER/LLM/test_ood.jsonl`.
"""

from collections.abc import Hashable

from recipe.corpora.annotated import Annotated, Mention, Tie
from recipe.corpora.record_layout import RecordLayout
from recipe.corpora.records import Wrong, check_record, kind_of


def fits(record: object) -> bool:
    """True for a sentence with names and triples."""
    return isinstance(record, dict) and {"sentence", "ner", "rel", "rel_plus"} <= record.keys()


def read(record: object, _context: Hashable) -> Annotated:
    """The sentence, its names and its relations; raises Wrong."""
    check_record(record, "sentence", "ner", "rel_plus")
    mentions = [Mention(label, name=name) for name, label in _lists(record["ner"], 2, "entity", "bad_entity")]
    places = {}
    for number, mention in enumerate(mentions):
        places.setdefault((mention.name, mention.label), number)
    ties = []
    for head, label, tail in _lists(record["rel_plus"], 3, "relation", "bad_relation"):
        ends = []
        for end in (head, tail):
            name, colon, kind = end.rpartition(":")
            if not colon:
                raise Wrong("bad_relation", f"{end[:40]!r} in 'rel_plus' has no type; name:type is needed")
            if (name, kind) not in places:
                places[name, kind] = len(mentions)
                mentions.append(Mention(kind, name=name))
            ends.append(places[name, kind])
        ties.append(Tie(ends[0], label, ends[1]))
    return Annotated(record["sentence"], tuple(mentions), ties=tuple(ties))


def _lists(value: object, size: int, what: str, reason: str) -> list[list[str]]:
    if not isinstance(value, list):
        raise Wrong(reason, f"{what} list is {kind_of(value)}, not a list")
    for number, each in enumerate(value, 1):
        if not isinstance(each, list) or [*map(type, each)] != [str] * size:
            raise Wrong(reason, f"{what} {number} is no list of {size} strings")
    return value


LAYOUT = RecordLayout("SciER", '{"sentence", "ner", "rel", "rel_plus"}', fits, read, TASKS=("re", "ner"))
