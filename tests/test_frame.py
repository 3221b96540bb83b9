"""A frame is what the template does; where that isn't proven, there is none."""

import copy
from pathlib import Path

import backbones
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from recipe.models.chat import rendered_prompts
from recipe.models.frame import _NODES, _Content, frame_of

ROOT = Path(__file__).resolve().parent.parent
BASE = ROOT / "recipe" / "tiny_model" / "base"
PARTS = ["Ada left Ulm .", " ", "\n", "\u00a0", "<think>", "</think>", "<tool_response>", "</tool_response>", "&<'\""]
contents = st.lists(st.sampled_from(PARTS) | st.text(max_size=3), max_size=6).map("".join)


def each(body: str) -> str:
    return f"{{% for m in messages %}}{body}{{% endfor %}}"


def custom_template(name: str) -> str:
    return yaml.safe_load((ROOT / "hydra_configs" / "model" / f"{name}.yaml").read_text())["custom_chat_template"]


FRAMED = {
    "tiny": (BASE / "chat_template.jinja").read_text(),
    **{name: getattr(backbones, name) for name in ("QWEN2_5", "ZEPHYR", "MISTRAL", "PLAIN")},
    **{name: custom_template(name) for name in ("llama2_7b", "llama3_1_8b")},
    "trimmed": each("{{ '<' + m['role'] + '>\n' }}{{ m['content'] | trim }}{{ eos_token }}"),
    "stripped": each("{% set text = m.content.strip() %}{% if '<think>' not in text %}{{ text + '.' }}{% endif %}"),
    "reverse loop, as Qwen 3's": (
        "{% set ns = namespace(last=messages|length - 1, open=true) %}{% for m in messages[::-1] %}"
        "{% if ns.open and m.role == 'user' and m.content is string and not (m.content.startswith('<tool_response>')"
        " and m.content.endswith('</tool_response>')) %}{% set ns.open = false %}{% endif %}{% endfor %}"
        "{{ 'open' if ns.open else 'shut' }}" + each("{{ m.content }}")
    ),
    "asked whether it is empty": each("{% if m.content %}[{{ m.content }}]{% else %}nothing{% endif %}"),
    "function with what it may have": each(
        "{% set n = namespace(a=m.role) %}{{ n.a.replace('u', 'x') }}{{ m.content }}"
    ),
    "not executed": each("{{ m.content if m.role == 'user' else m | tojson }}"),
}
LOOKS = {
    "concatenation": "{{ (m.content ~ '') | trim }}",
    "macro": "{% macro put(x) %}{{ x }}{% endmacro %}{{ put(m.content) | trim }}",
    "block": "{% set x %}{{ m.content }}{% endset %}{{ x | trim }}",
    "filter block": "{% filter trim %}{{ m.content }}{% endfilter %}",
    "escape": "{{ m.content | e }}",
    "autoescape": "{% autoescape true %}{{ m.content }}{% endautoescape %}",
    "safe text": "{{ ('a' | safe) + m.content }}",
    "upper": "{{ m.content | upper }}",
    "tojson": "{{ m.content | tojson }}",
    "tojson of the message": "{{ m | tojson }}",
    "messages joined": "{{ messages | map(attribute='content') | join }}",
    "list joined": "{{ [m.content] | join | trim }}",
    "str.join": "{{ ' '.join([m.content]) }}",
    "format filter": "{{ '%s' | format(m.content) | trim }}",
    "str.format": "{{ '{}'.format(m.content).strip() }}",
    "percent": "{{ ('%s' % m.content) | trim }}",
    "percent with a tuple": "{{ ('%s' % (m.content,)) | trim }}",
    "within text": "{{ m.content in 'Ada left' }}{{ m.content }}",
    "equal": "{{ m.content == 'Ada' }}{{ m.content }}",
    "equal from the left": "{{ 'Ada' == m.content }}{{ m.content }}",
    "one of": "{{ m.content in ['Ada'] }}{{ m.content }}",
    "less": "{{ 'B' < m.content }}{{ m.content }}",
    "key": "{{ {m.content: 1} | length }}{{ m.content }}",
    "length": "{{ m.content | length }}{{ m.content }}",
    "first letter": "{{ m.content[0] }}",
    "slice": "{{ m.content[1:] }}",
    "letters": "{% for c in m.content %}{{ c }} {% endfor %}",
    "split": "{{ m.content.split('</think>')[-1] }}",
    "lstrip": "{{ m.content.lstrip('\n') }}",
    "strip of a letter": "{{ m.content.strip('a') }}",
    "strip of a sum": "{{ ('a ' + m.content) | trim }}",
    "question to a sum": "{{ 'x' in m.content + 'x' }}{{ m.content }}",
    "question to a sum, stripped": "{{ (m.content + 'x').strip() }}",
    "replace": "{{ m.content.replace('a', 'b') }}",
    "put in by replace": "{{ 'x'.replace('x', m.content).strip() }}",
    "put in by a filter": "{{ 'x' | replace('x', m.content) | trim }}",
    "prefix of": "{{ 'Ada left'.startswith(m.content) }}{{ m.content }}",
    "times": "{{ m.content * 2 }}",
    "lower test": "{{ m.content is lower }}{{ m.content }}",
    "equal test": "{{ m.content is eq('Ada') }}{{ m.content }}",
    "printed list": "{{ [m.content] }}",
    "printed message": "{{ m }}",
    "dict function": "{{ dict(a=m.content) }}",
    "other content": "{{ m.text }}",
    "twice": "{{ m.content }}{{ m.content }}",
    "random": "{{ ['a', 'b'] | random }}{{ m.content }}",
}


