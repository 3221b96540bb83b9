"""UniversalNER's layout (Zhou et al., ICLR 2024; Pile-NER): records of a talk that asks about a text, type by type.

    {"id": "1", "conversations": [
        {"from": "human", "value": "Text: EU rejects"}, {"from": "gpt", "value": "I've read this text."},
        {"from": "human", "value": "What describes organization in the text?"}, {"from": "gpt", "value": "[\\"EU\\"]"}]}

A sentence is asked for the types that its record asks about, those with an empty answer too. Consecutive records of one
text are one sentence: the evaluation files have a record for each type. Names come without places.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.core.entities import Example, normalize_type
from recipe.corpora.annotated import Annotated, Mention
from recipe.corpora.questions import together
from recipe.corpora.reading import Reading
from recipe.corpora.record_layout import RecordLayout
from recipe.corpora.records import Wrong, kind_of

if TYPE_CHECKING:
    from recipe.corpora.dataset import Dataset

TEXT = "Text: "
QUESTIONS = (re.compile(r"What describes (.+) in the text\?", re.DOTALL),)
"""The wordings of a question, each with the type (or its definition, in Pile-NER-definition) as its group."""

_ROLES = ("human", "gpt")


class _Conversations(RecordLayout):
    """Records that ask about texts; those about one text belong together."""

    def examples(self, dataset: Dataset, split: str, reading: Reading) -> Iterator[Example]:
        """The split's sentences, each with the types that are asked of it."""
        return together(super().examples(dataset, split, reading))

    def sentences(self, path: Path, reading: Reading) -> Iterator[str]:
        """The texts of a file, one that several records in a row ask about once."""
        return (text for text, _ in itertools.groupby(super().sentences(path, reading)))


def fits(record: object) -> bool:
    """True for a talk in turns."""
    return isinstance(record, dict) and bool(_turns(record))


def _turns(record: dict) -> list[dict] | None:
    turns = record.get("conversations")
    if not isinstance(turns, list):
        return None
    each = (
        isinstance(turn, dict) and all(isinstance(turn.get(key), str) for key in ("from", "value")) for turn in turns
    )
    return turns if all(each) else None


def _read(record: object, _context: None) -> Annotated:
    turns = _turns(record) if isinstance(record, dict) else None
    if turns is None:
        raise Wrong("bad_conversations", 'has no "conversations", a list of {"from": "human", "value": "..."}')
    for number, turn in enumerate(turns, 1):
        if turn["from"] != (role := _ROLES[(number - 1) % 2]):
            raise Wrong("bad_role", f"turn {number} is from {turn['from'][:40]!r}, not from {role!r}")
    if not turns or len(turns) % 2:
        raise Wrong("no_answer", f"has {len(turns)} turns; each turn of 'human' needs an answer of 'gpt'")
    text, _, *asked = (turn["value"] for turn in turns)
    if not text.startswith(TEXT):
        raise Wrong("bad_text", f"turn 1 is {text[:40]!r}, not {TEXT!r} and the text")
    named: dict[str, Counter] = {}  # a type that is asked about twice has the names of both answers
    for number, (question, answer) in enumerate(zip(asked[::2], asked[1::2], strict=True)):
        label = _label(question, 2 * number + 3)
        named[label] = named.get(label, Counter()) | Counter(_names(answer, 2 * number + 4))
    mentions = (Mention(label, name=name) for label, names in named.items() for name in names.elements())
    return Annotated(text.removeprefix(TEXT), tuple(mentions), tuple(named))


def _label(question: str, turn: int) -> str:
    for wording in QUESTIONS:
        if (match := wording.fullmatch(question)) and match[1].strip():
            return normalize_type(match[1])
    raise Wrong("unknown_question", f"turn {turn} asks {question[:80]!r}, not 'What describes <type> in the text?'")


def _names(answer: str, turn: int) -> list[str]:
    try:
        names = json.loads(answer)
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list):
        raise Wrong("bad_answer", f"turn {turn} is {answer[:40]!r}, not a JSON list of names")
    for name in names:
        if not isinstance(name, str):
            raise Wrong("bad_answer", f"turn {turn} has {kind_of(name)} among its names")
    return names


LAYOUT = _Conversations("UniversalNER", '{"conversations": [{"from", "value"}]}', fits, _read)
