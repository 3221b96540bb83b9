"""InstructUIE's layout of events: records of a sentence and what happens in it.

    {"sentence": "Ada fled Rome", "events": [{"type": "flight", "trigger": "fled",
                                              "arguments": [{"name": "Ada", "role": "who"}]}]}

A type that is `NA` or empty says that there is no event. `labels.json` beside the splits has two lists, event types and
roles, or the roles by event type.
"""

from collections.abc import Hashable

from recipe.core.entities import normalize_type
from recipe.corpora.annotated import Annotated, Mention, Tie
from recipe.corpora.record_layout import RecordLayout
from recipe.corpora.records import NO_RELATION, Wrong, check_record, kind_of


def fits(record: object) -> bool:
    """True for a sentence with events, whatever else it has."""
    return isinstance(record, dict) and {"sentence", "events"} <= record.keys() and type(record["sentence"]) is str


def read(record: object, _context: Hashable) -> Annotated:
    """The sentence, the triggers and, tied to these, the arguments; raises Wrong."""
    check_record(record, "sentence", "events")
    if not isinstance(record["events"], list):
        raise Wrong("bad_events", f"'events' is {kind_of(record['events'])}, not a list")
    mentions, ties, noted = [], [], []
    for number, event in enumerate(record["events"], 1):
        what = f"event {number}"
        if not isinstance(event, dict):
            raise Wrong("bad_event", f"{what} is {kind_of(event)}, not an object")
        label, trigger = (_text(event, key, what) for key in ("type", "trigger"))
        arguments = event.get("arguments") or []
        if not isinstance(arguments, list):
            raise Wrong("bad_event", f"{what} has {kind_of(arguments)} as 'arguments', not a list")
        if normalize_type(label) in NO_RELATION:
            noted.append("no_event")
            continue
        at = len(mentions)
        mentions.append(Mention(label, name=trigger))
        for place, argument in enumerate(arguments, 1):
            of_event = f"argument {place} of {what}"
            if not isinstance(argument, dict):
                raise Wrong("bad_event", f"{of_event} is {kind_of(argument)}, not an object")
            ties.append(Tie(at, _text(argument, "role", of_event), len(mentions)))
            mentions.append(Mention("", name=_text(argument, "name", of_event)))
    return Annotated(record["sentence"], tuple(mentions), noted=tuple(noted), ties=tuple(ties))


def _text(value: dict, key: str, what: str) -> str:
    text = value.get(key)
    if not isinstance(text, str):
        raise Wrong("bad_event", f"{what} has {kind_of(text)} as {key!r}, not a string")
    return text


LAYOUT = RecordLayout(
    "InstructUIE events", '{"sentence", "events": [{"type", "trigger", "arguments"}]}', fits, read, TASKS=("ee",)
)