@pytest.fixture(scope="module")
def base():
    return AutoTokenizer.from_pretrained(BASE, local_files_only=True)


def with_template(base, source):
    tokenizer = copy.deepcopy(base)
    tokenizer.chat_template, tokenizer.bos_token = source, "<|endoftext|>"
    return tokenizer


@pytest.fixture(scope="module", params=FRAMED)
def framed(base, request):
    return with_template(base, FRAMED[request.param])


@settings(max_examples=150, deadline=None)
@given(several=st.lists(contents, min_size=1, max_size=4), generate=st.booleans())
def test_a_frame_holds_what_the_template_renders_or_says_that_it_does_not(framed, several, generate):
    frame = frame_of(framed, "user", add_generation_prompt=generate)
    assert frame is not None
    for content in several:
        messages = [{"role": "user", "content": content}]
        whole = framed.apply_chat_template(messages, tokenize=False, add_generation_prompt=generate)
        assert frame(content) in (None, whole)


@settings(max_examples=50, deadline=None)
@given(several=st.lists(contents, min_size=5, max_size=8))
def test_many_prompts_are_rendered_as_one_by_one(framed, several):
    asked = [[{"role": "user", "content": content}] for content in several]
    asked += [
        [*asked[0], {"role": "assistant", "content": " x "}, *asked[1]],
        [{"role": "user", "content": "a", "name": "b"}],
    ]
    one_by_one = [framed.apply_chat_template(one, tokenize=False, add_generation_prompt=True) for one in asked]
    assert rendered_prompts(framed, asked) == one_by_one


@pytest.mark.parametrize("name", FRAMED)
def test_ordinary_text_needs_no_rendering(base, name):
    frame = frame_of(with_template(base, FRAMED[name]), "user", add_generation_prompt=True)
    assert "Ada left Ulm ." in frame("Ada left Ulm .")


@pytest.mark.parametrize("name", LOOKS)
def test_a_template_that_looks_into_a_content_unseen_has_no_frame(base, name):
    tokenizer = with_template(base, each(LOOKS[name]))
    assert isinstance(tokenizer.apply_chat_template([{"role": "user", "content": "Ada"}], tokenize=False), str)
    assert frame_of(tokenizer, "user") is None


@pytest.mark.parametrize("source", ["{{ raise_exception(messages[0].content) }}", "{{ messages", "{{ 1 / 0 }}"])
def test_a_template_that_fails_has_no_frame(base, source):
    assert frame_of(with_template(base, source), "user") is None


def test_a_setting_of_the_call_and_not_of_the_template_has_no_frame(base):
    assert frame_of(base, "user", enable_thinking=False) is not None
    assert frame_of(base, "user", enable_thinking=["x"]) is None
    assert frame_of(base, "user", chat_template="{{ messages[0].content }}") is None


def test_a_frame_that_transformers_does_not_render_is_not_used(base, monkeypatch):
    monkeypatch.setattr("recipe.models.chat.frame_of", lambda *_args, **_kwargs: lambda content: "wrong " + content)
    asked = [[{"role": "user", "content": f"Ada {at}"}] for at in range(9)]
    assert rendered_prompts(base, asked)[0].startswith("<|im_start|>user\nAda 0")


def test_a_content_can_do_nothing_that_it_does_not_tell():
    told = []
    content = _Content("x", told, str)
    silent = {name for name in dir(str) if getattr(_Content, name) is getattr(str, name, None)}
    assert silent <= {
        "__class__", "__new__", "__init__", "__getattribute__", "__setattr__", "__delattr__", "__str__", "__sizeof__",
        "__init_subclass__", "__subclasshook__", "__dir__",
    }  # fmt: skip
    assert "x" in content
    assert [told[0][0](text) for text in ("yx", "y")] == [True, False]


def test_the_nodes_that_a_template_may_have_are_jinjas():
    from jinja2 import nodes

    assert all(hasattr(nodes, name) for name in _NODES)
