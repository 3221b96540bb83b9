"""A teacher on this machine: vLLM offline with a model folder, asked with the folder's own chat template."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.core.entities import DataError
from recipe.core.files import fingerprint
from recipe.cot.meter import BudgetSpent, Meter
from recipe.cot.questions import Feed, Question, Reply, sampling, whole
from recipe.generate.engine import Decoding, Engine, Request
from recipe.generate.predictions import Prediction
from recipe.models.folder import fit_lengths, load_tokenizer, model_folder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Model:
    """A model folder and how it is asked; what a run on one machine and one on a cluster have in common."""

    folder: Path
    tokenizer: PreTrainedTokenizerBase
    stop_ids: tuple[int, ...]
    decoding: Decoding
    temperature: float
    seed: int

    @property
    def settings(self) -> dict[str, object]:
        """What the answers depend on."""
        return {
            "model": fingerprint(self.folder),
            "max_model_len": self.decoding.max_model_len,
            "max_tokens": self.decoding.max_new_tokens,
            "dtype": self.decoding.dtype,
            "temperature": self.temperature,
            "seed": self.seed,
        }

    def encode(self, question: Question) -> list[int] | None:
        """Token ids of the prompt, (seq,); None for one that leaves no room for an answer."""
        # Not recipe.models.chat.encode_prompt, which refuses the <think> that these instructions speak of.
        ids = self.tokenizer.apply_chat_template(
            list(question.messages), tokenize=True, add_generation_prompt=True, return_dict=False
        )
        return [int(i) for i in ids] if len(ids) + 1 < self.decoding.max_model_len else None

    def sampling(self, question: Question) -> tuple[float, int | None]:
        """Temperature and seed; no seed where nothing is drawn."""
        temperature, seed = sampling(self.temperature, self.seed, question.attempt)
        return temperature, seed if temperature else None

    def too_long(self, question: Question) -> Reply:
        """The reply to a question that `encode` refuses."""
        limit = self.decoding.max_model_len
        return Reply(question, reason="too_long", detail=f"no room for an answer within {limit} tokens", requests=0)


def load(
    model: str,
    max_model_len: int | None,
    max_tokens: int | None,
    dtype: str,
    tensor_parallel_size: int,
    batch: int,
    temperature: float,
    seed: int,
) -> Model:
    """A folder, or a model of the hub; DataError for what is none, or has no chat template."""
    from recipe.eos import wanted_eos

    folder = model_folder(model)
    max_model_len, fitting = fit_lengths(folder, max_model_len, max_tokens)
    if max_tokens is None:  # half of a short model, so that there is room for questions
        fitting = min(fitting, max_model_len // 2)
    tokenizer = load_tokenizer(folder)
    if not tokenizer.chat_template:
        raise DataError(f"{folder}: has no chat template; save one with the tokenizer (chat_template.jinja)")
    decoding = Decoding(max_model_len, fitting, dtype, tensor_parallel_size, batch)
    return Model(folder, tokenizer, tuple(wanted_eos(folder, tokenizer)), decoding, temperature, seed)


class Local:
    """The teacher."""

    def __init__(self, model: Model, meter: Meter) -> None:
        self.model, self.meter = model, meter
        self.tokenizer = model.tokenizer

    def answers(self, feed: Feed) -> Iterator[Reply]:
        """Replies in the order in which they are finished. vLLM is started by the first question that can be asked.

        BudgetSpent at the limit, after all replies to what was under way.
        """
        asked = _Requests(self.model, self.meter, feed)
        if asked.wait_for_one():
            model = self.model
            with (
                Engine(model.folder, model.decoding, model.stop_ids, model.tokenizer) as engine,
                closing(engine.run(asked)) as predictions,
            ):
                for prediction in predictions:
                    yield from asked.refused()
                    reply = asked.reply(prediction)
                    self.meter.count(reply)
                    yield reply
        yield from asked.refused()
        if asked.stopped:
            raise asked.stopped


class _Requests:
    """The feed as requests to the engine. Like the feed it may be empty now and not later."""

    def __init__(self, model: Model, meter: Meter, feed: Feed) -> None:
        self._model, self._meter, self._feed = model, meter, feed
        self._asked: dict[int, tuple[Question, int, float]] = {}
        self._refused: list[Reply] = []
        self._first: Request | None = None
        self._number = 0
        self.stopped: BudgetSpent | None = None

    def wait_for_one(self) -> bool:
        """True if there is a request; it is still there to be taken."""
        self._first = next(self, None)
        return self._first is not None

    def __iter__(self) -> Iterator[Request]:
        return self

    def __next__(self) -> Request:
        if first := self._first:
            self._first = None
            return first
        while not self.stopped:
            question = next(self._feed)
            if (ids := self._model.encode(question)) is None:
                self._refused.append(self._model.too_long(question))
                continue
            try:
                self._meter.take()
            except BudgetSpent as error:
                self.stopped = error
                break
            self._number += 1
            self._asked[self._number] = question, len(ids), time.monotonic()
            return Request(self._number, ids, *self._model.sampling(question))
        raise StopIteration

    def refused(self) -> Iterator[Reply]:
        """The replies to questions that were too long, once."""
        refused, self._refused = self._refused, []
        return iter(refused)

    def reply(self, made: Prediction) -> Reply:
        """The reply in a completion; its seconds count from when vLLM was given the question."""
        question, length, started = self._asked.pop(made.index)
        return Reply(
            question,
            whole(made.output),
            finish_reason=made.finish_reason,
            input_tokens=length,
            output_tokens=made.output_tokens,
            cost=self._meter.price(length, made.output_tokens),
            seconds=time.monotonic() - started,
        )
