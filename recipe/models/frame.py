"""The frame that a chat template puts around a question: its text before and behind, where it is proven to be fixed.

    frame = frame_of(tokenizer, "user", add_generation_prompt=True)
    frame("Who left?")          # "<|im_start|>user\nWho left?<|im_end|>\n<|im_start|>assistant\n"

A template may strip a content, split it or look into it. So it is rendered once with a content that tells what is done
to it: it may be put out, added to other text, stripped, and asked whether it holds, begins or ends with some text. The
answers to these are conditions: the frame holds for the contents that answer the same. Whatever else a template does
with the content, or might do unseen, there is no frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, wraps
from inspect import signature
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Template
    from jinja2.runtime import Context
    from transformers import PreTrainedTokenizerBase

# Of private use, so that no template holds them.
_AS_IT_IS, _STRIPPED = "\ue000\ue001\ue002", "\ue000\ue001\ue003"
# What a template may consist of. In a macro, a block or `~`, text could be looked into that no longer tells of it.
_NODES = frozenset(
    {
        "Template", "Output", "TemplateData", "For", "If", "Assign", "NSRef", "Name", "Const", "List", "Tuple", "Dict",
        "Pair", "CondExpr", "Filter", "Test", "Call", "Getitem", "Getattr", "Slice", "Compare", "Operand", "Add", "Sub",
        "Mul", "Mod", "And", "Or", "Not", "Neg", "Keyword", "Break", "Continue",
    }
)  # fmt: skip
_NOT_FIXED = frozenset({"lipsum", "random"})
# They ask for a value's type alone.
_TYPE_TESTS = frozenset({"string", "mapping", "defined", "undefined", "none", "boolean", "number", "integer"})
_OF_STR = frozenset({"__class__", "__new__", "__init__", "__getattribute__", "__setattr__", "__str__", "__doc__"})
_OF_TYPES = frozenset({"__init_subclass__", "__subclasshook__", "__sizeof__", "__dir__", "__delattr__"})


@dataclass(frozen=True, slots=True)
class Frame:
    """Text before and behind a content, which is stripped first or not, and the conditions on it."""

    before: str
    behind: str
    strips: bool
    conditions: tuple[tuple[Callable[[str], bool], bool], ...]

    def __call__(self, content: str) -> str | None:
        """The rendered conversation; None where the conditions don't hold, and the template has to be rendered."""
        if not self.holds(content):
            return None
        return self.before + (content.strip() if self.strips else content) + self.behind

    def holds(self, content: str) -> bool:
        """True where the conditions hold."""
        return all(holds(content) is result for holds, result in self.conditions) if self.conditions else True


def frame_of(tokenizer: PreTrainedTokenizerBase, role: str, **template_kwargs: object) -> Frame | None:
    """The frame of a conversation of one message, as `apply_chat_template` renders it; None if none is proven."""
    # Some are no variables of the template, but say how `apply_chat_template` goes about it.
    own = signature(tokenizer.apply_chat_template).parameters.keys() - {"add_generation_prompt"}
    if not all(map(_is_plain, template_kwargs.values())) or not own.isdisjoint(template_kwargs):
        return None
    template = _telling(tokenizer.get_chat_template())
    if template is None:
        return None
    told: list[tuple[Callable[[str], bool], bool]] = []
    messages = [{"role": role, "content": _Content(_AS_IT_IS, told, str)}]
    variables = {"tools": None, "documents": None, **tokenizer.special_tokens_map, **template_kwargs}
    try:
        text = template.render(messages=messages, **variables)
    except Exception:  # the template's own refusal, or _LookedInto: rendering each content says which
        return None
    for mark in (_AS_IT_IS, _STRIPPED):
        before, found, behind = text.partition(mark)
        if found and _AS_IT_IS[:2] not in before + behind:
            return Frame(before, behind, mark is _STRIPPED, tuple(told))
    return None


class _LookedInto(Exception):
    """The template did with a content what no frame allows for."""


