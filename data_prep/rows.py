"""Parquet rows in verl's columns, and the rules by which they are written; refusals.py says which sentences get none.

A GRPO or evaluation row; `ground_truth` is JSON because Arrow would make a dict a struct with a field for every type:

    {"data_source": "bc5cdr", "prompt": [{"role": "user", "content": "You are ..."}], "ability": "ner",
     "reward_model": {"style": "rule", "ground_truth": "{\"types\": [\"chemical\"], \"entities\": [...], ...}"},
     "extra_info": {"index": 0, "split": "train", "dataset": "bc5cdr", "sentence": "Naloxone ...", "drop_else": true}}

`drop_else` is false where the residual types (`else`, `misc`, `other`) were kept in schema and gold (--keep-else).

An SFT row has `messages` (user, assistant) in place of `prompt` and `reward_model`, and in `extra_info` the `types` it
asks for and `cot`, where its reasoning is from: "ner_cot" (a teacher), "template" (built from the gold), "none".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from recipe import answers
from recipe.answers.queries import Wordings, ask
from recipe.core.align import folded
from recipe.core.entities import DEFAULT_FORMAT, Example
from recipe.core.ground_truth import to_ground_truth

if TYPE_CHECKING:
    import pyarrow
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class RowRules:
    """How a prompt is written, and which rows are refused. Limits are in tokens and need the tokenizer."""

    format: str = DEFAULT_FORMAT
    template: str | None = None  # None: the format's own
    add_source: bool = False
    tokenizer: PreTrainedTokenizerBase | None = None
    max_prompt_tokens: int | None = None
    max_tokens: int | None = None  # prompt, answer and end token
    keep_out: Mapping[int, str] = field(default_factory=dict)  # sentence_key -> reason
    wordings: Wordings = field(default_factory=Wordings)  # of questions about one type
    keep_empty: float = 1.0  # the share of rows with nothing to find that stay
    seed: int = 42  # says which of them

    def prompt(self, example: Example) -> str:
        return answers.render_prompt(example, self.template_of(example), self.add_source)

    def template_of(self, example: Example) -> str | None:
        """The wording of the example's prompt; None for the format's own."""
        return self.wordings.of(example) or self.template

    @property
    def asks_as_read(self) -> bool:
        """True where `asked` gives each example as a corpus has it."""
        return self.format == DEFAULT_FORMAT and not answers.one_type(self.format)

    def asked(self, example: Example) -> tuple[Example, ...]:
        """The examples of the rows that a sentence gets: one, or one for each type."""
        return ask(example if example.format == self.format else replace(example, format=self.format))


def sentence_key(sentence: str) -> int:
    """64 bits that agree for sentences that differ in case and in what nobody sees alone.

    That is white space, invisible characters, and how a letter with marks is written (canonical equivalence).
    Source: the Unicode Standard, section 3.13, D145, canonical caseless matching.
    """
    text = folded(folded(sentence).casefold())
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def question_row(example: Example, index: int, split: str, rules: RowRules, drop_else: bool = True) -> dict:
    """A row for GRPO or evaluation; `drop_else` says whether the residual types were left out."""
    return {
        "data_source": example.dataset,
        "prompt": [_message("user", rules.prompt(example))],
        "ability": answers.task(example.format),
        "reward_model": {"style": "rule", "ground_truth": to_ground_truth(example)},
        "extra_info": {**_extra(example, index, split), "drop_else": drop_else},
    }


def sft_row(example: Example, index: int, split: str, rules: RowRules, cot: str) -> dict:
    """A row for SFT; `cot` says where the reasoning is from."""
    return {
        "data_source": example.dataset,
        "messages": [_message("user", rules.prompt(example)), _message("assistant", answers.render_answer(example))],
        "ability": answers.task(example.format),
        "extra_info": {**_extra(example, index, split), "types": list(example.types), "cot": cot},
    }


def _extra(example: Example, index: int, split: str) -> dict:
    return {"index": index, "split": split, "dataset": example.dataset, "sentence": example.sentence}


def row_schema(sft: bool) -> pyarrow.Schema:
    """The Arrow schema of the rows above: fixed, so that every file has the same columns, whatever is in it."""
    import pyarrow as pa

    text = pa.string()
    messages = pa.list_(pa.struct({"role": text, "content": text}))
    extra = {"index": pa.int64(), "split": text, "dataset": text, "sentence": text}
    if sft:
        columns = {"data_source": text, "messages": messages, "ability": text}
        return pa.schema({**columns, "extra_info": pa.struct({**extra, "types": pa.list_(text), "cot": text})})
    reward = pa.struct({"style": text, "ground_truth": text})
    columns = {"data_source": text, "prompt": messages, "ability": text, "reward_model": reward}
    return pa.schema({**columns, "extra_info": pa.struct({**extra, "drop_else": pa.bool_()})})
