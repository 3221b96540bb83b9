"""A teacher on this machine: vLLM offline with a model folder, asked with the folder's own chat template."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.core.entities import DataError
from recipe.core.files import fingerprint
from recipe.cot.questions import BudgetSpent, Feed, Meter, Question, Reply, sampling, whole
from recipe.generate.engine import Decoding, Engine, Request, share_cores
from recipe.generate.predictions import Prediction
from recipe.models.folder import fit_lengths, load_tokenizer, model_folder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class TeacherModel:
    """A model folder and how it is asked, on one machine and on a cluster."""

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


def load(model: str, args: argparse.Namespace) -> TeacherModel:
    """A folder, or a model of the hub, with the options of vLLM; DataError for what has no model or chat template."""
    from recipe.eos import wanted_eos

    folder = model_folder(model)
    max_model_len, max_new_tokens = fit_lengths(folder, args.max_model_len, args.max_tokens or None)
    if not args.max_tokens:  # half of a short model, so that there is room for questions
        max_new_tokens = min(max_new_tokens, max_model_len // 2)
    share_cores()
    tokenizer = load_tokenizer(folder)
    if not tokenizer.chat_template:
        raise DataError(f"{folder}: has no chat template; save one with the tokenizer (chat_template.jinja)")
    decoding = Decoding(max_model_len, max_new_tokens, args.dtype, args.tensor_parallel_size, args.batch)
    stop_ids = tuple(wanted_eos(folder, tokenizer))
    return TeacherModel(folder, tokenizer, stop_ids, decoding, args.temperature or 0.0, args.seed or 0)


class Prompts:
    """The feed's questions with their token ids, as long as the budget lasts.

    Like the feed it may be empty now and not later. `stopped` is the error at the limit.
    """

    def __init__(self, model: TeacherModel, meter: Meter, feed: Feed) -> None:
        self.model, self.stopped = model, None
        self._meter, self._feed = meter, feed
        self._refused: list[Reply] = []

    def take(self) -> tuple[Question, list[int]] | None:
        """The next question that can be asked, counted by the meter; None if there is no more."""
        while not self.stopped and (question := next(self._feed, None)):
            if (ids := self.model.encode(question)) is None:
                detail = f"no room for an answer within {self.model.decoding.max_model_len} tokens"
                self._refused.append(Reply(question, reason="too_long", detail=detail, requests=0))
                continue
            try:
                self._meter.take()
            except BudgetSpent as error:
                self.stopped = error
            else:
                return question, ids
        return None

    def refused(self) -> Iterator[Reply]:
        """The replies to questions that were too long, once."""
        refused, self._refused = self._refused, []
        return iter(refused)


class Local:
    """The teacher. What vLLM prints goes to the file `log`, if there is one."""

    def __init__(self, model: TeacherModel, meter: Meter, log: Path | None = None) -> None:
        self.model, self.meter, self.log = model, meter, log
        self.tokenizer = model.tokenizer

    def answers(self, feed: Feed) -> Iterator[Reply]:
        """Replies in the order in which they are finished. vLLM is started by the first question that can be asked.

        BudgetSpent at the limit, after all replies to what was under way.
        """
        asked, model = _Requests(self.model, self.meter, feed), self.model
        if asked.wait_for_one():
            with (
                Engine(model.folder, model.decoding, model.stop_ids, model.tokenizer, self.log, seeded=True) as engine,
                closing(engine.run(asked)) as predictions,
            ):
                for prediction in predictions:
                    yield from asked.refused()
                    yield self.meter.count(asked.reply(prediction))
        yield from asked.refused()
        if asked.stopped:
            raise asked.stopped


class _Requests(Prompts):
    """Prompts as requests to the engine."""

    def __init__(self, model: TeacherModel, meter: Meter, feed: Feed) -> None:
        super().__init__(model, meter, feed)
        self._asked: dict[int, tuple[Question, int, float]] = {}
        self._first: Request | None = None
        self._number = 0

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
        if (taken := self.take()) is None:
            raise StopIteration
        question, ids = taken
        self._number += 1
        self._asked[self._number] = question, len(ids), time.monotonic()
        return Request(self._number, ids, *self.model.sampling(question))

    def reply(self, made: Prediction) -> Reply:
        """The reply in a completion; its seconds count from when vLLM was given the question."""
        question, length, started = self._asked.pop(made.index)
        return Reply(
            question,
            whole(made.output),
            finish_reason=made.finish_reason,
            input_tokens=length,
            output_tokens=made.output_tokens,
            seconds=time.monotonic() - started,
        )
