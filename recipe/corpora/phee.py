"""PHEE's own layout: pharmacovigilance events of a sentence, each with arguments that have arguments of their own.

    {"id": "1_1", "context": "Rash after aspirin.", "is_mult_event": false, "annotations": [{"events": [{"event_type":
     "Adverse_event", "Trigger": {"text": [["after"]], "start": [[5]]}, "Treatment": {"text": [["aspirin"]], "start":
     [[11]], "Drug": {"text": [["aspirin"]], "start": [[11]]}}}]}]}

Roles are called as their place in there: `treatment`, and `treatment.drug` for the argument of an argument. A span in
several pieces is an argument for each piece, counted as `argument_in_pieces`. What an event says of itself (`Severity`,
`Speculated`, `Negated`) is no argument, and isn't read. A `Combination` says what is among a treatment's drugs already.
"""

from collections.abc import Hashable, Iterator

from recipe.corpora.annotated import Annotated, Mention, Tie
from recipe.corpora.record_layout import RecordLayout
from recipe.corpora.records import Wrong, check_record, kind_of

_ARGUMENTS = ("Subject", "Treatment", "Effect")
_SPAN = ("text", "start", "entity_id")


def fits(record: object) -> bool:
    """True for a context with annotations of events."""
    return isinstance(record, dict) and {"context", "annotations", "is_mult_event"} <= record.keys()


def read(record: object, _context: Hashable) -> Annotated:
    """The sentence, the triggers and, tied to these, the arguments; raises Wrong."""
    check_record(record, "context", "annotations")
    mentions, ties, noted = [], [], []
    for number, event in enumerate(_events(record["annotations"]), 1):
        what = f"event {number}"
        label = event.get("event_type")
        if not isinstance(label, str):
            raise Wrong("bad_event", f"{what} has {kind_of(label)} as 'event_type', not a string")
        triggers = list(_spans(event.get("Trigger"), label, f"trigger of {what}", noted))
        if not triggers:
            raise Wrong("bad_event", f"{what} has no trigger")
        at = len(mentions)
        mentions.append(triggers[0])
        for role, mention in _arguments(event, what, noted):
            ties.append(Tie(at, role, len(mentions)))
            mentions.append(mention)
    return Annotated(record["context"], tuple(mentions), noted=tuple(noted), ties=tuple(ties))


def _events(annotations: object) -> Iterator[dict]:
    if not isinstance(annotations, list):
        raise Wrong("bad_annotations", f"'annotations' is {kind_of(annotations)}, not a list")
    for annotation in annotations:
        events = annotation.get("events") if isinstance(annotation, dict) else annotation
        if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
            raise Wrong("bad_annotation", "an annotation has no list of events")
        yield from events


def _arguments(event: dict, what: str, noted: list[str]) -> Iterator[tuple[str, Mention]]:
    for name in _ARGUMENTS:
        argument = event.get(name)
        if argument is None:
            continue
        of_event = f"{name} of {what}"
        yield from ((name, mention) for mention in _spans(argument, "", of_event, noted))
        for inner, value in argument.items():
            if inner not in _SPAN and isinstance(value, dict):
                role = f"{name}.{inner}"
                yield from ((role, mention) for mention in _spans(value, "", f"{role} of {what}", noted))


def _spans(value: object, label: str, what: str, noted: list[str]) -> Iterator[Mention]:
    """The mentions of `{"text": [["aspirin"]], "start": [[11]]}`."""
    if not isinstance(value, dict):
        raise Wrong("bad_event", f"{what} is {kind_of(value)}, not an object of text and start")
    texts, starts = value.get("text", []), value.get("start", [])
    if not all(isinstance(each, list) and all(isinstance(inner, list) for inner in each) for each in (texts, starts)):
        raise Wrong("bad_event", f"{what}: 'text' and 'start' are lists of lists")
    if [*map(len, texts)] != [*map(len, starts)]:
        raise Wrong("bad_event", f"{what}: other numbers of texts than of starts")
    for names, places in zip(texts, starts, strict=True):
        if len(names) > 1:
            noted.append("argument_in_pieces")
        for name, start in zip(names, places, strict=True):
            if not isinstance(name, str) or type(start) is not int:
                raise Wrong("bad_event", f"{what}: a text that is no string, or a start that is no integer")
            yield Mention(label, start, start + len(name), name)


LAYOUT = RecordLayout(
    "PHEE", '{"context", "annotations": [{"events": [{"event_type", "Trigger"}]}]}', fits, read, TASKS=("ee",)
)
