"""Questions to a teacher, its replies, and the meter of what they take: what the three kinds of teacher share.

A teacher has `answers(feed)`, which takes questions when it has room for them and yields a reply to each, in whatever
order they come. While it is at work, its user may put a question back into the feed, to be asked once more.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from recipe.answers.think import CLOSE, OPEN

SPENT = ("requests", "input_tokens", "output_tokens", "cost", "seconds")  # the fields of a record that say what it took


@dataclass(frozen=True, slots=True)
class Question:
    """Messages for a teacher. `about` comes back with the reply: JSON, so that it can travel to a cluster and back.

    `model` names the one to ask, None for the only one. `attempt` counts how often it was asked before: each time
    other tokens are drawn.
    """

    messages: tuple[dict[str, str], ...]
    about: Mapping[str, object]
    model: str | None = None
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as the teacher wrote it, or the reason why it gave none; and what that took. The meter sets `cost`."""

    question: Question
    output: str | None = None
    reason: str | None = None
    detail: str | None = None
    finish_reason: str | None = None
    requests: int = 1
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None
    seconds: float = 0.0

    @property
    def spent(self) -> dict[str, float | None]:
        """The fields SPENT of a record."""
        return {name: getattr(self, name) for name in SPENT} | {"seconds": round(self.seconds, 3)}


class Feed:
    """Questions one by one; those that are put back come first. It may be empty now and not later."""

    def __init__(self, questions: Iterable[Question]) -> None:
        self._questions, self._again = iter(questions), deque()

    def __iter__(self) -> Iterator[Question]:
        return self

    def __next__(self) -> Question:
        return self._again.popleft() if self._again else next(self._questions)

    def put_back(self, question: Question) -> None:
        """Ask it once more."""
        self._again.append(replace(question, attempt=question.attempt + 1))


def sampling(temperature: float | None, seed: int | None, attempt: int) -> tuple[float | None, int | None]:
    """Temperature and seed of an attempt: one that is repeated is drawn, and with another seed."""
    if attempt == 0:
        return temperature, seed
    return max(temperature or 0.0, 0.5), (seed or 0) + attempt


def whole(text: str, reasoning: str | None = None) -> str:
    """A completion with its think block, wherever a teacher put the reasoning.

    Some servers give it apart, or without the opening tag where the chat template has written that. A text with a
    think block of its own is kept as it is: that one was written for the reader.
    """
    if OPEN in text or (not reasoning and CLOSE not in text):
        return text
    if CLOSE in text:
        return f"{OPEN}\n{text.lstrip()}"
    return f"{OPEN}\n{reasoning.strip()}\n{CLOSE}\n{text.lstrip()}"


# ----------------------------------------------------------------------------------------------------------- meter


class BudgetSpent(Exception):
    """--max-requests is reached: what is left is for another run."""


def add_spent(sums: dict[str, float | None], record: Mapping[str, object]) -> None:
    """Add what a record took to the sums; a sum is None as long as no record tells the figure."""
    for name in SPENT:
        if (value := record.get(name)) is not None:
            sums[name] = (sums.get(name) or 0) + value


@dataclass(slots=True)
class Meter:
    """Sums over all replies of a step, earlier runs among them. Prices are for a million tokens, in any currency."""

    price_input: float | None = None
    price_output: float | None = None
    max_requests: int | None = None
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0

    def before(self, records: Iterable[Mapping]) -> None:
        """Count what the records of earlier runs say."""
        for record in records:
            self.requests += record.get("requests") or 0
            self._add(record)

    def take(self) -> None:
        """One request more, before it is sent. BudgetSpent if that is one too many."""
        if self.max_requests is not None and self.requests >= self.max_requests:
            raise BudgetSpent(f"{self.requests} requests are made, as many as --max-requests allows")
        self.requests += 1

    def count(self, reply: Reply) -> Reply:
        """The reply with its cost, which is None where prices or tokens aren't known.

        Its tokens and cost are added here; its requests were counted as they were sent.
        """
        if self.price_input is not None and self.price_output is not None and reply.input_tokens is not None:
            cost = self.price_input * reply.input_tokens + self.price_output * (reply.output_tokens or 0)
            reply = replace(reply, cost=cost / 1e6)
        self._add(reply.spent)
        return reply

    def _add(self, record: Mapping) -> None:
        self.input_tokens += record.get("input_tokens") or 0
        self.output_tokens += record.get("output_tokens") or 0
        self.cost += record.get("cost") or 0.0

    def __str__(self) -> str:
        priced = f", cost {self.cost:.4g}" if self.price_input is not None else ""
        return f"{self.requests:,} requests, {self.input_tokens:,} + {self.output_tokens:,} tokens{priced}"
