"""The answer formats: how a model is asked about a sentence, what it is to write, and how that is read.

    json            a think block, then {"entities": {type: [names]}}         ReasoningNER
    bio             every word of the sentence with its tag                   ReCoT-NER
    entity_tags     a think block, then <entity>a, b</entity>, a type a time  RL Meets NER

`Example.format` names the format that a sentence is asked in; the functions here do what it says. Every stage calls
them and knows no format's name, and all formats are scored alike.

To add a format: one module with these, and one line in `FORMATS`.

    DEFAULT_TEMPLATE                the prompt, with {{SCHEMA}} and {{SENTENCE}}
    render_answer(example)          the completion to train on; DataError for what the format can't say
    parse(completion, example)      an Answer of anything that a model wrote: never raises, linear time; of several
                                    answers the last whole one, and `layout` is then False

It may have these, too; without one, the default holds:

    render_prompt(example, template, add_source)    default: the template, filled
    parts(completion)               the texts of reasoning and answer; default: a think block and the rest
    WORDINGS                        other templates by the option that asks for them; default: {}
    ONE_TYPE                        True where a question is about one type; recipe.answers.queries then asks about each
                                    type of a sentence and puts the answers together. Such a format needs
    put_question(template, description, worked)     the template of a type: its description and its worked examples
    surely_read(example)            True only where parse(render_answer(example)) is certain to give back the example's
                                    entities; no text of it holds a control token; default: False
    fidelity(completion, example)   how far the answer repeats the sentence, in [0, 1]; default: 0.0
    grammar(types, text, reasoning) the Grammar that holds decoding to the layout; default: DataError
    bare_types(example)             an answer of every type and no name, to attack a reward with; default: DataError
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import ModuleType

from recipe.answers import bio, entity_tags, json_answer, think
from recipe.answers.json_grammar import Grammar
from recipe.answers.prompt import fill
from recipe.core.entities import Answer, DataError, Example

FORMATS: dict[str, ModuleType] = {"json": json_answer, "bio": bio, "entity_tags": entity_tags}

begins = bio.begins  # rows for SFT don't say their format, and one format alone tags words


def check_format(name: str) -> str:
    """The name itself; DataError for one that is no format's."""
    if name not in FORMATS:
        raise DataError(f"answer format {name!r}: not known; name one of {', '.join(FORMATS)}")
    return name


def render_prompt(example: Example, template: str | None = None, add_source: bool = False) -> str:
    """The user message for one sentence, in the wording of `template` or, for None, the format's own."""
    module = FORMATS[example.format]
    return getattr(module, "render_prompt", fill)(example, template or module.DEFAULT_TEMPLATE, add_source)


def render_answer(example: Example) -> str:
    """The completion to train on; DataError for what the format can't say."""
    return FORMATS[example.format].render_answer(example)


def parse(completion: str, example: Example) -> Answer:
    """Read a completion about an example; its gold is not looked at. Whatever the completion, this never raises."""
    return FORMATS[check_format(example.format)].parse(completion, example)


def parts(completion: str, example: Example) -> tuple[str, str]:
    """The texts of the reasoning, closed or not, and of the answer; either may be empty. Lengths are of these."""
    return getattr(FORMATS[example.format], "parts", think.parts)(completion)


def surely_read(example: Example) -> bool:
    """True where the answer, parsed back, is certain to be the gold, so that nobody need try it; False says nothing.

    No text of the example may hold a control token (recipe.answers.control_tokens).
    """
    certain = getattr(FORMATS[example.format], "surely_read", None)
    return certain is not None and certain(example)


def prompt_around(example: Example, template: str | None = None, add_source: bool = False) -> list[str] | None:
    """What `render_prompt` puts before, between and after the copies of any sentence with the example's types.

    None where the format has a rule of its own for prompts.
    """
    if hasattr(FORMATS[example.format], "render_prompt"):
        return None
    return render_prompt(replace(example, sentence=_PROBE), template, add_source).split(_PROBE)


_PROBE = "\0"  # no prompt has it: neither a file of text nor a type may hold it


def wordings(name: str) -> Mapping[str, str]:
    """The format's other templates, by the option that asks for them."""
    return getattr(FORMATS[check_format(name)], "WORDINGS", {})


def one_type(name: str) -> bool:
    """True for a format whose questions are about one type."""
    return getattr(FORMATS[check_format(name)], "ONE_TYPE", False)


def fidelity(completion: str, example: Example) -> float:
    """How far the answer repeats the sentence, in [0, 1]; 0.0 in a format that doesn't repeat it."""
    measure = getattr(FORMATS[example.format], "fidelity", None)
    return measure(completion, example) if measure else 0.0


def grammar(name: str, types: Sequence[str], text: str | None = None, reasoning: bool = False) -> Grammar:
    """What holds decoding to a format's layout and to these types; DataError for a format without a grammar."""
    if make := getattr(FORMATS[name], "grammar", None):
        return make(types, text, reasoning)
    having = " or ".join(each.upper() for each, module in FORMATS.items() if hasattr(module, "grammar"))
    raise DataError(f"--constrained: is for answers in {having}, and this model's are {name}")


def bare_types(example: Example) -> str:
    """An answer that names every type and no entity; DataError where the format can't write one."""
    if write := getattr(FORMATS[example.format], "bare_types", None):
        return write(example)
    raise DataError(f"{example.format}: can't write a type without a name")
