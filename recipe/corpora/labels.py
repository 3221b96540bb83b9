"""The list of a dataset's types, where a file gives one: `labels.json` or `labels.txt` beside the splits.

["PER", "LOC"]
{"PER": "person", "LOC": "place"}      which renames the labels
["O", "B-PER", "I-PER"]                tags, whose types count
[["attack"], ["attacker", "victim"]]   event types and roles
{"attack": ["attacker", "victim"]}     the same, the roles by event type
"""

import json
from collections import Counter
from pathlib import Path

from recipe.core.entities import DataError, normalize_type
from recipe.corpora.json_files import read_list, read_text
from recipe.corpora.records import check_labels
from recipe.corpora.tags import style_of


def labels_file(folder: Path) -> Path | None:
    """The folder's list of types, if it has one."""
    return next((path for path in (folder / "labels.json", folder / "labels.txt") if path.is_file()), None)


def read_labels(path: Path) -> dict[str, str]:
    """Label -> the name of its type, both normalised. A list that holds `O` is one of tags: their types count."""
    if path.suffix == ".txt":
        labels = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    elif (text := read_text(path)).lstrip().startswith("{"):
        return _read_renamed(path, text)
    else:
        labels = list(read_list(path))
    check_labels(path, labels)
    if "O" in labels:
        style = style_of(Counter(labels))
        types = [(parsed[1] if (parsed := style.parse(tag)) else tag) for tag in labels]
        labels = [label for label in types if label]
    return {label: label for label in map(normalize_type, labels)}


def read_type_lists(path: Path) -> tuple[list[str], list[str]] | None:
    """Event types and roles, normalised; None for a list of one kind of types. DataError for what is neither."""
    if path.suffix != ".json":
        return None
    try:
        value = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON; a list of types belongs here") from error
    if isinstance(value, dict) and value and all(isinstance(each, list) for each in value.values()):
        value = [list(value), [role for roles in value.values() for role in roles]]
    if not isinstance(value, list) or len(value) != 2 or not all(isinstance(each, list) for each in value):
        return None
    for each in value:
        check_labels(path, each)
        if not each:
            raise DataError(f"{path}: one of its two lists is empty; event types and roles belong there")
    events, roles = ([normalize_type(label) for label in each] for each in value)
    return events, roles


def _read_renamed(path: Path, text: str) -> dict[str, str]:
    try:
        renamed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f'{path}: not valid JSON; a list of types or {{"PER": "person"}} belongs here') from error
    check_labels(path, renamed)
    check_labels(path, renamed.values())
    names: dict[str, str] = {}
    for label, name in renamed.items():
        if names.setdefault(normalize_type(label), normalize_type(name)) != normalize_type(name):
            raise DataError(f"{path}: gives {label[:80]!r} two names (upper and lower case are one); leave one of them")
    return names
