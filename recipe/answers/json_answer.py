r"""The JSON answer format of ReasoningNER: a chain of thought, then `{"entities": {type: [names]}}`.

    <think>
    "Naloxone" is a chemical.
    </think>
    {
      "entities": {
        "chemical": [
          "Naloxone"
        ]
      }
    }

`parse(render_answer(example))` gives back the entities, sorted by type. `parse` reads what a model wrote: it never
raises, and its time is linear in the length of the completion.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from recipe.answers.json_grammar import Grammar, rules, whole_names
from recipe.answers.no_name import says_none
from recipe.answers.think import CLOSE, OPEN, split_reasoning, with_reasoning
from recipe.core.entities import Answer, Entity, Example, has_lone_surrogate, normalize_type
from recipe.core.text import visible

# The wording is ours; a checkpoint trained on another wording brings its own with --prompt-template. It does not ask
# for reasoning: SFT teaches that, so that the runs with and without a chain of thought differ in the answers alone.
DEFAULT_TEMPLATE = """\
You are an information extraction assistant. Find the named entities in the sentence below.
Use only these entity types:
{{SCHEMA}}
Answer with JSON of this form, each name copied exactly from the sentence, types without an entity left out:
{
  "entities": {
    "type": ["name", ...]
  }
}
Sentence: {{SENTENCE}}"""

_ANSWER_START = re.compile(r'\{\s*"entities"\s*:')
_OBJECT_START = re.compile(r'\{\s*"')
_FENCE_OPEN = re.compile(r"```[A-Za-z]*[ \t]*\r?\n?")

# A try to decode may read to the end of the text, so their number is bounded and not a share of the text's length. Some
# from the start read all the answers of ordinary text. Where those are used up on something else, some of the last
# places decide, as the last whole answer counts.
_TRIES = 8


# --------------------------------------------------------------------------------------------------------- answer


def render_answer(example: Example) -> str:
    """The completion to train on; DataError for reasoning that holds a think tag, which would end the block early."""
    return render_entities(example.entities, example.reasoning)


def surely_read(example: Example) -> bool:
    """True where names are of characters that are seen and types are normalised: JSON gives those back as they are."""
    for entity in example.entities:
        if not entity.name.isprintable() or not entity.name.strip() or not _is_type(entity.type):
            return False
    return True


@lru_cache(maxsize=1024)
def _is_type(label: str) -> bool:
    return label.isprintable() and normalize_type(label) == label


def render_entities(entities: Iterable[Entity], reasoning: str | None = None) -> str:
    """The completion that names these entities. Types are sorted; names keep their order."""
    by_type: dict[str, list[str]] = {}
    for entity in entities:
        by_type.setdefault(entity.type, []).append(entity.name)
    return with_reasoning(_layout(sorted(by_type.items())), reasoning)


def _layout(by_type: Iterable[tuple[str, list[str]]]) -> str:
    """As json.dumps(..., ensure_ascii=False, indent=2) writes it, which takes ten times as long over it."""
    blocks = [
        f"    {_quote(label)}: [\n" + ",\n".join(f"      {_quote(name)}" for name in names) + "\n    ]"
        for label, names in by_type
    ]
    inner = "{\n" + ",\n".join(blocks) + "\n  }" if blocks else "{}"
    return f'{{\n  "entities": {inner}\n}}'


_quote = json.encoder.encode_basestring  # what json.dumps(..., ensure_ascii=False) has for text


def grammar(types: Sequence[str], text: str | None = None, reasoning: bool = False) -> Grammar:
    """What holds decoding to the layout; see `recipe.answers.json_grammar.rules`."""
    return Grammar(rules(types, text, reasoning), '"entities":', lambda answer: render_entities(whole_names(answer)))


def bare_types(example: Example) -> str:
    """An answer of every type and no name."""
    return json.dumps({"entities": {label: [] for label in example.types}}, indent=2)


# ---------------------------------------------------------------------------------------------------------- parse


def parse(completion: str, example: Example | None = None) -> Answer:
    """Read a completion: reasoning, entities, and whether it kept the layout.

    Repaired, because the meaning is plain: a code fence, text around the JSON, a think block that was opened by the
    prompt or never closed, a string or null for a list of names, a word for none, a list under `entities` with a name
    and a type in each item, a number as a name, a repeated key. Of several answers the last whole one counts. Anything
    else is unparsable.
    """
    reasoning, body, closed = _split_reasoning(completion)
    by_type = _laid_out(body) if closed else None
    if by_type is not None:
        labelled = [(normalize_type(label), names) for label, names in by_type]
        entities = [Entity(name, label) for label, names in labelled for name in names]
        types = tuple([label for label, _ in labelled])
        return Answer(_that_can_be_read(entities, body), reasoning, parsed=True, layout=True, types=types)
    read = _last_answer(body)
    if read is None:
        return Answer(reasoning=reasoning)
    return Answer(_that_can_be_read(read.entities, body), reasoning, parsed=True)


def _that_can_be_read(entities: Iterable[Entity], body: str) -> tuple[Entity, ...]:
    """Those with a name that is seen and with texts that can be written to a file."""
    entities = [entity for entity in entities if visible(entity.name)]
    if "\\" in body or not body.isascii():  # a lone surrogate can't be in a sentence
        broken = {label for label in {entity.type for entity in entities} if has_lone_surrogate(label)}
        entities = [e for e in entities if e.type not in broken and not has_lone_surrogate(e.name)]
    return tuple(entities)


def _split_reasoning(text: str) -> tuple[str | None, str, bool]:
    """Reasoning, the rest, and whether the think block, if any, is well-formed and does not begin with an answer."""
    text = text.strip()
    if text.startswith(OPEN) and CLOSE not in text:
        # Never closed: what comes before the answer, if there is one, is reasoning. A cut answer is one, too.
        starts = [found.start() for found in _ANSWER_START.finditer(text)]
        read = _last_answer(text)
        return None, text[read.start if read else max(starts, default=len(text)) :], False
    if CLOSE not in text or not text.startswith(("{", "```")):
        return split_reasoning(text)
    # A name may hold a think tag. One after the object that comes first makes that a draft, if an answer follows.
    found = _OBJECT_START.match(text, _lead(text))
    value, end = _decode(text, found.start()) if found else (None, 0)
    if text.find(CLOSE, end) >= 0:
        reasoning, body, closed = split_reasoning(text, end)
        if _last_answer(body):
            return reasoning, body, closed and _entities(value) is None
    return None, text, True


def _lead(text: str) -> int:
    """Where what a code fence at the start of the text holds begins; 0 without one."""
    fence = _FENCE_OPEN.match(text)
    return fence.end() if fence else 0


def parts(completion: str) -> tuple[str, str]:
    """The texts of the reasoning, closed or not, and of the answer; either may be empty. Lengths are of these."""
    reasoning, body, _ = _split_reasoning(completion)
    if reasoning is None and (text := completion.strip()).startswith(OPEN):
        return text[len(OPEN) : len(text) - len(body)].strip(), body
    return reasoning or "", body


class _Pairs(list):
    """A JSON object as its (key, value) pairs: keeps repeated keys apart from a plain list."""


class _Literal(str):
    """A JSON number, NaN or Infinity as it was written: `1e999999` costs nothing and stays a name."""


_DECODER = json.JSONDecoder(
    object_pairs_hook=_Pairs, parse_int=_Literal, parse_float=_Literal, parse_constant=_Literal, strict=False
)


@dataclass(frozen=True, slots=True)
class _Read:
    """An object of a text, `text[start:end]`, that can be read as an answer."""

    start: int
    end: int
    value: object
    entities: tuple[Entity, ...]


def _last_answer(text: str) -> _Read | None:
    """The last whole object that can be read as an answer, those within another left out. Linear time."""
    last = None
    for last in _answers(text):  # noqa: B007
        pass
    return last


def _answers(text: str) -> Iterator[_Read]:
    at, tries = 0, _TRIES
    while tries and (found := _OBJECT_START.search(text, at)):
        read, at = _read(text, found.start())
        tries -= read is None
        if read:
            yield read
    if tries:
        return
    for start in [found.start() for found in _ANSWER_START.finditer(text, at)][-_TRIES:]:
        if start >= at:
            read, at = _read(text, start)
            if read:
                yield read


def _read(text: str, start: int) -> tuple[_Read | None, int]:
    """The answer that begins there, if one does, and where to look for the next."""
    value, end = _decode(text, start)
    if (entities := _entities(value)) is not None:
        return _Read(start, end, value, entities), end
    # Whatever stands within an object that is no answer, such as {"answer": {"entities": {}}}, may be one.
    return None, end if _says_entities(value) else start + 1


def _decode(text: str, start: int) -> tuple[object, int]:
    """The object that begins there and its end; (None, 0) where none does."""
    try:
        return _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None, 0


def _says_entities(value: object) -> bool:
    return isinstance(value, _Pairs) and any(key == "entities" for key, _ in value)


def _entities(value: object) -> tuple[Entity, ...] | None:
    """All entities of a decoded answer in their order, or None where the meaning is not plain."""
    if not _says_entities(value):
        return None
    parts: list[list[Entity] | None] = []
    for inner in (inner for key, inner in value if key == "entities"):
        if isinstance(inner, _Pairs):
            parts.append(_from_mapping(inner))
        else:
            parts += map(_from_item, inner) if isinstance(inner, list) else [None]
    return None if None in parts else tuple(entity for part in parts for entity in part)


def _from_mapping(pairs: Sequence[tuple[str, object]]) -> list[Entity] | None:
    """`{"person": ["A", "B"], "place": "C", "group": null, "event": "None"}`"""
    found = []
    for label, names in pairs:
        if names is None or (isinstance(names, str) and says_none(names)):
            names = []
        elif isinstance(names, str):
            names = [names]
        if not isinstance(names, list) or isinstance(names, _Pairs) or not all(isinstance(n, str) for n in names):
            return None
        label = normalize_type(label)  # once, or a long type with many names would cost the square of its length
        found += [Entity(str(name), label) for name in names]
    return found


def _from_item(item: object) -> list[Entity] | None:
    """`{"name": "A", "type": "person"}`, `{"text": "A", "label": "person"}` or `{"person": ["A"]}` in a list."""
    if not isinstance(item, _Pairs):
        return None
    fields = dict(item)
    name = next((fields[key] for key in ("name", "text", "entity") if key in fields), None)
    label = next((fields[key] for key in ("type", "label") if key in fields), None)
    if isinstance(name, str) and isinstance(label, str):
        return [Entity(str(name), normalize_type(label))]
    return _from_mapping(item) if name is None and label is None else None


def _laid_out(text: str) -> list[tuple[str, list[str]]] | None:
    """Types with their names where the text is exactly `{"entities": {str: [str, ...]}}`, no key twice; else None."""
    value, end = _decode(text, 0) if text.startswith("{") else (None, 0)
    if end < len(text) or type(value) is not _Pairs or len(value) != 1:
        return None
    key, inner = value[0]
    if key != "entities" or type(inner) is not _Pairs or len(dict(inner)) < len(inner):
        return None
    for _, names in inner:
        if type(names) is not list or not {*map(type, names)} <= {str}:
            return None
    return inner
