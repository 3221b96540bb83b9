"""The completions of evaluation rows that a model makes: greedy, each on disk as soon as it is there."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from recipe import answers
from recipe.core.entities import DataError
from recipe.core.files import fingerprint, sha256
from recipe.evaluate.rows import Row
from recipe.generate.bar import bar
from recipe.generate.engine import LOG, Decoding, Engine, Request
from recipe.generate.predictions import Prediction, journal, package_versions
from recipe.generate.think_block import reasoning_room

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def generate(
    rows: Sequence[Row],
    data: Path,
    out: Path,
    folder: Path,
    tokenizer: PreTrainedTokenizerBase,
    decoding: Decoding,
    constrained: bool = False,
) -> dict[int, Prediction]:
    """The predictions of all rows of the file `data`, by index; those in OUT/predictions.jsonl are not made again.

    `constrained` answers keep to their layout and to the types, as recipe.predict's. What vLLM prints goes to
    OUT/log.txt.
    DataError for a prompt that the model has no room for, for predictions in OUT that were made otherwise, and for
    `constrained` answers in a format without a grammar.
    """
    from recipe.eos import wanted_eos

    stop_ids = wanted_eos(folder, tokenizer)
    settings = {
        "model": fingerprint(folder),
        "data": sha256(data),
        "decoding": "greedy, constrained" if constrained else "greedy",
        **{key: value for key, value in asdict(decoding).items() if key not in ("batch", "tensor_parallel_size")},
        "stop_token_ids": stop_ids,
    }
    prompts = encode_rows(rows, data, tokenizer, decoding.max_model_len)
    held = _held(rows, decoding.max_new_tokens) if constrained else {}
    with journal(out, settings, {"model": str(folder), "data": str(data), **package_versions()}) as (done, save):
        todo = [Request(index, ids, **held.get(index, {})) for index, ids in prompts.items() if index not in done]
        with bar(len(prompts), len(prompts) - len(todo), "completions", "row") as shown:
            if todo:
                with Engine(folder, decoding, stop_ids, tokenizer, out / LOG) as engine:
                    for prediction in engine.run(todo):
                        save(prediction)
                        done[prediction.index] = prediction
                        shown.update()
    cut = sum(done[index].finish_reason == "length" for index in prompts)
    if cut:
        print(f"evaluate: {cut} of {len(prompts)} completions were cut off by the token limit", file=sys.stderr)
    return {index: done[index] for index in prompts}


def _held(rows: Sequence[Row], max_new_tokens: int) -> dict[int, dict[str, object]]:
    """What a request says besides its prompt where the answer is held to its layout, by the row's index."""
    limit = reasoning_room(max_new_tokens)
    return {
        row.index: {
            "max_reasoning_tokens": limit,
            "grammar": answers.grammar(
                row.example.format, row.example.types, row.example.sentence, False, row.example.relation_types
            ),
        }
        for row in rows
    }


def encode_rows(rows: Sequence[Row], data: Path, tokenizer: PreTrainedTokenizerBase, room: int) -> dict[int, list[int]]:
    """The prompt of each row as token ids (seq,), by index; DataError for one that leaves no room for an answer."""
    from tqdm import tqdm

    from recipe.models.chat import encode_prompt

    prompts: dict[int, list[int]] = {}
    for row in tqdm(rows, desc="prompts", unit="row", leave=False, disable=None):
        try:
            ids = encode_prompt(tokenizer, row.messages)
        except DataError as error:
            raise DataError(f"{data}, row {row.index}: {error}") from error
        if len(ids) >= room:
            raise DataError(
                f"{data}, row {row.index}: its prompt of {len(ids)} tokens leaves no room for an answer within "
                f"{room} tokens of model length; raise --max-model-len, or write the Parquet file without it"
            )
        prompts[row.index] = ids
    return prompts
