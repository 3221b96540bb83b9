"""Questions to a teacher and its replies: what the three kinds of teacher have in common.

A teacher has `answers(feed)`, which takes questions when it has room for them and yields a reply to each, in whatever
order they come. While it is at work, its user may put a question back into the feed, to be asked once more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from recipe.answers.think import CLOSE, OPEN


@dataclass(frozen=True, slots=True)
class Question:
    """Messages for a teacher. `about` comes back with the reply: JSON, so that it can travel to a cluster and back.

    `model` is which one is asked, None for the only one. `attempt` counts how often it was asked before: each time
    other tokens are drawn.
    """

    messages: tuple[dict[str, str], ...]
    about: Mapping[str, object]
    model: str | None = None
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as the teacher wrote it, or the reason why there is none; and what it took."""

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
    def spent(self) -> dict[str, object]:
        """The fields of a record that say what the reply took."""
        return {
            "requests": self.requests,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost": self.cost,
            "seconds": round(self.seconds, 3),
        }


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

    Servers give it apart, or without the opening tag where the chat template has written that. A text that has a think
    block of its own is kept as it is: that one was written for the reader.
    """
    if OPEN in text or (not reasoning and CLOSE not in text):
        return text
    if CLOSE in text:
        return f"{OPEN}\n{text.lstrip()}"
    return f"{OPEN}\n{reasoning.strip()}\n{CLOSE}\n{text.lstrip()}"
