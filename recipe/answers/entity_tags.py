r"""The entity-tag answer format: the names of one type, between two tags ("Reinforcement Learning Meets NER").

    <think>
    "Japan" is a location. "Washington, D.C." is a location.
    </think>
    <entity>Japan, "Washington, D.C."</entity>

An example of this format has exactly one type; `recipe.answers.queries` makes such examples of a sentence, and one
answer of theirs.

The quoting rule: commas part names, and white space around a name doesn't count. A name that holds a comma, a double
quote or a line break, or has white space at an end, is written in double quotes, its own quotes doubled (RFC 4180). A
name is written as often as it is mentioned; an empty tag names nothing. A name can't hold `</entity>`.

`parse(render_answer(example), example)` gives back the entities. `parse` reads what a model wrote: it never raises, and
its time is linear in the length of the completion.
"""

import re
from collections.abc import Sequence

from recipe.answers.prompt import check_template, fill
from recipe.answers.think import split_reasoning, with_reasoning
from recipe.answers.type_descriptions import plain_description
from recipe.core.entities import Answer, DataError, Entity, Example, has_lone_surrogate

ONE_TYPE = True
OPEN, CLOSE = "<entity>", "</entity>"

# The wording is ours. It asks for reasoning, unlike the other formats' wordings: the published run trains an
# instruction-tuned model by GRPO alone.
DEFAULT_TEMPLATE = """\
You are an information extraction assistant. Find the entities of one type in the sentence below.
Type: {{SCHEMA}}
Description: {{DESCRIPTION}}
Reason first. Then list the names, each copied exactly from the sentence, with commas between them; a name that \
holds a comma goes in double quotes. If the sentence names no entity of this type, leave the entity tag empty.
Answer in this form and write nothing else:
<think>
reasoning
</think>
<entity>name, name</entity>
{{EXAMPLES}}Sentence: {{SENTENCE}}"""

_PLACEHOLDER = re.compile(r"\{\{(DESCRIPTION|EXAMPLES)\}\}")
_ANY_PLACEHOLDER = re.compile(r"\{\{(?:SCHEMA|SENTENCE|DESCRIPTION|EXAMPLES)\}\}")
_BREAKS = "\n\r\v\f\x1c-\x1e\x85\u2028\u2029"  # the line ends of str.splitlines
_NEEDS_QUOTES = re.compile(f'[,"{_BREAKS}]')
_BLANKS = rf"[^\S{_BREAKS}]*"
# No run of quotes both ends one quoted name and lets another run on, so all tries together take linear time.
_QUOTED = re.compile(rf'{_BLANKS}"([^"]*(?:""[^"]*)*)"{_BLANKS}(?=[,{_BREAKS}]|\Z)')
_PLAIN = re.compile(f"[^,{_BREAKS}]*")


# ---------------------------------------------------------------------------------------------------------- prompt


def put_question(template: str, description: str, worked: Sequence[Example] = ()) -> str:
    """The template of one type: {{DESCRIPTION}} and {{EXAMPLES}} filled, {{SCHEMA}} and {{SENTENCE}} still open.

    A worked example is its sentence and answer, each on lines of its own. DataError for text with a placeholder in it,
    which would be filled as if it were the template's, and for an answer that can't be written.
    """
    shown = "".join(f"Sentence: {example.sentence}\n{render_answer(example)}\n" for example in worked)
    fields = {"DESCRIPTION": description, "EXAMPLES": shown}
    for text in fields.values():
        if found := _ANY_PLACEHOLDER.search(text):
            raise DataError(f"{text[:60]!r}: holds {found.group()}, which stands for something in a prompt; reword it")
    return _PLACEHOLDER.sub(lambda match: fields[match.group(1)], check_template(template))


def render_prompt(example: Example, template: str = DEFAULT_TEMPLATE, add_source: bool = False) -> str:
    """The user message for one question. A template that is not of one type yet gets no worked examples."""
    if _PLACEHOLDER.search(template):
        template = put_question(template, plain_description(_one_type(example)))
    return fill(example, template, add_source)


# ---------------------------------------------------------------------------------------------------------- answer


def render_answer(example: Example) -> str:
    """The completion to train on.

    DataError for an example that hasn't one type, an entity of another type, a name that holds `</entity>`, or
    reasoning that holds a think tag.
    """
    label = _one_type(example)
    for entity in example.entities:
        if entity.type != label:
            raise DataError(f"{entity.name!r}: is of type {entity.type!r}, the question is about {label!r}; split it")
        if CLOSE in entity.name:
            raise DataError(f"{entity.name!r}: holds {CLOSE}, which would end the answer; leave the sentence out")
    names = ", ".join(_quote(entity.name) for entity in example.entities)
    return with_reasoning(f"{OPEN}{names}{CLOSE}", example.reasoning)


def _one_type(example: Example) -> str:
    if len(example.types) != 1:
        raise DataError(
            f"{example.sentence[:40]!r}: asked about {len(example.types)} types, this format asks about one; split it"
        )
    return example.types[0]


def _quote(name: str) -> str:
    if name and name == name.strip() and not _NEEDS_QUOTES.search(name):
        return name
    return '"' + name.replace('"', '""') + '"'


# ---------------------------------------------------------------------------------------------------------- parse


def parse(completion: str, example: Example) -> Answer:
    """Read a completion: reasoning, names of the example's type, and whether it kept the layout.

    Repaired, because the meaning is plain: text around the tags, a tag or think block that was never closed, line
    breaks between names, an empty name, a quote where none belongs. Unparsable is what has no tag.
    """
    text = completion.strip()
    reasoning, body, closed = (None, text, True) if text.startswith(OPEN) else split_reasoning(text)
    start = _start(body, closed)
    if start < 0:
        return Answer(reasoning=reasoning)
    inner, close, rest = body[start + len(OPEN) :].partition(CLOSE)
    names, sound = _names(inner.strip())
    types = example.types[:1]
    label = types[0] if types else ""
    # A lone surrogate can't have come from a sentence and can't be written to a file.
    entities = tuple(Entity(name, label) for name in names if not has_lone_surrogate(name))
    layout = closed and not start and bool(close) and not rest.strip() and sound
    return Answer(entities, reasoning, parsed=True, layout=layout, types=types if layout and names else ())


def _start(body: str, closed: bool) -> int:
    """Where the answer's tag begins, or -1."""
    if not closed:
        return body.rfind(OPEN)  # the think block never ended: of drafts the last counts
    if body.startswith(OPEN):
        return 0  # a name may hold an opening tag
    end = body.find(CLOSE)
    start = body.rfind(OPEN, 0, end) if end >= 0 else body.rfind(OPEN)
    return start if start >= 0 else body.find(OPEN)


def _names(text: str) -> tuple[list[str], bool]:
    """The names, without empty ones, and whether they are written by the quoting rule."""
    if not text:
        return [], True
    names, sound, end = [], True, -1
    while end < len(text):
        found = _QUOTED.match(text, end + 1)
        name = found[1].replace('""', '"') if found else ""
        if not found:
            found = _PLAIN.match(text, end + 1)
            name = found[0].strip()
            sound = sound and '"' not in name
        end = found.end()
        sound = sound and bool(name.strip()) and text[end : end + 1] in ("", ",")
        if name.strip():
            names.append(name)
    return names, sound
