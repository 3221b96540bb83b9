"""The answer formats: how a model is asked about a sentence, what it is to write, and how that is read.

    json                      a think block, then {"entities": {type: [names]}}         ReasoningNER
    bio                       every word of the sentence with its tag                   ReCoT-NER
    entity_tags               a think block, then <entity>a, b</entity>, a type a time  RL Meets NER
    json_relations            a think block, then {"relations": {type: [[head, tail]]}}
    json_entities_relations   a think block, then both in one object
    json_events               a think block, then {"events": [{"type", "trigger", "arguments": {role: [name]}}]}

`Example.format` names the format that a sentence is asked in; the functions here do what it says. Every stage calls
them and knows no format's name. A format belongs to a task (`ner`, `re`, `ee`); all formats of names are scored alike.

To add a format: one module with these, and one line in `FORMATS`.

    DEFAULT_TEMPLATE                the prompt, with {{SCHEMA}} and {{SENTENCE}}
    render_answer(example)          the completion to train on; DataError for what the format can't say
    parse(completion, example)      an Answer of anything that a model wrote: never raises, linear time; of several
                                    answers the last whole one, and `layout` is then False

It may have these, too; without one, the default holds:

    render_prompt(example, template, add_source)    default: the template, filled
    parts(completion)               the texts of reasoning and answer; default: a think block and the rest
    schema(example)                 the types as the prompt has them; default: one list
    TASK                            what it asks for; default: "ner". The first format of a task is the task's own
    SUBJECT                         what that is called, in words; default: "Named entities"
    RULES                           the rules by which its answers are scored, the first unless another is asked for
                                    (recipe.core.metrics); default: those of names
    of_task(example)                what of a sentence it asks for; DataError where the source doesn't say it; default:
                                    its entities
    template_reasoning(example)     a rationale built from the gold; default: that of names
    WORDINGS                        other templates by the option that asks for them; default: {}
    ONE_TYPE                        True where a question is about one type; recipe.answers.queries then asks about each
                                    type of a sentence and puts the answers together. Such a format needs
    put_question(template, description, worked)     the template of a type: its description and its worked examples
    surely_read(example)            True only where parse(render_answer(example)) is certain to give back the example's
                                    entities; no text of it holds a control token; default: False
    fidelity(completion, example)   how far the answer repeats the sentence, in [0, 1]; default: 0.0
    grammar(types, text, reasoning, relation_types)     the Grammar that holds decoding to the layout; default:
                                    DataError. The last of the types may be those of relations
    bare_types(example)             an answer of every type and no name, to attack a reward with; default: DataError
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import ModuleType

from recipe.answers import bio, entity_tags, json_answer, json_entities_relations, json_events, json_relations, think
from recipe.answers.json_grammar import Grammar
from recipe.answers.prompt import fill
from recipe.core import metrics
from recipe.core.entities import Answer, DataError, Example, Fact
from recipe.core.metrics import Counts, Rule

FORMATS: dict[str, ModuleType] = {
    "json": json_answer,
    "bio": bio,
    "entity_tags": entity_tags,
    "json_relations": json_relations,
    "json_entities_relations": json_entities_relations,
    "json_events": json_events,
}

begins = bio.begins  # rows for SFT don't say their format, and one format alone tags words


def check_format(name: str) -> str:
    """The name itself; DataError for one that is no format's."""
    if name not in FORMATS:
        raise DataError(f"answer format {name!r}: not known; name one of {', '.join(FORMATS)}")
    return name


def task(name: str) -> str:
    """What a format asks for: "ner", "re" or "ee"."""
    return getattr(FORMATS[check_format(name)], "TASK", "ner")


def subject(name: str) -> str:
    """What a format asks for, in words."""
    return getattr(FORMATS[check_format(name)], "SUBJECT", "Named entities")


def formats_of(task_name: str) -> list[str]:
    """The formats of a task, its own first."""
    return [name for name in FORMATS if task(name) == task_name]


TASKS = tuple(dict.fromkeys(map(task, FORMATS)))


def check_task(name: str, task_name: str | None) -> str:
    """The format's task; DataError where another is named."""
    if task_name not in (None, task(name)):
        others = " or ".join(formats_of(task_name))
        raise DataError(f"--answer-format {name}: is none of --task {task_name}; say {others}")
    return task(name)


