"""The SFT dataset: prompt by the tokenizer's chat template, answer verbatim, one loss mask over answer and end token.

verl's own MultiTurnSFTDataset renders each message through the template, and Qwen3's template drops `<think>` from
what it takes for history: the model would be trained on the JSON alone. Named in the configs as `data.custom_cls`.

A row's `messages` column: [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]. For BIO
answers `extra_info.types`, if there, lists the types asked for: the loss's mask needs it where one holds parentheses.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
import torch
from torch.utils.data import Dataset

from recipe.answers.bio import tagged_words
from recipe.answers.think import split_reasoning
from recipe.chat import encode_prompt
from recipe.entities import DataError
from recipe.eos import end_of_turn_id
from sft.losses import BEGIN_MASK


class AnswerDataset(Dataset):
    """Rows of one or more Parquet files as token ids.

    The signature is the one verl calls. `config` is verl's `data` section; `max_length`, `messages_key`, `pad_mode` and
    `apply_chat_template_kwargs` are read, and `begin_mask`, which `sft.train` adds for a loss that needs that field.
    Raises DataError for a file without the column, for a conversation that is not one question and one answer, for a
    row of more than `max_length` tokens, as cutting it would cut the answer, and, with `begin_mask`, for an answer that
    is not BIO.
    """

    def __init__(
        self, parquet_files: str | Sequence[str], tokenizer, config: Mapping, processor=None, max_samples: int = -1
    ):
        if config.get("pad_mode", "no_padding") != "no_padding":
            raise DataError(f"data.pad_mode={config['pad_mode']}: only no_padding is supported here")
        self.tokenizer = tokenizer
        self.max_length = int(config.get("max_length", 1024))
        self.template_kwargs = dict(config.get("apply_chat_template_kwargs") or {})
        self.end_token = end_of_turn_id(tokenizer)
        self.begin_mask = bool(config.get(BEGIN_MASK, False))
        if self.begin_mask and not tokenizer.is_fast:
            raise DataError(f"{tokenizer.name_or_path}: has no character offsets, which the loss needs; set loss=plain")
        self.rows: list[tuple[str, int, Sequence[Mapping[str, str]], Sequence[str]]] = []
        column = config.get("messages_key", "messages")
        for path in [parquet_files] if isinstance(parquet_files, str) else parquet_files:
            try:
                table = pd.read_parquet(path, columns=None if self.begin_mask else [column])
                messages = table[column]
            except (OSError, ValueError, KeyError) as error:
                raise DataError(
                    f"{path}: no column {column!r} to read ({error}); write it with data_prep/to_parquet.py sft"
                ) from error
            types = map(_types, table.get("extra_info", [None] * len(table)))
            self.rows += [(path, index, *row) for index, row in enumerate(zip(messages, types, strict=True))]
        if max_samples > 0:
            self.rows = self.rows[:max_samples]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: int) -> dict[str, torch.Tensor]:
        """`input_ids`, `position_ids`, `loss_mask`: (seq,) each, int64; the mask is 1 on answer and end token.

        With `begin_mask` also that: (seq,), int64, 1 on the answer's tokens that hold the `B` of a tag.
        """
        path, index, messages, types = self.rows[item]
        if [message["role"] for message in messages[-2:]] != ["user", "assistant"]:
            raise DataError(f"{path}, row {index}: messages must end with user and assistant; write it anew")
        prompt = encode_prompt(self.tokenizer, list(messages[:-1]), **self.template_kwargs)
        text = messages[-1]["content"]
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=self.begin_mask)
        answer = encoded["input_ids"]
        input_ids = [*prompt, *answer, self.end_token]
        if len(input_ids) > self.max_length:
            raise DataError(
                f"{path}, row {index}: {len(input_ids)} tokens, data.max_length={self.max_length}; "
                "raise it, or prepare the data with --tokenizer and --max-tokens"
            )
        row = {
            "input_ids": torch.tensor(input_ids),
            "position_ids": torch.arange(len(input_ids)),
            "loss_mask": torch.tensor([0] * len(prompt) + [1] * (len(answer) + 1)),
        }
        if self.begin_mask:
            try:
                held = hold(encoded["offset_mapping"], begins(text, types))
            except DataError as error:
                raise DataError(f"{path}, row {index}: {error}") from error
            row[BEGIN_MASK] = torch.tensor([0] * len(prompt) + held + [0])
        return row


def _types(extra: Mapping | None) -> tuple[str, ...]:
    types = (extra or {}).get("types")
    return () if types is None else tuple(types)


def begins(answer: str, types: Sequence[str] = ()) -> list[int]:
    """Where in a BIO answer the `B` of each tag stands, in characters, ascending; no `B` of a word or the reasoning.

    DataError for a word without a tag: a wrong mask would go unnoticed.
    """
    _, body, _ = split_reasoning(answer)
    start = len(answer.rstrip()) - len(body)  # it ends where the answer does, but for white space
    words = list(tagged_words(body, tuple(types)))
    untagged = next((word.word for word in words if word.mark < 0), None if words else "")
    if untagged is not None:
        raise DataError(
            f"its word {untagged[:40]!r} has no tag, and the loss is for BIO answers; set loss=plain for others, and "
            "give types with parentheses in extra_info.types"
        )
    return [start + word.mark for word in words if word.prefix == "B"]


def hold(offsets: Iterable[tuple[int, int]], places: Sequence[int]) -> list[int]:
    """1 for each token, given as (start, end) in characters, that holds one of the ascending places, else 0.

    DataError where the tokens don't hold as many as there are: some tokenizers' offsets are wrong.
    """
    held = [bisect_left(places, end) - bisect_left(places, start) for start, end in offsets]
    if sum(held) != len(places):
        raise DataError(
            f"{len(places)} tags begin in its answer, by the tokenizer's offsets {sum(held)}; use another tokenizer "
            "or set loss=plain"
        )
    return [int(number > 0) for number in held]