class _Content(str):
    """A content that tells what is asked of it; `take` makes it of the message's, and is None once text was added."""

    def __new__(cls, text: str, told: list, take: Callable[[str], str] | None) -> _Content:
        self = super().__new__(cls, text)
        self._told, self._take = told, take
        return self

    def __add__(self, other: object) -> _Content:
        return self._joined(self, other)

    def __radd__(self, other: object) -> _Content:
        return self._joined(other, self)

    def _joined(self, *parts: object) -> _Content:
        if not all(type(part) in (str, _Content) for part in parts):
            raise _LookedInto
        return _Content("".join(map(str, parts)), self._told, None)

    def strip(self, chars: str | None = None) -> _Content:
        if self._take is None or chars is not None:
            raise _LookedInto
        return _Content(_STRIPPED, self._told, str.strip)

    def startswith(self, prefix: str) -> bool:
        return self._tell(lambda text: text.startswith(prefix))

    def endswith(self, suffix: str) -> bool:
        return self._tell(lambda text: text.endswith(suffix))

    def __contains__(self, part: str) -> bool:
        return self._tell(lambda text: part in text)

    def __bool__(self) -> bool:
        return self._tell(bool)

    def _tell(self, holds: Callable[[str], bool]) -> bool:
        if self._take is None:
            raise _LookedInto
        result, take = holds(str(self)), self._take
        self._told.append((lambda content: holds(take(content)), result))
        return result


def _refuse(*_args: object, **_kwargs: object) -> Any:
    raise _LookedInto


for _name in set(dir(str)) - set(vars(_Content)) - _OF_STR - _OF_TYPES:
    setattr(_Content, _name, _refuse)


def _is_plain(value: object) -> bool:
    """True if no content can be within."""
    from jinja2 import Undefined

    return value is None or type(value) in (str, int, float, bool) or isinstance(value, Undefined)


@lru_cache(maxsize=8)
def _telling(source: str) -> Template | None:
    """The template, compiled so that no filter, test or function gets at a content; None if it might unseen."""
    from jinja2 import TemplateError, nodes

    try:  # the environment in which transformers renders; without it, all is rendered
        from transformers.utils.chat_template_utils import _compile_jinja_template

        environment = _compile_jinja_template(source).environment.overlay()
    except (ImportError, AttributeError, TemplateError):
        return None
    for node in environment.parse(source).find_all(nodes.Node):
        if type(node).__name__ not in _NODES or getattr(node, "name", None) in _NOT_FIXED:
            return None
        # Python asks the left side's type here, unless it is the right side's own.
        if isinstance(node, nodes.Mod) and not isinstance(node.right, nodes.Const):
            return None
        if isinstance(node, nodes.Compare):
            sides = [node.expr, *(operand.expr for operand in node.ops)]
            for left, operand in zip(sides, node.ops, strict=False):
                literal = isinstance(left, nodes.Const) or isinstance(operand.expr, (nodes.List, nodes.Tuple))
                if operand.op in ("in", "notin") and not literal:
                    return None
    call = environment.call
    environment.filters = _guarded(environment.filters, _filters_a_message)
    environment.tests = _guarded(environment.tests, lambda name, value: name in _TYPE_TESTS)

    def checking(context: Context, function: Callable, *args: object, **kwargs: object) -> object:
        # Jinja itself adds the variables of loops and blocks, for functions that ask for a context.
        given = [value for name, value in kwargs.items() if name not in ("_loop_vars", "_block_vars")]
        if not all(map(_is_plain, [*args, *given])):
            raise _LookedInto
        return call(context, function, *args, **kwargs)

    environment.call = checking
    return environment.from_string(source)


def _filters_a_message(name: str, value: object) -> bool:
    return (name == "trim" and isinstance(value, _Content)) or (name in ("length", "count") and type(value) is list)


def _guarded(functions: Mapping[str, Callable], allowed: Callable[[str, object], bool]) -> dict[str, Callable]:
    from jinja2 import Environment
    from jinja2.nodes import EvalContext
    from jinja2.runtime import Context

    def guarded(name: str, function: Callable) -> Callable:
        @wraps(function)  # with Jinja's mark of what it passes beside the values
        def checking(*args: object, **kwargs: object) -> object:
            values = [value for value in args if not isinstance(value, (Environment, EvalContext, Context))]
            rest = values[1:] if values and allowed(name, values[0]) else values
            if not all(map(_is_plain, [*rest, *kwargs.values()])):
                raise _LookedInto
            result = function(*args, **kwargs)
            return _refuse() if hasattr(result, "__html__") else result  # it would escape what is added to it

        return checking

    return {name: guarded(name, function) for name, function in functions.items()}