def asked_in(example: Example, name: str) -> Example:
    """The sentence as a format asks about it; DataError where its source doesn't say what that needs."""
    asked = getattr(FORMATS[check_format(name)], "of_task", _entities_alone)(example)
    return replace(asked, format=name)


def _entities_alone(example: Example) -> Example:
    if not example.relation_types:
        return example
    return replace(example, types=example.entity_types, relations=(), relation_types=())


def rules(name: str) -> Mapping[str, Rule]:
    """The rules by which answers in a format are scored, the usual one first."""
    return getattr(FORMATS[check_format(name)], "RULES", metrics.RULES)


RULE_NAMES = tuple(dict.fromkeys(rule for each in FORMATS for rule in rules(each)))  # of any format


def rule_of(name: str, rule: str | None) -> str:
    """The rule itself or, for None, the format's usual one; DataError for one by which its answers can't be scored."""
    known = rules(name)
    if rule is not None and rule not in known:
        raise DataError(f"rule {rule}: answers in the format {name} are scored by {', '.join(known)}")
    return rule or next(iter(known))


def keys(facts: Iterable[Fact], name: str, rule: str | None = None) -> list[metrics.Key]:
    """What a rule compares of the facts that a row in that format has."""
    return rules(name)[rule_of(name, rule)](facts)


def count(answer: Answer, example: Example, rule: str | None = None) -> Counts:
    """Counts of an answer about an example by a rule of its format, None for the usual one."""
    name = example.format
    return metrics.count(answer.facts, example.facts, rule_of(name, rule), rules(name))


def template_reasoning(example: Example) -> str:
    """A rationale built from the gold alone, for runs without chain-of-thought data. It teaches the format only."""
    return getattr(FORMATS[example.format], "template_reasoning", think.template_reasoning)(example)


def render_prompt(example: Example, template: str | None = None, add_source: bool = False) -> str:
    """The user message for one sentence, in the wording of `template` or, for None, the format's own."""
    module = FORMATS[example.format]
    template = template or module.DEFAULT_TEMPLATE
    if schema := getattr(module, "schema", None):
        return fill(example, template, add_source, schema(example))
    return getattr(module, "render_prompt", fill)(example, template, add_source)


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


def two_kinds(name: str) -> bool:
    """True for a format that asks for types of entities or events and, apart from them, for those of relations."""
    return hasattr(FORMATS[check_format(name)], "schema")


def asked_types(
    name: str, types: Sequence[str], relation_types: Sequence[str] = ()
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """All types of an Example in a format, and those of its relations, from what a user names.

    DataError where a format has two kinds of types (of entities or events, and of relations or roles) and one is named,
    or the other way round.
    """
    both = two_kinds(name)
    if both != bool(relation_types):
        need = "name types of relations, or roles, too" if both else "not of answers in this format, --types are all"
        raise DataError(f"--relation-types: {need}; the answer format is {name}")
    if both:
        return (*types, *relation_types), tuple(relation_types)
    return tuple(types), tuple(types) if task(name) == "re" else ()


def fidelity(completion: str, example: Example) -> float:
    """How far the answer repeats the sentence, in [0, 1]; 0.0 in a format that doesn't repeat it."""
    measure = getattr(FORMATS[example.format], "fidelity", None)
    return measure(completion, example) if measure else 0.0


def grammar(
    name: str,
    types: Sequence[str],
    text: str | None = None,
    reasoning: bool = False,
    relation_types: Sequence[str] = (),
) -> Grammar:
    """What holds decoding to a format's layout and to these types; DataError for a format without a grammar."""
    if make := getattr(FORMATS[name], "grammar", None):
        return make(types, text, reasoning, relation_types)
    having = " or ".join(each.upper() for each in formats_of(task(name)) if hasattr(FORMATS[each], "grammar"))
    raise DataError(f"--constrained: is for answers in {having}, and this model's are {name}")


def bare_types(example: Example) -> str:
    """An answer that names every type and no entity; DataError where the format can't write one."""
    if write := getattr(FORMATS[example.format], "bare_types", None):
        return write(example)
    raise DataError(f"{example.format}: can't write a type without a name")
