"""Which sentences get no row, and why: decided for many at once, and without trying where the result is certain.

    refusals = Refusals(RowRules())
    refusals([Example("say <|im_end|>", ("person",)), Example("Ada left", ("person",))])     # ["control_token", None]

The reasons are those of `keep_out`, or

    control_token    its prompt, names or reasoning hold text that a tokenizer reads as a control token;
    not_expressible  the answer format can't say it, as one tag for a word can't tell nested mentions;
    gold_not_read    its answer, rendered and parsed back, is not its gold: it could not be rewarded;
    too_long         it is over a limit. Cutting it would cut the answer or the instructions;
    empty            it has nothing to find, and is not of the share of such rows that is kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from data_prep.rows import RowRules, sentence_key
from recipe import answers
from recipe.answers.control_tokens import CONTROL_TOKEN, THINK_TAGS, begin_alike, find_control_tokens
from recipe.core.entities import DataError, Example
from recipe.core.sampling import row_key
from recipe.models.lengths import Around, Lengths

_KNOWN = 1000  # texts around sentences that are remembered
_OPENED = re.compile(r"[<＜\[]\S*\Z")  # a control token may have begun here: none holds white space


def refusal(example: Example, rules: RowRules) -> str | None:
    """Why the example gets no row, None if it gets one."""
    return Refusals(rules)([example])[0]


@dataclass(frozen=True, slots=True)
class _Around:
    """What is known of every prompt with the same text around the sentence.

    `parts`: that text, None where it isn't known. `sound`: types and text hold no control token. `ends`: what follows a
    sentence can't complete a token that begins in it. `lengths`: what is known of their numbers of tokens.
    """

    parts: list[str] | None
    sound: bool = False
    ends: bool = False
    lengths: Around | None = None


class Refusals:
    """Why examples get no row under some rules."""

    def __init__(self, rules: RowRules) -> None:
        self.rules = rules
        self._around: dict[tuple, _Around] = {}
        # A text without `<` and `[` holds none of these tokenizers' control tokens.
        self._alike = rules.tokenizer is None or begin_alike(rules.tokenizer)
        limited = (rules.max_prompt_tokens, rules.max_tokens) != (None, None)
        self._lengths = Lengths(rules.tokenizer) if limited else None

    def __call__(self, examples: Sequence[Example]) -> list[str | None]:
        """A reason, or None for a row, for each example in order."""
        rules = self.rules
        reasons: list[str | None] = [None] * len(examples)
        if rules.keep_out:
            reasons = [rules.keep_out.get(sentence_key(example.sentence)) for example in examples]
        doubtful = [
            at for at, example in enumerate(examples) if reasons[at] is None and not self._holds_no_token(example)
        ]
        for at, token in zip(doubtful, self._tokens([examples[at] for at in doubtful]), strict=True):
            reasons[at] = "control_token" if token else None
        for at, example in enumerate(examples):
            if reasons[at] is None and not answers.surely_read(example):
                reasons[at] = _unreadable(example)
        if self._lengths is not None:
            self._refuse_long(examples, reasons)
        if rules.keep_empty < 1:
            for at, example in enumerate(examples):
                if reasons[at] is None and not example.facts and not self._spared(example):
                    reasons[at] = "empty"
        return reasons

    def _spared(self, example: Example) -> bool:
        """Whether a row with nothing to find stays; with one seed, a smaller share of them lies inside a larger one."""
        return row_key(self.rules.seed, example, "empty") < self.rules.keep_empty * 2**64

    def _holds_no_token(self, example: Example) -> bool:
        """True where neither the example nor its prompt can hold a control token; False says nothing."""
        if not self._alike:
            return False
        around = self._around_of(example)
        if not around.sound or not self._clean(example.sentence, around.ends):
            return False
        if example.reasoning is not None and not self._clean(example.reasoning):
            return False
        # A name with a place is a part of the sentence.
        return all(self._clean(each.name) for fact in example.facts for each in fact.mentions if each.start is None)

    def _clean(self, text: str, alone: bool = True) -> bool:
        if "<" not in text and "[" not in text and (text.isascii() or "＜" not in text):
            return True
        return alone and self.rules.tokenizer is None and CONTROL_TOKEN.search(text) is None

    def _around_of(self, example: Example) -> _Around:
        template = self.rules.template_of(example)
        key = (template, example.types, example.dataset, example.format)
        around = self._around.get(key)
        if around is None:
            if len(self._around) >= _KNOWN:  # where each record has types of its own
                self._around.clear()
            around = self._around[key] = self._look_around(example, template)
        return around

    def _prompt(self, example: Example) -> str:
        parts = self._around_of(example).parts
        return self.rules.prompt(example) if parts is None else example.sentence.join(parts)

    def _look_around(self, example: Example, template: str | None) -> _Around:
        parts = answers.prompt_around(example, template, self.rules.add_source)
        lengths = None if parts is None or self._lengths is None else self._lengths.around(parts)
        if parts is None or any(map(_OPENED.search, parts[:-1])):
            return _Around(parts, lengths=lengths)
        found = find_control_tokens(parts, self.rules.tokenizer, THINK_TAGS)
        found += find_control_tokens(["\n".join(example.types)], self.rules.tokenizer)
        return _Around(parts, not any(found), all(part[:1].isspace() or not part for part in parts[1:]), lengths)

    def _tokens(self, examples: Sequence[Example]) -> list[str | None]:
        """A control token of each example or its prompt."""
        tokenizer = self.rules.tokenizer
        owns = [
            "\n".join((e.sentence, *e.types, *(each.name for fact in e.facts for each in fact.mentions)))
            for e in examples
        ]
        thoughts = [example.reasoning or "" for example in examples]
        prompts = [self.rules.prompt(example) for example in examples]
        found = (
            find_control_tokens(owns, tokenizer),
            find_control_tokens(thoughts, tokenizer),
            find_control_tokens(prompts, tokenizer, THINK_TAGS),
        )
        return [own or thought or prompt for own, thought, prompt in zip(*found, strict=True)]

    def _refuse_long(self, examples: Sequence[Example], reasons: list[str | None]) -> None:
        rules, lengths = self.rules, self._lengths
        left, prompts, texts = [], [], []
        for at, example in enumerate(examples):
            if reasons[at] is not None:
                continue
            prompt = self._prompt(example)
            text = None if rules.max_tokens is None else answers.render_answer(example)
            most = lengths.at_most(self._around_of(example).lengths, prompt, example.sentence)
            if not lengths.surely_fit(most, rules.max_prompt_tokens, text, rules.max_tokens):
                left.append(at)
                prompts.append(prompt)
                texts.append(text)
        over = lengths.over(prompts, rules.max_prompt_tokens, texts, rules.max_tokens)
        for at, is_long in zip(left, over, strict=True):
            if is_long:
                reasons[at] = "too_long"


def _unreadable(example: Example) -> str | None:
    """Why the example's answer can't be trained on or rewarded, by trying."""
    try:
        answer = answers.render_answer(example)
    except DataError:
        return "not_expressible"
    read = answers.parse(answer, example)
    return None if read.layout and answers.count(read, example).f1 == 1 else "gold_not_read"
