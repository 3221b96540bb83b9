"""A teacher behind an OpenAI-compatible endpoint: asked over HTTP, many questions at a time.

What is done about a request that goes wrong is in recipe.cot.failures. Keys come from the environment, are sent as the
client sends them, and are cut out of whatever else is written.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from recipe.core.entities import DataError
from recipe.cot.failures import find_failure, redact, refusal, said
from recipe.cot.questions import BudgetSpent, Feed, Meter, Question, Reply, sampling, whole

if TYPE_CHECKING:
    from openai import AsyncOpenAI

OPENAI = "https://api.openai.com/v1"
CHECK_SECONDS = 10  # for the first look at an endpoint
LONGEST_WAIT, LONGEST_RETRY_AFTER = 60.0, 300.0  # seconds


@dataclass(frozen=True, slots=True)
class Options:
    """How an endpoint is asked; `body` is sent along as it is. Times in seconds."""

    model: str
    base_url: str = OPENAI
    temperature: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    body: Mapping[str, object] | None = None
    concurrency: int = 64
    attempts: int = 6
    timeout: float = 600.0
    first_wait: float = 1.0


def check_url(url: str) -> str:
    """The URL itself. DataError for one that isn't http or has a name, a password or a query in it."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        sound = False
    if not sound:
        raise DataError("--base-url: not a URL like http://localhost:8000/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise DataError("--base-url: has a password or a query in it; keys are read from the environment alone")
    return url.rstrip("/")


def read_key(name: str | None) -> str:
    """The key in an environment variable, OPENAI_API_KEY for None; "none" without one.

    DataError if the variable that was named is unset, or holds what can't be sent.
    """
    key = os.environ.get(name or "OPENAI_API_KEY", "").strip()
    if not key and name:
        raise DataError(f"--api-key-env {name}: no such environment variable, or an empty one; set it")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise DataError(f"{name or 'OPENAI_API_KEY'}: holds characters that no key has; set it again")
    return key or "none"


class Endpoint:
    """The teacher. `check` looks whether it can be asked at all; `answers` asks."""

    def __init__(self, options: Options, key: str, meter: Meter) -> None:
        self.options, self.meter = options, meter
        self.tokenizer = None
        self._key, self._where = key, options.base_url
        self._sure = True  # that there is somebody to ask: else a page that isn't found is no row's fault
        self._stop: Exception | None = None
        self._stopped = asyncio.Event()  # set with _stop, so that nobody sleeps through it

    # ---------------------------------------------------------------------------------------------------- first look

    def check(self, models: tuple[str, ...]) -> None:
        """DataError if the endpoint can't be reached, refuses the key, or has none of the models. Costs nothing."""
        import openai

        async def look() -> None:
            async with self._client(CHECK_SECONDS) as client:
                try:
                    there = {model.id for model in (await client.models.list()).data or ()}
                except (openai.NotFoundError, openai.InternalServerError, ValueError, AttributeError, TypeError):
                    self._sure = False  # it doesn't list its models: the first question will tell
                    return
                for model in models:
                    if there and model not in there and not await _retrievable(client, model):
                        some = ", ".join(sorted(there)[:5]) + (", ..." if len(there) > 5 else "")
                        raise DataError(f"--model {model}: {self._where} has no such model; it has {some}")

        try:
            asyncio.run(asyncio.wait_for(look(), CHECK_SECONDS))
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise DataError(refusal(self._where, error.status_code)) from None
        except openai.APIStatusError as error:
            if error.status_code not in (405, 429, 501):
                raise DataError(f"{self._where}: answered {error.status_code}: {said(error, self._key)}") from None
        except (openai.OpenAIError, OSError, asyncio.TimeoutError) as error:
            cause = error.__cause__ or error
            why = said(cause, self._key)
            raise DataError(f"{self._where}: can't be reached ({why}); is --base-url right?") from None

    def _client(self, timeout: float) -> AsyncOpenAI:
        import openai

        return openai.AsyncOpenAI(
            api_key=self._key,
            base_url=self.options.base_url,
            max_retries=0,  # asking again is done here, where it is counted
            http_client=openai.DefaultAioHttpClient(timeout=timeout),  # takes half the time of the client's other one
        )

    # ------------------------------------------------------------------------------------------------------- asking

    def answers(self, feed: Feed) -> Iterator[Reply]:
        """Replies in the order in which they come. No more than `concurrency` questions are out of the feed at a time.

        DataError where the endpoint will answer no question, BudgetSpent at the limit: both after all replies to
        what was under way. Questions without a reply are left as they are.
        """
        loop = asyncio.new_event_loop()
        client = self._client(self.options.timeout)
        running: set[asyncio.Task] = set()
        finished: asyncio.Queue[asyncio.Task | None] = asyncio.Queue()
        wake = partial(loop.call_soon_threadsafe, finished.put_nowait, None)
        with closing(loop), _put_off(wake) as interrupted:
            try:
                while not interrupted:
                    while len(running) < self.options.concurrency and not self._stop:
                        if (question := next(feed, None)) is None:
                            break
                        task = loop.create_task(self._answer(client, question))
                        task.add_done_callback(finished.put_nowait)
                        running.add(task)
                    if not running:
                        break
                    ready = [loop.run_until_complete(finished.get())]
                    while not finished.empty():
                        ready.append(finished.get_nowait())
                    for task in filter(None, ready):
                        running.discard(task)
                        if (reply := task.result()) is not None:
                            yield self.meter.count(reply)
                if self._stop:
                    raise self._stop
            finally:
                loop.run_until_complete(_end(client, running))

    async def _answer(self, client: AsyncOpenAI, question: Question) -> Reply | None:
        """The reply to a question, after as many requests as it takes; None if asking stopped before there was one."""
        import openai

        options, started = self.options, time.monotonic()
        for number in range(1, options.attempts + 1):
            if self._stop:
                return None
            try:
                self.meter.take()
                reply = await asyncio.wait_for(self._ask(client, question), options.timeout)
            except BudgetSpent as error:
                self._halt(error)
                return None
            except (openai.OpenAIError, OSError, ValueError, asyncio.TimeoutError) as error:
                why = find_failure(error, self._where, self._key, options.timeout)
            else:
                self._sure = True
                break
            if why.stop or (why.reason == "http_404" and not self._sure):
                self._halt(DataError(why.stop or f"{self._where}: {why.detail}; are --base-url and --model right?"))
                return None
            reply = Reply(question, reason=why.reason, detail=why.detail)
            if not why.again or number == options.attempts:
                break
            doubled = min(options.first_wait * 2 ** (number - 1), LONGEST_WAIT)
            await self._pause(why.wait or doubled * random.uniform(0.5, 1.0))
        return replace(reply, requests=number, seconds=time.monotonic() - started)

    def _halt(self, error: Exception) -> None:
        if not self._stop or isinstance(self._stop, BudgetSpent):
            self._stop = error
        self._stopped.set()

    async def _pause(self, seconds: float) -> None:
        """Wait, but not longer than asking goes on."""
        try:
            await asyncio.wait_for(self._stopped.wait(), min(seconds, LONGEST_RETRY_AFTER))
        except asyncio.TimeoutError:
            return

    async def _ask(self, client: AsyncOpenAI, question: Question) -> Reply:
        options = self.options
        temperature, seed = sampling(options.temperature, options.seed, question.attempt)
        settings = {"temperature": temperature, "max_tokens": options.max_tokens, "seed": seed}
        body = {
            "model": question.model or options.model,
            "messages": question.messages,
            **{key: value for key, value in settings.items() if value is not None},
            **(options.body or {}),
        }
        # `post`, as chat.completions.create spends more on types than all the rest takes.
        return self._read(question, await client.post("/chat/completions", body=body, cast_to=object))

    def _read(self, question: Question, completion: object) -> Reply:
        """The reply in a completion. ValueError for another body."""
        try:
            choice = completion["choices"][0]
            message, finish_reason = choice["message"], choice.get("finish_reason")
            text, refused = message.get("content") or "", message.get("refusal")
            reasoning = message.get("reasoning_content") or message.get("reasoning")
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise ValueError("a body that is no chat completion") from error
        if not isinstance(text, str):
            raise ValueError("a chat completion whose content is no text")
        usage = completion.get("usage")
        tokens = {"input_tokens": _count(usage, "prompt_tokens"), "output_tokens": _count(usage, "completion_tokens")}
        if refused or finish_reason == "content_filter":
            return Reply(question, reason="refused", detail=redact(str(refused or finish_reason), self._key), **tokens)
        output = whole(text, reasoning if isinstance(reasoning, str) else None)
        known = finish_reason if finish_reason in ("stop", "length") else None
        return Reply(question, output, finish_reason=known, **tokens)


def _count(usage: object, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if type(value) is int else None


@contextmanager
def _put_off(wake: Callable[[], object]) -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM wait for the end of the block, are listed in what it gets, and have `wake` called.

    Raised inside an event loop, they would end one task of many, and asyncio would report the others one by one.
    """
    caught: list[int] = []

    def note(number: int, _: object) -> None:
        caught.append(number)
        wake()

    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: handler for number in numbers if callable(handler := signal.getsignal(number))}  # not ignored
    for number in before:
        signal.signal(number, note)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in caught:
            signal.raise_signal(number)


async def _end(client: AsyncOpenAI, running: set[asyncio.Task]) -> None:
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    await client.close()


async def _retrievable(client: AsyncOpenAI, model: str) -> bool:
    import openai

    try:
        await client.models.retrieve(model)
    except (openai.OpenAIError, ValueError):
        return False
    return True


def read_body(text: str | None) -> dict | None:
    """The object that --body gives. DataError for anything else."""
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise DataError('--body: not a JSON object like {"chat_template_kwargs": {"enable_thinking": true}}')
    return value
