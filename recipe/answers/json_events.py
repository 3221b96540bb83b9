r"""Events in JSON: a chain of thought, then `{"events": [{"type", "trigger", "arguments": {role: [names]}}]}`.

    <think>
    "developed" is an adverse event. Its effect is "rash".
    </think>
    {
      "events": [
        {
          "type": "adverse event",
          "trigger": "developed",
          "arguments": {
            "effect": ["rash"]
          }
        }
      ]
    }

An event is its trigger, an entity of the event's type, and its arguments: relations from the trigger, whose types are
the roles. Two events with one trigger, of one type at one place, are one. `parse(render_answer(example))` gives back
both. `parse` never raises, and its time is linear in the length of the completion.
"""

import json
import re
from collections.abc import Iterable, Sequence

from recipe.answers.json_answer import is_type, plain
from recipe.answers.json_grammar import Grammar, bound, choice, end_rules, in_order
from recipe.answers.json_text import Finder, Pairs, first_of, name_of, quote, that_can_be_read, whole_list
from recipe.answers.no_name import says_none
from recipe.answers.prompt import both_schemas as schema  # noqa: F401 - of the format's contract
from recipe.answers.think import with_reasoning
from recipe.core.entities import Answer, DataError, Entity, Example, Relation, grouped, normalize_type, trigger_key
from recipe.core.metrics import EVENT_RULES as RULES  # noqa: F401 - of the format's contract

TASK, SUBJECT = "ee", "Events"

# The wording is ours, as in recipe.answers.json_answer.
DEFAULT_TEMPLATE = """\
You are an information extraction assistant. Find the events in the sentence below: the words that trigger each, and the
arguments that take part in it. Use only these event types and these roles of arguments:
{{SCHEMA}}
Answer with JSON of this form, each trigger and argument copied exactly from the sentence, roles without one left out:
{
  "events": [
    {
      "type": "event type",
      "trigger": "trigger",
      "arguments": {
        "role": ["argument", ...]
      }
    }
  ]
}
Sentence: {{SENTENCE}}"""

_TRIGGERS, _TYPES = ("trigger", "nugget"), ("type", "event_type", "event type", "event")


def of_task(example: Example) -> Example:
    """What of a sentence this format asks for: all of one whose relations begin at its entities, the triggers."""
    if example.relation_types and example.entity_types:
        return example
    raise DataError(f"{example.dataset}: names no event types, or no roles of arguments; its files hold no events")


# --------------------------------------------------------------------------------------------------------- answer


def render_answer(example: Example) -> str:
    """The completion to train on; DataError for reasoning that holds a think tag, which would end the block early."""
    return _render(example.entities, example.relations, example.reasoning)


def _render(triggers: Iterable[Entity], arguments: Iterable[Relation], reasoning: str | None = None) -> str:
    blocks = [_block(trigger, own) for trigger, own in grouped(triggers, arguments)]
    inner = "[\n" + ",\n".join(blocks) + "\n  ]" if blocks else "[]"
    return with_reasoning(f'{{\n  "events": {inner}\n}}', reasoning)


def _block(trigger: Entity, arguments: Iterable[Relation]) -> str:
    by_role: dict[str, list[str]] = {}
    for each in arguments:
        by_role.setdefault(each.type, []).append(quote(each.tail.name))
    lines = [f"        {quote(role)}: [{', '.join(names)}]" for role, names in sorted(by_role.items())]
    inner = "{\n" + ",\n".join(lines) + "\n      }" if lines else "{}"
    head = f'      "type": {quote(trigger.type)},\n      "trigger": {quote(trigger.name)},\n'
    return f'    {{\n{head}      "arguments": {inner}\n    }}'


def surely_read(example: Example) -> bool:
    """True where no two triggers are alike, all texts are seen, and types are normalised."""
    triggers = {(entity.name, entity.type) for entity in example.entities}
    return (
        len(triggers) == len(example.entities)
        and all(plain(name) and is_type(label) for name, label in triggers)
        and all(plain(one.tail.name) and is_type(one.type) for one in example.relations)
        and {trigger_key(one.head) for one in example.relations} <= set(map(trigger_key, example.entities))
    )


def template_reasoning(example: Example) -> str:
    """A rationale built from the gold alone, for runs without chain-of-thought data. It teaches the format only."""
    told: dict[str, None] = {}
    for trigger, arguments in grouped(example.entities, example.relations):
        article = "an" if trigger.type[:1] in "aeiou" else "a"
        told[f'"{trigger.name}" is {article} {trigger.type}.'] = None
        told |= {f'Its {one.type} is "{one.tail.name}".': None for one in sorted(arguments, key=lambda one: one.type)}
    return " ".join(told) or "No word of the sentence triggers one of these events."


# --------------------------------------------------------------------------------------------------------- grammar


def grammar(
    types: Sequence[str], text: str | None = None, reasoning: bool = False, relation_types: Sequence[str] = ()
) -> Grammar:
    """What holds decoding to the layout. Roles come in their sorted order, each once at most in an event."""
    most = bound(text)
    event_types = tuple(types)[: len(types) - len(relation_types)]
    blocks = [f'"        " {choice([role])} ": [" string (", " string){{0,{most - 1}}} "]"' for role in relation_types]
    lines = [
        r'root ::= THINK"{\n  \"events\": " ("[]" | "[\n" event (",\n" event){0,MOST} "\n  ]") "\n}"',
        r'event ::= "    {\n      \"type\": " kind ",\n      \"trigger\": " string ",\n" arguments "\n    }"',
        f"kind ::= {choice(event_types)}",
        r'arguments ::= "      \"arguments\": " ("{}" | "{\n" first0 "\n      }")',
        *in_order(blocks, ""),
    ]
    return Grammar(end_rules(lines, most, reasoning), '"events":', lambda cut: _render(*_whole(cut)))


