import json
import math
from copy import copy
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from recipe.models import lengths
from recipe.models.chat import encode_prompt, rendered_prompts
from recipe.models.lengths import _CUTS, Lengths, _pieces

BASE = Path(__file__).resolve().parent.parent / "recipe" / "tiny_model" / "base"
_TEXT = "Ada a the é e\u0301 你好 ١٢ 123 !? ... 's 'S \u0d4a \u01c4 🇫🇷 <|im_end|> _ ﬁ"
_PARTS = _TEXT.split(" ")
_SPACES = ["\n", "\n\n", " \n", "\r\n", "\r", "  ", " ", "\t", "\u00a0", "\u2028", "\u0085", "\nA", "A\n", "\n'"]
parts = st.sampled_from(_PARTS) | st.sampled_from(_SPACES)
texts = st.lists(parts, max_size=14).map("".join)


def like_base(cut=None, **changes):
    """The shipped tokenizer with another pattern or other parts."""
    state = json.loads((BASE / "tokenizer.json").read_text()) | changes
    if cut is not None:
        state["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {"Regex": cut}
    backend = Tokenizer.from_str(json.dumps(state))
    return SimpleNamespace(is_fast=True, backend_tokenizer=backend)


@pytest.fixture(scope="module")
def base():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(BASE, local_files_only=True)


@pytest.fixture(scope="module", params=[(cut, nfc) for cut in sorted(_CUTS) for nfc in (False, True)])
def counted(request):
    cut, nfc = request.param
    return Lengths(like_base(cut, normalizer={"type": "NFC"} if nfc else None))


@settings(max_examples=100, deadline=None)
@given(st.lists(texts, max_size=5))
def test_pieces_add_up_and_bytes_are_no_less(counted, several):
    assert counted._known
    whole = counted.count(several)
    assert counted._of_pieces(several) == whole
    assert all(most >= length for most, length in zip(counted._at_most(several), whole, strict=True))
    assert all(counted._bytes(text) >= length for text, length in zip(several, whole, strict=True))
    assert all("".join(_pieces(text)) == text for text in several)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(texts, texts), max_size=6), st.integers(-3, 3), st.integers(-3, 3))
def test_what_is_over_a_limit_is_what_counting_says(base, pairs, off_prompt, off_total):
    pairs = [(prompt.replace("<|im_end|>", ""), answer.replace("<|im_end|>", "")) for prompt, answer in pairs]
    prompts, answers = [prompt for prompt, _ in pairs], [answer for _, answer in pairs]
    lengths = [len(encode_prompt(base, [{"role": "user", "content": prompt}])) for prompt in prompts]
    totals = [
        n + len(base(a, add_special_tokens=False)["input_ids"]) + 1 for n, a in zip(lengths, answers, strict=True)
    ]
    most, in_all = max(lengths, default=9) + off_prompt, max(totals, default=9) + off_total
    counted = Lengths(base)
    both = [n > most or total > in_all for n, total in zip(lengths, totals, strict=True)]
    for _ in range(2):  # the second time with the pieces that it remembers
        assert counted.over(prompts, most, answers, in_all) == both
        assert counted.over(prompts, None, answers, in_all) == [total > in_all for total in totals]
        assert counted.over(prompts, most) == [n > most for n in lengths]
    one_by_one = [counted.over([prompt], most, [answer], in_all)[0] for prompt, answer in pairs]
    assert one_by_one == both


TURN = "{% for m in messages %}<|im_start|>{{ m.role + '\\n' + TEXT }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
TEMPLATES = {
    "its own": None,
    "strips": TURN.replace("TEXT", "m.content | trim"),
    "looks": "{% if 'Ada' in messages[0].content %}Ada is there{% endif %}" + TURN.replace("TEXT", "m.content"),
}


@pytest.fixture(scope="module", params=TEMPLATES.values(), ids=TEMPLATES)
def framed(request, base):
    tokenizer = copy(base)
    tokenizer.chat_template = request.param or base.chat_template
    return Lengths(tokenizer)


@settings(max_examples=200, deadline=None)
@given(st.lists(texts, min_size=1, max_size=4), texts)
def test_what_prompts_share_says_no_less_than_their_tokens(framed, shared, sentence):
    prompt = sentence.join(shared)
    (text,) = rendered_prompts(framed.tokenizer, [[{"role": "user", "content": prompt}]])
    assert framed.at_most(framed.around(shared), prompt, sentence) >= framed.count([text])[0]


def test_what_prompts_share_is_counted_and_the_sentence_measured(base):
    counted, shared = Lengths(base), ["Who is named?\nRead the sentence: ", "\nAnswer in JSON.\nBegin."]
    around = counted.around(shared)
    most = counted.at_most(around, "Ada left".join(shared), "Ada left")
    assert counted.surely_fit(most, most, None, None)
    assert counted.surely_fit(most, None, "{}", most + 3)
    assert not counted.surely_fit(most, most - 1, None, None)
    assert not counted.surely_fit(most, None, "{}", most + 2)
    (text,) = rendered_prompts(base, [[{"role": "user", "content": "Ada left".join(shared)}]])
    assert counted.count([text])[0] < most < len(text)


def test_nothing_is_known_of_a_prompt_that_the_template_treats_otherwise(base):
    tokenizer = copy(base)
    tokenizer.chat_template = TEMPLATES["looks"]
    counted, shared = Lengths(tokenizer), ["Read: ", "\nAnswer."]
    around = counted.around(shared)
    assert counted.at_most(around, "Bob left".join(shared), "Bob left") < math.inf
    assert counted.at_most(around, "Ada left".join(shared), "Ada left") == math.inf


def test_a_piece_that_was_forgotten_counts_as_its_bytes(base, monkeypatch):
    monkeypatch.setattr(lengths, "_KNOWN_PIECES", 2)
    shared = ["One\nTwo\nRead: ", "\nAnswer.\nBegin."]
    counted = Lengths(base)
    counted.around(["One\nThree\nRead: ", ""])
    assert counted.around(shared).fixed > Lengths(base).around(shared).fixed


@pytest.mark.parametrize(
    "changes",
    [
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}},
        {"normalizer": {"type": "Lowercase"}},
        {"pre_tokenizer": None},
    ],
)
def test_a_tokenizer_of_which_less_is_known_counts_whole_texts(changes):
    counted = Lengths(like_base(**changes))
    assert not counted._known
    assert counted._of_pieces(["Ada left\nUlm"]) == counted.count(["Ada left\nUlm"])
