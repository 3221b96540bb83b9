"""The SFT dataset: prompt by the tokenizer's chat template, answer verbatim, one loss mask over answer and end token.

verl's own MultiTurnSFTDataset renders each message through the template, and Qwen3's template drops `<think>` from
what it takes for history: the model would be trained on the JSON alone. Named in the configs as `data.custom_cls`.

A row's `messages` column: [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]. For answers
that tag words, `extra_info.types` lists the types asked for: the loss's mask needs it where a type holds parentheses.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from torch.utils.data import Dataset

from recipe.answers import begins
from recipe.core.entities import DataError
from recipe.eos import end_of_turn_id
from recipe.models.chat import encode_prompts
from sft.losses import BEGIN_MASK

_BATCH = 1000  # rows that are tokenized together where all are read


class AnswerDataset(Dataset):
    """Rows of one or more Parquet files as token ids.

    The signature is the one verl calls. `config` is verl's `data` section; `max_length`, `messages_key`, `pad_mode` and
    `apply_chat_template_kwargs` are read, and `begin_mask`, which `sft.train` adds for a loss that needs that field.
    Raises DataError for a file without the column, for a conversation that is not one question and one answer, for a
    row of more than `max_length` tokens, as cutting it would cut the answer, and, with `begin_mask`, for an answer that
    doesn't tag words.
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
        prompt, answer, held = next(self._encoded([self.rows[item]]))
        row = {
            "input_ids": torch.tensor([*prompt, *answer]),
            "position_ids": torch.arange(len(prompt) + len(answer)),
            "loss_mask": torch.tensor([0] * len(prompt) + [1] * len(answer)),
        }
        if self.begin_mask:
            row[BEGIN_MASK] = torch.tensor([0] * len(prompt) + held)
        return row

    def check(self) -> None:
        """The DataError of the first row that `__getitem__` refuses, if any does; 50,000 rows take half a minute."""
        for start in range(0, len(self.rows), _BATCH):
            for _ in self._encoded(self.rows[start : start + _BATCH]):
                pass

    def _encoded(self, rows: Sequence[tuple]) -> Iterator[tuple[list[int], list[int], list[int] | None]]:
        """For each row the prompt's ids, the ids of answer and end token, and the answer's part of the begin mask."""
        names = [f"{path}, row {index}" for path, index, *_ in rows]
        for name, (*_, messages, _) in zip(names, rows, strict=True):
            if not _is_turn(messages):
                raise DataError(f"{name}: messages must end with user and assistant; write it anew")
        prompts = encode_prompts(self.tokenizer, [list(row[2][:-1]) for row in rows], names, **self.template_kwargs)
        texts = [row[2][-1]["content"] for row in rows]
        for name, text in zip(names, texts, strict=True):
            if not isinstance(text, str):
                raise DataError(f"{name}: a message without a text; write it anew")
        encoded = self.tokenizer(
            texts, add_special_tokens=False, return_attention_mask=False, return_offsets_mapping=self.begin_mask
        )
        for at, (name, prompt) in enumerate(zip(names, prompts, strict=True)):
            answer = [*encoded["input_ids"][at], self.end_token]
            if len(prompt) + len(answer) > self.max_length:
                raise DataError(
                    f"{name}: {len(prompt) + len(answer)} tokens, data.max_length={self.max_length}; "
                    "raise it, or prepare the data with --tokenizer and --max-tokens"
                )
            held = None
            if self.begin_mask:
                try:
                    held = [*hold(encoded["offset_mapping"][at], begins(texts[at], rows[at][3])), 0]
                except DataError as error:
                    raise DataError(f"{name}: {error}") from error
            yield prompt, answer, held


def _is_turn(messages: Any) -> bool:
    """True for a list that ends with a question and its answer."""
    try:
        return [message["role"] for message in messages[-2:]] == ["user", "assistant"]
    except (TypeError, KeyError, IndexError):
        return False


def _types(extra: Mapping | None) -> tuple[str, ...]:
    types = (extra or {}).get("types")
    return () if types is None else tuple(types)


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
