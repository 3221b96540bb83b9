"""The SFT dataset: prompt by the tokenizer's chat template, answer verbatim, one loss mask over answer and end token.

verl's own MultiTurnSFTDataset renders each message through the template, and Qwen3's template drops `<think>` from
what it takes for history: the model would be trained on the JSON alone. Named in the configs as `data.custom_cls`.

A row's `messages` column: [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch.utils.data import Dataset

from recipe.chat import encode_prompt
from recipe.entities import DataError
from recipe.eos import end_of_turn_id


class AnswerDataset(Dataset):
    """Rows of one or more Parquet files as token ids.

    The signature is the one verl calls. `config` is verl's `data` section; `max_length`, `messages_key`, `pad_mode` and
    `apply_chat_template_kwargs` are read. Raises DataError for a file without the column, for a conversation that is
    not one question and one answer, and for a row of more than `max_length` tokens: cutting it would cut the answer.
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
        self.rows: list[tuple[str, int, Sequence[Mapping[str, str]]]] = []
        column = config.get("messages_key", "messages")
        for path in [parquet_files] if isinstance(parquet_files, str) else parquet_files:
            try:
                messages = pd.read_parquet(path, columns=[column])[column]
            except (OSError, ValueError, KeyError) as error:
                raise DataError(
                    f"{path}: no column {column!r} to read ({error}); write it with data_prep/to_parquet.py sft"
                ) from error
            self.rows += [(path, index, row) for index, row in enumerate(messages)]
        if max_samples > 0:
            self.rows = self.rows[:max_samples]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: int) -> dict[str, torch.Tensor]:
        """`input_ids`, `position_ids`, `loss_mask`: (seq,) each, int64; the mask is 1 on answer and end token."""
        path, index, messages = self.rows[item]
        if [message["role"] for message in messages[-2:]] != ["user", "assistant"]:
            raise DataError(f"{path}, row {index}: messages must end with user and assistant; write it anew")
        prompt = encode_prompt(self.tokenizer, list(messages[:-1]), **self.template_kwargs)
        answer = self.tokenizer(messages[-1]["content"], add_special_tokens=False)["input_ids"]
        input_ids = [*prompt, *answer, self.end_token]
        if len(input_ids) > self.max_length:
            raise DataError(
                f"{path}, row {index}: {len(input_ids)} tokens, data.max_length={self.max_length}; "
                "raise it, or prepare the data with --tokenizer and --max-tokens"
            )
        return {
            "input_ids": torch.tensor(input_ids),
            "position_ids": torch.arange(len(input_ids)),
            "loss_mask": torch.tensor([0] * len(prompt) + [1] * (len(answer) + 1)),
        }
