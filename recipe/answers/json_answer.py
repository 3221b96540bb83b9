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
from collections.abc import Iterable, Sequence

from recipe.answers.json_grammar import Grammar, rules, whole_names
from recipe.answers.think import CLOSE, OPEN, split_reasoning, with_reasoning
from recipe.core.entities import Answer, Entity, Example, has_lone_surrogate, normalize_type

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
_FENCE_OPEN = re.compile(r"```[A-Za-z]*[ \t]*\r?\n?")


# --------------------------------------------------------------------------------------------------------- answer


def render_answer(example: Example) -> str:
    """The completion to train on; DataError for reasoning that holds a think tag, which would end the block early."""
    return render_entities(example.entities, example.reasoning)


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


_quote = json.JSONEncoder(ensure_ascii=False).encode


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
    prompt or never closed, a string or null for a list of names, a list under `entities` with a name and a type in
    each item, a number as a name, a repeated key. Anything else is unparsable.
    """
    reasoning, body, closed = _split_reasoning(completion)
    value, bare = _read_json(body)
    entities = _entities(value)
    if entities is None:
        return Answer(reasoning=reasoning)
    # A lone surrogate can't have come from a sentence and can't be written to a file.
    broken = {label for label in {e.type for e in entities} if has_lone_surrogate(label)}
    entities = tuple(e for e in entities if e.name.strip() and e.type not in broken and not has_lone_surrogate(e.name))
    if not (closed and bare and _is_layout(value)):
        return Answer(entities, reasoning, parsed=True)
    types = tuple(normalize_type(label) for label, _ in value[0][1])
    return Answer(entities, reasoning, parsed=True, layout=True, types=types)


def _split_reasoning(text: str) -> tuple[str | None, str, bool]:
    """Reasoning, the rest, and whether the think block, if any, is well-formed."""
    text = text.strip()
    if text.startswith(("{", "```")):
        return None, text, True
    if text.startswith(OPEN) and CLOSE not in text:
        # Never closed: the answer, if there is one, is the last object that looks like one.
        last = max((found.start() for found in _ANSWER_START.finditer(text)), default=len(text))
        return None, text[last:], False
    return split_reasoning(text)


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


def _read_json(body: str) -> tuple[object, bool]:
    """The first object that can be the answer, and whether nothing else is there. None where no object is."""
    bare = body.startswith("{")
    if not bare:
        fence = _FENCE_OPEN.match(body)
        start = fence.end() if fence else 0
        found = _ANSWER_START.search(body, start)
        # Without a clear start: the first brace. One try, so that time stays linear.
        start = found.start() if found else body.find("{", start)
        if start < 0:
            return None, False
        body = body[start:]
    try:
        value, end = _DECODER.raw_decode(body)
    except (ValueError, RecursionError):
        return None, False
    return value, bare and not body[end:].strip()


def _entities(value: object) -> tuple[Entity, ...] | None:
    """All entities of a decoded answer in their order, or None where the meaning is not plain."""
    if not isinstance(value, _Pairs) or not any(key == "entities" for key, _ in value):
        return None
    parts: list[list[Entity] | None] = []
    for inner in (inner for key, inner in value if key == "entities"):
        if isinstance(inner, _Pairs):
            parts.append(_from_mapping(inner))
        else:
            parts += map(_from_item, inner) if isinstance(inner, list) else [None]
    return None if None in parts else tuple(entity for part in parts for entity in part)


def _from_mapping(pairs: Sequence[tuple[str, object]]) -> list[Entity] | None:
    """`{"person": ["A", "B"], "place": "C", "group": null}`"""
    found = []
    for label, names in pairs:
        if names is None:
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


def _is_layout(value: object) -> bool:
    """Exactly `{"entities": {str: [str, ...]}}`, no key twice."""
    if not isinstance(value, _Pairs) or len(value) != 1 or not isinstance(value[0][1], _Pairs):
        return False
    inner = value[0][1]
    return len({key for key, _ in inner}) == len(inner) and all(
        type(names) is list and all(type(name) is str for name in names) for _, names in inner
    )