_STRING = r'"(?:[^"\\]|\\.)*"'
_TYPE_LINE = re.compile(rf'      "type": ({_STRING}),')
_TRIGGER_LINE = re.compile(rf'      "trigger": ({_STRING}),')
_ROLE_LINE = re.compile(rf"        ({_STRING}): (\[{_STRING}(?:, {_STRING})*\]),?")


def _whole(answer: str) -> tuple[list[Entity], list[Relation]]:
    """What is whole in the beginning of an answer that the rules allow: triggers and their arguments."""
    triggers, arguments, label = [], [], None
    for line in answer.split("\n"):
        if found := _TYPE_LINE.fullmatch(line):
            label = json.loads(found[1])
        elif label is not None and (found := _TRIGGER_LINE.fullmatch(line)):
            # A number tells events apart that have the same type and trigger; no place is read of it.
            triggers.append(Entity(json.loads(found[1]), label, len(triggers)))
        elif triggers and (found := _ROLE_LINE.fullmatch(line)):
            role = json.loads(found[1])
            arguments += [Relation(triggers[-1], role, Entity(name, "")) for name in json.loads(found[2])]
    return triggers, arguments


# ---------------------------------------------------------------------------------------------------------- parse


def parse(completion: str, example: Example | None = None) -> Answer:
    """Read a completion: reasoning, triggers, arguments, and whether it kept the layout.

    Repaired, because the meaning is plain: what recipe.answers.json_answer repairs around the JSON; an argument alone
    in place of a list, null or a word for none; arguments as a list of objects of name and role; a trigger or argument
    that is an object with a text; an event without arguments. An event without a trigger is unparsable. Of several
    answers the last whole one counts.
    """
    reasoning, body, closed = _FINDER.split(completion)
    events = whole_list(body, "events") if closed else None
    kept = events is not None and all(map(_is_laid_out, events))
    if kept:
        said = _read_events(events)
    else:
        read = _FINDER.last(body)
        if read is None:
            return Answer(reasoning=reasoning)
        said = read.said
    triggers, arguments = said
    types = (*(each.type for each in triggers), *(each.type for each in arguments)) if kept else ()
    named = that_can_be_read(triggers, body)
    return Answer(named, reasoning, True, kept, types, that_can_be_read(arguments, body))


def _is_laid_out(event: object) -> bool:
    if type(event) is not Pairs or [key for key, _ in event] != ["type", "trigger", "arguments"]:
        return False
    (_, label), (_, trigger), (_, arguments) = event
    if not type(label) is type(trigger) is str or type(arguments) is not Pairs:
        return False
    lists = [names for _, names in arguments]
    return len(dict(arguments)) == len(arguments) and all(
        type(names) is list and names and {*map(type, names)} == {str} for names in lists
    )


_Said = tuple[list[Entity], list[Relation]]


def _read(value: Pairs) -> _Said | None:
    """All events of a decoded answer, or None where the meaning is not plain."""
    events: list[object] = []
    for key, inner in value:
        if key == "events":
            if not isinstance(inner, list) and inner is not None:
                return None
            events += [inner] if isinstance(inner, Pairs) and inner else inner or []
    return _read_events(events)


def _read_events(events: Iterable[object]) -> _Said | None:
    triggers: list[Entity] = []
    arguments: list[Relation] = []
    for event in events:
        fields = dict(event) if isinstance(event, Pairs) else {}
        label, trigger = first_of(fields, _TYPES), name_of(first_of(fields, _TRIGGERS))
        own = _arguments(fields.get("arguments"))
        if not isinstance(label, str) or trigger is None or own is None:
            return None
        triggers.append(Entity(trigger, normalize_type(label)))
        arguments += [Relation(triggers[-1], normalize_type(role), Entity(name, "")) for role, name in own]
    return triggers, arguments


def _arguments(value: object) -> list[tuple[str, str]] | None:
    """Role and name of each, of `{"effect": ["rash"]}` or `[{"name": "rash", "role": "effect"}]`."""
    if value is None or (isinstance(value, str) and says_none(value)):
        return []
    if not isinstance(value, list):
        return None
    if isinstance(value, Pairs):
        pairs = [(role, name) for role, names in value for name in _names(names)]
    else:
        roles = (dict(item).get("role") if isinstance(item, Pairs) else None for item in value)
        pairs = [(role, name_of(item)) for role, item in zip(roles, value, strict=True)]
    return pairs if all(isinstance(role, str) and name is not None for role, name in pairs) else None


def _names(value: object) -> list[str | None]:
    if value is None or (isinstance(value, str) and says_none(value)):
        return []
    return (
        [name_of(each) for each in value]
        if isinstance(value, list) and not isinstance(value, Pairs)
        else [name_of(value)]
    )


_FINDER = Finder(("events",), _read)
parts = _FINDER.parts
