r"""The entity-tag answer format: the names of one type, between two tags ("Reinforcement Learning Meets NER").

    <think>
    "Japan" is a location. "Washington, D.C." is a location.
    </think>
    <entity>Japan, "Washington, D.C."</entity>

An example of this format has exactly one type; `recipe.answers.queries` makes such examples of a sentence, and one
answer of theirs.

The quoting rule: commas part names, and white space around a name doesn't count. A name that holds a comma, a double
quote or a line break, has white space at an end, or reads like "none" (recipe.answers.no_name), is written in double
quotes, its own quotes doubled (RFC 4180). A name is written as often as it is mentioned; an empty tag names nothing,
and without quotes so does `None`. A name can't hold `</entity>`.

`parse(render_answer(example), example)` gives back the entities. `parse` reads what a model wrote: it never raises, and
its time is linear in the length of the completion.
"""

import re
from collections.abc import Sequence

from recipe.answers import think
from recipe.answers.no_name import says_none
from recipe.answers.prompt import check_template, fill
from recipe.answers.think import split_reasoning, with_reasoning
from recipe.answers.type_descriptions import plain_description
from recipe.core.entities import Answer, DataError, Entity, Example, has_lone_surrogate
from recipe.core.text import visible

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
_BLANK = re.compile(r"\s*")


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
    if name and name == name.strip() and not _NEEDS_QUOTES.search(name) and not says_none(name):
        return name
    return '"' + name.replace('"', '""') + '"'


# ---------------------------------------------------------------------------------------------------------- parse


def parse(completion: str, example: Example) -> Answer:
    """Read a completion: reasoning, names of the example's type, and whether it kept the layout.

    Repaired, because the meaning is plain: text around the tags, a tag or think block that was never closed, line
    breaks between names, an empty name, a word for none, a quote where none belongs. Tags with nothing but white space
    between them are one answer; of several answers the last whole one counts. Unparsable is what has no tag.
    """
    reasoning, body, closed = _split(completion.strip())
    whole = _last_answer(body, closed)
    start = whole[0][0] if whole else _unclosed(body, closed)
    if start < 0:
        return Answer(reasoning=reasoning)
    read = [_names(body[begin:end].strip()) for begin, end in whole or [(start, len(body))]]
    names, sound = [name for some, _ in read for name in some], len(read) == 1 and read[0][1]
    types = example.types[:1]
    label = types[0] if types else ""
    # A lone surrogate can't have come from a sentence and can't be written to a file.
    entities = tuple(Entity(name, label) for name in names if not has_lone_surrogate(name))
    alone = bool(whole) and start == len(OPEN) and not body[whole[-1][1] + len(CLOSE) :].strip()
    layout = closed and alone and sound
    return Answer(entities, reasoning, parsed=True, layout=layout, types=types if layout and names else ())


def _split(text: str) -> tuple[str | None, str, bool]:
    """Reasoning, the answer, and whether the think block, if any, is well-formed and no answer comes before it."""
    if not text.startswith(OPEN):
        return split_reasoning(text)
    # A name may hold a think tag. One after the first tag's end makes that a draft, if an answer follows.
    end = text.find(CLOSE)
    if end >= 0 and think.CLOSE in text[end:]:
        reasoning, body, _ = split_reasoning(text, end)
        if _last_answer(body):
            return reasoning, body, False
    return None, text, True


def _last_answer(body: str, closed: bool = True) -> list[tuple[int, int]]:
    """Where the insides of the last whole tags begin and end, between which there is only white space. Linear time."""
    found: list[tuple[int, int]] = []
    after = 0  # the last closing tag
    while (end := body.find(CLOSE, after)) >= 0:
        between = _BLANK.match(body, after).end()
        # Where a tag is to be expected, it begins at once, as a name may hold an opening tag.
        expected = found[-1][1] + len(CLOSE) == after if found else closed and not after
        joined = expected and body.startswith(OPEN, between)
        start = between if joined else body.rfind(OPEN, after, end)
        if start >= 0:
            if not joined:
                found = []
            found.append((start + len(OPEN), end))
        after = end + len(CLOSE)
    return found


def _unclosed(body: str, closed: bool) -> int:
    """Where the inside of a tag that never closes begins, or -1. Of an open think block's drafts the last counts."""
    start = 0 if closed and body.startswith(OPEN) else body.rfind(OPEN)
    return start + len(OPEN) if start >= 0 else -1


def _names(text: str) -> tuple[list[str], bool]:
    """The names, without empty ones and words for none, and whether they are written by the quoting rule."""
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
            name = "" if says_none(name) else name
        end = found.end()
        sound = sound and bool(visible(name)) and text[end : end + 1] in ("", ",")
        if visible(name):
            names.append(name)
    return names, sound
