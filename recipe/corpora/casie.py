"""CASIE's layout (Satyapanich et al. 2020): a folder of news articles, a JSON file each, with cybersecurity events.

    {"sourcefile": "1.txt", "content": "Ada was hacked.", "cyberevent": {"hopper": [{"events": [
     {"subtype": "Databreach", "nugget": {"startOffset": 4, "endOffset": 14, "text": "was hacked"}, "argument":
      [{"startOffset": 0, "endOffset": 3, "text": "Ada", "role": {"type": "Victim"}, "type": "Person"}]}]}]}}

An article is one example: its events' arguments stand all over it. The event's type is its `subtype`. Where an offset
contradicts the text that is given, the text decides. The files know no splits: `--num-dev` holds some out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.core.entities import DataError, Example, has_lone_surrogate, normalize_type
from recipe.corpora.annotated import Annotated, Mention, Tie, example_of
from recipe.corpora.reading import Reading
from recipe.corpora.record_layout import first_record
from recipe.corpora.records import NO_RELATION, Wrong, check_record, kind_of

if TYPE_CHECKING:
    from recipe.corpora.dataset import Dataset

FILES = 'CASIE (a folder of articles, {"content", "cyberevent"})'
TASKS = ("ee",)
MAY_LACK_SPLITS = True


def found(path: Path) -> bool:
    """True for an article, and for a folder of which the first file in JSON is one."""
    return any(map(reads, _articles(path)[:1]))


def reads(path: Path) -> bool:
    """True for an article."""
    first = first_record(path) if path.suffix == ".json" and path.is_file() else None
    return isinstance(first, dict) and {"content", "cyberevent"} <= first.keys()


def knows_splits(_path: Path) -> bool:
    """False: all of a folder is any split."""
    return False


def file(path: Path, split: str) -> Path:
    """The first article."""
    return next(iter(parts(path, split)), path / f"{split}.json")


def parts(path: Path, _split: str) -> list[Path]:
    """All articles."""
    return _articles(path) if found(path) else []


def label_files(path: Path) -> tuple[Path, ...]:
    """All articles, which name the types."""
    return tuple(_articles(path))


def types(dataset: Dataset, reading: Reading) -> tuple[str, ...]:
    """The types of events, and the roles."""
    events, roles = _named(dataset.folder, reading)
    return (*events, *roles)


def examples(dataset: Dataset, split: str, reading: Reading) -> Iterator[Example]:
    """The articles in the order of their names."""
    events, roles = _named(dataset.folder, reading)
    for path in parts(dataset.folder, split):

        def read_one(record: object) -> tuple[Example | None, int]:
            return example_of(read(record), events, {}, dataset.name, reading, roles)

        yield from reading.examples(path, [(1, first_record(path))], read_one)


def sentences(path: Path, _reading: Reading) -> Iterator[str]:
    """The article."""
    try:
        yield read(first_record(path)).text
    except Wrong as wrong:
        raise DataError(f"{path}: {wrong}; correct it") from wrong


def _articles(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(path.glob("*.json")) if path.is_dir() else []


def _named(folder: Path, reading: Reading) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Event types and roles in all articles. DataError where there are none."""
    events: set[str] = set()
    roles: set[str] = set()
    for path in _articles(folder):
        try:
            annotated = read(first_record(path))
        except Wrong:  # told, or counted, when the article is read for its example
            continue
        events.update(mention.label for mention in annotated.mentions)
        roles.update(tie.label for tie in annotated.ties)
    found = []
    for labels in (events, roles):
        own = {normalize_type(label) for label in labels if not has_lone_surrogate(label)} - NO_RELATION
        found.append(reading.types(folder, own, "annotate an event with an argument"))
    return found[0], found[1]


def read(record: object) -> Annotated:
    """An article, the triggers of its events and, tied to these, their arguments; raises Wrong."""
    check_record(record, "content", "cyberevent")
    mentions, ties = [], []
    for number, event in enumerate(_events(record["cyberevent"]), 1):
        what = f"event {number}"
        at = len(mentions)
        mentions.append(_mention(event.get("nugget"), event.get("subtype"), f"nugget of {what}"))
        arguments = event.get("argument") or []
        if not isinstance(arguments, list):
            raise Wrong("bad_event", f"{what} has {kind_of(arguments)} as 'argument', not a list")
        for place, argument in enumerate(arguments, 1):
            of_event = f"argument {place} of {what}"
            role = argument.get("role") if isinstance(argument, dict) else None
            label = role.get("type") if isinstance(role, dict) else None
            if not isinstance(label, str):
                raise Wrong("bad_event", f"{of_event} has no role with a type")
            ties.append(Tie(at, label, len(mentions)))
            mentions.append(_mention(argument, "", of_event))
    # The files end with what is left of the markup around them.
    return Annotated(record["content"].rstrip().removesuffix("</text>").rstrip(), tuple(mentions), ties=tuple(ties))


def _events(value: object) -> Iterator[dict]:
    hoppers = value.get("hopper", []) if isinstance(value, dict) else None
    if not isinstance(hoppers, list):
        raise Wrong("bad_events", "'cyberevent' has no list 'hopper'")
    for hopper in hoppers:
        events = hopper.get("events") if isinstance(hopper, dict) else None
        if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
            raise Wrong("bad_events", "a hopper has no list of events")
        yield from events


def _mention(value: object, label: object, what: str) -> Mention:
    fields = value if isinstance(value, dict) else {}
    name, start, end = (fields.get(key) for key in ("text", "startOffset", "endOffset"))
    if [type(name), type(start), type(end), type(label)] != [str, int, int, str]:
        raise Wrong("bad_event", f"{what} is without a type, text, startOffset or endOffset")
    return Mention(label, start, end, name)
